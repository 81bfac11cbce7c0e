"""A model's keypoints in image pixels, and how good they are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from posenfs.data.cache import CropCache
from posenfs.data.geometry import crop_to_heatmap, crop_to_image, heatmap_to_crop
from posenfs.data.heatmaps import DECODINGS, encode, mirror_maps
from posenfs.data.loader import Crops, Loader
from posenfs.data.parsing import read_json
from posenfs.data.sample import People, normalise
from posenfs.evaluation.metrics import (
    MEASURES,
    REPORTED,
    correct_share,
    distance_headline,
    judged_by_ap,
    normalised_errors,
)
from posenfs.evaluation.oks import average_precision
from posenfs.evaluation.scoring import rescored
from posenfs.model.folded import fold
from posenfs.model.losses import keypoint_losses
from posenfs.model.network import PoseNetwork, PoseNFS, evaluating
from posenfs.model.vectors import squash


@dataclass(frozen=True)
class Predictions:
    """keypoints_image [N, K, 2] image px and their peak scores [N, K]; width / height of the crops they come from."""

    keypoints_image: np.ndarray
    scores: np.ndarray
    aspect: float = 0.75


def joined(parts: Sequence[Predictions]) -> Predictions:
    """Those of parts of the people, one after the other."""
    points, scores = (np.concatenate([getattr(p, name) for p in parts]) for name in ("keypoints_image", "scores"))
    return Predictions(points, scores, parts[0].aspect)


@torch.no_grad()
def score_maps(model: nn.Module, images: Tensor, flip_order: tuple[int, ...] | None = None) -> Tensor:
    """uint8 [B, 3, H, W] -> score maps [B, K, h, w]; with a flip order the mean with those of the mirror image.

    Raises ValueError where the flip order is of another number of keypoints."""
    images = normalise(images)
    maps = model(images).float()
    if flip_order is None:
        return maps
    if maps.shape[1] != len(flip_order):
        found = f"the network finds {maps.shape[1]} keypoints, these people have {len(flip_order)}"
        raise ValueError(f"{found}; choose people of the data it was trained on")
    return (maps + mirror_maps(model(images.flip(-1)).float(), flip_order)) / 2


@torch.no_grad()
def keypoint_vectors(model: PoseNFS, images: Tensor, keypoint: int) -> dict[str, np.ndarray]:
    """The vectors of one keypoint in the first of the crops uint8 [B, 3, H, W], without flip, by each part that has it:
    [d, h, w], squashed (Eq. 4) so that their length is the part's score; for d = 1 the plain score itself. The model
    is left in its mode."""
    with evaluating(model):
        found = model.part_vectors(normalise(images[:1].to(next(model.parameters()).device)))
    return {
        part.name: (own if own.shape[2] == 1 else squash(own))[0, part.keypoints.index(keypoint)].cpu().numpy()
        for part, own in zip(model.parts, (vectors.float() for vectors in found), strict=True)
        if keypoint in part.keypoints
    }


def predict(
    model: nn.Module,
    people: People,
    size: tuple[int, int],
    batch_size: int = 32,
    flip: bool = True,
    workers: int = 0,
    progress: bool = False,
    decoding: str = "quarter offset",
    cache: CropCache | None = None,
) -> Predictions:
    """Keypoints of people, each cropped at its box to size (width, height), or taken from a cache of these crops, by
    the model in eval mode; a PoseNetwork is folded first (see `fold`). The model is left as it is.

    `decoding` is one of DECODINGS: argmax, quarter offset (the paper's), dark. Raises ValueError for another.
    """
    if decoding not in DECODINGS:
        raise ValueError(f"unknown decoding {decoding!r}; known: {', '.join(DECODINGS)}")
    device = next(model.parameters()).device
    loader = Loader(Crops(people, size), batch_size, workers, cache, device)
    flip_order = people.skeleton.flip_order if flip else None
    model, keypoints, scores = fold(model) if isinstance(model, PoseNetwork) else model, [], []
    bar = tqdm(total=len(people), desc="evaluate", unit="img", disable=not progress, leave=False)
    with evaluating(model), bar:
        for batch in loader.once():
            maps = score_maps(model, batch.images.to(device), flip_order)
            peaks, peak_scores = DECODINGS[decoding](maps)
            crop_px = heatmap_to_crop(peaks.cpu().double().numpy(), size[0] // maps.shape[-1])
            keypoints.append(crop_to_image(crop_px, batch.crop))
            scores.append(peak_scores.cpu().numpy())
            bar.update(len(batch.index))
    return Predictions(np.concatenate(keypoints), np.concatenate(scores), size[0] / size[1])


@torch.no_grad()
def at_keypoints(
    model: nn.Module, people: People, size: tuple[int, int], batch_size: int = 32
) -> tuple[np.ndarray, np.ndarray]:
    """What the network says where a keypoint truly is, without flip: [N, K] the score at its pixel, and [N, K] what it
    adds to the loss (Eq. 6). NaN where not labelled, or outside the crop; the model is left in its mode."""
    device, scores, losses = next(model.parameters()).device, [], []
    with evaluating(model):
        for batch in Loader(Crops(people, size), batch_size).once():
            maps = score_maps(model, batch.images.to(device)).cpu()
            height, width = maps.shape[-2:]
            places = crop_to_heatmap(batch.keypoints_crop, size[0] // width)
            x, y = places.round().long().unbind(-1)
            pixel = y.clamp(0, height - 1) * width + x.clamp(0, width - 1)
            labelled = batch.visibility > 0
            found = maps.flatten(2).gather(-1, pixel[..., None])[..., 0]
            scores.append(found.where(labelled, torch.nan))
            losses.append(keypoint_losses(maps, encode(places, height, width)).where(labelled, torch.nan))
    return torch.cat(scores).numpy(), torch.cat(losses).numpy()


def evaluate(predictions: Predictions, people: People) -> tuple[dict[str, float], np.ndarray]:
    """All metrics that these people allow, by name and in percent, and the errors [N, K] in the measure of distance
    that stands for a result; NaN where nothing is labelled."""
    errors = all_errors(predictions, people)
    found = coco_metrics(predictions, people) if judged_by_ap(people) else {}
    for measure, threshold in REPORTED:
        if measure in errors:
            found |= correct_share(errors[measure], people.skeleton, measure, threshold)
    return found, errors[distance_headline(people)[0]]


def all_errors(predictions: Predictions, people: People) -> dict[str, np.ndarray]:
    """Errors [N, K] in every measure that somebody among these people has a size in; NaN where nothing is labelled."""
    return {
        name: normalised_errors(predictions.keypoints_image, people, sizes)
        for name, measure in MEASURES.items()
        if ((sizes := measure(people)) > 0).any()
    }


def coco_metrics(predictions: Predictions, people: People) -> dict[str, float]:
    """OKS-AP in percent by pycocotools: {"ap": …, "ap/AP50": …, …, "ap/AR_L": …}; NaN where there is nobody to find.

    Of detected boxes double poses are removed (OKS above 0.9). Annotations are those of their category. Pictures are
    those of these people; of detected boxes all of the file, but those left out as broken are none of them.
    """
    sigmas, truth = people.skeleton.oks_sigmas, read_json(people.coco.path)
    nms = None if people.box_scores is None else 0.9
    results = rescored(coco_results(predictions, people), sigmas, nms, aspect=predictions.aspect)
    everyone = people.coco.every_image
    others = set() if everyone else set(people.coco.people.tolist()) - set(people.person_ids.tolist())
    truth["annotations"] = [
        a for a in truth["annotations"] if a.get("category_id") == people.coco.category and a["id"] not in others
    ]
    images = None if everyone else people.coco.image_ids[np.unique(people.image_index)]
    found = average_precision(truth, results, sigmas, images)
    values = {name: 100 * value if value >= 0 else float("nan") for name, value in found.items()}
    return {"ap": values.pop("AP")} | {f"ap/{name}": value for name, value in values.items()}


def coco_results(predictions: Predictions, people: People) -> list[dict]:
    """COCO's results: keypoints with their raw scores, the box and its score (1 where boxes are given)."""
    scores = np.ones(len(people)) if people.box_scores is None else people.box_scores
    points = np.concatenate([predictions.keypoints_image, predictions.scores[..., None]], -1)
    return [
        {
            "image_id": int(people.coco.image_ids[image]),
            "category_id": int(people.coco.category),
            "keypoints": own.ravel().tolist(),
            "score": float(score),
            "bbox": box.tolist(),
        }
        for image, own, score, box in zip(people.image_index, points, scores, people.boxes, strict=True)
    ]


def mean_pose(train: People, people: People) -> Predictions:
    """The trivial predictor: the training set's mean pose, laid into each person's box."""
    relative = (train.keypoints_image - train.boxes[:, None, :2]) / train.boxes[:, None, 2:]
    labelled = (train.visibility > 0)[..., None]
    mean = (relative * labelled).sum(0) / np.maximum(labelled.sum(0), 1)
    return Predictions(people.boxes[:, None, :2] + mean * people.boxes[:, None, 2:], np.zeros(people.visibility.shape))

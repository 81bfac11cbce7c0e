"""Prediction of keypoints in image pixels by a model, and their evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from posenfs.data.cache import CropCache
from posenfs.data.geometry import ImageSize, crop_to_heatmap, crop_to_image, heatmap_to_crop
from posenfs.data.heatmaps import DECODINGS, encode, mirror_maps
from posenfs.data.loader import Crops, Loader
from posenfs.data.parsing import read_json
from posenfs.data.sample import Annotations, normalise
from posenfs.evaluation.metrics import (
    MEASURES,
    REPORTED,
    correct_share,
    normalised_errors,
    primary_distance_metric,
    uses_average_precision,
)
from posenfs.evaluation.oks import average_precision
from posenfs.evaluation.scoring import rescored
from posenfs.model.folded import fold
from posenfs.model.losses import keypoint_losses
from posenfs.model.network import PoseNetwork, PoseNFS, evaluating
from posenfs.model.vectors import squash


@dataclass(frozen=True)
class Predictions:
    """Predicted keypoints of N people.

    Attributes:
        keypoints_image: Keypoints [N, K, 2] in image px.
        scores: Peak scores [N, K] of the heatmaps.
        aspect: Width / height of the crops.
    """

    keypoints_image: np.ndarray
    scores: np.ndarray
    aspect: float = 0.75


def joined(parts: Sequence[Predictions]) -> Predictions:
    """Concatenate predictions."""
    keypoints = np.concatenate([part.keypoints_image for part in parts])
    scores = np.concatenate([part.scores for part in parts])
    return Predictions(keypoints, scores, parts[0].aspect)


@torch.no_grad()
def score_maps(
    model: nn.Module, images: Tensor, flip_order: tuple[int, ...] | None = None
) -> Tensor:
    """Return the heatmaps of images.

    Args:
        model: A network from [B, 3, H, W] to [B, K, h, w].
        images: uint8 images [B, 3, H, W].
        flip_order: If given, the result is the mean with the heatmaps of the mirrored image, where
            keypoint k becomes keypoint flip_order[k].

    Returns:
        Heatmaps [B, K, h, w] in float32.

    Raises:
        ValueError: The flip order has another number of keypoints than the network.
    """
    images = normalise(images)
    maps = model(images).float()
    if flip_order is None:
        return maps
    if maps.shape[1] != len(flip_order):
        raise ValueError(
            f"the network predicts {maps.shape[1]} keypoints, but these people have "
            f"{len(flip_order)}; choose people of the data it was trained on"
        )
    return (maps + mirror_maps(model(images.flip(-1)).float(), flip_order)) / 2


@torch.no_grad()
def keypoint_vectors(model: PoseNFS, images: Tensor, keypoint: int) -> dict[str, np.ndarray]:
    """Return the vectors of one keypoint in the first image, by each part that contains it.

    Args:
        model: The network; its training mode is restored.
        images: uint8 crops [B, 3, H, W]; they are not mirrored.
        keypoint: Index of the keypoint.

    Returns:
        {part: [d, h, w]}. The vectors are squashed (Eq. 4), so that their length is the score of
        the part; for d = 1 they are the scores themselves.
    """
    device = next(model.parameters()).device
    with evaluating(model):
        vectors_of_parts = model.part_vectors(normalise(images[:1].to(device)))
    result = {}
    for part, vectors in zip(model.parts, vectors_of_parts, strict=True):
        if keypoint in part.keypoints:
            vectors = vectors.float()  # [1, J, d, h, w]
            if vectors.shape[2] > 1:
                vectors = squash(vectors)
            result[part.name] = vectors[0, part.keypoints.index(keypoint)].cpu().numpy()
    return result


def predict(
    model: nn.Module,
    people: Annotations,
    size: ImageSize,
    batch_size: int = 32,
    flip: bool = True,
    workers: int = 0,
    progress: bool = False,
    decoding: str = "quarter offset",
    cache: CropCache | None = None,
) -> Predictions:
    """Predict the keypoints of people in their boxes.

    Args:
        model: The network; a PoseNetwork is folded first (see `fold`). It is not modified.
        people: People with boxes.
        size: Size of the crops in px.
        batch_size: Crops per batch.
        flip: Average with the heatmaps of the mirrored image.
        workers: Processes that load images.
        progress: Show a progress bar.
        decoding: One of DECODINGS: "argmax", "quarter offset" (the paper's), "dark".
        cache: Cache of these crops.

    Raises:
        ValueError: The decoding is unknown, or the network has other keypoints than the people.
    """
    if decoding not in DECODINGS:
        raise ValueError(f"unknown decoding {decoding!r}; known: {', '.join(DECODINGS)}")
    device = next(model.parameters()).device
    loader = Loader(Crops(people, size), batch_size, workers, cache, device)
    flip_order = people.skeleton.flip_order if flip else None
    if isinstance(model, PoseNetwork):
        model = fold(model)
    keypoints: list[np.ndarray] = []
    scores: list[np.ndarray] = []
    bar = tqdm(total=len(people), desc="evaluate", unit="img", disable=not progress, leave=False)
    with evaluating(model), bar:
        for batch in loader.once():
            maps = score_maps(model, batch.images.to(device), flip_order)
            peaks, peak_scores = DECODINGS[decoding](maps)
            crop_px = heatmap_to_crop(peaks.cpu().double().numpy(), size.width // maps.shape[-1])
            keypoints.append(crop_to_image(crop_px, batch.crop))
            scores.append(peak_scores.cpu().numpy())
            bar.update(len(batch.index))
    return Predictions(np.concatenate(keypoints), np.concatenate(scores), size.width / size.height)


@torch.no_grad()
def at_keypoints(
    model: nn.Module, people: Annotations, size: ImageSize, batch_size: int = 32
) -> tuple[np.ndarray, np.ndarray]:
    """Return heatmap scores and losses at the annotated keypoints, without mirroring.

    Args:
        model: The network; its training mode is restored.
        people: Annotated people.
        size: Size of the crops in px.
        batch_size: Crops per batch.

    Returns:
        Scores [N, K] at the pixel of the keypoint, and the keypoint's share of the loss [N, K]
        (Eq. 6); NaN where the keypoint is not labelled or lies outside the crop.
    """
    device = next(model.parameters()).device
    scores: list[Tensor] = []
    losses: list[Tensor] = []
    with evaluating(model):
        for batch in Loader(Crops(people, size), batch_size).once():
            maps = score_maps(model, batch.images.to(device)).cpu()
            height, width = map_size = ImageSize(*maps.shape[-2:])
            keypoints = crop_to_heatmap(batch.keypoints_crop, size.width // width)
            x, y = keypoints.round().long().unbind(-1)
            pixel = y.clamp(0, height - 1) * width + x.clamp(0, width - 1)
            labelled = batch.visibility > 0
            batch_scores = maps.flatten(2).gather(-1, pixel[..., None])[..., 0]
            batch_losses = keypoint_losses(maps, encode(keypoints, map_size))
            scores.append(batch_scores.where(labelled, torch.nan))
            losses.append(batch_losses.where(labelled, torch.nan))
    return torch.cat(scores).numpy(), torch.cat(losses).numpy()


def evaluate(predictions: Predictions, people: Annotations) -> tuple[dict[str, float], np.ndarray]:
    """Compute all metrics that these people allow.

    Args:
        predictions: Predictions of these people.
        people: Annotated people.

    Returns:
        The metrics by name, in percent, and the errors [N, K] in the primary distance metric, NaN
        where nothing is labelled.
    """
    errors = all_errors(predictions, people)
    metrics = coco_metrics(predictions, people) if uses_average_precision(people) else {}
    for measure, threshold in REPORTED:
        if measure in errors:
            metrics |= correct_share(errors[measure], people.skeleton, measure, threshold)
    return metrics, errors[primary_distance_metric(people)[0]]


def all_errors(predictions: Predictions, people: Annotations) -> dict[str, np.ndarray]:
    """Return the errors [N, K] by the name of each measure for which any person has a size.

    Args:
        predictions: Predictions of these people.
        people: Annotated people.

    Returns:
        Errors by measure (see MEASURES); NaN where nothing is labelled.
    """
    errors = {}
    for name, measure in MEASURES.items():
        sizes = measure(people)
        if (sizes > 0).any():
            errors[name] = normalised_errors(predictions.keypoints_image, people, sizes)
    return errors


def coco_metrics(predictions: Predictions, people: Annotations) -> dict[str, float]:
    """Compute OKS-AP in percent by pycocotools.

    Duplicate poses of detected boxes are suppressed (OKS above 0.9). Annotations of the people's
    category count. The images are those of the people; for detected boxes, all images of the
    file, without the annotations that the reader excluded as broken.

    Args:
        predictions: Predictions of these people.
        people: People of a COCO file.

    Returns:
        {"ap": …, "ap/AP50": …, …, "ap/AR_L": …}; NaN if no person is annotated.
    """
    coco, sigmas = people.coco, people.skeleton.oks_sigmas
    if coco is None or sigmas is None:
        raise ValueError(f"{people.name}: OKS-AP needs a COCO file and a skeleton with sigmas")
    nms = None if people.box_scores is None else 0.9
    results = rescored(coco_results(predictions, people), sigmas, nms, aspect=predictions.aspect)
    excluded: set[int] = set()
    images = None
    if not coco.every_image:
        excluded = set(coco.people.tolist()) - set(people.person_ids.tolist())
        images = coco.image_ids[np.unique(people.image_index)]
    truth = cast(dict, read_json(coco.path))
    truth["annotations"] = [
        annotation
        for annotation in truth["annotations"]
        if annotation.get("category_id") == coco.category and annotation["id"] not in excluded
    ]
    shares = average_precision(truth, results, sigmas, images)
    values = {name: 100 * share if share >= 0 else float("nan") for name, share in shares.items()}
    return {"ap": values.pop("AP")} | {f"ap/{name}": value for name, value in values.items()}


def coco_results(predictions: Predictions, people: Annotations) -> list[dict]:
    """Return results in COCO's format, with raw keypoint scores and with boxes.

    The score is that of the detected box, and 1 for annotated boxes.

    Args:
        predictions: Predictions of these people.
        people: People of a COCO file.
    """
    if people.coco is None:
        raise ValueError(f"{people.name}: COCO results need people of a COCO file")
    scores = np.ones(len(people)) if people.box_scores is None else people.box_scores
    points = np.concatenate([predictions.keypoints_image, predictions.scores[..., None]], -1)
    return [
        {
            "image_id": int(people.coco.image_ids[image]),
            "category_id": int(people.coco.category),
            "keypoints": keypoints.ravel().tolist(),
            "score": float(score),
            "bbox": box.tolist(),
        }
        for image, keypoints, score, box in zip(
            people.image_index, points, scores, people.boxes, strict=True
        )
    ]


def mean_pose(train: Annotations, people: Annotations) -> Predictions:
    """Predict the mean pose of the training set in each person's box, as a trivial baseline.

    Args:
        train: Annotated people whose mean pose is used.
        people: People with boxes.
    """
    relative = (train.keypoints_image - train.boxes[:, None, :2]) / train.boxes[:, None, 2:]
    labelled = (train.visibility > 0)[..., None]
    mean = (relative * labelled).sum(0) / np.maximum(labelled.sum(0), 1)
    keypoints = people.boxes[:, None, :2] + mean * people.boxes[:, None, 2:]
    return Predictions(keypoints, np.zeros(people.visibility.shape))

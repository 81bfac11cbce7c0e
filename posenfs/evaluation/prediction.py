"""Prediction of keypoints in image pixels by a model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from posenfs.data.cache import CropCache
from posenfs.data.geometry import ImageSize, crop_to_heatmap, crop_to_image, heatmap_to_crop
from posenfs.data.heatmaps import DECODINGS, encode, mirror_maps
from posenfs.data.loader import Crops, Loader
from posenfs.data.sample import Annotations, normalise
from posenfs.model.folded import fold
from posenfs.model.network import PoseNetwork, PoseNFS, evaluating
from posenfs.model.vectors import keypoint_losses, squash


@dataclass(frozen=True)
class Predictions:
    """Predicted keypoints of N persons.

    Attributes:
        keypoints_image: Keypoints [N, K, 2] in image px.
        scores: Peak scores [N, K] of the heatmaps.
        aspect: Width / height of the crops.
    """

    keypoints_image: np.ndarray
    scores: np.ndarray
    aspect: float = 0.75


def concatenate(parts: Sequence[Predictions]) -> Predictions:
    """Concatenate predictions of crops with the same aspect."""
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
            f"the network predicts {maps.shape[1]} keypoints, but these annotations have "
            f"{len(flip_order)}; choose data with the keypoints of those it was trained on"
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
    annotations: Annotations,
    size: ImageSize,
    batch_size: int = 32,
    flip: bool = True,
    workers: int = 0,
    progress: bool = False,
    decoding: str = "quarter offset",
    cache: CropCache | None = None,
) -> Predictions:
    """Predict the keypoints of annotated persons in their boxes.

    Args:
        model: The network; a PoseNetwork is folded first (see `fold`). It is not modified.
        annotations: Persons with boxes.
        size: Size of the crops in px.
        batch_size: Crops per batch.
        flip: Average with the heatmaps of the mirrored image.
        workers: Processes that load images.
        progress: Show a progress bar.
        decoding: One of DECODINGS: "argmax", "quarter offset" (the paper's), "dark".
        cache: Cache of these crops.

    Raises:
        ValueError: The decoding is unknown, or the network has other keypoints than the skeleton.
    """
    if decoding not in DECODINGS:
        raise ValueError(f"unknown decoding {decoding!r}; known: {', '.join(DECODINGS)}")
    device = next(model.parameters()).device
    loader = Loader(Crops(annotations, size), batch_size, workers, cache, device)
    flip_order = annotations.skeleton.flip_order if flip else None
    if isinstance(model, PoseNetwork):
        model = fold(model)
    keypoints: list[np.ndarray] = []
    scores: list[np.ndarray] = []
    bar = tqdm(
        total=len(annotations), desc="evaluate", unit="img", disable=not progress, leave=False
    )
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
def scores_and_losses(
    model: nn.Module, annotations: Annotations, size: ImageSize, batch_size: int = 32
) -> tuple[np.ndarray, np.ndarray]:
    """Return heatmap scores and losses at the annotated keypoints, without mirroring.

    Args:
        model: The network; its training mode is restored.
        annotations: Annotated persons.
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
        for batch in Loader(Crops(annotations, size), batch_size).once():
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


def mean_pose(train: Annotations, annotations: Annotations) -> Predictions:
    """Predict the mean pose of the training set in each person's box, as a trivial baseline.

    Args:
        train: The annotations whose mean pose is used.
        annotations: Persons with boxes.
    """
    relative = (train.keypoints_image - train.boxes[:, None, :2]) / train.boxes[:, None, 2:]
    labelled = (train.visibility > 0)[..., None]
    mean = (relative * labelled).sum(0) / np.maximum(labelled.sum(0), 1)
    keypoints = annotations.boxes[:, None, :2] + mean * annotations.boxes[:, None, 2:]
    return Predictions(keypoints, np.zeros(annotations.visibility.shape))

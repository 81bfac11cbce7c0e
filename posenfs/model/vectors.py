"""Vector in pixel: the length of a squashed vector is the score of a keypoint (Eq. 4 to 7, 10)."""

from collections.abc import Iterable

import torch
from torch import Tensor

from posenfs.body.parts import PartScheme


def squash(vectors: Tensor, dim: int = 2) -> Tensor:
    """Return v * |v| / (1 + |v|^2) (Eq. 4): the same direction, a length in [0, 1)."""
    square = vectors.square().sum(dim, keepdim=True)
    return vectors * square.sqrt() / (1 + square)


def squash_length(vectors: Tensor, dim: int = 2) -> Tensor:
    """Return the score |squash(v)| = |v|^2 / (1 + |v|^2) (Eq. 5).

    Written with |v|^2 only: no square root, so the gradient at v = 0 is exactly 0 and never NaN.

    Args:
        vectors: The vectors, [B, J, d, h, w].
        dim: The dimension of the components.

    Returns:
        The scores, [B, J, h, w].
    """
    square = vectors.square().sum(dim)
    return square / (1 + square)


def length_for_score(score: Tensor) -> Tensor:
    """Return the length of a vector with a given score (Eq. 10), the inverse of Eq. 5 on [0, 1)."""
    return (score / (1 - score)).sqrt()


def scores(vectors: Tensor) -> Tensor:
    """[B, J, d, h, w] -> score maps [B, J, h, w] by Eq. 5; for d = 1 the numbers (Table IV)."""
    # bfloat16 is too coarse for a sum
    vectors = vectors.to(torch.promote_types(vectors.dtype, torch.float32))
    return vectors.squeeze(2) if vectors.shape[2] == 1 else squash_length(vectors)


def gather_parts(part_scores: Iterable[Tensor], parts: PartScheme, keypoints: int) -> Tensor:
    """Sum the score maps of all parts by keypoint (Eq. 7).

    Args:
        part_scores: The score maps of each part, [B, J, h, w].
        parts: The parts, in the same order.
        keypoints: K, the number of keypoints.

    Returns:
        The score maps [B, K, h, w]; parts that share a keypoint are summed.
    """
    part_scores = list(part_scores)
    batch, _, height, width = part_scores[0].shape
    maps = part_scores[0].new_zeros(batch, keypoints, height, width)
    index = torch.tensor([k for part in parts for k in part.keypoints], device=maps.device)
    return maps.index_add(1, index, torch.cat(part_scores, 1))


def keypoint_losses(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the squared error summed over pixels, the share of each keypoint in Eq. 6.

    Args:
        predicted: The score maps, [B, K, h, w].
        target: The target heatmaps, [B, K, h, w].

    Returns:
        The losses, [B, K].
    """
    return (predicted - target).square().sum((2, 3))


def heatmap_loss(predicted: Tensor, target: Tensor, visibility: Tensor) -> Tensor:
    """Return the loss of Eq. 6: the squared error summed over pixels and labelled keypoints.

    The sum is divided by all K keypoints and averaged over the batch.

    Args:
        predicted: The score maps, [B, K, h, w].
        target: The target heatmaps, [B, K, h, w].
        visibility: The visibility of the keypoints, [B, K]; 0: not labelled.

    Returns:
        A scalar.
    """
    return (keypoint_losses(predicted, target) * (visibility > 0)).mean()

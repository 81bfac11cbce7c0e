"""Vector in pixel: the length of a squashed vector is the score of a keypoint at a pixel (Eq. 4, 5, 7, 10)."""

from collections.abc import Iterable

import torch
from torch import Tensor

from posenfs.body.parts import PartScheme


def squash(vectors: Tensor, dim: int = 2) -> Tensor:
    """Eq. 4: v * |v| / (1 + |v|^2). The direction stays, the length comes to lie in [0, 1)."""
    square = vectors.square().sum(dim, keepdim=True)
    return vectors * square.sqrt() / (1 + square)


def squash_length(vectors: Tensor, dim: int = 2) -> Tensor:
    """Eq. 5: |squash(v)| = |v|^2 / (1 + |v|^2), the score. [B, J, d, h, w] -> [B, J, h, w].

    Written with |v|^2 only: no square root, so that the gradient at v = 0 is exactly 0 and never NaN.
    """
    square = vectors.square().sum(dim)
    return square / (1 + square)


def length_for_score(score: Tensor) -> Tensor:
    """Eq. 10 (Appendix A): the length of a vector whose score is this, the inverse of Eq. 5 on [0, 1)."""
    return (score / (1 - score)).sqrt()


def scores(vectors: Tensor) -> Tensor:
    """[B, J, d, h, w] -> score maps [B, J, h, w]: Eq. 5, and for d = 1 the plain linear map of Table IV."""
    vectors = vectors.to(torch.promote_types(vectors.dtype, torch.float32))  # bfloat16 is too coarse for a sum
    return vectors.squeeze(2) if vectors.shape[2] == 1 else squash_length(vectors)


def gather_parts(part_scores: Iterable[Tensor], parts: PartScheme, keypoints: int) -> Tensor:
    """Eq. 7: score maps [B, J, h, w] of each part -> [B, K, h, w]; parts that share a keypoint are summed."""
    part_scores = list(part_scores)
    batch, _, height, width = part_scores[0].shape
    maps = part_scores[0].new_zeros(batch, keypoints, height, width)
    index = torch.tensor([k for part in parts for k in part.keypoints], device=maps.device)
    return maps.index_add(1, index, torch.cat(part_scores, 1))

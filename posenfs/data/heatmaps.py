"""Keypoints to target maps, and score maps back to keypoints."""

from collections.abc import Sequence

import torch
from torch import Tensor


def encode(keypoints_heatmap: Tensor, height: int, width: int) -> Tensor:
    """[B, K, 2] heatmap px -> target maps [B, K, height, width]: a Gaussian of peak 1 around the real-valued keypoint.

    Its sigma is height / 32 px (2 px at 64, 3 px at 96); the centre is not rounded.
    """
    sigma = height / 32
    x = torch.arange(width, device=keypoints_heatmap.device, dtype=keypoints_heatmap.dtype)
    y = torch.arange(height, device=keypoints_heatmap.device, dtype=keypoints_heatmap.dtype)
    dx = (x - keypoints_heatmap[..., :1]).square()
    dy = (y - keypoints_heatmap[..., 1:]).square()
    # a Gaussian is the product of its two profiles: K * (h + w) exponentials instead of K * h * w
    return (dy / (-2 * sigma**2)).exp()[..., :, None] * (dx / (-2 * sigma**2)).exp()[..., None, :]


def decode(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Score maps [B, K, h, w] -> keypoints [B, K, 2] heatmap px and their peak scores [B, K].

    The highest pixel, moved a quarter of a pixel along each axis towards its higher neighbour (the paper's offset).
    At the border, where one neighbour is missing, that axis is left alone.
    """
    height, width = maps.shape[-2:]
    peak, index = maps.flatten(2).max(-1)
    x, y = index % width, index // width
    offset_x = _quarter(maps, x, y, dx=1, dy=0) * ((x > 0) & (x < width - 1))
    offset_y = _quarter(maps, x, y, dx=0, dy=1) * ((y > 0) & (y < height - 1))
    return torch.stack([x + offset_x, y + offset_y], -1), peak


def _quarter(maps: Tensor, x: Tensor, y: Tensor, dx: int, dy: int) -> Tensor:
    height, width = maps.shape[-2:]
    flat = maps.flatten(2)

    def value(x: Tensor, y: Tensor) -> Tensor:
        return flat.gather(-1, (y.clamp(0, height - 1) * width + x.clamp(0, width - 1))[..., None])[..., 0]

    return 0.25 * (value(x + dx, y + dy) - value(x - dx, y - dy)).sign()


def mirror_maps(maps: Tensor, flip_order: Sequence[int]) -> Tensor:
    """[B, K, h, w] score maps of mirrored pictures -> as if of the pictures themselves (and the other way round)."""
    return maps.flip(-1)[:, list(flip_order)]

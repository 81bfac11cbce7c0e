"""Keypoints to target maps, and score maps back to keypoints."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


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


def argmax(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Score maps [B, K, h, w] -> the highest pixel [B, K, 2] heatmap px (x, y), and its score [B, K]."""
    peak, index = maps.flatten(2).max(-1)
    width = maps.shape[-1]
    return torch.stack([index % width, index // width], -1), peak


def quarter_offset(maps: Tensor) -> tuple[Tensor, Tensor]:
    """The highest pixel, moved a quarter of a pixel along each axis towards its higher neighbour: the paper's decoding.

    At the border, where one neighbour is missing, that axis is left alone.
    """
    place, peak = argmax(maps)
    x, y = place.unbind(-1)
    slope = torch.stack([_at(maps, x + 1, y) - _at(maps, x - 1, y), _at(maps, x, y + 1) - _at(maps, x, y - 1)], -1)
    return place + 0.25 * slope.sign() * _inside(maps, place, 1), peak


def dark(maps: Tensor) -> tuple[Tensor, Tensor]:
    """DARK (Zhang et al. 2020): the peak of the Gaussian that the map's logarithm, smoothed, has at its highest pixel.

    Smoothed with the targets' own sigma, height / 32 px, but not where the border would cut the smoothing off, which
    draws peaks inwards. Where there is no such peak within a pixel (a flat or ragged map), and within two pixels of the
    border, it is the quarter offset.
    """
    place, peak = argmax(maps)
    fallback, _ = quarter_offset(maps)
    x, y = place.unbind(-1)
    sigma = maps.shape[-2] / 32
    reach = math.ceil(2.5 * sigma)
    whole = _inside(maps, place, reach + 2).all(-1)[..., None, None]
    log = torch.where(whole, _smooth(maps, sigma, reach), maps).clamp(min=1e-10).log()
    middle = _at(log, x, y)
    gx, gy = ((_at(log, x + i, y + j) - _at(log, x - i, y - j)) / 2 for i, j in ((1, 0), (0, 1)))
    gxx, gyy = ((_at(log, x + i, y + j) - 2 * middle + _at(log, x - i, y - j)) / 4 for i, j in ((2, 0), (0, 2)))
    corners = [_at(log, x + i, y + j) for i, j in ((1, 1), (-1, -1), (1, -1), (-1, 1))]
    gxy = (corners[0] + corners[1] - corners[2] - corners[3]) / 4
    determinant = gxx * gyy - gxy.square()
    step = torch.stack([gxy * gy - gyy * gx, gxy * gx - gxx * gy], -1) / determinant[..., None]  # Newton's: -H^-1 g
    sound = (determinant > 0) & (gxx < 0) & (step.abs() <= 1).all(-1) & _inside(maps, place, 2).all(-1)
    return torch.where(sound[..., None], place + step, fallback), peak


# Score maps [B, K, h, w] -> keypoints [B, K, 2] heatmap px and their peak scores [B, K]. To add one, add a line.
DECODINGS: dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]] = {
    "argmax": argmax,
    "quarter offset": quarter_offset,
    "dark": dark,
}


def _at(maps: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """[B, K, h, w] at [B, K] pixels; those outside are taken at the border."""
    height, width = maps.shape[-2:]
    index = y.clamp(0, height - 1) * width + x.clamp(0, width - 1)
    return maps.flatten(2).gather(-1, index[..., None])[..., 0]


def _inside(maps: Tensor, place: Tensor, margin: int) -> Tensor:
    """[B, K, 2]: whether there are so many pixels to both sides, along x and along y."""
    size = torch.tensor([maps.shape[-1], maps.shape[-2]], device=maps.device)
    return (place >= margin) & (place < size - margin)


def _smooth(maps: Tensor, sigma: float, reach: int) -> Tensor:
    """By a Gaussian of so many px to either side, along one axis after the other."""
    steps = torch.arange(-reach, reach + 1, device=maps.device, dtype=maps.dtype)
    profile = (steps.square() / (-2 * sigma**2)).exp()
    profile = (profile / profile.sum()).view(1, 1, 1, -1)
    flat = maps.flatten(0, 1)[:, None]
    flat = F.conv2d(flat, profile, padding=(0, reach))
    return F.conv2d(flat, profile.transpose(2, 3), padding=(reach, 0)).view_as(maps)


def mirror_maps(maps: Tensor, flip_order: Sequence[int]) -> Tensor:
    """[B, K, h, w] score maps of mirrored pictures -> as if of the pictures themselves (and the other way round)."""
    return maps.flip(-1)[:, list(flip_order)]

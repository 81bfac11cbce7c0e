"""Heatmaps: encoding keypoints as target maps, decoding score maps to keypoints."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from posenfs.data.geometry import ImageSize


def encode(keypoints_heatmap: Tensor, size: ImageSize) -> Tensor:
    """Draw a Gaussian of peak 1 around each keypoint; its centre is not rounded to a pixel.

    Args:
        keypoints_heatmap: [B, K, 2] heatmap px.
        size: Size of the maps. The Gaussian's sigma is height / 32 px (2 px at 64).

    Returns:
        Target maps [B, K, height, width].
    """
    sigma = size.height / 32
    device, dtype = keypoints_heatmap.device, keypoints_heatmap.dtype
    x = torch.arange(size.width, device=device, dtype=dtype)
    y = torch.arange(size.height, device=device, dtype=dtype)
    dx = (x - keypoints_heatmap[..., :1]).square()
    dy = (y - keypoints_heatmap[..., 1:]).square()
    # A Gaussian is the product of two profiles: K * (h + w) exponentials in place of K * h * w.
    profile_x = (dx / (-2 * sigma**2)).exp()
    profile_y = (dy / (-2 * sigma**2)).exp()
    return profile_y[..., :, None] * profile_x[..., None, :]


def argmax(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Decode each score map to its highest pixel.

    Args:
        maps: Score maps [B, K, h, w].

    Returns:
        Keypoints [B, K, 2] heatmap px (x, y), and their scores [B, K].
    """
    peak, index = maps.flatten(2).max(-1)
    width = maps.shape[-1]
    return torch.stack([index % width, index // width], -1), peak


def quarter_offset(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Decode by the paper's rule: the highest pixel, moved 0.25 px towards its higher neighbour.

    The rule applies to each axis. It does not move a keypoint along an axis on which the highest
    pixel lies at the border.

    Args:
        maps: Score maps [B, K, h, w].

    Returns:
        Keypoints [B, K, 2] heatmap px (x, y), and their scores [B, K].
    """
    pixel, peak = argmax(maps)
    x, y = pixel.unbind(-1)
    slope_x = _at(maps, x + 1, y) - _at(maps, x - 1, y)
    slope_y = _at(maps, x, y + 1) - _at(maps, x, y - 1)
    slope = torch.stack([slope_x, slope_y], -1)
    return pixel + 0.25 * slope.sign() * _inside(maps, pixel, 1), peak


def dark(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Decode by DARK (Zhang et al. 2020): the peak of a Gaussian fitted at the highest pixel.

    The logarithm of the map, smoothed with the targets' sigma (height / 32 px), is fitted.
    There is no smoothing where the border would cut it off, because that moves peaks inwards. The
    result is the quarter offset within two pixels of the border, and where the Gaussian has no
    peak within one pixel (flat or ragged maps).

    Args:
        maps: Score maps [B, K, h, w].

    Returns:
        Keypoints [B, K, 2] heatmap px (x, y), and their scores [B, K].
    """
    pixel, peak = argmax(maps)
    fallback, _ = quarter_offset(maps)
    x, y = pixel.unbind(-1)
    sigma = maps.shape[-2] / 32
    reach = math.ceil(2.5 * sigma)
    can_smooth = _inside(maps, pixel, reach + 2).all(-1)[..., None, None]
    log = torch.where(can_smooth, _smooth(maps, sigma, reach), maps).clamp(min=1e-10).log()
    center = _at(log, x, y)
    gx = (_at(log, x + 1, y) - _at(log, x - 1, y)) / 2
    gy = (_at(log, x, y + 1) - _at(log, x, y - 1)) / 2
    gxx = (_at(log, x + 2, y) - 2 * center + _at(log, x - 2, y)) / 4
    gyy = (_at(log, x, y + 2) - 2 * center + _at(log, x, y - 2)) / 4
    rising = _at(log, x + 1, y + 1) + _at(log, x - 1, y - 1)
    gxy = (rising - _at(log, x + 1, y - 1) - _at(log, x - 1, y + 1)) / 4
    determinant = gxx * gyy - gxy.square()
    # Newton's step, -H^-1 g
    step = torch.stack([gxy * gy - gyy * gx, gxy * gx - gxx * gy], -1) / determinant[..., None]
    has_peak = (determinant > 0) & (gxx < 0) & (step.abs() <= 1).all(-1)
    refined = has_peak & _inside(maps, pixel, 2).all(-1)
    return torch.where(refined[..., None], pixel + step, fallback), peak


# Decodings by name: score maps [B, K, h, w] -> keypoints [B, K, 2] heatmap px, scores [B, K].
DECODINGS: dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]] = {
    "argmax": argmax,
    "quarter offset": quarter_offset,
    "dark": dark,
}


def _at(maps: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The values of maps [B, K, h, w] at pixels [B, K], which are clamped to the map."""
    height, width = maps.shape[-2:]
    index = y.clamp(0, height - 1) * width + x.clamp(0, width - 1)
    return maps.flatten(2).gather(-1, index[..., None])[..., 0]


def _inside(maps: Tensor, pixel: Tensor, margin: int) -> Tensor:
    """[B, K, 2]: whether a pixel is at least `margin` pixels from the border, along x and y."""
    size = torch.tensor([maps.shape[-1], maps.shape[-2]], device=maps.device)
    return (pixel >= margin) & (pixel < size - margin)


def _smooth(maps: Tensor, sigma: float, reach: int) -> Tensor:
    """Convolve maps with a Gaussian that extends `reach` px to each side."""
    steps = torch.arange(-reach, reach + 1, device=maps.device, dtype=maps.dtype)
    profile = (steps.square() / (-2 * sigma**2)).exp()
    profile = (profile / profile.sum()).view(1, 1, 1, -1)
    rows = F.conv2d(maps.flatten(0, 1)[:, None], profile, padding=(0, reach))
    return F.conv2d(rows, profile.transpose(2, 3), padding=(reach, 0)).view_as(maps)


def mirror_maps(maps: Tensor, flip_order: Sequence[int]) -> Tensor:
    """Convert score maps of mirrored images to those of the original images, or back.

    Args:
        maps: Score maps [B, K, h, w].
        flip_order: The skeleton's flip order [K].
    """
    return maps.flip(-1)[:, list(flip_order)]

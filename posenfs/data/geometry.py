"""Frames and the maps between them: image px, crop px, heatmap px. An integer coordinate is that pixel's centre.

Everything is unbiased: pixel areas map to pixel areas, so that mirroring a crop and its keypoints commutes and no
half pixel is ever added by hand. Points are (x, y); sizes are (width, height).
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

_Points = TypeVar("_Points", float, np.ndarray, Tensor)


@dataclass(frozen=True)
class Crop:
    """Where a crop lies in its image; fields may carry leading dimensions [...] to hold a batch.

    center [..., 2]: the image px at the crop's centre; scale [...]: image px per crop px; rotation [...]: degrees by
    which the picture is turned clockwise about that centre; flip [...]: mirrored left to right, last of all;
    size: (width, height) of the crop in px.
    """

    center: np.ndarray
    scale: np.ndarray
    rotation: np.ndarray
    flip: np.ndarray
    size: tuple[int, int]

    def __getitem__(self, row: int) -> "Crop":
        """One of a batch of crops."""
        return Crop(self.center[row], self.scale[row], self.rotation[row], self.flip[row], self.size)


PADDING = 1.25  # a crop's sides by those of the box in it


def crop_of_box(box: np.ndarray, size: tuple[int, int]) -> Crop:
    """The upright crop of boxes [..., 4] (x, y, w, h in image px), grown to the crop's aspect and by the padding."""
    box = np.asarray(box, np.float64)
    scale = PADDING * np.maximum(box[..., 2] / size[0], box[..., 3] / size[1])
    still = np.zeros_like(scale)
    return Crop(box[..., :2] + box[..., 2:] / 2, scale, still, still.astype(bool), size)


def image_to_crop(points: np.ndarray, crop: Crop) -> np.ndarray:
    """[..., n, 2] image px -> [..., n, 2] crop px."""
    offset = (points - crop.center[..., None, :]) / crop.scale[..., None, None]
    return _mirror(_rotate(offset, crop.rotation) + _middle(crop.size), crop)


def crop_to_image(points: np.ndarray, crop: Crop) -> np.ndarray:
    """[..., n, 2] crop px -> [..., n, 2] image px."""
    offset = _rotate(_mirror(points, crop) - _middle(crop.size), -crop.rotation)
    return offset * crop.scale[..., None, None] + crop.center[..., None, :]


def crop_to_heatmap(points: _Points, stride: int = 4) -> _Points:
    """crop px -> heatmap px: a heatmap pixel covers stride x stride crop pixels."""
    return (points + 0.5) / stride - 0.5


def heatmap_to_crop(points: _Points, stride: int = 4) -> _Points:
    """heatmap px -> crop px."""
    return (points + 0.5) * stride - 0.5


def mirror_keypoints(
    keypoints: np.ndarray, visibility: np.ndarray, flip_order: tuple[int, ...], width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints [..., K, 2] and visibility [..., K] of crops -> those of their mirror images: x -> width - 1 - x, sides
    swapped."""
    keypoints, visibility = keypoints[..., list(flip_order), :], visibility[..., list(flip_order)]
    return np.stack([width - 1 - keypoints[..., 0], keypoints[..., 1]], -1), visibility


def cut_crop(image: Tensor, crop: Crop) -> Tensor:
    """uint8 [3, H, W] -> uint8 [3, height, width] by bilinear sampling; black outside the image.

    Where the crop shrinks the image by two or more, blocks of pixels are averaged first, so that nothing aliases.
    """
    width, height = crop.size
    upright = Crop(crop.center, crop.scale, crop.rotation, np.zeros_like(crop.flip), crop.size)
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    points = crop_to_image(np.stack([x, y], -1).reshape(-1, 2).astype(np.float64), upright)
    region, origin, block = _region(image, points, int(max(float(crop.scale), 1)))
    points = (points - origin - (block - 1) / 2) / block
    # grid_sample counts from -1 at the first pixel's centre to 1 at the last's
    points = 2 * points / np.maximum(np.array([region.shape[2], region.shape[1]]) - 1, 1) - 1
    grid = torch.from_numpy(points.astype(np.float32)).view(1, height, width, 2)
    pixels = F.grid_sample(region[None], grid, mode="bilinear", padding_mode="zeros", align_corners=True)[0]
    pixels = pixels.round_().clamp_(0, 255).to(torch.uint8)
    return pixels.flip(-1) if bool(crop.flip) else pixels


def _region(image: Tensor, points: np.ndarray, block: int) -> tuple[Tensor, np.ndarray, int]:
    """The part of the image [3, H, W] that the points [n, 2] need, averaged over blocks -> float, its origin, block.

    It is padded with black to whole blocks, one block wider than the points on every side, and at least 2 px wide.
    """
    low = np.floor(points.min(0)).astype(int) - block
    high = np.ceil(points.max(0)).astype(int) + block + 1
    low = np.minimum(np.maximum(low, -block), np.array([image.shape[2], image.shape[1]]))
    high = np.maximum(np.minimum(high, np.array([image.shape[2], image.shape[1]]) + block), low + 2)
    high += -(high - low) % block
    inside_low = np.maximum(low, 0)
    region = image[:, inside_low[1] : max(high[1], 0), inside_low[0] : max(high[0], 0)].float()
    left, top = inside_low - low
    width, height = high - low
    region = F.pad(region, (left, width - left - region.shape[2], top, height - top - region.shape[1]))
    return (F.avg_pool2d(region, block) if block > 1 else region), low, block


def _middle(size: tuple[int, int]) -> np.ndarray:
    return (np.asarray(size) - 1) / 2


def _rotate(offset: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    angle = np.deg2rad(degrees)[..., None]
    x, y, cos, sin = offset[..., 0], offset[..., 1], np.cos(angle), np.sin(angle)
    return np.stack([cos * x - sin * y, sin * x + cos * y], -1)


def _mirror(points: np.ndarray, crop: Crop) -> np.ndarray:
    flip = np.asarray(crop.flip)[..., None]
    return np.stack([np.where(flip, crop.size[0] - 1 - points[..., 0], points[..., 0]), points[..., 1]], -1)

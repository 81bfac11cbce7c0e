"""Coordinate frames (image px, crop px, heatmap px) and the maps between them.

An integer coordinate is the centre of that pixel. The maps are unbiased: pixel areas map to pixel
areas, so mirroring a crop commutes with mirroring its keypoints, and no code adds half a pixel by
hand. Points are (x, y); a size is an `ImageSize`, (height, width).
"""

from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

_Points = TypeVar("_Points", float, np.ndarray, Tensor)


class ImageSize(NamedTuple):
    """Size of an image, a crop or a heatmap in px."""

    height: int
    width: int

    @property
    def xy(self) -> np.ndarray:
        """[2]: width and height, in the order of a point's coordinates."""
        return np.array([self.width, self.height])


@dataclass(frozen=True)
class Crop:
    """Position of a crop in its image. Leading dimensions [...] hold a batch of crops.

    The transform rotates the image about the crop's centre first and mirrors it last.
    """

    center: np.ndarray  # [..., 2] image px of the crop's centre
    scale: np.ndarray  # [...] image px per crop px
    rotation: np.ndarray  # [...] clockwise, degrees
    flip: np.ndarray  # [...] whether the crop is mirrored left to right
    size: ImageSize  # crop px

    def __getitem__(self, row: int) -> "Crop":
        return Crop(
            self.center[row], self.scale[row], self.rotation[row], self.flip[row], self.size
        )


PADDING = 1.25  # side of a crop / side of the box in it


def crop_of_box(box: np.ndarray, size: ImageSize) -> Crop:
    """Return the upright crops of boxes, extended to the aspect ratio and by PADDING.

    Args:
        box: [..., 4] x, y, width, height in image px.
        size: Size of the crops in px.
    """
    box = np.asarray(box, np.float64)
    scale = PADDING * np.maximum(box[..., 2] / size.width, box[..., 3] / size.height)
    zeros = np.zeros_like(scale)
    return Crop(box[..., :2] + box[..., 2:] / 2, scale, zeros, zeros.astype(bool), size)


def image_to_crop(points: np.ndarray, crop: Crop) -> np.ndarray:
    """[..., n, 2] image px -> [..., n, 2] crop px."""
    offset = (points - crop.center[..., None, :]) / crop.scale[..., None, None]
    return _mirror(_rotate(offset, crop.rotation) + (crop.size.xy - 1) / 2, crop)


def crop_to_image(points: np.ndarray, crop: Crop) -> np.ndarray:
    """[..., n, 2] crop px -> [..., n, 2] image px."""
    offset = _rotate(_mirror(points, crop) - (crop.size.xy - 1) / 2, -crop.rotation)
    return offset * crop.scale[..., None, None] + crop.center[..., None, :]


def crop_to_heatmap(points: _Points, stride: int = 4) -> _Points:
    """Crop px -> heatmap px. A heatmap pixel covers stride x stride crop pixels."""
    return (points + 0.5) / stride - 0.5


def heatmap_to_crop(points: _Points, stride: int = 4) -> _Points:
    """Heatmap px -> crop px. A heatmap pixel covers stride x stride crop pixels."""
    return (points + 0.5) * stride - 0.5


def mirror_keypoints(
    keypoints: np.ndarray, visibility: np.ndarray, flip_order: tuple[int, ...], width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mirror keypoints left to right: x -> width - 1 - x, and left and right keypoints swap.

    Args:
        keypoints: [..., K, 2] crop px.
        visibility: [..., K].
        flip_order: The skeleton's flip order [K].
        width: Width of the crops in px.

    Returns:
        The mirrored keypoints [..., K, 2] and their visibility [..., K].
    """
    keypoints = keypoints[..., list(flip_order), :]
    mirrored = np.stack([width - 1 - keypoints[..., 0], keypoints[..., 1]], -1)
    return mirrored, visibility[..., list(flip_order)]


def cut_crop(image: Tensor, crop: Crop) -> Tensor:
    """Cut a crop out of an image by bilinear sampling, black outside the image.

    A crop that shrinks the image by two or more averages blocks of pixels first, against aliasing.

    Args:
        image: uint8 [3, H, W].
        crop: One crop.

    Returns:
        uint8 [3, height, width].
    """
    height, width = crop.size
    upright = Crop(crop.center, crop.scale, crop.rotation, np.zeros_like(crop.flip), crop.size)
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    points = crop_to_image(np.stack([x, y], -1).reshape(-1, 2).astype(np.float64), upright)
    region, origin, block = _region(image, points, int(max(float(crop.scale), 1)))
    points = (points - origin - (block - 1) / 2) / block
    # grid_sample's coordinates are -1 at the centre of the first pixel and 1 at that of the last.
    points = 2 * points / np.maximum(np.array([region.shape[2], region.shape[1]]) - 1, 1) - 1
    grid = torch.from_numpy(points.astype(np.float32)).view(1, height, width, 2)
    pixels = F.grid_sample(
        region[None], grid, mode="bilinear", padding_mode="zeros", align_corners=True
    )[0]
    pixels = pixels.round_().clamp_(0, 255).to(torch.uint8)
    return pixels.flip(-1) if bool(crop.flip) else pixels


def _region(image: Tensor, points: np.ndarray, block: int) -> tuple[Tensor, np.ndarray, int]:
    """Cut out the region around points [n, 2] of an image [3, H, W], averaged over blocks.

    The region is padded with black to whole blocks, extends one block beyond the points on every
    side, and is at least 2 px wide.

    Returns:
        The region (float), its origin (image px) and the side of a block (image px).
    """
    image_size = np.array([image.shape[2], image.shape[1]])
    low = np.floor(points.min(0)).astype(int) - block
    high = np.ceil(points.max(0)).astype(int) + block + 1
    low = np.minimum(np.maximum(low, -block), image_size)
    high = np.maximum(np.minimum(high, image_size + block), low + 2)
    high += -(high - low) % block
    inside_low = np.maximum(low, 0)
    rows = slice(inside_low[1], max(high[1], 0))
    columns = slice(inside_low[0], max(high[0], 0))
    region = image[:, rows, columns].float()
    left, top = inside_low - low
    width, height = high - low
    right = width - left - region.shape[2]
    bottom = height - top - region.shape[1]
    region = F.pad(region, (left, right, top, bottom))
    return (F.avg_pool2d(region, block) if block > 1 else region), low, block


def _rotate(offset: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """Rotate offsets [..., n, 2] clockwise by degrees [...]."""
    angle = np.deg2rad(degrees)[..., None]
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = offset[..., 0], offset[..., 1]
    return np.stack([cos * x - sin * y, sin * x + cos * y], -1)


def _mirror(points: np.ndarray, crop: Crop) -> np.ndarray:
    """Mirror the points [..., n, 2] of the crops that are flipped."""
    flip = np.asarray(crop.flip)[..., None]
    x = np.where(flip, crop.size.width - 1 - points[..., 0], points[..., 0])
    return np.stack([x, points[..., 1]], -1)

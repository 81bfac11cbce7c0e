"""Crop cache: each image is decoded once; batches are warped out of uint8 crops on the device.

`cache_files.py` builds the caches.
"""

import copy
import hashlib
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from posenfs.data.augment import Augmentation
from posenfs.data.datasets.catalogue import home
from posenfs.data.geometry import Crop, ImageSize, crop_of_box, crop_to_image
from posenfs.data.sample import Annotations, send

# Sources of crops by name: the cached pixels per crop pixel, along an axis. None: no cache, every
# image is decoded for every crop.
CROPS: dict[str, float | None] = {"cached": 1.0, "half": 0.5, "plain": None}

PIXELS = "pixels.u8"  # the file of all cached pixels in a cache's folder


def cache_home() -> Path:
    """Return the folder of all caches: POSENFS_CACHE, or data/cache of the project."""
    return Path(os.environ.get("POSENFS_CACHE") or home() / "data" / "cache")


@dataclass(frozen=True)
class CacheRequest:
    """The crops to cache: people cropped at their boxes.

    Without augmentation the cache holds the crops themselves, whatever the density. With an
    augmentation it holds all that an augmented crop can show, at `density` or more cached pixels
    per crop pixel (along an axis): the image's own pixels, or averages of blocks.
    """

    annotations: Annotations
    size: ImageSize  # crop px
    augmentation: Augmentation | None = None
    density: float = 1.0

    @cached_property
    def key(self) -> str:
        """Hexadecimal digits that change with the people, their image files and the geometry."""
        reach = None
        if self.augmentation is not None:
            reach = (self.augmentation.max_rotation, self.augmentation.scale)
        # Keys of existing caches hold (width, height).
        size = (self.size.width, self.size.height)
        content = (self.annotations.fingerprint(), size, reach, reach and self.density)
        digest = hashlib.sha256(repr(content).encode())
        if self.annotations.image_sizes is not None:  # they decide which images are turned
            digest.update(np.ascontiguousarray(self.annotations.image_sizes).tobytes())
        for image in np.unique(self.annotations.image_index):
            status = (self.annotations.root / self.annotations.images[image]).stat()
            digest.update(repr((status.st_size, status.st_mtime_ns)).encode())
        return digest.hexdigest()[:16]

    @property
    def folder(self) -> Path:
        """The folder of the cached crops."""
        return cache_home() / f"{re.sub(r'[^0-9A-Za-z_]+', '_', self.annotations.name)}_{self.key}"


@dataclass(frozen=True)
class CropRegions:
    """The upright image regions of N people that a cache holds."""

    center: np.ndarray  # [N, 2] image px
    scale: np.ndarray  # [N] image px per cached px
    sizes: np.ndarray  # [N, 2] (width, height) cached px

    @property
    def starts(self) -> np.ndarray:
        """[N + 1]: the offset of each region in cached pixels."""
        return np.concatenate([[0], np.cumsum(self.sizes.prod(1))])

    @property
    def bytes(self) -> int:
        """The size of all regions in bytes."""
        return int(3 * self.sizes.prod(1).sum())

    def crop(self, person: int) -> Crop:
        """Return the region of a person as a crop."""
        width, height = self.sizes[person].tolist()
        size = ImageSize(height, width)
        return Crop(self.center[person], self.scale[person], np.array(0.0), np.array(False), size)


def cached_regions(request: CacheRequest, image_sizes: np.ndarray) -> CropRegions:
    """Return the image regions to cache.

    Args:
        request: The crops to cache.
        image_sizes: Width and height [M, 2] of the images in px.
    """
    crop = crop_of_box(request.annotations.boxes, request.size)
    augmentation = request.augmentation
    if augmentation is None:
        return CropRegions(
            crop.center, crop.scale, np.broadcast_to(request.size.xy, crop.center.shape)
        )
    # The image's own pixels, or whole blocks of them.
    scale = np.maximum(np.floor(crop.scale / request.density), 1)
    reach = _half_extent(request.size, augmentation.max_rotation) * (1 + augmentation.scale)
    reach = reach * crop.scale[:, None] + scale[:, None]  # one more cached pixel to interpolate
    # The regions end one black pixel beyond the border of the image.
    ends = image_sizes[request.annotations.image_index] - 1 + scale[:, None]
    low, high = np.clip([crop.center - reach, crop.center + reach], -scale[:, None], ends)
    low = np.floor(low) + (scale[:, None] - 1) / 2  # the centre of the first block
    sizes = np.ceil((high - low) / scale[:, None]).astype(int) + 1
    return CropRegions(low + scale[:, None] * (sizes - 1) / 2, scale, sizes)


def _half_extent(size: ImageSize, max_rotation: float) -> np.ndarray:
    """[2]: half the largest width and height of a rectangle rotated by up to `max_rotation`."""
    height, width = size
    limit = np.deg2rad(max_rotation)
    x, y = min(limit, np.arctan2(height, width)), min(limit, np.arctan2(width, height))
    half_width = width * np.cos(x) + height * np.sin(x)
    half_height = height * np.cos(y) + width * np.sin(y)
    return np.array([half_width, half_height]) / 2


class CropCache:
    """The cached crops of people, memory-mapped."""

    def __init__(self, folder: Path, regions: CropRegions):
        self.folder = folder
        self.regions = regions
        # image px of the first cached pixel
        self._origin = regions.center - regions.scale[:, None] * (regions.sizes - 1) / 2
        self._starts = regions.starts
        # Mode c is copy on write; torch warns about arrays that are not writable.
        self.pixels = torch.from_numpy(np.memmap(folder / PIXELS, np.uint8, "c")).view(-1, 3)

    def select(self, index: np.ndarray) -> "CropCache":
        """Return the cache of the people at these indices; it shares the pixels."""
        selection = copy.copy(self)
        selection.regions = CropRegions(
            self.regions.center[index], self.regions.scale[index], self.regions.sizes[index]
        )
        selection._origin = self._origin[index]
        selection._starts = self._starts[index]
        return selection

    def preload(self, device: torch.device) -> None:
        """Copy the pixels to a GPU if they take at most half of its free memory."""
        if device.type != "cuda":
            return
        if self.regions.bytes < torch.cuda.mem_get_info(device)[0] / 2:
            self.pixels = self.pixels.to(device)

    def warp(self, index: np.ndarray, crop: Crop, device: torch.device) -> Tensor:
        """Sample crops bilinearly from the cache, black outside the image.

        Args:
            index: Indices [B] of people.
            crop: Their crops, fields with a leading [B].
            device: The device that computes the crops.

        Returns:
            uint8 [B, 3, height, width].
        """
        height, width = crop.size
        region_size = np.maximum(self.regions.sizes[index].max(0), 2)
        read_regions = self.padded if self.pixels.device.type == "cpu" else self.gathered
        images = read_regions(index, region_size)
        # The crops' centres, right ends and lower ends in coordinates of their regions.
        middle = (crop.size.xy - 1) / 2
        points = np.array([middle, [width - 1, middle[1]], [middle[0], height - 1]])
        points = crop_to_image(np.broadcast_to(points, (len(index), 3, 2)), crop)
        points = (points - self._origin[index, None]) / self.regions.scale[index, None, None]
        # grid_sample's coordinates are -1 at the centre of the first pixel and 1 at the last's.
        points = points * 2 / (region_size - 1)
        columns = [points[:, 1] - points[:, 0], points[:, 2] - points[:, 0], points[:, 0] - 1]
        theta = send(torch.from_numpy(np.stack(columns, -1).astype(np.float32)), device)
        grid = F.affine_grid(theta, [len(index), 3, height, width], align_corners=True)
        images = send(images, device).permute(0, 3, 1, 2).float()
        crops = F.grid_sample(
            images, grid, mode="bilinear", padding_mode="zeros", align_corners=True
        )
        return crops.round_().clamp_(0, 255).to(torch.uint8)

    def padded(self, index: np.ndarray, size: np.ndarray) -> Tensor:
        """Copy the regions of people, one by one, into one tensor padded with black.

        Args:
            index: Indices [B] of people.
            size: Width and height [2] of the padded regions in cached px.

        Returns:
            uint8 [B, height, width, 3].
        """
        shape = (len(index), size[1], size[0], 3)
        regions = torch.zeros(shape, dtype=torch.uint8, device=self.pixels.device)
        for row, person in enumerate(index):
            width, height = self.regions.sizes[person]
            start = self._starts[person]
            pixels = self.pixels[start : start + width * height]
            regions[row, :height, :width] = pixels.view(height, width, 3)
        return regions

    def gathered(self, index: np.ndarray, size: np.ndarray) -> Tensor:
        """Return the same as `padded` by looking up every pixel.

        This is slower on a CPU; on a GPU it takes a few kernels for all people together.

        Args:
            index: Indices [B] of people.
            size: Width and height [2] of the padded regions in cached px.
        """
        device = self.pixels.device
        layout = np.column_stack([self.regions.sizes[index], self._starts[index]])
        width, height, starts = send(torch.from_numpy(layout), device).T[..., None, None]
        x = torch.arange(size[0], device=device)
        y = torch.arange(size[1], device=device)[:, None]
        inside = (x < width) & (y < height)
        return self.pixels[(starts + y * width + x) * inside] * inside[..., None]

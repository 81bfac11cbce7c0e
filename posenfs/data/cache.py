"""Crop cache: each image is decoded once; batches are warped out of uint8 crops on the device."""

import copy
import hashlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import starmap
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from joblib import Parallel, cpu_count, delayed
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from posenfs.data.augment import Augmentation
from posenfs.data.datasets.catalogue import home
from posenfs.data.files import atomic_path, write_atomic
from posenfs.data.geometry import Crop, ImageSize, crop_of_box, crop_to_image, cut_crop
from posenfs.data.images import read_image_sizes
from posenfs.data.sample import Annotations, DataError, load_image, send
from posenfs.errors import PosenfsError

# Sources of crops by name: the cached pixels per crop pixel, along an axis. None: no cache, every
# image is decoded for every crop.
CROPS: dict[str, float | None] = {"cached": 1.0, "half": 0.5, "plain": None}

_FORMAT = 1  # raised when the same people would be cached differently; other formats are rebuilt
_DONE, _PLACES, _PIXELS, _UNFINISHED = "crops.json", "places.npz", "pixels.u8", "pixels.unfinished"
_MIN_PARALLEL = 200  # images; fewer are cut in this process, which is faster than starting others
_GB = 10**9


@dataclass(frozen=True)
class CacheRequest:
    """The crops to cache: people cropped at their boxes.

    Without augmentation the cache holds the crops themselves, whatever the density. With an
    augmentation it holds all that an augmented crop can show, at `density` or more cached pixels
    per crop pixel (along an axis): the image's own pixels, or averages of blocks.
    """

    people: Annotations
    size: ImageSize  # crop px
    augmentation: Augmentation | None = None
    density: float = 1.0

    @cached_property
    def key(self) -> str:
        """Hexadecimal digits that change with the people, their image files and the geometry."""
        reach = None
        if self.augmentation is not None:
            reach = (self.augmentation.most_rotation, self.augmentation.scale)
        # Keys of existing caches hold (width, height).
        size = (self.size.width, self.size.height)
        content = (self.people.fingerprint(), size, reach, reach and self.density)
        digest = hashlib.sha256(repr(content).encode())
        for image in np.unique(self.people.image_index):
            status = (self.people.root / self.people.images[image]).stat()
            digest.update(repr((status.st_size, status.st_mtime_ns)).encode())
        return digest.hexdigest()[:16]

    @property
    def folder(self) -> Path:
        """The folder of the cached crops."""
        return cache_home() / f"{re.sub(r'[^0-9A-Za-z_]+', '_', self.people.name)}_{self.key}"


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


def cache_home() -> Path:
    """Return the folder of all caches: POSENFS_CACHE, or data/cache of the project."""
    return Path(os.environ.get("POSENFS_CACHE") or home() / "data" / "cache")


def places(wanted: CacheRequest, image_sizes: np.ndarray) -> CropRegions:
    """Return the image regions to cache.

    Args:
        wanted: The crops to cache.
        image_sizes: Width and height [M, 2] of the images in px.
    """
    crop = crop_of_box(wanted.people.boxes, wanted.size)
    augmentation = wanted.augmentation
    if augmentation is None:
        return CropRegions(
            crop.center, crop.scale, np.broadcast_to(wanted.size.xy, crop.center.shape)
        )
    # The image's own pixels, or whole blocks of them.
    scale = np.maximum(np.floor(crop.scale / wanted.density), 1)
    reach = _half_extent(wanted.size, augmentation.most_rotation) * (1 + augmentation.scale)
    reach = reach * crop.scale[:, None] + scale[:, None]  # one more cached pixel to interpolate
    # The regions end one black pixel beyond the border of the image.
    ends = image_sizes[wanted.people.image_index] - 1 + scale[:, None]
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


class CacheBudgetError(PosenfsError, ValueError):
    """The crop caches would exceed their budget on disk; nothing has been written."""


class CropCache:
    """The cached crops of people, memory-mapped."""

    def __init__(self, folder: Path, places: CropRegions):
        self.folder = folder
        self.places = places
        # image px of the first cached pixel
        self._origin = places.center - places.scale[:, None] * (places.sizes - 1) / 2
        self._starts = places.starts
        # Mode c is copy on write; torch warns about arrays that are not writable.
        self.pixels = torch.from_numpy(np.memmap(folder / _PIXELS, np.uint8, "c")).view(-1, 3)

    def select(self, index: np.ndarray) -> "CropCache":
        """Return the cache of the people at these indices; it shares the pixels."""
        selection = copy.copy(self)
        selection.places = CropRegions(
            self.places.center[index], self.places.scale[index], self.places.sizes[index]
        )
        selection._origin = self._origin[index]
        selection._starts = self._starts[index]
        return selection

    def hold_on(self, device: torch.device) -> None:
        """Copy the pixels to a GPU if they take at most half of its free memory."""
        if device.type != "cuda":
            return
        if self.places.bytes < torch.cuda.mem_get_info(device)[0] / 2:
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
        region_size = np.maximum(self.places.sizes[index].max(0), 2)
        read_regions = self.padded if self.pixels.device.type == "cpu" else self.gathered
        regions = read_regions(index, region_size)
        # The crops' centres, right ends and lower ends in coordinates of their regions.
        middle = (crop.size.xy - 1) / 2
        points = np.array([middle, [width - 1, middle[1]], [middle[0], height - 1]])
        points = crop_to_image(np.broadcast_to(points, (len(index), 3, 2)), crop)
        points = (points - self._origin[index, None]) / self.places.scale[index, None, None]
        # grid_sample's coordinates are -1 at the centre of the first pixel and 1 at the last's.
        points = points * 2 / (region_size - 1)
        columns = [points[:, 1] - points[:, 0], points[:, 2] - points[:, 0], points[:, 0] - 1]
        theta = send(torch.from_numpy(np.stack(columns, -1).astype(np.float32)), device)
        grid = F.affine_grid(theta, [len(index), 3, height, width], align_corners=True)
        images = send(regions, device).permute(0, 3, 1, 2).float()
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
            width, height = self.places.sizes[person]
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
        layout = np.column_stack([self.places.sizes[index], self._starts[index]])
        width, height, starts = send(torch.from_numpy(layout), device).T[..., None, None]
        x = torch.arange(size[0], device=device)
        y = torch.arange(size[1], device=device)[:, None]
        inside = (x < width) & (y < height)
        return self.pixels[(starts + y * width + x) * inside] * inside[..., None]


def build_caches(
    wanted: Sequence[CacheRequest], budget: float = 20.0, progress: bool = True
) -> list[CropCache]:
    """Open caches; build missing ones in several processes.

    An interrupted build leaves no cache that counts as complete.

    Args:
        wanted: The crops of each cache.
        budget: The greatest total size of all caches in GB.
        progress: Whether to show progress bars.

    Raises:
        DataError: An image is broken, or the disk is too full (before anything is written).
        CacheBudgetError: All caches together would exceed the budget.
    """
    missing = [request for request in wanted if _load_places(request) is None]
    if missing:
        planned = [
            places(request, read_image_sizes(request.people, progress)) for request in missing
        ]
        _check_disk_space(missing, planned, budget)
        for request, regions in zip(missing, planned, strict=True):
            _build(request, regions, progress)
    return [_open(request) for request in wanted]


def cache_folders() -> list[tuple[Path, int]]:
    """Return all cache folders and their sizes in bytes."""
    files = (_DONE, _PIXELS, _UNFINISHED)
    folders = sorted({path.parent for name in files for path in cache_home().glob(f"*/{name}")})
    return [(folder, sum(map(_file_size, folder.iterdir()))) for folder in folders]


def _file_size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # the process that builds the cache has renamed it
        return 0


def delete_cache(name: str) -> None:
    """Delete a cache folder.

    Raises:
        ValueError: There is no cache folder of this name.
    """
    known = [folder.name for folder, _ in cache_folders()]
    if name not in known:
        raise ValueError(
            f"no cached crops {name!r} in {cache_home()}; there are {', '.join(known) or 'none'}"
        )
    shutil.rmtree(cache_home() / name)


def _open(wanted: CacheRequest) -> CropCache:
    regions = _load_places(wanted)
    if regions is None:
        raise DataError(f"the cached crops in {wanted.folder} were deleted or changed; start again")
    return CropCache(wanted.folder, regions)


def _load_places(wanted: CacheRequest) -> CropRegions | None:
    """The regions of a complete cache, or None."""
    folder = wanted.folder
    try:
        summary = json.loads((folder / _DONE).read_text())
        with np.load(folder / _PLACES) as file:
            regions = CropRegions(file["center"], file["scale"], file["sizes"])
        size = (folder / _PIXELS).stat().st_size
    except Exception:  # a damaged cache can raise anything, and is rebuilt
        return None
    is_complete = size == regions.bytes == summary.get("bytes")
    return regions if summary.get("format") == _FORMAT and is_complete else None


def _build(wanted: CacheRequest, regions: CropRegions, progress: bool) -> None:
    """Write a cache; a lock keeps two processes from building the same one."""
    folder, people = wanted.folder, wanted.people
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if _load_places(wanted) is not None:  # another process built it during the wait
            return
        (folder / _DONE).unlink(missing_ok=True)
        unfinished = folder / _UNFINISHED
        with open(unfinished, "wb") as file:
            file.truncate(regions.bytes)
        _cut_people(unfinished, people, regions, progress)
        with open(unfinished, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, folder / _PIXELS)
        with atomic_path(folder / _PLACES) as path:
            np.savez(path, center=regions.center, scale=regions.scale, sizes=regions.sizes)
        summary = {"format": _FORMAT, "people": len(people), "bytes": regions.bytes}
        write_atomic(folder / _DONE, json.dumps(summary) + "\n")


def _cut_people(target: Path, people: Annotations, regions: CropRegions, progress: bool) -> None:
    """Cut the regions of all people into the file `target`."""
    starts = regions.starts
    jobs: dict[Path, list[tuple[int, Crop]]] = {}
    for person in range(len(people)):
        job = (3 * int(starts[person]), regions.crop(person))
        jobs.setdefault(people.image_path(person), []).append(job)
    bar = tqdm(
        total=len(jobs),
        desc=f"caching crops of {people.label}",
        unit="image",
        leave=False,
        disable=not progress,
    )
    with warnings.catch_warnings(), bar:
        # joblib replaces a worker whose memory has grown
        warnings.filterwarnings("ignore", "A worker stopped", UserWarning)
        try:
            for _ in _cut_all(target, jobs):
                bar.update()
        except BrokenProcessPool as error:  # killed from outside, most often for lack of memory
            raise DataError(
                f"a process that cut crops of {people.label} was killed; start again"
            ) from error


def _cut_all(target: Path, jobs: dict[Path, list[tuple[int, Crop]]]) -> Iterator[None]:
    if len(jobs) < _MIN_PARALLEL:
        return starmap(partial(_cut, target), jobs.items())
    # joblib starts clean processes that do not import the caller's script, so a script needs no
    # __main__ guard.
    pool = Parallel(cpu_count(), return_as="generator_unordered", batch_size=16)
    return pool(delayed(_cut)(target, *job) for job in jobs.items())


def _cut(target: Path, image_path: Path, crops: list[tuple[int, Crop]]) -> None:
    """Write crops of one image at their byte offsets in the file `target`."""
    image = load_image(image_path)
    with open(target, "rb+") as file:
        for start, crop in crops:
            file.seek(start)
            file.write(cut_crop(image, crop).permute(1, 2, 0).contiguous().numpy().data)


def _check_disk_space(
    wanted: Sequence[CacheRequest], planned: Sequence[CropRegions], budget: float
) -> None:
    """Raise CacheBudgetError or DataError where the planned caches are too large."""
    needed = sum(regions.bytes for regions in planned)
    used = sum(size for _, size in cache_folders())
    cache_home().mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache_home()).free
    names = " and ".join(request.people.label for request in wanted)
    size = f"caching the crops of {names} takes {needed / _GB:.1f} GB"
    if not needed + used <= budget * _GB:  # also true for a budget of NaN
        raise CacheBudgetError(
            f"{size}, and {used / _GB:.1f} GB are in {cache_home()} already; the budget is "
            f"{budget:g} GB. Raise it (--cache-gb), delete what is not needed (posenfs data "
            "cache), or choose crops `half` (half the resolution, less space) or `plain` (no "
            "cache: images are decoded for every crop)"
        )
    if needed > free:
        raise DataError(
            f"{size}, and {cache_home()} has {free / _GB:.1f} GB free; set POSENFS_CACHE to "
            "another folder, or choose crops `half` or `plain`"
        )

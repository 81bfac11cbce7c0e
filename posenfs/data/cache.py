"""Crops kept on disk as uint8: every picture is decoded once, and batches are warped out of them on the device."""

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
from posenfs.data.files import beside, write_whole
from posenfs.data.geometry import Crop, crop_of_box, crop_to_image, cut_crop
from posenfs.data.pictures import picture_sizes
from posenfs.data.sample import DataError, People, load_image, send

# Where crops come from, by name: how many pixels are kept for each pixel of a crop. None: nothing is kept, every
# picture is decoded anew for every crop.
CROPS: dict[str, float | None] = {"cached": 1.0, "half": 0.5, "plain": None}

_FORMAT = 1  # raised whenever the same people would be kept otherwise; what another one wrote is made anew
_DONE, _PLACES, _PIXELS, _UNFINISHED = "crops.json", "places.npz", "pixels.u8", "pixels.unfinished"
_FEW = 200  # pictures: fewer are cut in this process, others would only start
_GB = 10**9


@dataclass(frozen=True)
class Wanted:
    """The crops to keep: people cropped at their boxes to size (width, height), with room for an augmentation.

    Without augmentation what is kept is the crops themselves, exactly, whatever the density. With one it is what any of
    them can reach, at `density` pixels or more for each pixel of a crop: the picture's own, or averages of blocks.
    """

    people: People
    size: tuple[int, int]
    augmentation: Augmentation | None = None
    density: float = 1.0

    @cached_property
    def key(self) -> str:
        """Changes with the people, with the files of their pictures, and with what is kept of them."""
        reach = None if self.augmentation is None else (self.augmentation.most_rotation, self.augmentation.scale)
        digest = hashlib.sha256(repr((self.people.fingerprint(), self.size, reach, reach and self.density)).encode())
        for image in np.unique(self.people.image_index):
            found = (self.people.root / self.people.images[image]).stat()
            digest.update(repr((found.st_size, found.st_mtime_ns)).encode())
        return digest.hexdigest()[:16]

    @property
    def folder(self) -> Path:
        return cache_home() / f"{re.sub(r'[^0-9A-Za-z_]+', '_', self.people.name)}_{self.key}"


@dataclass(frozen=True)
class Places:
    """For N people a piece of their picture, upright: center [N, 2] image px, scale [N] image px per kept px, sizes
    [N, 2] (width, height) kept px."""

    center: np.ndarray
    scale: np.ndarray
    sizes: np.ndarray

    @property
    def starts(self) -> np.ndarray:
        """[N + 1]: the number of pixels kept of all before."""
        return np.concatenate([[0], np.cumsum(self.sizes.prod(1))])

    @property
    def bytes(self) -> int:
        return int(3 * self.sizes.prod(1).sum())

    def crop(self, person: int) -> Crop:
        size = (int(self.sizes[person, 0]), int(self.sizes[person, 1]))
        return Crop(self.center[person], self.scale[person], np.float64(0), np.bool_(False), size)


def cache_home() -> Path:
    """Where kept crops live: POSENFS_CACHE, or data/cache of the project."""
    return Path(os.environ.get("POSENFS_CACHE") or home() / "data" / "cache")


def places(wanted: Wanted, image_sizes: np.ndarray) -> Places:
    """What is kept of pictures of these sizes [M, 2] (width, height) px."""
    crop, change = crop_of_box(wanted.people.boxes, wanted.size), wanted.augmentation
    if change is None:
        return Places(crop.center, crop.scale, np.broadcast_to(wanted.size, crop.center.shape))
    scale = np.maximum(np.floor(crop.scale / wanted.density), 1)  # whole blocks of pixels, or the picture's own
    reach = _half_extent(wanted.size, change.most_rotation) * (1 + change.scale)
    reach = reach * crop.scale[:, None] + scale[:, None]  # a kept pixel more, to interpolate with
    ends = image_sizes[wanted.people.image_index] - 1 + scale[:, None]  # and one of black round the picture
    low, high = np.clip([crop.center - reach, crop.center + reach], -scale[:, None], ends)
    low = np.floor(low) + (scale[:, None] - 1) / 2  # the middle of the first block
    sizes = np.ceil((high - low) / scale[:, None]).astype(int) + 1
    return Places(low + scale[:, None] * (sizes - 1) / 2, scale, sizes)


def _half_extent(size: tuple[int, int], rotation: float) -> np.ndarray:
    """[2]: how far to each side a rectangle reaches, turned by up to so many degrees about its centre."""
    width, height = size
    most = np.deg2rad(rotation)
    x, y = min(most, np.arctan2(height, width)), min(most, np.arctan2(width, height))
    return np.array([width * np.cos(x) + height * np.sin(x), height * np.cos(y) + width * np.sin(y)]) / 2


class OverBudget(ValueError):
    """Keeping crops would take more room than is granted; nothing has been written."""


class CropCache:
    """The kept crops of some people, memory-mapped."""

    def __init__(self, folder: Path, found: Places):
        self.folder, self.places = folder, found
        self._origin = found.center - found.scale[:, None] * (found.sizes - 1) / 2  # image px of the first kept pixel
        self._starts = found.starts
        # copy on write: torch warns of arrays that cannot be written to
        self.pixels = torch.from_numpy(np.memmap(folder / _PIXELS, np.uint8, "c")).view(-1, 3)

    def select(self, index: np.ndarray) -> "CropCache":
        """Of some of these people, in the given order; the pixels are the same."""
        chosen = copy.copy(self)
        chosen.places = Places(*(getattr(self.places, name)[index] for name in ("center", "scale", "sizes")))
        chosen._origin, chosen._starts = self._origin[index], self._starts[index]
        return chosen

    def hold_on(self, device: torch.device) -> None:
        """Keep the pixels in a GPU's own memory, where they take no more than half of what is free."""
        if device.type == "cuda" and self.places.bytes < torch.cuda.mem_get_info(device)[0] / 2:
            self.pixels = self.pixels.to(device)

    def warp(self, index: np.ndarray, crop: Crop, device: torch.device) -> Tensor:
        """The crops (fields with a leading [B]) of the people with this index [B] -> uint8 [B, 3, height, width], by
        bilinear sampling; black outside the picture."""
        width, height = crop.size
        largest = np.maximum(self.places.sizes[index].max(0), 2)
        kept = self.padded(index, largest) if self.pixels.device.type == "cpu" else self.gathered(index, largest)
        # where the crops' middles, and their ends to the right and below, lie among the kept pixels
        middle = (np.array(crop.size) - 1) / 2
        points = np.array([middle, [width - 1, middle[1]], [middle[0], height - 1]])
        points = crop_to_image(np.broadcast_to(points, (len(index), 3, 2)), crop)
        points = (points - self._origin[index, None]) / self.places.scale[index, None, None]
        # grid_sample counts from -1 at the first pixel's centre to 1 at the last's
        points = points * 2 / (largest - 1)
        steps = [points[:, 1] - points[:, 0], points[:, 2] - points[:, 0], points[:, 0] - 1]
        theta = send(torch.from_numpy(np.stack(steps, -1).astype(np.float32)), device)
        grid = F.affine_grid(theta, [len(index), 3, height, width], align_corners=True)
        images = send(kept, device).permute(0, 3, 1, 2).float()
        found = F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
        return found.round_().clamp_(0, 255).to(torch.uint8)

    def padded(self, index: np.ndarray, size: np.ndarray) -> Tensor:
        """What is kept of each, in one tensor uint8 [B, size[1], size[0], 3], black beyond it; copied one by one."""
        kept = torch.zeros(len(index), size[1], size[0], 3, dtype=torch.uint8, device=self.pixels.device)
        for row, person in enumerate(index):
            (w, h), start = self.places.sizes[person], self._starts[person]
            kept[row, :h, :w] = self.pixels[start : start + w * h].view(h, w, 3)
        return kept

    def gathered(self, index: np.ndarray, size: np.ndarray) -> Tensor:
        """The same by looking up every pixel: slower on a CPU, and on a GPU a few kernels instead of some for each."""
        device = self.pixels.device
        places = torch.from_numpy(np.column_stack([self.places.sizes[index], self._starts[index]]))
        w, h, starts = send(places, device).T[..., None, None]
        x, y = torch.arange(size[0], device=device), torch.arange(size[1], device=device)[:, None]
        inside = (x < w) & (y < h)
        return self.pixels[(starts + y * w + x) * inside] * inside[..., None]


def keep_crops(wanted: Sequence[Wanted], budget: float = 20.0, progress: bool = True) -> list[CropCache]:
    """The kept crops of each, made where they are not there yet, in several processes.

    An interrupted making leaves nothing that would be taken for whole. Raises DataError for a broken picture and,
    before anything is written, where the disk has no room; OverBudget where all that is kept would need more GB.
    """
    missing = [own for own in wanted if _read(own) is None]
    if missing:
        planned = [places(own, picture_sizes(own.people, progress)) for own in missing]
        _check_room(missing, planned, budget)
        for own, found in zip(missing, planned, strict=True):
            _make(own, found, progress)
    return [CropCache(own.folder, _read(own)) for own in wanted]


def kept_folders() -> list[tuple[Path, int]]:
    """Every folder of kept crops, and its bytes."""
    folders = sorted({path.parent for name in (_DONE, _PIXELS, _UNFINISHED) for path in cache_home().glob(f"*/{name}")})
    return [(folder, sum(map(_bytes, folder.iterdir()))) for folder in folders]


def _bytes(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # renamed meanwhile, by who makes it
        return 0


def delete_kept(name: str) -> None:
    """Delete one of these folders; raises ValueError for another name."""
    known = [folder.name for folder, _ in kept_folders()]
    if name not in known:
        raise ValueError(f"no kept crops {name!r} in {cache_home()}; there are {', '.join(known) or 'none'}")
    shutil.rmtree(cache_home() / name)


def _read(wanted: Wanted) -> Places | None:
    """What is kept, or None where nothing whole is."""
    folder = wanted.folder
    try:
        said = json.loads((folder / _DONE).read_text())
        with np.load(folder / _PLACES) as file:
            found = Places(file["center"], file["scale"], file["sizes"])
        size = (folder / _PIXELS).stat().st_size
    except Exception:  # whatever is wrong with what is there, it is made anew
        return None
    return found if said.get("format") == _FORMAT and size == found.bytes == said.get("bytes") else None


def _make(wanted: Wanted, found: Places, progress: bool) -> None:
    folder, people, starts = wanted.folder, wanted.people, found.starts
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if _read(wanted) is not None:  # another process has made them while we waited
            return
        (folder / _DONE).unlink(missing_ok=True)
        unfinished = folder / _UNFINISHED
        with open(unfinished, "wb") as file:
            file.truncate(found.bytes)
        jobs: dict[Path, list[tuple[int, Crop]]] = {}
        for person in range(len(people)):
            jobs.setdefault(people.image_path(person), []).append((3 * int(starts[person]), found.crop(person)))
        bar = partial(tqdm, total=len(jobs), desc=f"keeping crops of {people.label}", unit="picture", leave=False)
        with warnings.catch_warnings(), bar(disable=not progress) as shown:
            warnings.filterwarnings("ignore", "A worker stopped", UserWarning)  # one that grew: another takes its place
            try:
                for _ in _cut_all(unfinished, jobs):
                    shown.update()
            except BrokenProcessPool as error:  # killed from outside, most often for want of memory
                raise DataError(f"a process that cut crops of {people.label} was killed; begin again") from error
        with open(unfinished, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, folder / _PIXELS)
        with beside(folder / _PLACES) as path:
            np.savez(path, center=found.center, scale=found.scale, sizes=found.sizes)
        write_whole(folder / _DONE, json.dumps({"format": _FORMAT, "people": len(people), "bytes": found.bytes}) + "\n")


def _cut_all(target: Path, jobs: dict[Path, list[tuple[int, Crop]]]) -> Iterator[None]:
    if len(jobs) < _FEW:
        return starmap(partial(_cut, target), jobs.items())
    # joblib starts clean processes, and without importing the caller's script, so that a script needs no guard
    pool = Parallel(cpu_count(), return_as="generator_unordered", batch_size=16)
    return pool(delayed(_cut)(target, *job) for job in jobs.items())


def _cut(target: Path, picture: Path, crops: list[tuple[int, Crop]]) -> None:
    """Write crops of one picture to their places in the file."""
    image = load_image(picture)
    with open(target, "rb+") as file:
        for start, crop in crops:
            file.seek(start)
            file.write(cut_crop(image, crop).permute(1, 2, 0).contiguous().numpy().data)


def _check_room(wanted: Sequence[Wanted], planned: Sequence[Places], budget: float) -> None:
    need, used = sum(found.bytes for found in planned), sum(size for _, size in kept_folders())
    cache_home().mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache_home()).free
    names = " and ".join(own.people.label for own in wanted)
    if not need + used <= budget * _GB:
        raise OverBudget(
            f"keeping the crops of {names} takes {need / _GB:.1f} GB, and {used / _GB:.1f} GB are in {cache_home()} "
            f"already; the budget is {budget:g} GB. Raise it (--cache-gb), delete what is not needed (posenfs data "
            "cache), or choose crops `half` (half the resolution, less room) or `plain` (nothing is "
            "kept: pictures are decoded for every crop)"
        )
    if need > free:
        raise DataError(
            f"keeping the crops of {names} takes {need / _GB:.1f} GB, and {cache_home()} has {free / _GB:.1f} GB free; "
            "set POSENFS_CACHE to another folder, or choose crops `half` or `plain`"
        )

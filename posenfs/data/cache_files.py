"""Building, opening, listing and deleting of crop caches on disk."""

import json
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import starmap
from pathlib import Path

import numpy as np
from filelock import FileLock
from joblib import Parallel, cpu_count, delayed
from PIL import Image
from tqdm import tqdm

from posenfs.data.cache import (
    PIXELS,
    CacheRequest,
    CropCache,
    CropRegions,
    cache_home,
    cached_regions,
)
from posenfs.data.files import atomic_path, naming_errors, write_atomic
from posenfs.data.geometry import Crop, ImageSize, cut_crop
from posenfs.data.pixels import IMAGE_ERRORS, StoredImage, load_image
from posenfs.data.sample import Annotations, DataError
from posenfs.errors import PosenfsError

_FORMAT = 2  # increase it when the content of caches changes; other formats are rebuilt
_SUMMARY, _REGIONS, _UNFINISHED = "crops.json", "places.npz", "pixels.unfinished"
_MIN_PARALLEL = 200  # images; fewer are cut in this process, which is faster than starting others
_GB = 10**9


class CacheBudgetError(PosenfsError, ValueError):
    """The crop caches would exceed their budget on disk; nothing has been written."""


def build_caches(
    requests: Sequence[CacheRequest], budget: float = 20.0, progress: bool = True
) -> list[CropCache]:
    """Open caches; build missing ones in several processes.

    An interrupted build leaves no cache that counts as complete.

    Args:
        requests: The crops of each cache.
        budget: The greatest total size of all caches in GB.
        progress: Whether to show progress bars.

    Raises:
        DataError: An image is broken, or the disk is too full (before anything is written).
        CacheBudgetError: All caches together would exceed the budget.
    """
    missing = [request for request in requests if _load_regions(request) is None]
    if missing:
        planned = [
            cached_regions(request, _read_image_sizes(request.annotations, progress))
            for request in missing
        ]
        _check_disk_space(missing, planned, budget)
        for request, regions in zip(missing, planned, strict=True):
            _build(request, regions, progress)
    return [_open(request) for request in requests]


def cache_folders() -> list[tuple[Path, int]]:
    """Return all cache folders and their sizes in bytes."""
    files = (_SUMMARY, PIXELS, _UNFINISHED)
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


def _open(request: CacheRequest) -> CropCache:
    regions = _load_regions(request)
    if regions is None:
        raise DataError(
            f"the cached crops in {request.folder} were deleted or changed; start again"
        )
    return CropCache(request.folder, regions)


def _load_regions(request: CacheRequest) -> CropRegions | None:
    """The regions of a complete cache, or None."""
    folder = request.folder
    try:
        summary = json.loads((folder / _SUMMARY).read_text())
        with np.load(folder / _REGIONS) as file:
            regions = CropRegions(file["center"], file["scale"], file["sizes"])
        size = (folder / PIXELS).stat().st_size
    except Exception:  # a damaged cache can raise anything, and is rebuilt
        return None
    is_complete = size == regions.bytes == summary.get("bytes")
    return regions if summary.get("format") == _FORMAT and is_complete else None


def _build(request: CacheRequest, regions: CropRegions, progress: bool) -> None:
    """Write a cache; a lock keeps two processes from building the same one."""
    folder, annotations = request.folder, request.annotations
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if _load_regions(request) is not None:  # another process built it during the wait
            return
        (folder / _SUMMARY).unlink(missing_ok=True)
        unfinished = folder / _UNFINISHED
        with naming_errors(folder / PIXELS, unfinished, needed=regions.bytes):
            try:
                with open(unfinished, "wb") as file:
                    file.truncate(regions.bytes)
                _cut_regions(unfinished, annotations, regions, progress)
                with open(unfinished, "rb+") as file:
                    os.fsync(file.fileno())
                os.replace(unfinished, folder / PIXELS)
            finally:
                unfinished.unlink(missing_ok=True)
        with atomic_path(folder / _REGIONS) as path:
            np.savez(path, center=regions.center, scale=regions.scale, sizes=regions.sizes)
        summary = {"format": _FORMAT, "people": len(annotations), "bytes": regions.bytes}
        write_atomic(folder / _SUMMARY, json.dumps(summary) + "\n")


def _cut_regions(
    target: Path, annotations: Annotations, regions: CropRegions, progress: bool
) -> None:
    """Cut the regions of all people into the file `target`."""
    starts = regions.starts
    jobs: dict[int, list[tuple[int, Crop]]] = {}
    for person in range(len(annotations)):
        job = (3 * int(starts[person]), regions.crop(person))
        jobs.setdefault(int(annotations.image_index[person]), []).append(job)
    bar = tqdm(
        total=len(jobs),
        desc=f"caching crops of {annotations.label}",
        unit="image",
        leave=False,
        disable=not progress,
    )
    with warnings.catch_warnings(), bar:
        # joblib replaces a worker whose memory has grown
        warnings.filterwarnings("ignore", "A worker stopped", UserWarning)
        try:
            images = [
                (annotations.root / annotations.images[image], annotations.annotated_size(image))
                for image in jobs
            ]
            for _ in _cut_all(target, images, list(jobs.values())):
                bar.update()
        except BrokenProcessPool as error:  # killed from outside, most often for lack of memory
            raise DataError(
                f"a process that cut crops of {annotations.label} was killed (most often because "
                "memory ran out); start again"
            ) from error


def _cut_all(
    target: Path,
    images: list[tuple[Path, ImageSize | None]],
    crops: list[list[tuple[int, Crop]]],
) -> Iterator[None]:
    jobs = zip(images, crops, strict=True)
    if len(images) < _MIN_PARALLEL:
        return starmap(partial(_cut_image, target), jobs)
    # joblib starts clean processes that do not import the caller's script, so a script needs no
    # __main__ guard.
    pool = Parallel(cpu_count(), return_as="generator_unordered", batch_size=16)
    return pool(delayed(_cut_image)(target, *job) for job in jobs)


def _cut_image(
    target: Path, file_and_size: tuple[Path, ImageSize | None], crops: list[tuple[int, Crop]]
) -> None:
    """Write crops of one image at their byte offsets in the file `target`."""
    image = load_image(*file_and_size)
    with open(target, "rb+") as file:
        for start, crop in crops:
            file.seek(start)
            file.write(cut_crop(image, crop).permute(1, 2, 0).contiguous().numpy().data)


def _read_image_sizes(annotations: Annotations, progress: bool) -> np.ndarray:
    """Read the width and height [M, 2] of the decoded images; NaN for an image without people."""
    sizes = np.full((len(annotations.images), 2), np.nan)
    used = np.unique(annotations.image_index)

    def size(image: int) -> np.ndarray:
        path = annotations.root / annotations.images[image]
        try:
            with Image.open(path) as file:
                return StoredImage.read(file).used_size(annotations.annotated_size(image)).xy
        except IMAGE_ERRORS as error:
            raise DataError(f"{path} is no image: {error}; copy it again or drop it") from None

    with ThreadPoolExecutor() as pool:
        bar = tqdm(
            pool.map(size, used),
            "measuring images",
            len(used),
            leave=False,
            delay=1,
            disable=not progress,
        )
        sizes[used] = list(bar)
    return sizes


def _check_disk_space(
    requests: Sequence[CacheRequest], planned: Sequence[CropRegions], budget: float
) -> None:
    """Raise CacheBudgetError or DataError where the planned caches are too large."""
    needed = sum(regions.bytes for regions in planned)
    used = sum(size for _, size in cache_folders())
    cache_home().mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache_home()).free
    names = " and ".join(request.annotations.label for request in requests)
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

"""Broken and missing images: find and report them, and exclude their annotations."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image
from tqdm import tqdm

from posenfs.data.geometry import ImageSize
from posenfs.data.sample import IMAGE_ERRORS, Annotations, DataError, load_image

# Extensions of the files that are taken from a folder.
IMAGE_EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

_JPEG_END = b"\xff\xd9"  # the last bytes of a complete JPEG
_MAX_NAMED = 5  # broken images that a message names; it counts the rest
_REASON = "broken or missing image"


def image_fault(path: Path) -> str | None:
    """Return what is wrong with an image file, or None.

    Truncated files are found without decoding every image: a PNG has checksums; a JPEG has an end
    marker, and is decoded only if that is missing. Damage inside a JPEG is found only by decoding
    it, as `posenfs data check` does.

    Args:
        path: The image file.
    """
    try:
        with Image.open(path) as image:
            if image.format == "PNG":
                image.verify()
            elif image.format != "JPEG" or not _ends_with(path, _JPEG_END):
                image.load()
    except FileNotFoundError:
        return "missing"
    except IMAGE_ERRORS as error:
        size = path.stat().st_size if path.is_file() else 0
        return f"not a whole image, {size} bytes ({str(error).replace(str(path), path.name)})"
    return None


def _ends_with(path: Path, end: bytes) -> bool:
    with open(path, "rb") as file:
        file.seek(-min(len(end), path.stat().st_size), 2)
        return file.read() == end


def image_faults(paths: Iterable[Path], progress: bool = True) -> dict[Path, str]:
    """Return the broken and missing image files, each with what is wrong.

    Args:
        paths: Image files.
        progress: Whether to show a progress bar.
    """
    paths = list(paths)
    with ThreadPoolExecutor() as pool:
        bar = tqdm(
            pool.map(image_fault, paths),
            "checking images",
            len(paths),
            leave=False,
            delay=1,
            disable=not progress,
        )
        return {path: fault for path, fault in zip(paths, bar, strict=True) if fault is not None}


def exclude_broken_images(
    annotations: Annotations, strict: bool = False, progress: bool = True
) -> Annotations:
    """Exclude people whose images are broken or missing.

    The images are reported on stderr, and the people are counted in `excluded`.

    Args:
        annotations: The annotated people.
        strict: Whether a broken image is an error.
        progress: Whether to show a progress bar.

    Raises:
        DataError: All images are broken or, if strict, one is.
    """
    paths = [annotations.root / name for name in annotations.images]
    faults = image_faults(paths, progress)
    if not faults:
        return annotations
    is_broken = np.array([path in faults for path in paths])
    without_image = is_broken[annotations.image_index]
    message = (
        f"{annotations.label}: {len(faults)} of {len(paths)} images cannot be used, with "
        f"{without_image.sum()} people: {describe_faults(faults)}"
    )
    if without_image.all():
        raise DataError(f"{message}. None is left: is {annotations.root} the folder of the images?")
    if strict:
        raise DataError(f"{message}. Copy them again, or leave out --strict to continue without")
    tqdm.write(f"note: {message}. Left out", file=sys.stderr)
    excluded = {**annotations.excluded, _REASON: int(without_image.sum())}
    return replace(annotations.select(~without_image), excluded=excluded)


def read_image_sizes(annotations: Annotations, progress: bool = True) -> np.ndarray:
    """Read the sizes of images, upright by their EXIF tags.

    Args:
        annotations: The people whose images are read.
        progress: Whether to show a progress bar.

    Returns:
        [M, 2] width and height in px; NaN for an image without people.

    Raises:
        DataError: A file is no image.
    """
    sizes = np.full((len(annotations.images), 2), np.nan)
    used = np.unique(annotations.image_index)
    with ThreadPoolExecutor() as pool:
        results = pool.map(_size, (annotations.root / annotations.images[image] for image in used))
        bar = tqdm(
            results, "measuring images", len(used), leave=False, delay=1, disable=not progress
        )
        sizes[used] = list(bar)
    return sizes


def _size(path: Path) -> np.ndarray:
    """[2]: width and height in px."""
    try:
        with Image.open(path) as image:
            return upright_size(image).xy
    except IMAGE_ERRORS as error:
        raise DataError(f"{path} is no image: {error}; copy it again or drop it") from None


def upright_size(image: Image.Image) -> ImageSize:
    """Return the size in px of an image rotated as its EXIF tag says."""
    width, height = image.size
    is_rotated = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    return ImageSize(width, height) if is_rotated else ImageSize(height, width)


def describe_faults(faults: Mapping[Path, str]) -> str:
    """Return the first few faults by file name, and the number of further ones."""
    first = [f"{path.name}: {fault}" for path, fault in list(faults.items())[:_MAX_NAMED]]
    if len(faults) > _MAX_NAMED:
        first.append(f"and {len(faults) - _MAX_NAMED} more")
    return "; ".join(first)


def list_images(paths: Iterable[Path]) -> list[Path]:
    """List image files.

    Args:
        paths: Image files of any name, and folders. Of a folder all files with one of
            IMAGE_EXTENSIONS are taken, in the order of their names; hidden files and folders
            inside it are not read.

    Returns:
        Every file once.

    Raises:
        DataError: There are no paths, one does not exist, or a folder holds no image.
    """
    images: list[Path] = []
    for path in paths:
        if not path.is_dir():
            if not path.exists():
                raise DataError(f"no image at {path}; check its name and its folder")
            images.append(path)
            continue
        files = [
            file
            for file in sorted(path.iterdir())
            if file.is_file() and not file.name.startswith(".")
        ]
        folder_images = [file for file in files if file.suffix.lower() in IMAGE_EXTENSIONS]
        if not folder_images:
            raise DataError(
                f"{path} is a folder without images: none of the {len(files)} files in it ends in "
                f"{', '.join(IMAGE_EXTENSIONS)} (folders inside it are not read); "
                "name a folder of images"
            )
        images += folder_images
    if not images:
        raise DataError("no images given; name at least one file or folder")
    return list(dict.fromkeys(images))


def readable_images(
    images: Sequence[Path], progress: bool = True
) -> tuple[list[Path], dict[Path, str]]:
    """Decode images to find the broken ones.

    Args:
        images: Image files.
        progress: Whether to show a progress bar.

    Returns:
        The readable images, and what is wrong with each of the others.

    Raises:
        DataError: None of the images can be read.
    """
    readable: list[Path] = []
    broken: dict[Path, str] = {}
    for image in tqdm(
        images, "reading images", unit="image", leave=False, delay=1, disable=not progress
    ):
        try:
            load_image(image)
        except DataError as error:
            broken[image] = str(error)
        else:
            readable.append(image)
    if not readable:
        count = f"none of the {len(broken)} images" if len(broken) > 1 else "the image"
        reasons = list(broken.values())
        further = f"; and {len(reasons) - _MAX_NAMED} more" if len(reasons) > _MAX_NAMED else ""
        raise DataError(f"{count} can be read: {'; '.join(reasons[:_MAX_NAMED])}{further}")
    return readable, broken

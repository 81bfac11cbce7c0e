"""Picture files that cannot be used: found before a search starts, named, and left out with their people."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image
from tqdm import tqdm

from posenfs.data.sample import PICTURE_ERRORS, DataError, People, load_image

IMAGE_EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")  # of files taken from a folder

_JPEG_END = b"\xff\xd9"  # the last bytes of a whole file
_NAMED = 5  # broken pictures in a message; the rest are counted
_REASON = "broken or missing picture"


def picture_fault(path: Path) -> str | None:
    """What is wrong with a picture file, or None.

    Whatever was cut off is found without decoding thousands of sound pictures: of a PNG the checksums are read, of a
    JPEG its end, and where that is not as it should be the whole is decoded. Damage inside a JPEG is found by decoding
    alone, which `posenfs data check` does.
    """
    try:
        with Image.open(path) as image:
            if image.format == "PNG":
                image.verify()
            elif image.format != "JPEG" or not _ends_with(path, _JPEG_END):
                image.load()
    except FileNotFoundError:
        return "missing"
    except PICTURE_ERRORS as error:
        size = path.stat().st_size if path.is_file() else 0
        return f"not a whole picture, {size} bytes ({str(error).replace(str(path), path.name)})"
    return None


def _ends_with(path: Path, end: bytes) -> bool:
    with open(path, "rb") as file:
        file.seek(-min(len(end), path.stat().st_size), 2)
        return file.read() == end


def picture_faults(paths: Iterable[Path], progress: bool = True) -> dict[Path, str]:
    """The broken and missing ones among picture files, with what is wrong."""
    paths = list(paths)
    with ThreadPoolExecutor() as pool:
        found = tqdm(
            pool.map(picture_fault, paths),
            "looking at pictures",
            len(paths),
            leave=False,
            delay=1,
            disable=not progress,
        )
        return {path: fault for path, fault in zip(paths, found, strict=True) if fault is not None}


def without_broken_pictures(people: People, strict: bool = False, progress: bool = True) -> People:
    """The people whose pictures are whole; the others are named on stderr and counted in `left_out`.

    Raises DataError where none is left and, if strict, where one is broken.
    """
    paths = [people.root / name for name in people.images]
    faults = picture_faults(paths, progress)
    if not faults:
        return people
    broken = np.array([path in faults for path in paths])
    lost = broken[people.image_index]
    count = f"{len(faults)} of {len(paths)} pictures cannot be used, with {lost.sum()} people"
    message = f"{people.label}: {count}: {named(faults)}"
    if lost.all():
        raise DataError(f"{message}. None is left: is {people.root} the folder of the pictures?")
    if strict:
        raise DataError(f"{message}. Copy them again, or leave out --strict to go on without them")
    tqdm.write(f"note: {message}. Left out", file=sys.stderr)
    return replace(people.select(~lost), left_out={**people.left_out, _REASON: int(lost.sum())})


def picture_sizes(people: People, progress: bool = True) -> np.ndarray:
    """[M, 2]: width and height px of the pictures, upright by their EXIF tags, NaN where nobody is in one; raises
    DataError for what is no picture."""
    sizes, shown = np.full((len(people.images), 2), np.nan), np.unique(people.image_index)
    with ThreadPoolExecutor() as pool:
        found = pool.map(_size, (people.root / people.images[image] for image in shown))
        bar = tqdm(found, "measuring pictures", len(shown), leave=False, delay=1, disable=not progress)
        sizes[shown] = list(bar)
    return sizes


def _size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            return upright_size(image)
    except PICTURE_ERRORS as error:
        raise DataError(f"{path} is no picture: {error}; copy it again or drop it") from None


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height px of a picture turned as its EXIF tag says."""
    turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    return image.size[::-1] if turned else image.size


def named(faults: Mapping[Path, str]) -> str:
    """The first few with what is wrong, and how many more there are."""
    first = "; ".join(f"{path.name}: {fault}" for path, fault in list(faults.items())[:_NAMED])
    return first + (f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else "")


def list_images(paths: Iterable[Path]) -> list[Path]:
    """List image files.

    Args:
        paths: Image files of any name, and folders. Of a folder all files with one of IMAGE_EXTENSIONS are taken, in
            the order of their names; hidden files and folders inside it are not read.

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
        files = [file for file in sorted(path.iterdir()) if file.is_file() and not file.name.startswith(".")]
        in_folder = [file for file in files if file.suffix.lower() in IMAGE_EXTENSIONS]
        if not in_folder:
            raise DataError(
                f"{path} is a folder without images: none of the {len(files)} files in it ends in "
                f"{', '.join(IMAGE_EXTENSIONS)} (folders inside it are not read); name a folder of images"
            )
        images += in_folder
    if not images:
        raise DataError("no images given; name at least one file or folder")
    return list(dict.fromkeys(images))


def readable_images(images: Sequence[Path], progress: bool = True) -> tuple[list[Path], dict[Path, str]]:
    """Decode images to find the broken ones.

    Args:
        images: Image files.
        progress: Whether to show a progress bar.

    Returns:
        The images that can be read, and for each of the others what is wrong with it.

    Raises:
        DataError: None of the images can be read.
    """
    readable: list[Path] = []
    broken: dict[Path, str] = {}
    for image in tqdm(images, "reading images", unit="image", leave=False, delay=1, disable=not progress):
        try:
            load_image(image)
        except DataError as error:
            broken[image] = str(error)
        else:
            readable.append(image)
    if not readable:
        count = f"none of the {len(broken)} images" if len(broken) > 1 else "the image"
        reasons = list(broken.values())
        further = f"; and {len(reasons) - _NAMED} more" if len(reasons) > _NAMED else ""
        raise DataError(f"{count} can be read: {'; '.join(reasons[:_NAMED])}{further}")
    return readable, broken

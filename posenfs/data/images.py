"""Image files of annotated people: broken, missing and doubtful ones."""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from posenfs.data.geometry import ImageSize
from posenfs.data.pixels import (
    IMAGE_ERRORS,
    PixelError,
    StoredImage,
    decode,
    describe_damage,
    is_deep,
)
from posenfs.data.sample import Annotations, DataError
from posenfs.messages import many

# Extensions of the files that are taken from a folder of images.
IMAGE_EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
MISSING = "missing"  # the fault of an image that does not exist

_JPEG_END = b"\xff\xd9"  # the last bytes of a complete JPEG
MAX_NAMED = 5  # broken images that a message names; it counts the rest
_REASON = "broken or missing image"
# What Pillow looks for in a PNG to find its orientation, also behind the pixels.
_PNG_METADATA = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")

# What can be doubtful about an image.
OTHER_SIZE = "image not of the annotated size"
_FRAMES = "image with several frames, of which the first is read"
_ONE_COLOUR = "image of a single colour"


@dataclass(frozen=True)
class ImageState:
    """What an image file holds.

    Attributes:
        stored: The stored size and the EXIF orientation; None for an image that cannot be used.
        fault: Why it cannot be used, or None.
        properties: Harmless properties, in plain words.
        doubts: What may be wrong, in plain words, whatever the annotation says.
    """

    stored: StoredImage | None = None
    fault: str | None = None
    properties: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def inspect_image(path: Path, full: bool = False) -> ImageState:
    """Find out what an image file holds, and what is wrong with it.

    Truncated files are found without decoding every image: a PNG has checksums; a JPEG has an end
    marker, and is decoded only if that is missing. Damage inside a JPEG is found only by decoding
    it, as `posenfs data check` does.

    Args:
        path: The image file.
        full: Whether the image is decoded in any case. An image of a single colour, such as black,
            is found only then.
    """
    try:
        has_metadata = _verify_png(path)
        with Image.open(path) as image:
            decoded = full or _must_be_decoded(path, image)
            properties = _properties(image)
            doubts = [_FRAMES] if getattr(image, "n_frames", 1) > 1 else []
            stored = StoredImage(ImageSize(image.height, image.width), 1)
            if image.format != "PNG" or has_metadata:
                stored = StoredImage.read(image)
            pixels = decode(image) if decoded else None
    except FileNotFoundError:
        return ImageState(fault=MISSING)
    except PixelError as error:
        return ImageState(fault=str(error))
    except IMAGE_ERRORS as error:
        return ImageState(fault=describe_damage(path, error))
    if pixels is not None and (pixels == pixels[0, 0]).all():
        doubts.append(_ONE_COLOUR)
    return ImageState(stored, None, properties, tuple(doubts))


def _verify_png(path: Path) -> bool:
    """Check the checksums of a PNG, and return whether it may have an orientation."""
    with Image.open(path) as image:
        if image.format != "PNG":
            return False
        image.verify()
    content = path.read_bytes()
    return any(name in content for name in _PNG_METADATA)


def _must_be_decoded(path: Path, image: Image.Image) -> bool:
    """Whether only decoding shows that an image can be used; a PNG is verified before."""
    if is_deep(image) or image.format not in ("JPEG", "PNG"):
        return True
    return image.format == "JPEG" and not _ends_with(path, _JPEG_END)


def _ends_with(path: Path, end: bytes) -> bool:
    with open(path, "rb") as file:
        file.seek(-min(len(end), path.stat().st_size), 2)
        return file.read() == end


def _properties(image: Image.Image) -> tuple[str, ...]:
    properties = {
        "grey": image.mode in ("1", "L", "LA") or image.mode[0] in "IF",
        "of more than eight bits, scaled to eight": is_deep(image),
        "with an alpha channel": image.has_transparency_data,
    }
    return tuple(name for name, holds in properties.items() if holds)


def inspect_images(
    paths: Iterable[Path], full: bool = False, progress: bool = True
) -> dict[Path, ImageState]:
    """Inspect image files, see `inspect_image`.

    Args:
        paths: Image files.
        full: Whether every image is decoded.
        progress: Whether to show a progress bar.
    """
    paths = list(dict.fromkeys(paths))
    with ThreadPoolExecutor() as pool:
        bar = tqdm(
            pool.map(partial(inspect_image, full=full), paths),
            "decoding images" if full else "checking images",
            len(paths),
            leave=False,
            delay=1,
            disable=not progress,
        )
        return dict(zip(paths, bar, strict=True))


def image_paths(annotations: Annotations) -> list[Path]:
    """Return the path of each image."""
    return [annotations.root / name for name in annotations.images]


def image_doubts(annotations: Annotations, states: Mapping[Path, ImageState]) -> dict[str, int]:
    """Count the images that are used although something may be wrong with them.

    Args:
        annotations: The annotated people.
        states: The state of each image.

    Returns:
        Reason -> number of images. EXIF orientations are applied as `StoredImage.is_turned` says;
        they are counted where they are not applied, and where the sizes do not tell.
    """
    counts: Counter[str] = Counter()
    for number, path in enumerate(image_paths(annotations)):
        state = states[path]
        if state.stored is not None:
            doubts = _size_doubts(state.stored, annotations.annotated_size(number))
            counts.update([*doubts, *state.doubts])
    return dict(counts)


def _size_doubts(stored: StoredImage, annotated: ImageSize | None) -> list[str]:
    doubts = []
    is_turned = stored.is_turned(annotated)
    if stored.orientation > 1 and not is_turned:
        doubts.append(
            "image whose EXIF orientation is ignored, because the annotated size is that of the "
            "raw pixels"
        )
    elif stored.orientation > 1 and (annotated is None or stored.size == stored.upright_size):
        doubts.append(
            "image turned by its EXIF orientation, although no annotated size tells whether the "
            "annotations are turned too"
        )
    if stored.differs_from(annotated):
        doubts.append(OTHER_SIZE)
    return doubts


def exclude_broken_images(
    annotations: Annotations, strict: bool = False, progress: bool = True
) -> Annotations:
    """Exclude people whose images are broken or missing, and count doubtful images.

    The broken images are reported on stderr, and their people are counted in `excluded`. Images
    that may not fit their annotations are counted in `doubtful`.

    Args:
        annotations: The annotated people.
        strict: Whether a broken image, or one of another size than annotated, is an error.
        progress: Whether to show a progress bar.

    Raises:
        DataError: All images are broken or, if strict, one is.
    """
    paths = image_paths(annotations)
    states = inspect_images(paths, progress=progress)
    faults = {path: state.fault for path, state in states.items() if state.fault is not None}
    doubts = image_doubts(annotations, states)
    if strict and (others := other_sizes(annotations, states)):
        raise DataError(f"{annotations.label}: {others}. Correct it, or leave out --strict")
    annotations = replace(annotations, doubtful={**annotations.doubtful, **doubts})
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


def other_sizes(annotations: Annotations, states: Mapping[Path, ImageState]) -> str | None:
    """Return a sentence about the images of another size than annotated, or None.

    Args:
        annotations: The annotated people.
        states: The state of each image.
    """
    others = []
    for number, path in enumerate(image_paths(annotations)):
        annotated, stored = annotations.annotated_size(number), states[path].stored
        if annotated and stored and stored.differs_from(annotated):
            others.append((annotations.images[number], stored.used_size(annotated), annotated))
    if not others:
        return None
    name, size, annotated = others[0]
    return (
        f"{many(len(others), 'image')} not of the annotated size: {name} is "
        f"{size.width} x {size.height} px, annotated {annotated.width} x {annotated.height}"
    )


def describe_faults(faults: Mapping[Path, str]) -> str:
    """Return the first few faults by file name, and the number of further ones."""
    first = [f"{path.name}: {fault}" for path, fault in list(faults.items())[:MAX_NAMED]]
    if len(faults) > MAX_NAMED:
        first.append(f"and {len(faults) - MAX_NAMED} more")
    return "; ".join(first)

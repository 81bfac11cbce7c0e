"""Parsing of foreign files: JSON, MAT-files, and checks of the numbers and names in them."""

import codecs
import contextlib
import gc
import math
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydantic_core import from_json
from scipy.io import loadmat

from posenfs.data.sample import DataError

_COMPRESSED = 15  # the type of a MAT-file element that zlib has compressed
# The first bytes of text in other encodings than UTF-8. The one of UTF-32 starts with UTF-16's.
_OTHER_MARKS = {
    "UTF-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    "UTF-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}
# Coordinates and sides beyond this are no pixels of any image, and crops of such boxes fill the
# memory.
MAX_PX = 10**5
_EXACT_FLOAT = 2**53  # up to here a float holds every whole number


def image_name(place: str, name: object) -> str:
    """Check that the image name of an annotation is a text, and return it.

    Args:
        place: The place in the file, for messages.
        name: The name as read; `find_images` finds its file.

    Raises:
        DataError: It is no name, or names a folder above.
    """
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise DataError(f"{place}: no image name, but {name!r:.80}")
    if ".." in name.replace("\\", "/").split("/"):
        raise DataError(f"{place} ({name}): an image path must stay inside the folder of images")
    return name


def number(value: object) -> float | None:
    """Return the number that a value of a JSON file stands for, or None where it is none.

    A text that spells a number ("12.5") is that number. null and an empty text are NaN. Truth
    values, lists, other texts ("12,5") and numbers beyond the range of floats are no numbers.

    Args:
        value: The value as read.
    """
    if value is None or value == "":
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def whole_number(value: object) -> int | None:
    """Return the whole number that a value of a JSON file stands for, or None where it is none.

    3.0 and "3" are 3. Numbers of more than 64 bits are none.

    Args:
        value: The value as read.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value if -(2**63) <= value < 2**63 else None
    result = number(value)
    if result is None or not result.is_integer() or abs(result) > _EXACT_FLOAT:
        return None
    return int(result)


def finite_numbers(
    place: str,
    name: str,
    value: object,
    shape: tuple[int, ...],
    unused: np.ndarray | None = None,
) -> np.ndarray:
    """Convert a value to finite numbers of a given shape.

    Args:
        place: The place in the file, for messages.
        name: The name of the value, for messages.
        value: The value as read.
        shape: The expected shape; () is one number.
        unused: Which rows of the numbers are not used; null, NaN and infinity there become 0.

    Returns:
        float64 of this shape.

    Raises:
        DataError: The value is anything else.
    """
    try:
        array = None if value is None else np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        array = None
    if array is None or array.shape != shape:
        actual = f"{value!r:.80}" if array is None else _describe_shape(array.shape)
        raise DataError(
            f"{place}: {name} must be {_describe_shape(shape)}; got {actual}; correct or drop it"
        )
    if unused is not None:
        array[unused & ~np.isfinite(array).all(-1)] = 0.0
    if not np.isfinite(array).all():
        first = array[~np.isfinite(array)][0]
        raise DataError(f"{place}: {name} holds {first}; correct or drop it")
    return array


def _describe_shape(shape: tuple[int, ...]) -> str:
    return f"{' x '.join(map(str, shape))} numbers" if shape else "a number"


def read_utf8(path: Path) -> bytes:
    """Read a file of text in UTF-8, without its byte order mark.

    Args:
        path: The file.

    Raises:
        DataError: A byte order mark tells another encoding.
    """
    text = path.read_bytes()
    for encoding, marks in _OTHER_MARKS.items():
        if text.startswith(marks):
            raise DataError(f"{path} is text in {encoding}; save it as UTF-8")
    return text.removeprefix(codecs.BOM_UTF8)


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """Pause Python's garbage collection, which searches millions of new numbers for nothing."""
    was_collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_collecting:
            gc.enable()


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Pydantic's parser, with Python's garbage collection off, reads COCO's annotations in less than
    half of the time of Python's json (benchmarks/annotations.py).

    Args:
        path: The file.

    Raises:
        DataError: The file is not JSON in UTF-8, or its lists are nested more than about 200 deep.
    """
    text = read_utf8(path)
    try:
        with without_collection():
            return from_json(text)
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}; copy it again") from None


def read_mat(path: Path, **options: bool | list[str]) -> dict[str, np.ndarray]:
    """Read a MAT-file with scipy's loadmat after a check of its checksums.

    A broken file can raise nearly any exception.

    Args:
        path: The file.
        **options: Options of loadmat.
    """
    _verify_checksums(path)
    return loadmat(path, **options)


def _verify_checksums(path: Path) -> None:
    """Decompress all compressed elements, so that zlib raises where a checksum is wrong.

    Scipy's parser does not verify checksums; a damaged size or type can crash the process.
    """
    with open(path, "rb") as file:
        byte_order = {b"IM": "<", b"MI": ">"}.get(file.read(128)[126:], "<")
        while len(tag := file.read(8)) == 8:
            element_type, size = struct.unpack(f"{byte_order}II", tag)
            if element_type == _COMPRESSED:
                zlib.decompress(file.read(size))
            else:
                file.seek(size, os.SEEK_CUR)

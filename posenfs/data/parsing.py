"""Parsing of foreign files: JSON, MAT-files, and checks of the numbers and names in them."""

import codecs
import gc
import os
import struct
import zlib
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from pydantic_core import from_json
from scipy.io import loadmat

from posenfs.data.sample import DataError

_COMPRESSED = 15  # the type of a MAT-file element that zlib has compressed


def image_name(place: str, name: object) -> str:
    """Check the image name of an annotation and return it.

    Args:
        place: The place in the file, for messages.
        name: The name as read.

    Raises:
        DataError: It is no name, or leads out of the folder of images.
    """
    if not isinstance(name, str) or not name:
        raise DataError(f"{place}: no image name, but {name!r:.80}")
    path = PurePath(name)
    if path.is_absolute() or ".." in path.parts:
        raise DataError(f"{place} ({name}): an image path must stay inside the folder of images")
    return name


def finite_numbers(place: str, name: str, value: object, shape: tuple[int, ...]) -> np.ndarray:
    """Convert a value to finite numbers of a given shape.

    Args:
        place: The place in the file, for messages.
        name: The name of the value, for messages.
        value: The value as read.
        shape: The expected shape; () is one number.

    Returns:
        float64 of this shape.

    Raises:
        DataError: The value is anything else.
    """
    try:
        array = None if value is None else np.asarray(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        array = None
    if array is None or array.shape != shape:
        actual = f"{value!r:.80}" if array is None else _describe_shape(array.shape)
        raise DataError(
            f"{place}: {name} must be {_describe_shape(shape)}; got {actual}; correct or drop it"
        )
    if not np.isfinite(array).all():
        first = array[~np.isfinite(array)][0]
        raise DataError(f"{place}: {name} holds {first}; correct or drop it")
    return array


def _describe_shape(shape: tuple[int, ...]) -> str:
    return f"{' x '.join(map(str, shape))} numbers" if shape else "a number"


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Pydantic's parser, with Python's garbage collection off, reads COCO's annotations in less than
    half of the time of Python's json (benchmarks/annotations.py).

    Args:
        path: The file.

    Raises:
        DataError: The file is not JSON, or its lists are nested more than about 200 deep.
    """
    text = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    was_collecting = gc.isenabled()
    gc.disable()
    try:
        return from_json(text)
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}; copy it again") from None
    finally:
        if was_collecting:
            gc.enable()


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

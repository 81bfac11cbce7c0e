"""What others wrote, read with care: JSON, MAT-files, and the numbers and names in them."""

import codecs
import gc
import os
import struct
import zlib
from pathlib import Path, PurePath

import numpy as np
from pydantic_core import from_json
from scipy.io import loadmat

from posenfs.data.sample import DataError

_PACKED = 15  # MAT-files' number for a part that zlib has packed


def image_name(place: str, name: object) -> str:
    """A picture's name as an annotation gives it; raises DataError, naming the place, unless it stays in its folder."""
    if not isinstance(name, str) or not name:
        raise DataError(f"{place}: no image name, but {name!r:.80}")
    path = PurePath(name)
    if path.is_absolute() or ".." in path.parts:
        raise DataError(f"{place} ({name}): an image path must stay inside the folder of pictures")
    return name


def finite_numbers(place: str, name: str, value: object, shape: tuple[int, ...]) -> np.ndarray:
    """float64 of this shape, () for one number; raises DataError, naming the place, for anything else."""
    try:
        array = None if value is None else np.asarray(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        array = None
    if array is None or array.shape != shape:
        found = f"{value!r:.80}" if array is None else _counted(array.shape)
        raise DataError(f"{place}: {name} must be {_counted(shape)}; got {found}; correct or drop it")
    if not np.isfinite(array).all():
        raise DataError(f"{place}: {name} holds {array[~np.isfinite(array)][0]}; correct or drop it")
    return array


def _counted(shape: tuple[int, ...]) -> str:
    return f"{' x '.join(map(str, shape))} numbers" if shape else "a number"


def read_json(path: Path) -> object:
    """Raises DataError where the file is no JSON, or more than some 200 lists deep.

    By pydantic's parser, and while Python does not look for garbage among the millions of objects of a large file:
    COCO's annotations are read in less than half of the time (benchmarks/annotations.py).
    """
    text, collecting = path.read_bytes().removeprefix(codecs.BOM_UTF8), gc.isenabled()
    gc.disable()
    try:
        return from_json(text)
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}; copy it again") from None
    finally:
        if collecting:
            gc.enable()


def read_mat(path: Path, **options: bool | list[str]) -> dict[str, np.ndarray]:
    """scipy's loadmat, after the checksums of what is packed; of a broken file it raises nearly anything."""
    _check_sums(path)
    return loadmat(path, **options)


def _check_sums(path: Path) -> None:
    """Unpack what is packed, as all of the original is: zlib knows by a checksum what is damaged, and raises.

    Scipy's parser does not wait for that; a damaged size or type can crash the process.
    """
    with open(path, "rb") as file:
        order = {b"IM": "<", b"MI": ">"}.get(file.read(128)[126:], "<")
        while len(tag := file.read(8)) == 8:
            kind, size = struct.unpack(f"{order}II", tag)
            if kind == _PACKED:
                zlib.decompress(file.read(size))
            else:
                file.seek(size, os.SEEK_CUR)

"""Files written whole or not at all, and MAT-files read with care."""

import contextlib
import os
import struct
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.io import loadmat

_HALF = ".half"  # in the names of files that are not whole yet, and of no others
_PACKED = 15  # MAT-files' number for a part that zlib has packed


def write_whole(path: Path, content: str | bytes, sync: bool = True) -> None:
    """Write a file beside, sync, rename: readers see the old one or the new one. Without sync, for one of thousands,
    that holds unless the machine fails."""
    with beside(path, sync) as written:
        written.write_bytes(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def beside(path: Path, sync: bool = True) -> Iterator[Path]:
    """A file to write in the place of `path`: it takes that place once it is whole, and goes where writing fails."""
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=_HALF + path.suffix, dir=path.parent)
    os.close(handle)
    written = Path(name)
    try:
        yield written
        if sync:
            with open(written, "rb") as file:
                os.fsync(file.fileno())
        written.chmod(0o644)
        os.replace(written, path)
    finally:
        written.unlink(missing_ok=True)


def left_half(folder: Path) -> Iterator[Path]:
    """What a killed `beside` left in a folder."""
    return folder.glob(f".*{_HALF}*")


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

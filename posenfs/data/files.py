"""Files written whole or not at all."""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

_HALF = ".half"  # in the names of files that are not whole yet, and of no others


def write_whole(path: Path, content: str | bytes, sync: bool = True) -> None:
    """Write a file beside, sync, rename: readers see the old one or the new one. Without sync, for one of thousands,
    that holds unless the machine fails."""
    with beside(path, sync) as written:
        written.write_bytes(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def beside(path: Path, sync: bool = True) -> Iterator[Path]:
    """A file to write in the place of `path`: it takes that place once it is whole, and goes where writing fails."""
    written = _temporary(path)
    try:
        yield written
        if sync:
            with open(written, "rb") as file:
                os.fsync(file.fileno())
        os.replace(written, path)
    except OSError as error:  # a full disk is reported without a path, or with that of the temporary file
        if error.errno is None or error.filename not in (None, str(written)):
            raise
        raise type(error)(error.errno, error.strerror, str(path)) from None
    finally:
        written.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    """A new empty file beside `path`, with the permissions of any new file in that folder."""
    written = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{_HALF}{path.suffix}")
    try:
        written.touch(exist_ok=False)
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from None
    return written


def check_writable(path: Path) -> None:
    """Make the folder of a file that is written after hours of work, and raise OSError now if that cannot be."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    _temporary(path).unlink()


def left_half(folder: Path) -> Iterator[Path]:
    """What a killed `beside` left in a folder."""
    return folder.glob(f".*{_HALF}*")

"""Files written whole or not at all."""

import contextlib
import errno
import os
import secrets
import tempfile
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


def check_output_folder(folder: Path, option: str = "--output") -> None:
    """Check that files can be written into a folder; missing folders on the way to it count as sound.

    Nothing stays on disk.

    Args:
        folder: The folder, which need not exist yet.
        option: The option to name in the message.

    Raises:
        ValueError: The folder or one above it is a file, or nothing can be written there.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not existing.is_dir():
        place = "is a file" if existing == folder else f"cannot be made: {existing} is no folder"
        raise ValueError(f"{folder} {place}; choose a folder ({option})")
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise ValueError(f"cannot write into {existing}: {error.strerror}; choose another folder ({option})") from None


def check_output_file(path: Path, option: str = "--output") -> None:
    """Check that a file can be written; missing folders on the way to it count as sound.

    Args:
        path: The file, which may exist and would be replaced.
        option: The option to name in the message.

    Raises:
        ValueError: The path is a folder, or nothing can be written there.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file ({option})")
    check_output_folder(path.parent, option)

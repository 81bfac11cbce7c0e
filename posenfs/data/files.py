"""Files written whole or not at all."""

import contextlib
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
    written = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{_HALF}{path.suffix}")
    try:
        written.touch(exist_ok=False)  # with the rights that any new file has here
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from None
    try:
        yield written
        if sync:
            with open(written, "rb") as file:
                os.fsync(file.fileno())
        os.replace(written, path)
    finally:
        written.unlink(missing_ok=True)


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

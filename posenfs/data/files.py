"""Atomic writes: a file is written completely or not at all."""

import contextlib
import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

_TEMPORARY = ".half"  # in the names of temporary files, and of no others


def write_atomic(path: Path, content: str | bytes, sync: bool = True) -> None:
    """Write a file atomically: readers see the old file or the new one.

    Args:
        path: The file.
        content: Its new content.
        sync: Whether to flush the file to the disk. Without it (for thousands of files) a crash of
            the machine can leave an incomplete file.
    """
    with atomic_path(path, sync) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def atomic_path(path: Path, sync: bool = True) -> Iterator[Path]:
    """Give a temporary file that replaces `path` at the end, or is deleted if writing fails.

    Args:
        path: The file to replace.
        sync: Whether to flush the temporary file to the disk.
    """
    temporary = _create_temporary(path)
    try:
        yield temporary
        if sync:
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:  # a full disk gives no path, or that of the temporary file
        if error.errno is None or error.filename not in (None, str(temporary)):
            raise
        raise type(error)(error.errno, error.strerror, str(path)) from None
    finally:
        temporary.unlink(missing_ok=True)


def _create_temporary(path: Path) -> Path:
    """Create an empty file beside `path`, with the permissions of any new file in that folder."""
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{_TEMPORARY}{path.suffix}")
    try:
        temporary.touch(exist_ok=False)
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from None
    return temporary


def temporary_files(folder: Path) -> Iterator[Path]:
    """Return the temporary files that killed processes have left in a folder."""
    return folder.glob(f".*{_TEMPORARY}*")


def check_output_folder(folder: Path, option: str = "--output") -> None:
    """Check that files can be written into a folder. Missing folders can be created later.

    Nothing is left on the disk.

    Args:
        folder: The folder, which need not exist yet.
        option: The option to name in the message.

    Raises:
        ValueError: The folder or one above it is a file, or nothing can be written there.
    """
    existing = folder
    for existing in (folder, *folder.absolute().parents):
        if os.path.lexists(existing):
            break
    if not existing.is_dir():
        fault = "is a file" if existing == folder else f"cannot be created: {existing} is no folder"
        raise ValueError(f"{folder} {fault}; choose a folder ({option})")
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise ValueError(
            f"cannot write into {existing}: {error.strerror}; choose another folder ({option})"
        ) from None


def check_output_file(path: Path, option: str = "--output") -> None:
    """Check, before long work, that a file can be written. Missing folders can be created later.

    Args:
        path: The file, which may exist and would be replaced.
        option: The option to name in the message.

    Raises:
        ValueError: The path is a folder, or nothing can be written there.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give a file ({option})")
    check_output_folder(path.parent, option)

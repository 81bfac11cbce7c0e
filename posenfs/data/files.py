"""Atomic writes: a file is written completely or not at all."""

import contextlib
import errno
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from posenfs.errors import PosenfsError

_TEMPORARY = ".half"  # in the names of temporary files, and of no others
_FULL = {errno.ENOSPC: "no space is left on the device", errno.EDQUOT: "the disk quota is used up"}
_FULL_TEXT = re.compile(r"No space left on device|code: 28\b|os error 28\b|StorageFull")
_MB = 10**6


class DiskFullError(PosenfsError, OSError):
    """A file cannot be written, as the disk is full. The message names it, and the free space."""


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
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{_TEMPORARY}{path.suffix}")
    with naming_errors(path, temporary):
        try:
            # Created here, it has the permissions of any new file in that folder.
            temporary.touch(exist_ok=False)
            yield temporary
            if sync:
                with open(temporary, "rb") as file:
                    os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def naming_errors(
    path: Path, temporary: Path | None = None, needed: int | None = None
) -> Iterator[None]:
    """Name a file in the errors of writing it; those of a full disk become DiskFullError.

    Args:
        path: The file.
        temporary: The file that is written in its place.
        needed: Its size in bytes, if that is known.

    Raises:
        DiskFullError: The disk is full, whichever library found out.
        OSError: As in the context, with the path of the file.
    """
    try:
        yield
    except DiskFullError:
        raise
    except Exception as error:
        if (reason := _full_disk(error)) is not None:
            raise DiskFullError(_full_message(path, reason, needed)) from None
        if not isinstance(error, OSError) or error.errno is None:
            raise
        if error.filename not in (None, str(temporary)):
            raise
        raise type(error)(error.errno, error.strerror, str(path)) from None


def _full_disk(error: BaseException | None) -> str | None:
    """Return why an error, or one that it followed, means a full disk; else None.

    torch and zipfile raise errors of their own after one of the operating system; safetensors has
    its number in the text.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return _FULL[error.errno]
        if _FULL_TEXT.search(str(error)):
            return _FULL[errno.ENOSPC]
        error = error.__cause__ or error.__context__
    return None


def _full_message(path: Path, reason: str, needed: int | None) -> str:
    existing = next(folder for folder in path.absolute().parents if folder.is_dir())
    space = f"{shutil.disk_usage(existing).free / _MB:.1f} MB free"
    if needed is not None:
        space = f"{needed / _MB:.1f} MB needed, {space}"
    return (
        f"cannot read or write {path}: {reason} ({space}); free some space, or choose another place"
    )


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

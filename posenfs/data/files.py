"""Files written whole or not at all."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write a text file beside, sync, rename: readers see the old one or the new one."""
    with beside(path) as written:
        written.write_text(text)


@contextlib.contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A file to write in the place of `path`: it takes that place once it is whole, and goes where writing fails."""
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    written = Path(name)
    try:
        yield written
        with open(written, "rb") as file:
            os.fsync(file.fileno())
        written.chmod(0o644)
        os.replace(written, path)
    finally:
        written.unlink(missing_ok=True)

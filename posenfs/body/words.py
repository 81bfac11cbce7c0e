"""Names, counts and errors as they stand in a sentence or a picture; notes to the reader."""

import difflib
import errno
import sys
from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

# What the operating system refuses: the reason, and what to do.
_FILE_ERRORS = {
    errno.ENOENT: ("there is no such file or folder", "check its name"),
    errno.EACCES: ("permission denied", "choose another place, or change its permissions"),
    errno.EPERM: ("the operation is not permitted", "choose another place"),
    errno.EROFS: ("its file system is read-only", "choose another place"),
    errno.ENOSPC: ("no space is left on the device", "free some space, or choose another place"),
    errno.EDQUOT: ("the disk quota is used up", "free some space, or choose another place"),
    errno.EEXIST: ("it is a file where a folder is needed", "choose another place"),
    errno.EISDIR: ("it is a folder where a file is needed", "give a file"),
}


def plain_name(name: str) -> str:
    """left_elbow -> left elbow, lower_limb_part -> lower limb."""
    return name.removesuffix("_part").replace("_", " ")


def many(count: int, one: str, several: str | None = None) -> str:
    """1 box, 2 boxes."""
    return f"{count} {one if count == 1 else several or one + 's'}"


def reason_of(error: BaseException, most: int = 200) -> str:
    """The first line of an error's words, of at most so many characters; its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:most]


def message_of(error: BaseException) -> str:
    """An error's message; for one of the operating system a sentence with the path, the reason and the next step."""
    if not isinstance(error, OSError) or error.errno is None or error.strerror is None:
        return str(error)
    reason, step = _FILE_ERRORS.get(error.errno, (error.strerror, "check the disk, or choose another place"))
    if error.filename is None:
        return f"cannot read or write a file: {reason}; {step}"
    path = Path(str(error.filename))
    blocking = next((parent for parent in path.parents if parent.exists() and not parent.is_dir()), None)
    if blocking is not None:
        reason, step = f"{blocking} is a file where a folder is needed", "choose another place"
    elif error.errno == errno.ENOENT and not path.parent.exists():
        reason, step = f"there is no folder {path.parent}", "make it, or correct its name"
    return f"cannot read or write {path}: {reason}; {step}"


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean search?" with the known names that resemble this one, or "." where none does."""
    similar = difflib.get_close_matches(name, list(known), n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(similar)}?" if similar else "."


def unknown_entry(kind: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that is missing in one of the dicts that plugins add to."""
    known = list(known)
    return (
        f"unknown {kind} {name!r}; known: {', '.join(known)}{suggestion(name, known)} One of your own comes from a "
        "plugin: --plugin FILE, or POSENFS_PLUGINS (docs/extending.md)"
    )


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def note(text: str) -> None:
    """Print a note above any progress bar.

    A notebook shows stderr in red, as if something were wrong: there a note goes to stdout. Elsewhere it goes to
    stderr, because the stdout of a command is for its results.
    """
    tqdm.write(text, file=sys.stdout if in_notebook() else sys.stderr)

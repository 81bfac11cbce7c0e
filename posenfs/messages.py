"""Helpers for messages: readable names, counts, errors and suggestions."""

import difflib
import errno
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from tqdm import tqdm

# For each error number of the operating system: the reason, and what to do.
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
    """Return a readable name: left_elbow -> left elbow, lower_limb_part -> lower limb."""
    return name.removesuffix("_part").replace("_", " ")


def many(count: int, singular: str, plural: str | None = None) -> str:
    """Return a count with its noun: 1 box, 2 boxes.

    Args:
        count: The number.
        singular: The noun for one.
        plural: The noun for another number; None adds an s to the singular.
    """
    return f"{count} {singular if count == 1 else plural or singular + 's'}"


def describe_doubts(left_out: Mapping[str, int], doubtful: Mapping[str, int]) -> list[str]:
    """Return a sentence about what is left out of a data set, and one about what is doubtful.

    Args:
        left_out: Reason -> number of people that are not read.
        doubtful: Reason -> number of people or images that are kept, see `describe_counts`.

    Returns:
        At most two sentences; an empty list for a set without either.
    """
    sentences = {"left out": left_out, "doubtful": doubtful}
    return [
        f"{title}: {'; '.join(describe_counts(reasons))}"
        for title, reasons in sentences.items()
        if reasons
    ]


def describe_counts(reasons: Mapping[str, int]) -> list[str]:
    """Return "3 images of a single colour" or "2 people (crowd)" for each reason with its count.

    Args:
        reasons: Reason -> number of what its first word names (image, box, person), or of people.
    """
    return [_counted(reason, count) for reason, count in reasons.items()]


def _counted(reason: str, count: int) -> str:
    for singular, plural in (("image", "images"), ("box", "boxes"), ("person", "people")):
        if reason.startswith(f"{singular} "):
            return f"{many(count, singular, plural)}{reason.removeprefix(singular)}"
    return f"{many(count, 'person', 'people')} ({reason})"


def error_reason(error: BaseException, max_length: int = 200) -> str:
    """Return the first line of an error's message, or its class name where the message is empty.

    Args:
        error: The error.
        max_length: The greatest number of characters to return.
    """
    lines = str(error).strip().splitlines()
    reason = lines[0] if lines else type(error).__name__
    return reason[:max_length]


def error_message(error: BaseException) -> str:
    """Return an error's message.

    An error of the operating system becomes a sentence with the path, the reason and the next step.
    An error without a message is described by its class name.
    """
    if not isinstance(error, OSError) or error.errno is None or error.strerror is None:
        return str(error) or type(error).__name__
    default = (error.strerror, "check the disk, or choose another place")
    reason, step = _FILE_ERRORS.get(error.errno, default)
    if error.filename is None:
        return f"cannot read or write a file: {reason}; {step}"
    path = Path(str(error.filename))
    # os.path raises no error for a folder that cannot be looked into.
    files_in_path = [p for p in path.parents if os.path.exists(p) and not os.path.isdir(p)]
    if files_in_path:
        reason = f"{files_in_path[0]} is a file where a folder is needed"
        step = "choose another place"
    elif error.errno == errno.ENOENT and not os.path.exists(path.parent):
        reason = f"there is no folder {path.parent}"
        step = "create it, or correct its name"
    return f"cannot read or write {path}: {reason}; {step}"


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name.

    Args:
        name: The unknown name.
        known: The known names.

    Returns:
        "; did you mean search?" with the similar known names, or "." where none is similar.
    """
    similar = difflib.get_close_matches(name, list(known), n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(similar)}?" if similar else "."


def unknown_entry(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the message for a name that is missing in a dict that plugins can extend.

    Args:
        kind: What the dict holds, such as backbone.
        name: The missing name.
        known: The names in the dict.
    """
    known = list(known)
    return (
        f"unknown {kind} {name!r}; known: {', '.join(known)}{suggestion(name, known)} A plugin can "
        "add more: --plugin FILE, or POSENFS_PLUGINS (docs/extending.md)"
    )


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def note(text: str) -> None:
    """Print a note above any progress bar.

    A notebook shows stderr in red, as if something were wrong: there a note goes to stdout.
    Elsewhere it goes to stderr, because the stdout of a command is for its results.
    """
    tqdm.write(text, file=sys.stdout if in_notebook() else sys.stderr)

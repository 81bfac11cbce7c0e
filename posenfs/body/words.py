"""Names, counts and errors as they stand in a sentence or a picture; notes to the reader."""

import sys

from tqdm import tqdm


def plain_name(name: str) -> str:
    """left_elbow -> left elbow, lower_limb_part -> lower limb."""
    return name.removesuffix("_part").replace("_", " ")


def many(count: int, one: str, several: str | None = None) -> str:
    """1 box, 2 boxes."""
    return f"{count} {one if count == 1 else several or one + 's'}"


def reason_of(error: BaseException, most: int = 200) -> str:
    """The first line of an error's words, of at most so many characters; its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:most]


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

"""Reading of the files of a run, any of which may be broken: a full disk or a crash leaves such."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from posenfs.messages import error_reason
from posenfs.search.checkpoints import RunError

_RESUME = "delete it, and `posenfs resume` writes it again from the last checkpoint"
# What to do about a broken file; about others: _RESTORE.
_REMEDIES = {"status.json": _RESUME, "metrics.json": _RESUME}
_RESTORE = "restore it from a copy, or move the run's folder away"
# The types of the fields that are read; of a field that may be missing but not null.
_TYPES: Mapping[str, Mapping[str, type | tuple[type, ...]]] = {
    "status.json": {
        **dict.fromkeys(("state", "primary_metric", "error", "process", "host"), str),
        **dict.fromkeys(("step", "steps", "epoch", "epochs", "command"), int),
        "heartbeat": (int, float),
        "metrics": dict,
    },
    "metrics.json": {
        **dict.fromkeys(("multiply_adds", "params"), (int, float)),
        **dict.fromkeys(("metrics", "mean_pose", "intervals"), dict),
        "primary_metric": str,
        "interval": (dict, type(None)),
    },
    "provenance.json": {"data": dict, "versions": dict, "branch": dict},
}


_REQUIRED = {"provenance.json": ("data", "versions", "device", "threads")}


def broken(path: Path, reason: str) -> RunError:
    """Return the error for a broken file of a run.

    Args:
        path: The file.
        reason: What is wrong with it.
    """
    return RunError(f"{path} is broken: {reason}; {_REMEDIES.get(path.name, _RESTORE)}")


def read_object(path: Path) -> dict:
    """Return the object of a JSON file, or {} where there is no file.

    Raises:
        RunError: The file is empty, no JSON, or holds something else.
    """
    try:
        text = path.read_text()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise broken(path, f"it cannot be read ({error_reason(error)})") from None
    if not text.strip():
        raise broken(path, f"it is empty ({len(text)} bytes)")
    try:
        content = json.loads(text)
    except ValueError as error:
        raise broken(path, f"it is not JSON ({error})") from None
    if not isinstance(content, dict):
        raise broken(path, f"it holds no object but {text:.40}")
    _check_types(path, content)
    return content


def _check_types(path: Path, content: Mapping) -> None:
    for name in _REQUIRED.get(path.name, ()):
        if name not in content:
            raise broken(path, f"it has no {name}")
    for name, expected in _TYPES.get(path.name, {}).items():
        if name in content and not isinstance(content[name], expected):
            raise broken(path, f"{name} is {content[name]!r:.40}")
    for name, value in content.get("metrics", {}).items():
        if not isinstance(value, int | float | None):
            raise broken(path, f"the metric {name} is {value!r:.40}")


def read_lines(path: Path) -> list[dict]:
    """Return the rows of a .jsonl file; an incomplete last line is left out.

    Raises:
        RunError: Another line is broken.
    """
    if not path.is_file():
        return []
    *lines, _ = path.read_bytes().split(b"\n")  # what follows the last newline is incomplete
    return parse_lines(path, lines)


def parse_lines(path: Path, lines: Iterable[bytes], first: int = 1) -> list[dict]:
    """Return the rows of some lines of a .jsonl file.

    Args:
        path: The file.
        lines: Complete lines.
        first: The number of the first of them in the file.

    Raises:
        RunError: A line holds no JSON object.
    """
    rows = []
    for number, line in enumerate(lines, first):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise broken(path, f"line {number} is {line.decode(errors='replace')!r:.40}")
        rows.append(row)
    return rows


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file, or {} where there is no file.

    Raises:
        RunError: The file is broken.
    """
    try:
        with np.load(path) as file:
            return dict(file)
    except FileNotFoundError:
        return {}
    except Exception as error:  # of a broken file numpy raises nearly anything
        raise broken(path, f"it is no .npz file ({error_reason(error)})") from None

"""Reads state dicts that others wrote, in the wrappings in which they are distributed."""

import argparse
import re
import warnings
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from posenfs.errors import PosenfsError
from posenfs.model.tensors import read_tensors

# Names under which training scripts save a state dict beside other things, by preference.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "network", "net")
# Beginnings of every name, by DataParallel (also distributed) and by torch.compile.
_NAME_WRAPPERS = ("module.", "_orig_mod.")
# What files hold beside tensors: the options of a script, and numbers and arrays of numpy, with the
# functions and types that make up their pickle. None of it runs code of the file: arrays of Python
# objects ("O") are left out.
_NUMPY_FUNCTIONS = {
    "scalar": np.float64(0).__reduce__()[0],
    "_reconstruct": np.zeros(0).__reduce__()[0],
}
_SAFE_GLOBALS: list[Any] = [
    argparse.Namespace,
    np.ndarray,
    np.dtype,
    *{type(np.dtype(code)) for code in np.typecodes["All"] if code not in "OV"},
    *(
        (function, f"numpy.{core}.multiarray.{name}")
        for core in ("core", "_core")  # of numpy 1 and 2
        for name, function in _NUMPY_FUNCTIONS.items()
    ),
]


class WeightsError(PosenfsError, ValueError):
    """A file of weights cannot be used.

    The message names the file, what it holds and the next step.
    """


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name, on the CPU, without the wrappers around them.

    A state dict inside other dicts (`state_dict`, `model`, …) is found there. `module.` and
    `_orig_mod.` at the beginning of names are removed. Arrays of numpy become tensors; numbers and
    texts beside the tensors are ignored. No code of the file is run.

    Args:
        path: A file of torch.save or of safetensors.

    Raises:
        WeightsError: The file is damaged, holds no state dict, or would run code.
    """
    content = _unwrapped(path, _load(path))
    state = {}
    for key, value in content.items():
        if isinstance(value, np.ndarray):
            value = torch.from_numpy(value.copy())
        if isinstance(value, Tensor):
            state[_plain_name(str(key))] = value.detach()
    return state


def under_prefix(
    path: Path, state: Mapping[str, Tensor], expected: Collection[str]
) -> dict[str, Tensor]:
    """Return the tensors of one module of a larger network, by their names inside the module.

    The module is the one below which most of the expected names are: `backbone.`, `features.`, or
    the whole file.

    Args:
        path: The file of the tensors, for the error message.
        state: The tensors by name.
        expected: The names that the module has, such as `0.0.weight`.

    Raises:
        WeightsError: Two modules have equally many of the names.
    """
    expected = set(expected)
    counts: Counter[str] = Counter()
    for key in state:
        for place in (0, *(match.end() for match in re.finditer(r"\.", key))):
            if key[place:] in expected:
                counts[key[:place]] += 1
    most = max(counts.values(), default=0)
    prefixes = [prefix for prefix, count in counts.items() if count == most]
    if "" in prefixes or not prefixes:
        return dict(state)
    if len(prefixes) > 1:
        raise WeightsError(
            f"{path} holds such weights in several places: {', '.join(sorted(prefixes))}; write "
            "those of one into a file of their own"
        )
    [prefix] = prefixes
    return {key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)}


def names_in(state: Mapping[str, Tensor]) -> str:
    """Return the first names of a state dict, for error messages."""
    return ", ".join(list(state)[:3]) + (", …" if len(state) > 3 else "")


def _load(path: Path) -> Any:
    """Return the content of a file of torch.save or of safetensors."""
    with path.open("rb") as file:
        head = file.read(16)
    if head[8:9] == b"{":  # a safetensors file: the length of its header, and the header in JSON
        try:
            return read_tensors(path)[0]
        except ValueError as error:
            raise WeightsError(str(error)) from None
    try:
        with torch.serialization.safe_globals(_SAFE_GLOBALS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about files that are refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises nearly any exception for a foreign file
        raise WeightsError(f"{path} {_problem(head, f'{type(error).__name__} {error}')}") from None


def _problem(head: bytes, message: str) -> str:
    """Return what is wrong with a file that torch cannot load, and the next step.

    Args:
        head: The first bytes of the file.
        message: The class and the message of torch's error, whose advice is not safe.
    """
    if not head.startswith((b"PK", b"\x80")):  # a zip archive or a pickle, as torch.save writes
        return (
            f"is no file of torch.save or safetensors (it begins with {head!r}); give one with a "
            "state dict"
        )
    if "TorchScript" in message:
        return f"is a TorchScript archive; {_STATE_DICT}"
    if re.search(r"PytorchStreamReader|EOF|corrupt", message):
        return "is damaged or incomplete; download or copy it again"
    names = ", ".join(dict.fromkeys(re.findall(r"GLOBAL `?([\w.]+)", message)))
    return (
        f"holds other things than tensors and numbers{names and f' ({names})'}. A file that would "
        f"run code when loaded is refused; {_STATE_DICT}"
    )


_STATE_DICT = "ask its author for a state dict: torch.save(network.state_dict(), FILE)"


def _unwrapped(path: Path, content: Any) -> Mapping:
    """Return the dict that holds the tensors of the network itself."""
    while isinstance(content, Mapping):
        inner = {str(key): value for key, value in content.items() if _holds_tensors(value)}
        if wrappers := [name for name in _WRAPPERS if name in inner]:
            content = inner[wrappers[0]]
            continue
        if any(map(_is_tensor, content.values())):
            return content
        # The state of an optimizer holds its tensors one level deeper.
        direct = [name for name in inner if any(map(_is_tensor, inner[name].values()))]
        candidates = direct or list(inner)
        if len(candidates) == 1:
            content = inner[candidates[0]]
            continue
        problem = "several state dicts" if candidates else "no tensors; its entries"
        names = ", ".join(candidates or map(str, list(content)[:8])) or "none"
        raise WeightsError(f"{path} holds {problem}: {names}. Give a file with one state dict")
    raise WeightsError(f"{path} holds a {type(content).__name__}, not a state dict")


def _is_tensor(value: object) -> bool:
    return isinstance(value, Tensor | np.ndarray)


def _holds_tensors(value: object) -> bool:
    """Whether a value is a dict with tensors in it, or in dicts in it."""
    return isinstance(value, Mapping) and any(
        _is_tensor(item) or _holds_tensors(item) for item in value.values()
    )


def _plain_name(name: str) -> str:
    """Return the name of a tensor without the wrappers of its network."""
    while name.startswith(_NAME_WRAPPERS):
        name = name.partition(".")[2]
    return name

"""Initial weights from a file: what of it fits a module, said in words."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn
from torchvision.models import WeightsEnum

_Network = TypeVar("_Network", bound=nn.Module)
BY_FILE = "--backbone-weights FILE (of ablate: --weights NETWORK=FILE)"  # instead of a download


def load_weights(module: nn.Module, path: Path, prefix: str = "") -> str:
    """Load into a module what a state dict holds for it, by names without the prefix; returns how many tensors matched.

    Raises FileNotFoundError, or ValueError where the file is none or lacks a tensor.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"no backbone weights at {path}; give a file with a state dict, or none"
        )
    state = read_state(path)
    given = {str(key).removeprefix(prefix): value for key, value in state.items()}
    own = module.state_dict()
    matched = {
        key: given[key] for key in own if getattr(given.get(key), "shape", None) == own[key].shape
    }
    # counts of batches are in no file older than 2018, and nothing reads them where momentum is set
    lacking = [key for key in own if key not in matched and not key.endswith("num_batches_tracked")]
    if lacking:
        raise ValueError(
            f"{path}: only {len(matched)} of the backbone's {len(own)} tensors match; lacking or of another shape: "
            f"{', '.join(lacking[:3])}{', …' if len(lacking) > 3 else ''}"
        )
    module.load_state_dict(matched, strict=False)
    return f"{len(matched)} of {len(own)} tensors matched, of {len(state)} in {path.name}"


def read_state(path: Path) -> dict:
    """The state dict of a file, on the CPU; raises ValueError where it is none."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # of a foreign file torch raises nearly anything
        raise ValueError(
            f"{path} is not a file of torch.save; give a .pth with a state dict"
        ) from None
    if not isinstance(state, dict):
        raise ValueError(f"{path} holds a {type(state).__name__}, not a state dict")
    return state


def download(build: Callable[..., _Network], weights: WeightsEnum, instead: str) -> _Network:
    """One of torchvision's networks with weights that it downloads, unless it has them already. Raises OSError, with
    what to give `instead`, where they cannot be had."""
    try:
        return build(weights=weights)
    except OSError as error:  # what urllib raises has a reason
        raise OSError(
            f"cannot download {weights.url} ({getattr(error, 'reason', error)}): give {instead}"
        ) from None

"""Base class of the backbones, and their initial weights from a file or a download."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn
from torchvision.models import WeightsEnum

_Network = TypeVar("_Network", bound=nn.Module)
BY_FILE = "--backbone-weights FILE (of ablate: --weights NETWORK=FILE)"  # instead of a download


class Backbone(nn.Module):
    """Images [B, 3, H, W] -> maps [B, channels, H / stride, W / stride], finest first.

    A backbone needs these attributes; it need not be a subclass.

    Attributes:
        channels: The channels of its maps.
        strides: The strides of its maps.
        initial_weights: The origin of its weights, as text.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    initial_weights: str


def load_weights(module: nn.Module, path: Path, prefix: str = "") -> str:
    """Load the tensors of a module from a state dict, by name.

    Args:
        module: The module.
        path: The file with the state dict.
        prefix: A prefix of the names in the file.

    Returns:
        A text that says how many tensors match.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file holds no state dict, or it lacks a tensor.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"no backbone weights at {path}; give a file with a state dict, or no weights"
        )
    state = read_state(path)
    tensors = {str(key).removeprefix(prefix): value for key, value in state.items()}
    expected = module.state_dict()
    matched = {}
    for key, tensor in expected.items():
        if getattr(tensors.get(key), "shape", None) == tensor.shape:
            matched[key] = tensors[key]
    # Files older than 2018 have no counts of batches, and with a fixed momentum nothing reads them.
    missing = [
        key for key in expected if key not in matched and not key.endswith("num_batches_tracked")
    ]
    if missing:
        more = ", …" if len(missing) > 3 else ""
        raise ValueError(
            f"{path}: only {len(matched)} of the backbone's {len(expected)} tensors match; "
            f"missing or of another shape: {', '.join(missing[:3])}{more}"
        )
    module.load_state_dict(matched, strict=False)
    return f"{len(matched)} of {len(expected)} tensors matched, of {len(state)} in {path.name}"


def read_state(path: Path) -> dict:
    """Return the state dict of a file, on the CPU; raise ValueError where it holds none."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises nearly any exception for a foreign file
        raise ValueError(
            f"{path} is not a file of torch.save; give a .pth with a state dict"
        ) from None
    if not isinstance(state, dict):
        raise ValueError(f"{path} holds a {type(state).__name__}, not a state dict")
    return state


def download(build: Callable[..., _Network], weights: WeightsEnum, instead: str) -> _Network:
    """Create a network of torchvision with weights that are downloaded unless they are cached.

    Args:
        build: torchvision's function that creates the network.
        weights: torchvision's weights.
        instead: The option to give where the download fails, for the error message.

    Raises:
        OSError: The weights cannot be downloaded.
    """
    try:
        return build(weights=weights)
    except OSError as error:  # the errors of urllib have a reason
        reason = getattr(error, "reason", error)
        raise OSError(f"cannot download {weights.url} ({reason}): give {instead}") from None

"""Base class of the backbones, and their initial weights from a file or a download."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from torch import nn
from torchvision.models import WeightsEnum

from posenfs.model.state_dicts import WeightsError, names_in, read_state_dict, under_prefix

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


def load_weights(module: nn.Module, path: Path, name: str = "the backbone") -> str:
    """Load the tensors of a module from a state dict, by name.

    The names may have a prefix, such as `backbone.` or `features.`.

    Args:
        module: The module.
        path: The file with the state dict (see `read_state_dict`).
        name: What the module is, for error messages.

    Returns:
        A text that says how many tensors match.

    Raises:
        FileNotFoundError: There is no such file.
        WeightsError: The file holds no state dict, or it lacks a tensor.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"no weights of {name} at {path}; give a file with a state dict, or no weights"
        )
    state, expected = read_state_dict(path), module.state_dict()
    tensors = under_prefix(path, state, expected)
    matched = {}
    for key, tensor in expected.items():
        if key in tensors and tensors[key].shape == tensor.shape:
            matched[key] = tensors[key]
    # Files older than 2018 have no counts of batches, and with a fixed momentum nothing reads them.
    missing = [
        key for key in expected if key not in matched and not key.endswith("num_batches_tracked")
    ]
    if missing:
        more = ", …" if len(missing) > 3 else ""
        raise WeightsError(
            f"{path}: only {len(matched)} of the {len(expected)} tensors of {name} match the "
            f"{len(state)} of the file ({names_in(state)}); missing or of another shape: "
            f"{', '.join(missing[:3])}{more}"
        )
    if broken := [key for key, tensor in matched.items() if not tensor.isfinite().all()]:
        raise WeightsError(
            f"{path}: {broken[0]} holds numbers that are not finite; use another checkpoint"
        )
    module.load_state_dict(matched, strict=False)
    return f"{len(matched)} of {len(expected)} tensors matched, of {len(state)} in {path.name}"


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

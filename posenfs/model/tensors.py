"""The tensors of a network: in a safetensors file, which runs no code when it is read; a hash."""

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn


def write_tensors(path: Path, model: nn.Module, dtype: torch.dtype | None = None) -> None:
    """Write all parameters and buffers, and the name of the model's class.

    Args:
        path: The file to write.
        model: The network.
        dtype: The precision of floating-point tensors in the file; None: as they are.
    """
    state = {}
    for name, tensor in model.state_dict().items():
        tensor = tensor.detach().cpu().contiguous()
        state[name] = tensor.to(dtype) if dtype and tensor.is_floating_point() else tensor
    save_file(state, path, {"network": type(model).__name__})


def read_tensors(path: Path) -> tuple[dict[str, Tensor], str]:
    """Read the tensors by name, and the name of the class of the network.

    Numbers of half precision are converted to float32.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not a safetensors file, or it is damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}; a run writes them when it finishes")
    try:
        with safe_open(path, "pt") as file:
            network = (file.metadata() or {}).get("network", "")
            names = file.keys()
            state = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path} cannot be read as safetensors ({error}); write it again"
        ) from None
    for name, tensor in state.items():
        if tensor.dtype in (torch.float16, torch.bfloat16):
            state[name] = tensor.float()
    return state, network


def fill(model: nn.Module, state: dict[str, Tensor], source: Path) -> None:
    """Copy tensors into a model that has the same names and shapes.

    A tensor of double precision turns the whole model into double precision.

    Args:
        model: The network to fill.
        state: The tensors by name.
        source: Their file, for the error message.

    Raises:
        ValueError: A tensor differs; the message names the first one.
    """
    model_state = model.state_dict()
    for name in [*model_state, *state]:
        shape, expected = _shape(state, name), _shape(model_state, name)
        if shape != expected:
            raise ValueError(
                f"{source} is of another network: for {name} it has {shape}; needed is {expected}"
            )
    if any(tensor.dtype == torch.float64 for tensor in state.values()):
        model.double()
    model.load_state_dict(state)


def weights_hash(model: nn.Module) -> str:
    """Return 12 hexadecimal digits over the names, types, shapes and values of all tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(
            tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()[:12]


def _shape(state: dict[str, Tensor], name: str) -> tuple[int, ...] | str:
    return tuple(state[name].shape) if name in state else "nothing"

"""The tensors of a network in a file: safetensors, which holds numbers alone and runs no code when read."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn


def write_tensors(path: Path, model: nn.Module, dtype: torch.dtype | None = None) -> None:
    """All parameters and buffers as they are, or floating-point ones in another precision, and the name of the model's
    class."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    state = {name: t.to(dtype) if dtype and t.is_floating_point() else t for name, t in state.items()}
    save_file(state, path, {"network": type(model).__name__})


def read_tensors(path: Path) -> tuple[dict[str, Tensor], str]:
    """The tensors by name, and the name of the class they are of; numbers of half precision as float32.

    Raises FileNotFoundError, and ValueError for a file that is no such one, or broken.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}; a run writes them when it finishes")
    try:
        with safe_open(path, "pt") as file:
            network = (file.metadata() or {}).get("network", "")
            names = file.keys()
            state = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} cannot be read as safetensors ({error}); write it anew") from None
    half = (torch.float16, torch.bfloat16)
    return {name: tensor.float() if tensor.dtype in half else tensor for name, tensor in state.items()}, network


def fill(model: nn.Module, state: dict[str, Tensor], source: Path) -> None:
    """Copy tensors into a model that has the same; one of double precision makes the model so. Raises ValueError naming
    the first that differs."""
    own = model.state_dict()
    for name in [*own, *state]:
        found, wanted = (tuple(s[name].shape) if name in s else "nothing" for s in (state, own))
        if found != wanted:
            raise ValueError(f"{source} is of another network: for {name} it has {found}; needed is {wanted}")
    if any(tensor.dtype == torch.float64 for tensor in state.values()):
        model.double()
    model.load_state_dict(state)

"""The forward pass of a search: its precision, and whether it is compiled."""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from posenfs.messages import error_reason, note
from posenfs.model.network import PoseNetwork
from posenfs.search.configuration import TrainingConfig

# Packages whose errors mean that torch.compile failed; importing them takes seconds.
_COMPILER = ("torch._dynamo", "torch._functorch", "torch._inductor")


class Forward:
    """Forward pass of a network: normalised images [B, 3, H, W] -> heatmaps [B, K, h, w], float32.

    Args:
        model: The network.
        training: Its `precision` and `compile` mode.
        device: The device of the network.

    Attributes:
        bfloat16: Whether the network runs in bfloat16 (autocast).
        compiled: The torch.compile mode in use; "no" also where the compiler failed.
    """

    def __init__(self, model: PoseNetwork, training: TrainingConfig, device: torch.device):
        self.model, self.device, self.compiled = model, device, training.compile
        on_gpu = device.type == "cuda"
        self.bfloat16 = training.precision == "bfloat16" or (
            training.precision == "auto" and on_gpu
        )
        self._compiled: Callable[[Tensor], Tensor] | None = None
        if training.compile != "no":
            self._compiled = _compile(model, training.compile)
        self._compiled_for: set[tuple] = set()  # shapes and modes

    def autocast(self) -> torch.autocast:
        """Return the context in which the network runs in its precision."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)

    def __call__(self, images: Tensor) -> Tensor:
        """Return the heatmaps of normalised images."""
        with self.autocast():
            if self._compiled is None:
                maps = self.model(images)
            else:
                maps = self._run_compiled(self._compiled, images)
        return maps.float()

    def _run_compiled(self, compiled: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """Run the compiled network; announce each compilation, and give up if it fails."""
        trained = tuple(parameter.requires_grad for parameter in self.model.parameters())
        key = (tuple(images.shape), trained, torch.is_grad_enabled())
        if key in self._compiled_for:
            return compiled(images)
        if self._compiled_for:
            reason = "again, because shapes or trained parameters changed"
        else:
            reason = "the next search of this network reuses the result"
        note(f"compiling the network (minutes; {reason})")
        started = time.perf_counter()
        try:
            maps = compiled(images)
        except Exception as error:
            if not type(error).__module__.startswith(_COMPILER):
                raise
            note(
                f"the compiler failed ({type(error).__name__}: {error_reason(error)}); continuing "
                "without it"
            )
            self._compiled, self.compiled = None, "no"
            return self.model(images)
        self._compiled_for.add(key)
        note(f"compiled in {time.perf_counter() - started:.0f} s")
        return maps


def _compile(model: PoseNetwork, mode: str) -> Callable[[Tensor], Tensor]:
    """Compile forward and backward pass at the first call, so that both can fail there."""
    import torch._functorch.config  # takes seconds

    torch._functorch.config.force_non_lazy_backward_lowering = True
    return torch.compile(model, mode=mode)

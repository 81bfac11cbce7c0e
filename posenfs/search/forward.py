"""How a search runs its network: in which precision, and compiled or not."""

import time
from collections.abc import Callable
from types import SimpleNamespace as RunConfig

import torch
from torch import Tensor

from posenfs.messages import error_reason, note
from posenfs.model.network import PoseNetwork

_COMPILER = ("torch._dynamo", "torch._functorch", "torch._inductor")  # importing them takes seconds


class Forward:
    """Normalised images [B, 3, H, W] -> score maps [B, K, h, w] in float32.

    `compiled`: by which mode of torch.compile; "no" where it is not asked for, or where the compiler failed.
    """

    def __init__(self, model: PoseNetwork, run: RunConfig, device: torch.device):
        self.model, self.device, self.compiled = model, device, run.compile
        self.bfloat16 = run.precision == "bfloat16" or (
            run.precision == "auto" and device.type == "cuda"
        )
        self._compiled = None if run.compile == "no" else _compile(model, run.compile)
        self._known: set[tuple] = set()  # what it has been compiled for

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)

    def __call__(self, images: Tensor) -> Tensor:
        with self.autocast():
            maps = (
                self.model(images)
                if self._compiled is None
                else self._run_compiled(self._compiled, images)
            )
        return maps.float()

    def _run_compiled(self, compiled: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """Says whenever it takes long; goes on without where the compiler fails, and says so."""
        wanted = (
            tuple(images.shape),
            tuple(p.requires_grad for p in self.model.parameters()),
            torch.is_grad_enabled(),
        )
        if wanted in self._known:
            return compiled(images)
        again = (
            "again, for what changed"
            if self._known
            else "the next search of this network finds it done"
        )
        note(f"compiling the network (minutes; {again})")
        started = time.perf_counter()
        try:
            maps = compiled(images)
        except Exception as error:
            if not type(error).__module__.startswith(_COMPILER):
                raise
            note(
                f"the compiler failed ({type(error).__name__}: {error_reason(error)}); going on without it"
            )
            self._compiled, self.compiled = None, "no"
            return self.model(images)
        self._known.add(wanted)
        note(f"compiled in {time.perf_counter() - started:.0f} s")
        return maps


def _compile(model: PoseNetwork, mode: str) -> Callable[[Tensor], Tensor]:
    """Forward and backward pass at the first call, so that there is one wait, and one place where it can fail."""
    import torch._functorch.config  # takes seconds

    torch._functorch.config.force_non_lazy_backward_lowering = True
    return torch.compile(model, mode=mode)

"""How a search runs its network: in which precision, and compiled or not."""

import sys
import time

import torch
from torch import Tensor
from tqdm import tqdm

from posenfs.model.network import PoseNetwork
from posenfs.search.experiment import RunConfig

_COMPILER = ("torch._dynamo", "torch._inductor")  # where its errors are defined; importing them takes seconds


class Forward:
    """Normalised images [B, 3, H, W] -> score maps [B, K, h, w] in float32."""

    def __init__(self, model: PoseNetwork, run: RunConfig, device: torch.device):
        self.model, self.device = model, device
        self.bfloat16 = run.precision == "bfloat16" or (run.precision == "auto" and device.type == "cuda")
        self._compiled = None if run.compile == "no" else torch.compile(model, mode=run.compile)
        self._waited = False

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)

    def __call__(self, images: Tensor) -> Tensor:
        with self.autocast():
            maps = self.model(images) if self._compiled is None else self._run_compiled(images)
        return maps.float()

    def _run_compiled(self, images: Tensor) -> Tensor:
        """Says that the first time takes long; goes on without where the compiler fails, and says so."""
        if self._waited:
            return self._compiled(images)
        _say("compiling the network (minutes the first time; the next search of this network finds it done)")
        started, self._waited = time.perf_counter(), True
        try:
            maps = self._compiled(images)
        except Exception as error:
            if not type(error).__module__.startswith(_COMPILER):
                raise
            reason = str(error).strip().splitlines()[0]
            _say(f"the compiler failed ({type(error).__name__}: {reason:.200}); going on without it")
            self._compiled = None
            return self.model(images)
        _say(f"compiled in {time.perf_counter() - started:.0f} s; the backward pass follows")
        return maps


def _say(words: str) -> None:
    tqdm.write(words, file=sys.stderr)

"""Cost: parameters really used and multiply-adds."""

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cost:
    """`params`: parameters that take part in the output, alpha and beta among them.
    `multiply_adds`: of all convolutions for one image; no bias, batch-norm or interpolation."""

    params: int
    multiply_adds: int

    @property
    def gmac(self) -> float:
        return self.multiply_adds / 1e9

    def __str__(self) -> str:
        return f"{self.params / 1e6:.3f}M parameters, {self.gmac:.3f} GMAC"


def honest_cost(model: nn.Module, height: int = 256, width: int = 256) -> Cost:
    """The honest count for one image of height x width px: every parameter that the output depends on, once."""
    model = copy.deepcopy(model).to("meta").eval()  # shapes only: nothing is computed
    image = torch.empty(1, 3, height, width, device="meta")
    with FlopCounterMode(display=False) as counter:
        output = model(image)
        multiply_adds = counter.get_total_flops() // 2
    maps = output if isinstance(output, (list, tuple)) else [output]
    used = torch.autograd.grad(sum(m.sum() for m in maps), list(model.parameters()), allow_unused=True)
    return Cost(sum(g.numel() for g in used if g is not None), multiply_adds)

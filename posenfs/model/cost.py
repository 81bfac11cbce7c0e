"""Cost: parameters and multiply-adds, counted honestly and by the rule that made the paper's numbers."""

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from posenfs.model.operations import DepthwiseSeparable, Separable


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
    used, counted = _count(model, height, width)
    return Cost(sum(used.values()), counted[""])


def module_costs(model: nn.Module, height: int = 256, width: int = 256) -> dict[str, Cost]:
    """The honest count of every submodule that costs anything, by its dotted name and in the model's order; a parent
    holds its children, and "" is the whole.

    A container that is not called itself (a ModuleList, a backbone of which pruning left the stem) has the
    multiply-adds of its children.
    """
    used, counted = _count(model, height, width)
    names = [name for name, _ in model.named_modules() if name]
    params: Counter[str] = Counter()
    multiply_adds: Counter[str] = Counter()
    for name, numbers in used.items():
        params[_parent(name)] += numbers
    for name in reversed(names):  # children come before their parents
        multiply_adds[name] = counted.get(name, multiply_adds[name])
        params[_parent(name)] += params[name]
        multiply_adds[_parent(name)] += multiply_adds[name]
    costs = {name: Cost(params[name], multiply_adds[name]) for name in names if params[name] or multiply_adds[name]}
    return {"": Cost(params[""], counted[""]), **costs}


@torch.enable_grad()
def _count(model: nn.Module, height: int, width: int) -> tuple[dict[str, int], dict[str, int]]:
    """The numbers in every parameter that the output depends on, and the multiply-adds of every module that is called,
    both by dotted name; "" is the whole."""
    model = copy.deepcopy(model).to("meta", torch.float32).eval()  # shapes only: nothing is computed
    model.requires_grad_()  # what is frozen counts too
    image = torch.empty(1, 3, height, width, device="meta")
    with FlopCounterMode(display=False) as counter:
        output = model(image)
    reached = _leaves(output if isinstance(output, (list, tuple)) else [output])
    used = {name: p.numel() for name, p in model.named_parameters() if id(p) in reached}
    # the counter's names begin with the class of the outermost module
    flops = {name.partition(".")[2]: sum(own.values()) for name, own in counter.get_flop_counts().items()}
    return used, {**{name: count // 2 for name, count in flops.items()}, "": counter.get_total_flops() // 2}


def _leaves(outputs: Sequence[Tensor]) -> set[int]:
    """The ids of the parameters that the outputs depend on: the ends of autograd's graph, which is only walked."""
    found, seen, waiting = set(), set(), [output.grad_fn for output in outputs]
    while waiting:
        if (node := waiting.pop()) is None or node in seen:
            continue
        seen.add(node)
        waiting.extend(before for before, _ in node.next_functions)
        if hasattr(node, "variable"):
            found.add(id(node.variable))
    return found


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


@dataclass(frozen=True)
class PaperCost:
    """What the tools that the paper used would print: parameters, and "FLOPs" in the tool's own unit of a billion."""

    params: int
    gflops: float


def summary_cost(model: nn.Module, height: int = 256, width: int = 256) -> PaperCost:
    """The rule of nearly all of the paper's numbers (S): the summary of HRNet's code.

    It counts the parameters of every module whose class is named Conv or BatchNorm; the authors' classes of the
    separable and the dilated operation are named so too, so that parameters inside them count twice; alpha and beta do
    not count. FLOPs are convolution weights times output pixels, of a transposed convolution too (four times its
    multiply-adds at stride 2), in units of 1024^3.
    """
    calls = _calls(model, height, width)
    flops = sum(_weight(module) * _pixels(output) for module, output in calls if isinstance(module, _CONVOLUTIONS))
    inside = {id(block) for module, _ in calls if isinstance(module, Separable) for block in module.children()}
    named = [module for module, _ in calls if id(module) not in inside and isinstance(module, (*_LEAVES, *_WRAPPERS))]
    return PaperCost(sum(p.numel() for module in named for p in module.parameters()), flops / 1024**3)


def thop_cost(model: nn.Module, height: int = 256, width: int = 256) -> PaperCost:
    """The rule of ours-2 alone (T): the package thop. Multiply-adds of convolutions, their biases, and two operations
    for each number that a batch-norm gives; in units of 1e9. Every parameter counts once, alpha and beta not."""
    calls = [(module, output) for module, output in _calls(model, height, width) if isinstance(module, _LEAVES)]
    flops = 0
    for module, output in calls:
        if isinstance(module, _CONVOLUTIONS):
            flops += _weight(module) * _pixels(output) + (output.numel() if module.bias is not None else 0)
        else:
            flops += 2 * output.numel()
    return PaperCost(sum(p.numel() for module, _ in calls for p in module.parameters()), flops / 1e9)


_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
_LEAVES = (*_CONVOLUTIONS, nn.BatchNorm2d)
_WRAPPERS = (Separable, DepthwiseSeparable)


@torch.no_grad()
def _calls(model: nn.Module, height: int, width: int) -> list[tuple[nn.Module, Tensor]]:
    """The convolutions, batch-norms and operations that an image of height x width px runs through, with their maps."""
    model, calls = copy.deepcopy(model).to("meta", torch.float32).eval(), []
    for module in model.modules():
        if isinstance(module, (*_LEAVES, *_WRAPPERS)):
            module.register_forward_hook(lambda module, inputs, output: calls.append((module, output)))
    model(torch.empty(1, 3, height, width, device="meta"))
    return calls


def _weight(module: nn.Module) -> int:
    return module.weight.numel()


def _pixels(output: Tensor) -> int:
    return output.shape[-2] * output.shape[-1]

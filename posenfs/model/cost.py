"""Cost: parameters and multiply-adds, measured and by the rules that made the paper's numbers."""

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
    """The measured cost of a network.

    Attributes:
        params: Parameters that the output depends on, alpha and beta included.
        multiply_adds: Multiply-adds of all convolutions for one image, without biases,
            batch-norms and interpolation.
    """

    params: int
    multiply_adds: int

    @property
    def gmac(self) -> float:
        """Multiply-adds in units of 1e9."""
        return self.multiply_adds / 1e9

    def __str__(self) -> str:
        return f"{self.params / 1e6:.3f}M parameters, {self.gmac:.3f} GMAC"


def measured_cost(model: nn.Module, height: int = 256, width: int = 256) -> Cost:
    """Return the measured cost: every parameter that the output depends on counts once.

    Args:
        model: The network; it is left unchanged.
        height: The height of the image in px.
        width: The width of the image in px.
    """
    used_params, multiply_adds = _count(model, height, width)
    return Cost(sum(used_params.values()), multiply_adds[""])


def module_costs(model: nn.Module, height: int = 256, width: int = 256) -> dict[str, Cost]:
    """Return the measured cost of every submodule that costs anything.

    A container that is not called itself (a ModuleList, or a backbone of which only the stem is
    left) has the multiply-adds of its children.

    Args:
        model: The network; it is left unchanged.
        height: The height of the image in px.
        width: The width of the image in px.

    Returns:
        The costs by dotted name in the order of the model. The cost of a parent includes that of
        its children; the name "" stands for the whole network.
    """
    used_params, called = _count(model, height, width)
    names = [name for name, _ in model.named_modules() if name]
    params: Counter[str] = Counter()
    multiply_adds: Counter[str] = Counter()
    for name, count in used_params.items():
        params[_parent(name)] += count
    for name in reversed(names):  # children come before their parents
        multiply_adds[name] = called.get(name, multiply_adds[name])
        params[_parent(name)] += params[name]
        multiply_adds[_parent(name)] += multiply_adds[name]
    costs = {"": Cost(params[""], called[""])}
    for name in names:
        if params[name] or multiply_adds[name]:
            costs[name] = Cost(params[name], multiply_adds[name])
    return costs


@torch.enable_grad()
def _count(model: nn.Module, height: int, width: int) -> tuple[dict[str, int], dict[str, int]]:
    """Count the numbers of used parameters and the multiply-adds of called modules.

    Both are keyed by dotted name; "" is the whole network.
    """
    # On the meta device only shapes are computed.
    model = copy.deepcopy(model).to("meta", torch.float32).eval()
    model.requires_grad_()  # frozen parameters count too
    image = torch.empty(1, 3, height, width, device="meta")
    with FlopCounterMode(display=False) as counter:
        output = model(image)
    used_ids = _graph_parameters(output if isinstance(output, (list, tuple)) else [output])
    used_params = {name: p.numel() for name, p in model.named_parameters() if id(p) in used_ids}
    multiply_adds = {}
    for name, counts in counter.get_flop_counts().items():
        # The names of the counter begin with the class of the outermost module.
        multiply_adds[name.partition(".")[2]] = sum(counts.values()) // 2
    multiply_adds[""] = counter.get_total_flops() // 2
    return used_params, multiply_adds


def _graph_parameters(outputs: Sequence[Tensor]) -> set[int]:
    """Walk autograd's graph and return the ids of the parameters that the outputs depend on."""
    parameters: set[int] = set()
    visited = set()
    waiting = [output.grad_fn for output in outputs]
    while waiting:
        node = waiting.pop()
        if node is None or node in visited:
            continue
        visited.add(node)
        waiting.extend(previous for previous, _ in node.next_functions)
        if hasattr(node, "variable"):
            parameters.add(id(node.variable))
    return parameters


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


@dataclass(frozen=True)
class PaperCost:
    """The numbers that the tools used by the paper would print.

    Attributes:
        params: Parameters by the rule of the tool.
        gflops: "FLOPs" in the tool's unit of a billion.
    """

    params: int
    gflops: float


def summary_cost(model: nn.Module, height: int = 256, width: int = 256) -> PaperCost:
    """Return the cost by the rule of nearly all numbers of the paper (S): HRNet's summary.

    The rule counts the parameters of every module whose class is named Conv or BatchNorm. The
    authors' classes of the separable and the dilated operation have such names too, so the
    parameters inside them count twice; alpha and beta do not count. FLOPs are convolution weights
    times output pixels, in units of 1024^3. This also holds for transposed convolutions, where it
    is four times the multiply-adds at stride 2.

    Args:
        model: The network; it is left unchanged.
        height: The height of the image in px.
        width: The width of the image in px.
    """
    calls = _calls(model, height, width)
    flops = sum(
        module.weight.numel() * _pixels(output)
        for module, output in calls
        if isinstance(module, _CONVOLUTIONS)
    )
    inner_blocks = {
        id(block)
        for module, _ in calls
        if isinstance(module, Separable)
        for block in module.children()
    }
    counted = [
        module
        for module, _ in calls
        if id(module) not in inner_blocks and isinstance(module, (*_LAYERS, *_WRAPPERS))
    ]
    params = sum(p.numel() for module in counted for p in module.parameters())
    return PaperCost(params, flops / 1024**3)


def thop_cost(model: nn.Module, height: int = 256, width: int = 256) -> PaperCost:
    """Return the cost by the rule of ours-2 alone (T): the package thop.

    The rule counts multiply-adds of convolutions, their biases, and two operations for each number
    of the output of a batch-norm, in units of 1e9. Every parameter except alpha and beta counts
    once.

    Args:
        model: The network; it is left unchanged.
        height: The height of the image in px.
        width: The width of the image in px.
    """
    flops = params = 0
    for module, output in _calls(model, height, width):
        if isinstance(module, _CONVOLUTIONS):
            flops += module.weight.numel() * _pixels(output)
            flops += output.numel() if module.bias is not None else 0
        elif isinstance(module, nn.BatchNorm2d):
            flops += 2 * output.numel()
        else:
            continue
        params += sum(p.numel() for p in module.parameters())
    return PaperCost(params, flops / 1e9)


_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
_LAYERS = (*_CONVOLUTIONS, nn.BatchNorm2d)
_WRAPPERS = (Separable, DepthwiseSeparable)


@torch.no_grad()
def _calls(model: nn.Module, height: int, width: int) -> list[tuple[nn.Module, Tensor]]:
    """Return the convolutions, batch-norms and operations that an image runs through.

    Each comes with its output.
    """
    model = copy.deepcopy(model).to("meta", torch.float32).eval()
    calls: list[tuple[nn.Module, Tensor]] = []
    for module in model.modules():
        if isinstance(module, (*_LAYERS, *_WRAPPERS)):
            module.register_forward_hook(
                lambda module, inputs, output: calls.append((module, output))
            )
    model(torch.empty(1, 3, height, width, device="meta"))
    return calls


def _pixels(output: Tensor) -> int:
    return output.shape[-2] * output.shape[-1]

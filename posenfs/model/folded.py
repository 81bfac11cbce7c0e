"""A network to predict with: batch-norms, alpha and beta folded into the convolutions before them."""

import contextlib
import copy
import itertools
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Tracer
from torch.fx.experimental.optimization import fuse
from torch.fx.proxy import TraceError
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_conv_bn_weights

from posenfs.model.backbones.fabric import FabricBackbone
from posenfs.model.fabric import Down, Same, Up
from posenfs.model.network import PoseNetwork, PoseNFS
from posenfs.model.operations import DepthwiseSeparable, Pool, ScaledBatchNorm, Separable, Skip
from posenfs.model.prune import PrunedCell, PrunedFabric, prune
from posenfs.model.space import CellIndex


def fold(model: PoseNetwork) -> PoseNetwork:
    """The same score maps to rounding, from fewer operations; in eval mode, channels-last, not to be trained.

    Of a searched network what has weight 0.0 is pruned first. What is not known here (an operation or a backbone of
    one's own) is called as it is. The given model is left as it is.
    """
    model = prune(model) if isinstance(model, PoseNFS) else copy.deepcopy(model).eval()
    fabrics = [module for module in model.modules() if isinstance(module, PrunedFabric)]
    if not isinstance(getattr(model, "backbone", None), FabricBackbone | nn.Identity | None):
        with contextlib.suppress(TraceError), _ONE_AT_A_TIME:
            model.backbone = fuse(GraphModule(model.backbone, _Tracer().trace(model.backbone)), no_trace=True)
    _fold_sequences(model)
    for fabric in fabrics:
        for number, layer in enumerate(fabric.layers, start=fabric.spec.first):
            for row, cell in layer.items():
                place = fabric.numbers[CellIndex(number, int(row))]
                layer[row] = _Cell(cell, fabric.operation_weights[place], fabric.scale_weights[place])
    return model.requires_grad_(False).to(memory_format=torch.channels_last)


_ONE_AT_A_TIME = threading.Lock()  # two that trace at once would leave the other's hooks behind


class _Tracer(Tracer):
    """While it traces, the calls of all modules come here, those of other threads too, such as a search's: what is not
    of the traced module is called as ever."""

    def trace(  # type: ignore[override]  # modules alone are traced here
        self, root: nn.Module, concrete_args: dict[str, Any] | None = None
    ) -> Graph:
        self._own = set(root.modules())
        return super().trace(root, concrete_args)

    def call_module(self, module: nn.Module, forward: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> Any:
        return super().call_module(module, forward, args, kwargs) if module in self._own else forward(*args, **kwargs)


def _fold_sequences(model: nn.Module) -> None:
    for sequence in [module for module in model.modules() if isinstance(module, nn.Sequential)]:
        for place, (conv, norm) in enumerate(itertools.pairwise(sequence)):
            if isinstance(conv, nn.Conv2d | nn.ConvTranspose2d) and isinstance(norm, nn.BatchNorm2d):
                transposed = isinstance(conv, nn.ConvTranspose2d)
                sequence[place], sequence[place + 1] = fuse_conv_bn_eval(conv, norm, transposed), nn.Identity()


class _Cell(nn.Module):
    """A PrunedCell, called as it is."""

    def __init__(self, cell: PrunedCell, alpha: Tensor, beta: Tensor):
        super().__init__()
        slots = zip(cell.sources, cell.transfers, cell.kept.slots, strict=True)
        self.fusion = _Sum((source, _folded(transfer, beta[slot])) for source, transfer, slot in slots)
        terms: dict[int, list] = {node: [] for node in range(1, cell.hidden_nodes + 1)}
        for e, (start, end) in enumerate(cell.edges):
            own = zip(cell.operations[e], cell.kept.operations[e], strict=True)
            terms[end] += [(start, _folded(operation, alpha[e, o])) for operation, o in own]
        self.nodes = nn.ModuleList(_Sum(own) for own in terms.values())
        self.cell = cell
        cell.transfers, cell.operations = nn.ModuleList(), nn.ModuleList()

    def forward(self, maps: Mapping[int, Tensor], like: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
        cell, x = self.cell, self.fusion(maps)
        if cell.project is None:
            return cell.zeros(like) + cell.bias[:, None, None]
        x = cell.zeros(like) if x is None else x
        nodes = {0: F.relu_(x) if cell.relu_after_fusion else x}
        for number, node in enumerate(self.nodes, start=1):
            found = node(nodes)
            nodes[number] = cell.zeros(like) if found is None else found
        reached = [nodes[number] for number in cell.reached]
        return cell.project(torch.cat(reached, 1) if len(reached) > 1 else reached[0])


class _Sum(nn.Module):
    """The sum of o(x) over terms (key of x, o), added up in place; None where there is none.

    A number in the place of o is what x is multiplied by, in the same pass, and such terms of one x are one.
    """

    def __init__(self, terms: Iterable[tuple[int, nn.Module | float]]):
        super().__init__()
        terms = list(terms)
        self.keys = [key for key, own in terms if isinstance(own, nn.Module)]
        self.operations = nn.ModuleList(own for _, own in terms if isinstance(own, nn.Module))
        self.factors: dict[int, float] = {}
        for key, own in terms:
            if not isinstance(own, nn.Module):
                self.factors[key] = self.factors.get(key, 0.0) + own

    def forward(self, maps: Mapping[int, Tensor]) -> Tensor | None:
        total = None
        for key, operation in zip(self.keys, self.operations, strict=True):
            term = operation(maps[key])
            total = term if total is None else total.add_(term)
        for key, factor in self.factors.items():
            total = maps[key] * factor if total is None else total.add_(maps[key], alpha=factor)
        return total


def _folded(module: nn.Module, weight: Tensor) -> nn.Module | float:
    """weight * o(x), or the number that x is multiplied by."""
    one, kind = torch.ones_like(weight), type(module)  # exactly: a class made from one of these may compute otherwise
    if kind in (Same, Skip):
        return weight.item()
    if kind is Separable:
        return nn.Sequential(*_block(module.first, one), *_block(module.second, weight))
    if kind is DepthwiseSeparable:
        return nn.Sequential(*_block(module, weight))
    if kind is Down:
        conv = _scaled(module.conv, module.norm, weight)
        return nn.Sequential(conv, nn.ReLU(inplace=True)) if module.relu else conv
    if kind is Up:
        larger = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=module.align_corners)
        return nn.Sequential(_scaled(module.conv, module.norm, weight), larger)
    if kind is Pool:
        norm = nn.BatchNorm2d(module.norm.num_features, module.norm.eps).to(weight).eval()
        norm.load_state_dict({**norm.state_dict(), **module.norm.state_dict()})
        nn.init.constant_(norm.weight, weight.item())
        return nn.Sequential(module.pool, norm)
    return _Weighted(module, weight)


class _Weighted(nn.Module):
    """An operation that takes its weight itself."""

    def __init__(self, operation: nn.Module, weight: Tensor):
        super().__init__()
        self.operation = operation
        self.register_buffer("weight", weight.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        return self.operation(x, self.weight)


def _block(block: DepthwiseSeparable, weight: Tensor) -> tuple[nn.Module, ...]:
    return block.depthwise, _scaled(block.pointwise, block.norm, weight), nn.ReLU(inplace=True)


def _scaled(conv: nn.Conv2d, norm: ScaledBatchNorm, weight: Tensor) -> nn.Conv2d:
    """Convolution, batch-norm and weight in one. A ReLU that follows commutes with the weight: it is not below 0."""
    gamma = weight * (norm.ones if norm.weight is None else norm.weight)
    beta = weight * (torch.zeros_like(norm.ones) if norm.bias is None else norm.bias)
    folded = copy.deepcopy(conv)
    folded.weight, folded.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, gamma, beta
    )
    return folded

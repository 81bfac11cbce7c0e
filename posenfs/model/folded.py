"""Networks for prediction: batch-norms, alpha and beta folded into the preceding convolutions."""

import contextlib
import copy
import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Tracer
from torch.fx.experimental.optimization import fuse
from torch.fx.proxy import TraceError
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_conv_bn_weights

from posenfs.model.backbones.fabric import FabricBackbone
from posenfs.model.fabric import Cell, Fabric
from posenfs.model.network import PoseNetwork, PoseNFS
from posenfs.model.operations import (
    DepthwiseSeparable,
    Pool,
    ScaledBatchNorm,
    Separable,
    Skip,
    module_list,
)
from posenfs.model.pruning import prune
from posenfs.model.transfers import Down, Same, Up


def fold(model: PoseNetwork) -> PoseNetwork:
    """Return a network with the same score maps up to rounding and fewer operations.

    The result is in eval mode and channels-last, and cannot be trained. A searched network is
    pruned exactly first. Custom operations and backbones are called unchanged.

    Args:
        model: The network; it is left unchanged.
    """
    if isinstance(model, PoseNFS) and model.fabrics():
        model = prune(model)
    else:
        model = copy.deepcopy(model).eval()
    backbone = getattr(model, "backbone", None)
    if isinstance(backbone, nn.Module) and not isinstance(backbone, FabricBackbone | nn.Identity):
        with contextlib.suppress(TraceError), _TRACE_LOCK:
            graph = _Tracer().trace(backbone)
            model.backbone = fuse(GraphModule(backbone, graph), no_trace=True)
    _fold_sequences(model)
    for fabric in model.pruned_fabrics.values() if isinstance(model, PoseNFS) else ():
        _fold_fabric(fabric)
    return model.requires_grad_(False).to(memory_format=torch.channels_last)


_TRACE_LOCK = threading.Lock()  # two concurrent traces would leave each other's hooks in place


class _Tracer(Tracer):
    """A tracer that leaves the networks of other threads alone.

    While it traces, it receives the calls of all modules, also those of other threads, such as a
    search. Modules outside the traced one are called as usual.
    """

    def trace(  # type: ignore[override]  # only modules are traced here
        self, root: nn.Module, concrete_args: dict[str, Any] | None = None
    ) -> Graph:
        self._traced_modules = set(root.modules())
        return super().trace(root, concrete_args)

    def call_module(
        self, module: nn.Module, forward: Callable[..., Any], args: tuple, kwargs: dict[str, Any]
    ) -> Any:
        if module in self._traced_modules:
            return super().call_module(module, forward, args, kwargs)
        return forward(*args, **kwargs)


def _fold_sequences(model: nn.Module) -> None:
    """Fold the batch-norms of all nn.Sequential into the convolutions before them."""
    for sequence in [module for module in model.modules() if isinstance(module, nn.Sequential)]:
        for place, (conv, norm) in enumerate(itertools.pairwise(sequence)):
            if not isinstance(norm, nn.BatchNorm2d):
                continue
            if isinstance(conv, nn.Conv2d | nn.ConvTranspose2d):
                transposed = isinstance(conv, nn.ConvTranspose2d)
                sequence[place] = fuse_conv_bn_eval(conv, norm, transposed)
                sequence[place + 1] = nn.Identity()


def _fold_fabric(fabric: Fabric) -> None:
    """Replace the cells of a pruned fabric by folded ones."""
    weights = dict(zip(fabric.spec.cells, zip(*fabric.mixing_weights(), strict=True), strict=True))
    folded = {index: _FoldedCell(cell, *weights[index]) for index, cell in fabric.cells.items()}
    fabric.layers = module_list(
        module_list(folded.get(index) for index in layer) for layer in fabric.spec.grid()
    )


class _FoldedCell(nn.Module):
    """A folded pruned Cell with the same interface."""

    def __init__(self, cell: Cell, alpha: Tensor, beta: Tensor):
        super().__init__()
        slots = zip(cell.sources, cell.transfers, cell.mask.slots, strict=True)
        self.fusion = _Sum(
            (source, _fold_operation(transfer, beta[slot])) for source, transfer, slot in slots
        )
        terms: dict[int, list] = {node: [] for node in range(1, cell.spec.hidden_nodes + 1)}
        for edge, (start, end) in enumerate(cell.spec.edges):
            operations = zip(cell.operations[edge], cell.mask.operations[edge], strict=True)
            for operation, position in operations:
                terms[end].append((start, _fold_operation(operation, alpha[edge, position])))
        self.nodes = nn.ModuleList(_Sum(node_terms) for node_terms in terms.values())
        self.reached = cell.mask.reached_nodes(cell.spec)
        self.cell = cell
        cell.transfers, cell.operations = module_list([]), module_list([])

    def forward(
        self,
        maps: Sequence[Tensor],
        alpha: Sequence[Sequence[Tensor]],
        beta: Sequence[Tensor],
        images: Tensor,
    ) -> Tensor:
        cell, x = self.cell, self.fusion(maps)
        if not self.reached:
            return cell.zeros(images) + cell.bias[:, None, None]
        x = cell.zeros(images) if x is None else x
        nodes = [F.relu_(x) if cell.rules.relu_after_fusion else x]
        for node in self.nodes:
            total = node(nodes)
            nodes.append(cell.zeros(images) if total is None else total)
        reached = [nodes[number] for number in self.reached]
        return cell.project(torch.cat(reached, 1) if len(reached) > 1 else reached[0])


class _Sum(nn.Module):
    """The sum of o(x) over terms (place of x, o), accumulated in place; None for no terms.

    A number in the place of o multiplies x in the same pass; the numbers of one x are added first.
    """

    def __init__(self, terms: Iterable[tuple[int, nn.Module | float]]):
        super().__init__()
        self.places: list[int] = []
        self.operations = nn.ModuleList()
        self.factors: dict[int, float] = {}
        for place, term in terms:
            if isinstance(term, nn.Module):
                self.places.append(place)
                self.operations.append(term)
            else:
                self.factors[place] = self.factors.get(place, 0.0) + term

    def forward(self, maps: Sequence[Tensor]) -> Tensor | None:
        total = None
        for place, operation in zip(self.places, self.operations, strict=True):
            term = operation(maps[place])
            total = term if total is None else total.add_(term)
        for place, factor in self.factors.items():
            if total is None:
                total = maps[place] * factor
            else:
                total.add_(maps[place], alpha=factor)
        return total


def _fold_operation(module: nn.Module, weight: Tensor) -> nn.Module | float:
    """Return weight * o(x) as a module, or the number that multiplies x."""
    # The exact class is compared, as a subclass may compute something else.
    if type(module) in (Same, Skip):
        return weight.item()
    if type(module) is Separable:
        first = _fold_block(module.first, torch.ones_like(weight))
        return nn.Sequential(*first, *_fold_block(module.second, weight))
    if type(module) is DepthwiseSeparable:
        return nn.Sequential(*_fold_block(module, weight))
    if type(module) is Down:
        conv = _fold_norm(module.conv, module.norm, weight)
        return nn.Sequential(conv, nn.ReLU(inplace=True)) if module.relu else conv
    if type(module) is Up:
        upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=module.align_corners)
        return nn.Sequential(_fold_norm(module.conv, module.norm, weight), upsample)
    if type(module) is Pool:
        norm = nn.BatchNorm2d(module.norm.num_features, module.norm.eps).to(weight).eval()
        norm.load_state_dict({**norm.state_dict(), **module.norm.state_dict()})
        nn.init.constant_(norm.weight, weight.item())
        return nn.Sequential(module.pool, norm)
    return _Weighted(module, weight)


class _Weighted(nn.Module):
    """An operation that applies its weight itself."""

    def __init__(self, operation: nn.Module, weight: Tensor):
        super().__init__()
        self.operation = operation
        self.register_buffer("weight", weight.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        return self.operation(x, self.weight)


def _fold_block(block: DepthwiseSeparable, weight: Tensor) -> tuple[nn.Module, ...]:
    pointwise = _fold_norm(block.pointwise, block.norm, weight)
    return block.depthwise, pointwise, nn.ReLU(inplace=True)


def _fold_norm(conv: nn.Conv2d, norm: ScaledBatchNorm, weight: Tensor) -> nn.Conv2d:
    """Fold a batch-norm and a weight into a convolution.

    The weight is at least 0, so it commutes with a ReLU that follows.
    """
    gamma = weight * (norm.ones if norm.weight is None else norm.weight)
    beta = weight * (torch.zeros_like(norm.ones) if norm.bias is None else norm.bias)
    folded = copy.deepcopy(conv)
    folded.weight, folded.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, gamma, beta
    )
    return folded

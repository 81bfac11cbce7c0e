"""The expected multiply-adds of a soft architecture, differentiable in alpha and beta."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from posenfs.model.architecture import Architecture
from posenfs.model.backbones.fabric import FabricBackbone
from posenfs.model.cost import honest_cost
from posenfs.model.fabric import Cell, Down, Fabric
from posenfs.model.network import PoseNFS
from posenfs.model.space import CellIndex, FabricSpec

_SURE = torch.ones((), dtype=torch.float64)


class ExpectedCost:
    """Multiply-adds for one image of height x width px of a network whose edges and cells choose one operation and one
    source each, with the probabilities softmax(alpha) and softmax(beta), on average.

    At a one-hot architecture it is the count of what `prune` leaves. In between it takes the choices of a cell's
    readers to be independent, which they are not quite where paths meet again.
    """

    def __init__(self, model: PoseNFS, height: int = 256, width: int = 256):
        pixels = height * width
        self.heads: dict[str, tuple[_FabricCost, list[int], int]] = {}
        for part, head in zip(model.parts, model.heads, strict=True):
            strides = head.fabric.spec.strides
            entries = [_macs(e, pixels // s**2) for e, s in zip(head.entries, strides, strict=False)]
            vectors = _macs(head.vectors, pixels // strides[0] ** 2)
            self.heads[part.name] = _FabricCost(head.fabric, pixels), entries, vectors
        own = model.backbone.fabric if isinstance(model.backbone, FabricBackbone) else None
        self.backbone_fabric = None if own is None else _FabricCost(own, pixels)
        self.fixed = honest_cost(model.backbone if own is None else model.backbone.stem, height, width).multiply_adds

    def __call__(self, architectures: Mapping[str, Architecture]) -> Tensor:
        """{fabric: Architecture} -> a scalar, float64 on the CPU."""
        total, unread = torch.zeros((), dtype=torch.float64), {}
        for name, (fabric, entries, vectors) in self.heads.items():
            cost, reads = fabric(architectures[name], {0: _SURE})
            total = total + cost + vectors
            for row, chance in reads.items():
                total = total + chance * entries[row]
                unread[row] = unread.get(row, 1.0) * (1 - chance)
        if self.backbone_fabric is None:  # run whole if any of its maps is read
            nothing_read = torch.stack(list(unread.values())).prod()
            return total + (1 - nothing_read) * self.fixed
        outputs = {row: 1 - chance for row, chance in unread.items()}
        cost, reads = self.backbone_fabric(architectures["backbone"], outputs)
        return total + cost + reads.get(0, 0.0) * self.fixed


def expected_multiply_adds(model: PoseNFS, height: int = 256, width: int = 256) -> Tensor:
    """ExpectedCost of a model's own alpha and beta."""
    return ExpectedCost(model, height, width)(model.architectures())


class _FabricCost:
    """Multiply-adds of every candidate operation, transfer and projection of a fabric, for an image of so many px."""

    def __init__(self, fabric: Fabric, pixels: int):
        self.spec = spec = fabric.spec
        cells = [cell for layer in fabric.layers for cell in layer]
        self.operations, self.transfers, self.projections = [], [], []
        for index, cell in zip(spec.cells, cells, strict=True):
            own = pixels // spec.strides[index.row] ** 2
            self.operations.append(_numbers([[_macs(o, own) for o in edge] for edge in cell.edges]))
            self.transfers.append(_numbers(_transfer_costs(spec, cell, pixels, own)))
            self.projections.append(_macs(cell.project, own) / spec.hidden_nodes)  # for each hidden node

    def __call__(self, architecture: Architecture, outputs: dict[int, Tensor]) -> tuple[Tensor, dict[int, Tensor]]:
        """The expected sum, and the chance that each row of the input is read; `outputs` is that of the rows of the
        last layer. Goes backward, as pruning does."""
        spec = self.spec
        alpha = architecture.operation_weights.cpu().double().expand(len(spec.cells), -1, -1)
        beta = architecture.scale_weights.cpu().double()
        # the chance that nobody reads a map, by the cell that gives it
        unread = {CellIndex(spec.end - 1, row): 1 - chance for row, chance in outputs.items()}
        total = torch.zeros((), dtype=torch.float64)
        for number, index in reversed(list(enumerate(spec.cells))):
            if index not in unread:
                continue
            used, reads = 1 - unread[index], _reads_input(spec, alpha[number])
            inside = (alpha[number] * self.operations[number]).sum()
            inside = inside + _nodes_reached(spec, alpha[number]) * self.projections[number]
            total = total + used * (inside + reads * (beta[number] * self.transfers[number]).sum())
            sources = spec.sources(index.row, spec.rows(index.layer - 1))
            for row in dict.fromkeys(sources):
                chance = sum(beta[number, slot] for slot, source in enumerate(sources) if source == row)
                before = CellIndex(index.layer - 1, row)
                unread[before] = unread.get(before, 1.0) * (1 - used * reads * chance)
        return total, {index.row: 1 - chance for index, chance in unread.items() if index.layer == spec.first - 1}


def _transfer_costs(spec: FabricSpec, cell: Cell, pixels: int, own: int) -> list[int]:
    """Of the three transfers of a cell whose maps have `own` px; one up is computed at the coarser map."""
    pairs = zip(cell.transfers, cell.sources, strict=True)
    return [_macs(t, own if isinstance(t, Down) else pixels // spec.strides[source] ** 2) for t, source in pairs]


def _reads_input(spec: FabricSpec, alpha: Tensor) -> Tensor:
    """The chance that an edge from the cell's input has another operation than zero."""
    return _any_but_zero(spec, alpha, [e for e, (start, _) in enumerate(spec.edges) if start == 0])


def _nodes_reached(spec: FabricSpec, alpha: Tensor) -> Tensor:
    """How many hidden nodes are reached by an edge with another operation than zero."""
    nodes = range(1, spec.hidden_nodes + 1)
    return sum(_any_but_zero(spec, alpha, [e for e, (_, end) in enumerate(spec.edges) if end == n]) for n in nodes)


def _any_but_zero(spec: FabricSpec, alpha: Tensor, edges: list[int]) -> Tensor:
    """The chance that one of these edges has another operation than zero."""
    if "zero" not in spec.operations:
        return _SURE
    return 1 - alpha[edges, spec.operations.index("zero")].prod()


def _macs(module: nn.Module, pixels: int) -> int:
    """Multiply-adds of all convolutions in a module that give maps of so many pixels."""
    return sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Conv2d)) * pixels


def _numbers(values: list) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)

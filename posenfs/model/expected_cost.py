"""The expected multiply-adds of a soft architecture, differentiable in alpha and beta."""

import torch
from torch import Tensor, nn

from posenfs.model.backbones.fabric import FabricBackbone
from posenfs.model.cost import honest_cost
from posenfs.model.fabric import Cell, Down, Fabric
from posenfs.model.network import PoseNFS
from posenfs.model.space import CellIndex, FabricSpec


def expected_multiply_adds(model: PoseNFS, height: int = 256, width: int = 256) -> Tensor:
    """Multiply-adds for one image of height x width px of a network whose edges and cells choose one operation and one
    source each, with the probabilities softmax(alpha) and softmax(beta), on average: a scalar, float64.

    At a one-hot architecture it is the count of what `prune` leaves. In between it takes the choices of a cell's
    readers to be independent, which they are not quite where paths meet again.
    """
    pixels = height * width
    total, unread = torch.zeros((), dtype=torch.float64), {}
    for head in model.heads:
        cost, reads = _fabric_cost(head.fabric, pixels, {0: torch.ones((), dtype=torch.float64)})
        total = total + cost + _macs(head.vectors, pixels // head.fabric.spec.strides[0] ** 2)
        for row, chance in reads.items():
            total = total + chance * _macs(head.entries[row], pixels // head.fabric.spec.strides[row] ** 2)
            unread[row] = unread.get(row, 1.0) * (1 - chance)
    backbone = model.backbone
    if not isinstance(backbone, FabricBackbone):  # run whole if any of its maps is read
        nothing_read = torch.stack(list(unread.values())).prod()
        return total + (1 - nothing_read) * honest_cost(backbone, height, width).multiply_adds
    cost, reads = _fabric_cost(backbone.fabric, pixels, {row: 1 - chance for row, chance in unread.items()})
    return total + cost + reads.get(0, 0.0) * honest_cost(backbone.stem, height, width).multiply_adds


def _fabric_cost(fabric: Fabric, pixels: int, outputs: dict[int, Tensor]) -> tuple[Tensor, dict[int, Tensor]]:
    """Expected multiply-adds of the cells, and the chance that each row of the input is read; `outputs` is that of the
    rows of the last layer. Goes backward, as pruning does."""
    spec, weights = fabric.spec, fabric.architecture
    alpha = weights.operation_weights.double().expand(len(spec.cells), -1, -1)
    beta = weights.scale_weights.double()
    cells = [cell for layer in fabric.layers for cell in layer]
    # the chance that nobody reads a map, by the cell that gives it
    unread = {CellIndex(spec.end - 1, row): 1 - chance for row, chance in outputs.items()}
    total = torch.zeros((), dtype=torch.float64)
    for number, index in reversed(list(enumerate(spec.cells))):
        if index not in unread:
            continue
        used, own = 1 - unread[index], pixels // spec.strides[index.row] ** 2
        reads = _reads_input(spec, alpha[number])
        total = total + used * _cell_cost(cells[number], alpha[number], reads * beta[number], pixels, own, spec)
        sources = spec.sources(index.row, spec.rows(index.layer - 1))
        for row in dict.fromkeys(sources):
            chance = sum(beta[number, slot] for slot, source in enumerate(sources) if source == row)
            before = CellIndex(index.layer - 1, row)
            unread[before] = unread.get(before, 1.0) * (1 - used * reads * chance)
    return total, {index.row: 1 - chance for index, chance in unread.items() if index.layer == spec.first - 1}


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
        return torch.ones((), dtype=torch.float64)
    return 1 - alpha[edges, spec.operations.index("zero")].prod()


def _cell_cost(cell: Cell, alpha: Tensor, beta: Tensor, pixels: int, own: int, spec: FabricSpec) -> Tensor:
    """Expected multiply-adds of a cell that is used: operations, projection, transfers of the sources it reads;
    `pixels` are those of the image, `own` those of the cell."""
    operations = alpha.new_tensor([[_macs(operation, own) for operation in edge] for edge in cell.edges])
    transfers = []
    for source, transfer in zip(cell.sources, cell.transfers, strict=True):
        at = own if isinstance(transfer, Down) else pixels // spec.strides[source] ** 2  # up: at the low resolution
        transfers.append(_macs(transfer, at))
    projected = _nodes_reached(spec, alpha) * _macs(cell.project, own) / spec.hidden_nodes
    return (alpha * operations).sum() + projected + (beta * beta.new_tensor(transfers)).sum()


def _macs(module: nn.Module, pixels: int) -> int:
    """Multiply-adds of all convolutions in a module that give maps of so many pixels."""
    return sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Conv2d)) * pixels

"""The expected multiply-adds of a soft architecture, differentiable in alpha and beta."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from posenfs.model.architecture import Architecture
from posenfs.model.backbones.fabric import FabricBackbone
from posenfs.model.cost import honest_cost
from posenfs.model.fabric import Cell, Down, Fabric
from posenfs.model.network import PoseNFS
from posenfs.model.space import FabricSpec


class ExpectedCost:
    """Multiply-adds for one image of height x width px of a network whose edges and cells choose one operation and one
    source each, with the probabilities softmax(alpha) and softmax(beta): the mean over all such networks, exactly.

    At a one-hot architecture it is the count of what `prune` leaves.
    """

    def __init__(self, model: PoseNFS, height: int = 256, width: int = 256):
        pixels = height * width
        self.heads: dict[str, tuple[_FabricCost, Tensor, int]] = {}
        for part, head in zip(model.parts, model.heads, strict=True):
            strides = head.fabric.spec.strides
            entries = [_macs(e, pixels // s**2) for e, s in zip(head.entries, strides, strict=False)]
            entries = _numbers(entries + [0] * (len(strides) - len(entries)))
            vectors = _macs(head.vectors, pixels // strides[0] ** 2)
            self.heads[part.name] = _FabricCost(head.fabric, pixels), entries, vectors
        own = model.backbone.fabric if isinstance(model.backbone, FabricBackbone) else None
        self.backbone_fabric = None if own is None else _FabricCost(own, pixels)
        self.fixed = honest_cost(model.backbone if own is None else model.backbone.stem, height, width).multiply_adds
        self.sets = _Sets(len(model.spec.strides))

    def __call__(self, architectures: Mapping[str, Architecture]) -> Tensor:
        """{fabric: Architecture} -> a scalar, float64 on the CPU."""
        total, finest = torch.zeros((), dtype=torch.float64), self.sets.only(0)
        within: Tensor | float = 1.0  # the chance that all rows that any head reads lie in a set, for each set
        for name, (fabric, entries, vectors) in self.heads.items():
            cost, read = fabric(architectures[name], finest, self.sets)
            total = total + cost + vectors + (read @ self.sets.members) @ entries
            within = within * self.sets.within(read)
        read = self.sets.of_within(within)
        if self.backbone_fabric is not None:
            cost, read = self.backbone_fabric(architectures["backbone"], read, self.sets)
            total = total + cost
        return total + (1 - read[0]) * self.fixed  # the backbone, or its stem, runs if anything of it is read


class _Sets:
    """Chances [2^R] over the sets of R rows; row r is in set number s where bit r of s is 1."""

    def __init__(self, rows: int):
        numbers = torch.arange(2**rows)
        self.rows = rows
        self.members = ((numbers[:, None] >> torch.arange(rows)) & 1).double()  # [2^R, R]
        self._inside = ((numbers[:, None] & ~numbers[None]) == 0).double()  # [s, t]: whether s lies in t
        self._undo = torch.linalg.inv(self._inside).round()  # whole numbers: inclusion and exclusion

    def only(self, row: int) -> Tensor:
        return torch.eye(2**self.rows, dtype=torch.float64)[1 << row]

    def within(self, chances: Tensor) -> Tensor:
        """Chances of sets -> for each set the chance that the drawn one lies in it."""
        return chances @ self._inside

    def of_within(self, within: Tensor) -> Tensor:
        """The inverse of `within`."""
        return within @ self._undo

    def step(self, used: Tensor, choices: list[Tensor]) -> Tensor:
        """Chances of the sets of used cells of a layer -> of the sets of rows before it that they read. `choices`: for
        each cell the chance of every row [R] that it reads that one; what lacks to 1 is the chance that it reads none.
        """
        table = torch.ones(1, 2**self.rows, dtype=torch.float64)  # of each set of cells: all they read lies in t
        for chance in choices:
            own = 1 - chance.sum() + self.members @ chance
            table = torch.cat([table, table * own])
        return self.of_within(used[: len(table)] @ table)


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

    def __call__(self, architecture: Architecture, outputs: Tensor, sets: _Sets) -> tuple[Tensor, Tensor]:
        """The expected sum, and the chances of the sets of input rows that are read; `outputs` are those of the sets of
        rows of the last layer. Goes backward, as pruning does.

        Cells that share their alpha choose alike: they all read their input or none does, and where none does only the
        cells of the last layer stand.
        """
        spec, shared = self.spec, not self.spec.alpha_per_cell
        alpha = architecture.operation_weights.cpu().double().expand(len(spec.cells), -1, -1)
        beta = architecture.scale_weights.cpu().double()
        reads = [_reads_input(spec, own) for own in (alpha[:1] if shared else alpha)] * (len(alpha) if shared else 1)
        used, total, number = outputs, torch.zeros((), dtype=torch.float64), len(spec.cells)
        for layer in reversed(spec.grid()):
            number -= len(layer)
            marginal, choices = used @ sets.members, []
            for n, index in enumerate(layer, start=number):
                inside = self._inside(n, alpha[n])
                if shared and index.layer < spec.end - 1:
                    inside = inside - (1 - reads[n]) * self._inside(n, _without_input(spec, alpha[n]))
                own = inside + reads[n] * (beta[n] * self.transfers[n]).sum()
                total = total + marginal[index.row] * own
                sources = spec.sources(index.row, spec.rows(index.layer - 1))
                rows = torch.zeros(sets.rows, dtype=torch.float64).index_add(0, torch.tensor(sources), beta[n])
                choices.append(rows if shared else reads[n] * rows)
            used = sets.step(used, choices)
        if shared:
            nothing = torch.zeros_like(used).index_fill(0, torch.tensor(0), 1.0)
            used = reads[0] * used + (1 - reads[0]) * nothing
        return total, used

    def _inside(self, number: int, alpha: Tensor) -> Tensor:
        """Expected multiply-adds of the operations and the projection of a cell that is used."""
        return (alpha * self.operations[number]).sum() + _nodes_reached(self.spec, alpha) * self.projections[number]


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
    into = ([e for e, (_, end) in enumerate(spec.edges) if end == n] for n in nodes)
    return sum((_any_but_zero(spec, alpha, edges) for edges in into), start=torch.zeros((), dtype=torch.float64))


def _without_input(spec: FabricSpec, alpha: Tensor) -> Tensor:
    """Alpha where every edge from the cell's input is zero."""
    if "zero" not in spec.operations:
        return torch.zeros_like(alpha)  # never so: its factor is 0
    edges = [e for e, (start, _) in enumerate(spec.edges) if start == 0]
    zero = torch.eye(len(spec.operations), dtype=alpha.dtype)[spec.operations.index("zero")]
    return alpha.index_copy(0, torch.tensor(edges), zero.expand(len(edges), -1))


def _any_but_zero(spec: FabricSpec, alpha: Tensor, edges: list[int]) -> Tensor:
    """The chance that one of these edges has another operation than zero."""
    if "zero" not in spec.operations:
        return torch.ones((), dtype=torch.float64)
    return 1 - alpha[edges, spec.operations.index("zero")].prod()


def _macs(module: nn.Module, pixels: int) -> int:
    """Multiply-adds of all convolutions in a module that give maps of so many pixels."""
    return sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Conv2d)) * pixels


def _numbers(values: list) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)

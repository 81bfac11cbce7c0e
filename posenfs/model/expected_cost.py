"""The expected multiply-adds of a soft architecture, differentiable in alpha and beta."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from posenfs.model.architecture import Architecture
from posenfs.model.backbones.fabric import FabricBackbone
from posenfs.model.cost import measured_cost
from posenfs.model.fabric import Cell, Fabric
from posenfs.model.network import PoseNFS
from posenfs.model.space import FabricSpec
from posenfs.model.transfers import Down


class ExpectedCost:
    """Expected multiply-adds of a network for one image.

    Every edge chooses one operation and every cell one source, with the probabilities
    softmax(alpha) and softmax(beta); the value is the exact mean over all such networks. At a
    one-hot architecture it is the count of what `prune` leaves.

    Args:
        model: The network.
        height: The height of the image in px.
        width: The width of the image in px.
    """

    def __init__(self, model: PoseNFS, height: int = 256, width: int = 256):
        pixels = height * width
        self.heads: dict[str, tuple[_FabricCost, Tensor, int]] = {}
        for part, head in zip(model.parts, model.heads, strict=True):
            strides = head.fabric.spec.strides
            entry_costs = [0] * len(strides)
            for row, entry in enumerate(head.entries):
                if entry is not None:
                    entry_costs[row] = _multiply_adds(entry, pixels // strides[row] ** 2)
            vector_cost = _multiply_adds(head.vectors, pixels // strides[0] ** 2)
            fabric_cost = _FabricCost(head.fabric, pixels)
            self.heads[part.name] = fabric_cost, _float64(entry_costs), vector_cost
        always_run = model.backbone
        self.backbone_fabric: _FabricCost | None = None
        if isinstance(always_run, FabricBackbone):
            self.backbone_fabric = _FabricCost(always_run.fabric, pixels)
            always_run = always_run.stem
        # The cost of the backbone, or of the stem of a fabric backbone.
        self.fixed = measured_cost(always_run, height, width).multiply_adds
        self.sets = _Sets(len(model.spec.strides))

    def __call__(self, architectures: Mapping[str, Architecture]) -> Tensor:
        """Return the expected multiply-adds.

        Args:
            architectures: The architecture of every fabric by name.

        Returns:
            A scalar, float64 on the CPU.
        """
        total, finest = torch.zeros((), dtype=torch.float64), self.sets.only(0)
        # For each set the probability that it contains all rows that any head reads.
        within = torch.ones_like(finest)
        for name, (fabric, entry_costs, vector_cost) in self.heads.items():
            cost, read = fabric(architectures[name], finest, self.sets)
            total = total + cost + vector_cost + (read @ self.sets.members) @ entry_costs
            within = within * self.sets.within(read)
        read = self.sets.of_within(within)
        if self.backbone_fabric is not None:
            cost, read = self.backbone_fabric(architectures["backbone"], read, self.sets)
            total = total + cost
        return total + (1 - read[0]) * self.fixed  # it runs if any row of it is read


class _Sets:
    """Probabilities [2^R] of the sets of R rows; row r is in set number s where bit r of s is 1."""

    def __init__(self, rows: int):
        numbers = torch.arange(2**rows)
        self.rows = rows
        self.members = ((numbers[:, None] >> torch.arange(rows)) & 1).double()  # [2^R, R]
        # [s, t]: whether set s lies in set t
        self._subset = ((numbers[:, None] & ~numbers[None]) == 0).double()
        # whole numbers: inclusion and exclusion
        self._subset_inverse = torch.linalg.inv(self._subset).round()

    def only(self, row: int) -> Tensor:
        """Return probability 1 for the set of one row."""
        return torch.eye(2**self.rows, dtype=torch.float64)[1 << row]

    def within(self, probabilities: Tensor) -> Tensor:
        """Return for each set the probability that the drawn set lies in it."""
        return probabilities @ self._subset

    def of_within(self, within: Tensor) -> Tensor:
        """Return the inverse of `within`."""
        return within @ self._subset_inverse

    def step(self, used: Tensor, choices: list[Tensor]) -> Tensor:
        """Return the probabilities of the sets of rows that the used cells of a layer read.

        Args:
            used: The probabilities of the sets of used cells.
            choices: For each cell the probability [R] that it reads each row; the rest to 1 is the
                probability that it reads none.
        """
        # For each set of cells the probabilities that all rows they read lie in set t.
        table = torch.ones(1, 2**self.rows, dtype=torch.float64)
        for choice in choices:
            cell_within = 1 - choice.sum() + self.members @ choice
            table = torch.cat([table, table * cell_within])
        return self.of_within(used[: len(table)] @ table)


class _FabricCost:
    """Multiply-adds of every operation, transfer and projection of a fabric.

    Args:
        fabric: The fabric.
        pixels: The number of pixels of the image.
    """

    def __init__(self, fabric: Fabric, pixels: int):
        self.spec = spec = fabric.spec
        self.operations: list[Tensor] = []
        self.transfers: list[Tensor] = []
        self.projections: list[float] = []  # for each hidden node
        for index, cell in fabric.cells.items():
            cell_pixels = pixels // spec.strides[index.row] ** 2
            operation_costs = [
                [_multiply_adds(operation, cell_pixels) for operation in edge]
                for edge in cell.edges
            ]
            self.operations.append(_float64(operation_costs))
            self.transfers.append(_float64(_transfer_costs(spec, cell, pixels, cell_pixels)))
            projection_cost = _multiply_adds(cell.project, cell_pixels)
            self.projections.append(projection_cost / spec.hidden_nodes)

    def __call__(
        self, architecture: Architecture, outputs: Tensor, sets: _Sets
    ) -> tuple[Tensor, Tensor]:
        """Return the expected multiply-adds, and the probabilities of the sets of rows read.

        The traversal goes backward, as pruning does. Cells with a shared alpha make the same
        choice: either all of them read their input or none does, and where none does only the
        cells of the last layer remain.

        Args:
            architecture: The architecture of the fabric.
            outputs: The probabilities of the sets of rows of the last layer that are read.
            sets: The sets of rows.
        """
        spec, shared = self.spec, not self.spec.alpha_per_cell
        alpha = architecture.operation_weights.cpu().double().expand(len(spec.cells), -1, -1)
        beta = architecture.scale_weights.cpu().double()
        if shared:
            reads = [_reads_input(spec, alpha[0])] * len(alpha)
        else:
            reads = [_reads_input(spec, cell_alpha) for cell_alpha in alpha]
        used, total = outputs, torch.zeros((), dtype=torch.float64)
        first_number = len(spec.cells)
        for layer in reversed(spec.grid()):
            first_number -= len(layer)
            row_used = used @ sets.members  # the probability that each cell is used
            choices = []
            for number, index in enumerate(layer, start=first_number):
                inner_cost = self._inner_cost(number, alpha[number])
                if shared and index.layer < spec.end - 1:
                    without_input = _without_input(spec, alpha[number])
                    inner_cost = inner_cost - (1 - reads[number]) * self._inner_cost(
                        number, without_input
                    )
                transfer_cost = (beta[number] * self.transfers[number]).sum()
                cell_cost = inner_cost + reads[number] * transfer_cost
                total = total + row_used[index.row] * cell_cost
                sources = torch.tensor(spec.sources(index.row, spec.rows(index.layer - 1)))
                no_rows = torch.zeros(sets.rows, dtype=torch.float64)
                rows = no_rows.index_add(0, sources, beta[number])
                choices.append(rows if shared else reads[number] * rows)
            used = sets.step(used, choices)
        if shared:
            nothing = torch.zeros_like(used).index_fill(0, torch.tensor(0), 1.0)
            used = reads[0] * used + (1 - reads[0]) * nothing
        return total, used

    def _inner_cost(self, number: int, alpha: Tensor) -> Tensor:
        """Return the expected multiply-adds of the operations and the projection of a used cell."""
        operations = (alpha * self.operations[number]).sum()
        return operations + _nodes_reached(self.spec, alpha) * self.projections[number]


def _transfer_costs(spec: FabricSpec, cell: Cell, pixels: int, cell_pixels: int) -> list[int]:
    """Return the multiply-adds of the three transfers of a cell.

    An up transfer is computed at the size of the coarser map.
    """
    costs = []
    for transfer, source in zip(cell.transfers, cell.sources, strict=True):
        source_pixels = pixels // spec.strides[source] ** 2
        transfer_pixels = cell_pixels if isinstance(transfer, Down) else source_pixels
        costs.append(_multiply_adds(transfer, transfer_pixels))
    return costs


def _reads_input(spec: FabricSpec, alpha: Tensor) -> Tensor:
    """Return the probability that an edge from the cell's input is not zero."""
    return _any_but_zero(spec, alpha, _input_edges(spec))


def _input_edges(spec: FabricSpec) -> list[int]:
    return [edge for edge, (start, _) in enumerate(spec.edges) if start == 0]


def _nodes_reached(spec: FabricSpec, alpha: Tensor) -> Tensor:
    """Return the expected number of hidden nodes that an edge other than zero reaches."""
    total = torch.zeros((), dtype=torch.float64)
    for node in range(1, spec.hidden_nodes + 1):
        edges = [edge for edge, (_, end) in enumerate(spec.edges) if end == node]
        total = total + _any_but_zero(spec, alpha, edges)
    return total


def _without_input(spec: FabricSpec, alpha: Tensor) -> Tensor:
    """Return alpha with zero on every edge from the cell's input."""
    if "zero" not in spec.operations:
        return torch.zeros_like(alpha)  # this never happens: its factor is 0
    edges = _input_edges(spec)
    zero = torch.eye(len(spec.operations), dtype=alpha.dtype)[spec.operations.index("zero")]
    return alpha.index_copy(0, torch.tensor(edges), zero.expand(len(edges), -1))


def _any_but_zero(spec: FabricSpec, alpha: Tensor, edges: list[int]) -> Tensor:
    """Return the probability that one of these edges has another operation than zero."""
    if "zero" not in spec.operations:
        return torch.ones((), dtype=torch.float64)
    return 1 - alpha[edges, spec.operations.index("zero")].prod()


def _multiply_adds(module: nn.Module, pixels: int) -> int:
    """Return the multiply-adds of all convolutions in a module that give maps of this size."""
    convolutions = (m for m in module.modules() if isinstance(m, nn.Conv2d))
    return sum(convolution.weight.numel() for convolution in convolutions) * pixels


def _float64(values: list) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)

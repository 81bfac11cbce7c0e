"""The search space as data: which cells a fabric has, how they are linked, and the rules of its network."""

from dataclasses import dataclass
from typing import NamedTuple


class CellIndex(NamedTuple):
    """Where a cell stands: layer (depth, 0 first) and row (scale, 0 finest)."""

    layer: int
    row: int


class Sources(NamedTuple):
    """Rows of the layer before that feed a cell; where a neighbour is missing its place holds a copy (footnote 2)."""

    finer: int
    same: int
    coarser: int


@dataclass(frozen=True)
class FabricSpec:
    """A Cell-based Neural Fabric: the hyper-parameters Theta of section III-B (Fig. 5, Table VIII).

    The whole fabric widens from one map (the stem) to all strides and narrows back to one; a head is a fabric without
    its first layers, a backbone one without its last.
    """

    layers: int = 6  # L, of the whole fabric
    strides: tuple[int, ...] = (4, 8, 16, 32)  # of its rows, finest first
    width: int = 10  # C: a cell at stride s has C * s channels
    hidden_nodes: int = 1  # H, in a cell
    operations: tuple[str, ...] = ("zero", "skip", "separable_3x3", "dilated_3x3")  # the candidates on every edge
    first: int = 3  # the first layer kept
    last: int | None = None  # one past the last layer kept; none: all
    alpha_per_cell: bool = False  # whether each cell has its own alpha (the paper's cells share one)

    def __post_init__(self):
        if self.width < 1 or self.hidden_nodes < 1 or self.layers < 1:
            raise ValueError(
                "a fabric needs width, hidden_nodes and layers of at least 1; "
                f"got {self.width}, {self.hidden_nodes}, {self.layers}"
            )
        if not 0 <= self.first < self.end <= self.layers:
            raise ValueError(f"layers {self.first} to {self.last} do not lie within a fabric of {self.layers} layers")
        if any(b != 2 * a for a, b in zip(self.strides, self.strides[1:], strict=False)):
            raise ValueError(f"each stride must be twice the one before; got {self.strides}")
        if not self.operations:
            raise ValueError("a fabric needs at least one candidate operation")

    @property
    def end(self) -> int:
        """One past the last layer kept."""
        return self.layers if self.last is None else self.last

    def channels(self, row: int) -> int:
        return self.width * self.strides[row]

    def rows(self, layer: int) -> int:
        """Cells of a layer, finest first; layer -1 is the stem's single map."""
        return 1 if layer < 0 else min(layer + 2, len(self.strides), self.layers - layer)

    @property
    def input_rows(self) -> int:
        """Maps the first kept layer reads: the stem alone, or a pyramid."""
        return self.rows(self.first - 1)

    def grid(self) -> list[list[CellIndex]]:
        """The cells kept, layer by layer, finest first: the order of beta's rows."""
        return [[CellIndex(layer, row) for row in range(self.rows(layer))] for layer in range(self.first, self.end)]

    @property
    def cells(self) -> list[CellIndex]:
        return [cell for layer in self.grid() for cell in layer]

    @property
    def edges(self) -> list[tuple[int, int]]:
        """Edges (from, to) inside a cell, node 0 being its input: (0, 1), (0, 2), (1, 2), … in the order of alpha."""
        return [(start, end) for end in range(1, self.hidden_nodes + 1) for start in range(end)]

    @property
    def alpha_shape(self) -> tuple[int, ...]:
        shape = (len(self.edges), len(self.operations))
        return (len(self.cells), *shape) if self.alpha_per_cell else shape

    @property
    def beta_shape(self) -> tuple[int, int]:
        return (len(self.cells), 3)

    @staticmethod
    def sources(row: int, rows_before: int) -> Sources:
        """The three sources of a cell of this row, given how many maps the layer before has (Fig. 4).

        The one place of the neighbour rule: construction, forward pass, pruning and drawing all ask here.
        """
        if row >= rows_before:  # the cell opens a new scale: only the finer neighbour exists
            return Sources(row - 1, row - 1, row - 1)
        return Sources(finer=max(row - 1, 0), same=row, coarser=min(row + 1, rows_before - 1))


@dataclass(frozen=True)
class Rules:
    """Where the paper's text and the authors' code part ways inside the network; the defaults are the text's."""

    edge_factor: bool = False  # multiply Eq. 1 by the number of operations (the code does)
    source_factor: bool = False  # multiply Eq. 2 by three (the code does)
    relu_after_fusion: bool = False  # a ReLU after Eq. 2 (the code has one)
    relu_after_down: bool = True  # a ReLU in the down transfer (the code has none)
    align_corners: bool = True  # of the bilinear up transfer; the text is silent


PAPER = Rules()
RELEASED = Rules(edge_factor=True, source_factor=True, relu_after_fusion=True, relu_after_down=False)

"""The search space as data: the cells of a fabric, their links, and the rules of the network."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class CellIndex(NamedTuple):
    """Position of a cell: layer (depth, 0 first) and row (scale, 0 finest)."""

    layer: int
    row: int


class Sources(NamedTuple):
    """Rows of the previous layer that feed a cell; a missing neighbour is replaced (footnote 2)."""

    finer: int
    same: int
    coarser: int


@dataclass(frozen=True)
class FabricSpec:
    """A Cell-based Neural Fabric: hyper-parameters Theta of section III-B (Fig. 5, Table VIII).

    The whole fabric widens from one map (the stem) to all strides and narrows back to one. A head
    is a fabric without its first layers, a backbone is a fabric without its last layers.
    """

    layers: int = 6  # L, the number of layers of the whole fabric
    strides: tuple[int, ...] = (4, 8, 16, 32)  # strides of the rows, finest first
    width: int = 10  # C: a cell at stride s has C * s channels
    hidden_nodes: int = 1  # H, the number of hidden nodes of a cell
    # candidate operations of every edge
    operations: tuple[str, ...] = ("zero", "skip", "separable_3x3", "dilated_3x3")
    first: int = 3  # index of the first layer that is kept
    last: int | None = None  # one past the last layer that is kept; None: the end of the fabric
    alpha_per_cell: bool = False  # whether each cell has its own alpha (the paper's cells share it)

    def __post_init__(self):
        if self.width < 1 or self.hidden_nodes < 1 or self.layers < 1:
            raise ValueError(
                "a fabric needs width, hidden_nodes and layers of at least 1; "
                f"got {self.width}, {self.hidden_nodes}, {self.layers}"
            )
        if not 0 <= self.first < self.end <= self.layers:
            raise ValueError(
                f"layers {self.first} to {self.last} do not lie within a fabric of {self.layers} "
                "layers"
            )
        finer_strides, coarser_strides = self.strides[:-1], self.strides[1:]
        pairs = zip(finer_strides, coarser_strides, strict=True)
        if any(coarser != 2 * finer for finer, coarser in pairs):
            raise ValueError(f"each stride must be twice the previous one; got {self.strides}")
        if not self.operations:
            raise ValueError("a fabric needs at least one candidate operation")

    @property
    def end(self) -> int:
        """One past the last layer kept."""
        return self.layers if self.last is None else self.last

    def channels(self, row: int) -> int:
        """Return the number of channels of the cells of a row."""
        return self.width * self.strides[row]

    def rows(self, layer: int) -> int:
        """Return the number of cells of a layer; layer -1 is the single map of the stem."""
        return 1 if layer < 0 else min(layer + 2, len(self.strides), self.layers - layer)

    @property
    def input_rows(self) -> int:
        """Number of maps that the first kept layer reads: one of the stem, or a pyramid."""
        return self.rows(self.first - 1)

    def fits(self, channels: Sequence[int]) -> bool:
        """Return whether maps with these channels can enter the first kept layer as they are.

        Args:
            channels: The channels of the maps, finest first.
        """
        return [self.channels(row) for row in range(self.input_rows)] == list(channels)

    def grid(self) -> list[list[CellIndex]]:
        """Return the kept cells layer by layer, finest first: the order of the rows of beta."""
        layers = range(self.first, self.end)
        return [[CellIndex(layer, row) for row in range(self.rows(layer))] for layer in layers]

    @property
    def cells(self) -> list[CellIndex]:
        """The cells of `grid` in one list."""
        return [cell for layer in self.grid() for cell in layer]

    @property
    def edges(self) -> list[tuple[int, int]]:
        """Edges (from, to) inside a cell in the order of alpha.

        They are (0, 1), (0, 2), (1, 2), …; node 0 is the input of the cell.
        """
        return [(start, end) for end in range(1, self.hidden_nodes + 1) for start in range(end)]

    @property
    def alpha_shape(self) -> tuple[int, ...]:
        """Shape of alpha: [E, |O|], or [N, E, |O|] with `alpha_per_cell`."""
        shape = (len(self.edges), len(self.operations))
        return (len(self.cells), *shape) if self.alpha_per_cell else shape

    @property
    def beta_shape(self) -> tuple[int, int]:
        """Shape of beta: [N, 3]."""
        return (len(self.cells), 3)

    @staticmethod
    def sources(row: int, rows_before: int) -> Sources:
        """Return the three sources of a cell (Fig. 4).

        This is the only definition of the neighbour rule: construction, forward pass, pruning and
        drawing all use it.

        Args:
            row: The row of the cell.
            rows_before: The number of maps of the previous layer.
        """
        if row >= rows_before:  # the cell opens a new scale: only the finer neighbour exists
            return Sources(row - 1, row - 1, row - 1)
        return Sources(finer=max(row - 1, 0), same=row, coarser=min(row + 1, rows_before - 1))


@dataclass(frozen=True)
class Rules:
    """Differences between the paper's text and the authors' code; the defaults follow the text."""

    edge_factor: bool = False  # multiply Eq. 1 by the number of operations (the code does)
    source_factor: bool = False  # multiply Eq. 2 by three (the code does)
    relu_after_fusion: bool = False  # a ReLU after Eq. 2 (the code has one)
    relu_after_down: bool = True  # a ReLU in the down transfer (the code has none)
    align_corners: bool = True  # align_corners of the bilinear up transfer (the text is silent)
    # 1x1 entries of a head even where all maps of the backbone have the channels of its fabric, as
    # networks of earlier versions of posenfs have; neither the text nor the code has them there
    always_entries: bool = False


PAPER = Rules()
RELEASED = Rules(
    edge_factor=True, source_factor=True, relu_after_fusion=True, relu_after_down=False
)

"""Sizes and positions of one drawn fabric: cells by layer and stride, bars of the operations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from posenfs.model.space import CellIndex, FabricSpec
from posenfs.viz.canvas import Point, Size


@dataclass(frozen=True)
class FabricSizes:
    """Sizes of a drawn fabric, in points.

    Attributes:
        column: From the centre of a layer to the centre of the next.
        gap: Between the cells of a layer.
        cell: Size of a cell.
        source: Diameter of the maps before the first layer.
        line: Width of an edge of weight 1.
        bar: Size of an operation bar below the fabric.
        columns: Number of columns of those bars.
        inside: Height of the operation bars inside a cell.
        margin: Space left of and above the cells, for text.
        labels: Whether there is text; small graphs have none.
        bars: Whether the operation bars are drawn.
    """

    column: float = 86
    gap: float = 32
    cell: Size = (52, 26)
    source: float = 26
    line: float = 5
    bar: Size = (190, 12)
    columns: int = 1
    inside: float = 6
    margin: Size = (54, 62)
    labels: bool = True
    bars: bool = True

    def line_width(self, weight: float) -> float:
        """Return the width of a line in points; a weight of 0 stays visible."""
        return 0.4 + (self.line - 0.4) * weight


LARGE = FabricSizes()
LARGE_PER_CELL = FabricSizes(column=120, gap=22, cell=(82, 0))
SMALL = FabricSizes(
    column=40, gap=14, cell=(18, 13), source=7, line=3, bar=(118, 6), margin=(0, 0), labels=False
)
TINY = FabricSizes(
    column=30,
    gap=7,
    cell=(17, 12),
    source=6,
    line=2.4,
    bar=(0, 0),
    margin=(0, 0),
    labels=False,
    bars=False,
)


@dataclass(frozen=True)
class EdgeBar:
    """The bar of the operations of one edge inside a cell.

    Attributes:
        node: Name of the bar's node.
        cell: The cell, or None for the bar of all cells, which share alpha.
        edge: Index of the edge inside the cell.
        corner: Upper left corner.
        size: Size of the bar.
        label_width: Width of the edge's name at the left.
    """

    node: str
    cell: CellIndex | None
    edge: int
    corner: Point
    size: Size
    label_width: float


class FabricLayout:
    """Positions of the cells, input maps, lines and bars of one fabric.

    Nodes are named key/layer/row.

    Args:
        spec: The fabric's spec.
        sizes: Sizes.
        key: Prefix of the names of its nodes.
    """

    def __init__(self, spec: FabricSpec, sizes: FabricSizes, key: str):
        self.spec, self.sizes, self.key = spec, sizes, key
        self.corner: Point = (0.0, 0.0)  # the upper left corner
        self.layers = range(spec.first - 1, spec.end)  # begins with the layer of the input maps
        self.rows = max(spec.rows(layer) for layer in self.layers)
        self.bars_inside = sizes.bars and spec.alpha_per_cell
        bars_height = (sizes.inside + 3) * len(spec.edges) + 8 if self.bars_inside else 0
        self.cell = sizes.cell[0], max(sizes.cell[1], bars_height)
        self._pitch = sizes.cell[1] + sizes.gap + max(bars_height - sizes.cell[1], 0)

    @property
    def size(self) -> Size:
        """Size of the fabric without its title."""
        sizes = self.sizes
        layers_width = sizes.column * (len(self.layers) - 1)
        width = sizes.margin[0] + sizes.source / 2 + layers_width + self.cell[0] / 2
        panel = self._panel_size
        cells_height = self.cell[1] + self._pitch * (self.rows - 1)
        return max(width, panel[0]), sizes.margin[1] + cells_height + panel[1]

    @property
    def _panel_size(self) -> Size:
        """Size of the operation bars below the fabric."""
        if self.bars_inside or not self.sizes.bars:
            return 0.0, 0.0
        edges = len(self.spec.edges)
        columns = min(self.sizes.columns, edges)
        width, height = self._bar_pitch
        return columns * width - 16, self._bars_top + height * -(-edges // columns)

    @property
    def _bar_pitch(self) -> Point:
        """(x, y) from one operation bar below the fabric to the next."""
        width, height = self.sizes.bar
        return (30 + width + 16, height + 5) if self.sizes.labels else (width + 16, height + 2)

    @property
    def _bars_top(self) -> float:
        """Space above the first operation bar below the fabric."""
        return 34 if self.sizes.labels else 12

    @property
    def bars_y(self) -> float:
        """Height of the first operation bar below the fabric."""
        return self.corner[1] + self.size[1] - self._panel_size[1] + self._bars_top

    def centre(self, layer: int, row: int) -> Point:
        """Return the centre of a cell or, in the layer before the first, of an input map."""
        margin = self.sizes.margin
        column = layer - self.spec.first + 1
        x = self.corner[0] + margin[0] + self.sizes.source / 2 + self.sizes.column * column
        return x, self.corner[1] + margin[1] + self.cell[1] / 2 + self._pitch * row

    @property
    def inputs_name(self) -> str:
        """Where the input maps come from."""
        return "stem" if self.spec.first == 0 else "pyramid"

    def node(self, layer: int, row: int) -> str:
        """Return the name of the node of a cell or an input map."""
        return f"{self.key}/{layer}/{row}"

    def line_ends(self, cell: CellIndex, row: int) -> tuple[Point, Point]:
        """Return both ends of the line to a cell from a row of the layer before.

        Lines leave and arrive at different heights, so that they stay distinguishable.
        """
        (start_x, start_y), (end_x, end_y) = self.centre(cell.layer - 1, row), self.centre(*cell)
        offset = (cell.row - row) * self.cell[1] / 4
        if cell.layer == self.spec.first:
            start = start_x + self.sizes.source / 2, start_y
        else:
            start = start_x + self.cell[0] / 2, start_y + offset
        return start, (end_x - self.cell[0] / 2, end_y - offset)

    def bars(self) -> Iterator[EdgeBar]:
        """Yield the bars inside each cell or, where all cells share alpha, below the fabric."""
        for edge in range(len(self.spec.edges)):
            if not self.bars_inside:
                yield self._bar_below(edge)
                continue
            for cell in self.spec.cells:
                yield self._bar_inside(cell, edge)

    def _bar_below(self, edge: int) -> EdgeBar:
        label_width = 30 if self.sizes.labels else 0
        pitch_x, pitch_y = self._bar_pitch
        line, column = divmod(edge, self.sizes.columns)
        corner = self.corner[0] + label_width + pitch_x * column, self.bars_y + pitch_y * line
        node = self._bar_node(self.key, edge)
        return EdgeBar(node, None, edge, corner, self.sizes.bar, label_width)

    def _bar_inside(self, cell: CellIndex, edge: int) -> EdgeBar:
        label_width, height = 22 if self.sizes.labels else 0, self.sizes.inside
        x, y = self.centre(*cell)
        top = y - height / 2 + (height + 3) * (edge - (len(self.spec.edges) - 1) / 2)
        corner = x - self.cell[0] / 2 + 3 + label_width, top
        size = self.cell[0] - 6 - label_width, height
        node = self._bar_node(self.node(*cell), edge)
        return EdgeBar(node, cell, edge, corner, size, label_width)

    def _bar_node(self, key: str, edge: int) -> str:
        start, end = self.spec.edges[edge]
        return f"{key}/{start}-{end}"


def side_by_side(sizes: Sequence[Size], columns: int) -> tuple[list[Point], Point]:
    """Return the upper left corners of graphs in rows of `columns`, and the lower right corner."""
    corners: list[Point] = []
    x, top, right, bottom = 0.0, 0.0, 0.0, 0.0
    for index, (width, height) in enumerate(sizes):
        if index and index % columns == 0:
            x, top = 0.0, bottom + 34
        corners.append((x, top))
        right, bottom = max(right, x + width), max(bottom, top + height)
        x += width + 40
    return corners, (right, bottom)

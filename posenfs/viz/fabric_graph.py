"""One fabric on a canvas: cells by layer and stride (Fig. 5, 7), beta as lines, alpha as bars."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from posenfs.messages import plain_name
from posenfs.model.architecture import Architecture
from posenfs.model.mask import CellMask
from posenfs.model.space import CellIndex, FabricSpec, Sources
from posenfs.viz.canvas import (
    CELL_COLOUR,
    GREY,
    INK,
    PALE,
    TRANSFER_COLOURS,
    Canvas,
    Point,
    blend,
)
from posenfs.viz.legend import REMOVED_LINE, REMOVED_NODE
from posenfs.viz.operation_bars import (
    REMOVED_INK,
    cell_weights_text,
    operation_name as operation_name,  # re-exported
    place_operation_bar,
)


@dataclass(frozen=True)
class Layout:
    """Sizes of a drawn fabric, in points.

    Attributes:
        column: From the centre of a layer to the centre of the next.
        gap: Between the cells of a layer.
        cell: (width, height) of a cell.
        source: Diameter of the maps before the first layer.
        line: Width of an edge of weight 1.
        bar: (width, height) of the operation bars below a fabric.
        columns: Number of columns of those bars.
        inside: Height of the operation bars inside a cell.
        margin: Space left of and above the cells, for text.
        labels: Whether there is text; small graphs have none.
        bars: Whether the operation bars are drawn.
    """

    column: float = 86
    gap: float = 32
    cell: Point = (52, 26)
    source: float = 26
    line: float = 5
    bar: Point = (190, 12)
    columns: int = 1
    inside: float = 6
    margin: Point = (54, 62)
    labels: bool = True
    bars: bool = True


LARGE = Layout()
LARGE_PER_CELL = Layout(column=120, gap=22, cell=(82, 0))
SMALL = Layout(
    column=40, gap=14, cell=(18, 13), source=7, line=3, bar=(118, 6), margin=(0, 0), labels=False
)
TINY = Layout(
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
class Remaining:
    """What remains of a fabric after pruning.

    Attributes:
        kept: What remains of each cell.
        inputs: Rows of the input maps that are still read.
    """

    kept: Mapping[CellIndex, CellMask]
    inputs: Collection[int]

    def reads(self, spec: FabricSpec, cell: CellIndex, row: int) -> bool:
        """Return whether a cell still reads a row of the layer before, from any of its slots."""
        sources = spec.sources(cell.row, spec.rows(cell.layer - 1))
        return cell in self.kept and any(sources[slot] == row for slot in self.kept[cell].slots)

    def removed_slots(self, cell: CellIndex) -> set[str]:
        """Return the slots (finer, same, coarser) that a cell no longer reads."""
        slots = self.kept[cell].slots if cell in self.kept else ()
        return {name for slot, name in enumerate(Sources._fields) if slot not in slots}

    def removed_operations(self, spec: FabricSpec, cell: CellIndex | None, edge: int) -> set[int]:
        """Return the operations that an edge lost, in one cell or (None) in all kept cells.

        The operation zero computes nothing and is never among them.
        """
        cells = self.kept if cell is None else self.kept.keys() & {cell}
        kept = {index for cell in cells for index in self.kept[cell].operations[edge]}
        return {index for index, name in enumerate(spec.operations) if name != "zero"} - kept

    def text(self, spec: FabricSpec) -> str:
        """Return the counts of kept cells, sources and operations as text."""
        cells = len(spec.cells)
        computing = len([name for name in spec.operations if name != "zero"])
        slots = sum(len(kept.slots) for kept in self.kept.values())
        operations = sum(len(edge) for kept in self.kept.values() for edge in kept.operations)
        return (
            f"kept: {len(self.kept)} of {cells} cells, {slots} of {3 * cells} sources, "
            f"{operations} of {computing * len(spec.edges) * cells} operations"
        )


# Draws the operations of an edge: (canvas, name, cell, edge, corner, size); for all cells the cell
# is None.
PlaceBar = Callable[[Canvas, str, CellIndex | None, int, Point, Point], None]


class FabricGraph:
    """Places of the cells, edges and bars of one fabric on a canvas.

    Nodes are named key/layer/row.

    Args:
        spec: The fabric's spec.
        architecture: Its alpha and beta.
        layout: Sizes.
        key: Prefix of the names of its nodes.
        name: Title.
        remaining: What remains after pruning; everything else is drawn as removed.

    Raises:
        ValueError: alpha or beta does not fit the spec.
    """

    def __init__(
        self,
        spec: FabricSpec,
        architecture: Architecture,
        layout: Layout,
        key: str,
        name: str = "",
        remaining: Remaining | None = None,
    ):
        check_fit(spec, architecture, name or key)
        self.spec = spec
        self.architecture = architecture.detach()
        self.layout = layout
        self.remaining = remaining
        self.key = key
        self.name = plain_name(name)
        self.corner: Point = (0.0, 0.0)
        if remaining is None:
            alpha, beta = self.architecture.entropy()
            self.subtitle = f"entropy: operations {alpha:.2f}, scales {beta:.2f}"
        else:
            self.subtitle = remaining.text(spec)
        self.layers = range(spec.first - 1, spec.end)  # begins with the layer of the input maps
        self.rows = max(spec.rows(layer) for layer in self.layers)
        self.bars_inside = layout.bars and spec.alpha_per_cell
        bars_height = (layout.inside + 3) * len(spec.edges) + 8 if self.bars_inside else 0
        self.cell = layout.cell[0], max(layout.cell[1], bars_height)
        self.pitch = layout.cell[1] + layout.gap + max(bars_height - layout.cell[1], 0)

    @property
    def size(self) -> Point:
        """(width, height) of the drawn fabric."""
        layout = self.layout
        layers_width = layout.column * (len(self.layers) - 1)
        width = layout.margin[0] + layout.source / 2 + layers_width + self.cell[0] / 2
        if layout.labels:  # the width of the text is overestimated
            width = max(width, 7.4 * len(self.name), 4.7 * len(self.subtitle))
        panel = self._panel_size if layout.bars and not self.bars_inside else (0.0, 0.0)
        cells_height = self.cell[1] + self.pitch * (self.rows - 1)
        return max(width, panel[0]), layout.margin[1] + cells_height + panel[1]

    @property
    def _panel_size(self) -> Point:
        """(width, height) of the operation bars below the fabric."""
        edges = len(self.spec.edges)
        columns = min(self.layout.columns, edges)
        width, height = self._bar_pitch
        return columns * width - 16, self._panel_top + height * -(-edges // columns)

    @property
    def _bar_pitch(self) -> Point:
        """(x, y) from one operation bar below the fabric to the next."""
        width, height = self.layout.bar
        return (30 + width + 16, height + 5) if self.layout.labels else (width + 16, height + 2)

    @property
    def _panel_top(self) -> float:
        """Space above the first operation bar below the fabric."""
        return 34 if self.layout.labels else 12

    def place(self, canvas: Canvas, corner: Point) -> None:
        """Draw the fabric with its upper left corner at a point."""
        self.corner = corner
        if self.layout.labels:
            self.place_labels(canvas)
        self._place_edges(canvas)
        self._place_cells(canvas)
        if self.layout.bars:
            self.place_bars(canvas, self._place_bar)

    def at(self, layer: int, row: int) -> Point:
        """Return the centre of a cell or, in the layer before the first, of an input map."""
        margin = self.layout.margin
        column = layer - self.spec.first + 1
        x = self.corner[0] + margin[0] + self.layout.source / 2 + self.layout.column * column
        return x, self.corner[1] + margin[1] + self.cell[1] / 2 + self.pitch * row

    def node(self, layer: int, row: int) -> str:
        """Return the name of the node of a cell or an input map."""
        return f"{self.key}/{layer}/{row}"

    def place_labels(self, canvas: Canvas) -> None:
        """Draw the title, the subtitle, the layers above and the strides at the left."""
        left, top = self.corner
        canvas.text((left, top + 8), self.name or "fabric", size=13, bold=True)
        canvas.text((left, top + 24), self.subtitle, colour=GREY)
        inputs = "stem" if self.spec.first == 0 else "pyramid"
        for layer in self.layers:
            label = f"layer {layer}" if layer >= self.spec.first else inputs
            place = self.at(layer, 0)[0], top + self.layout.margin[1] - 13
            canvas.text(place, label, colour=GREY, align="c")
        for row in range(self.rows):
            y = self.at(0, row)[1]
            canvas.text((left, y - 6), f"1/{self.spec.strides[row]}", size=10, bold=True)
            canvas.text((left, y + 7), f"{self.spec.channels(row)} ch", size=9, colour=GREY)

    def _place_edges(self, canvas: Canvas) -> None:
        """Draw the lines from sources to cells.

        Copies of one map (footnote 2) are one line, with the sum of their weights.
        """
        spec = self.spec
        scale_weights = self.architecture.scale_weights.tolist()
        for cell, weights in zip(spec.cells, scale_weights, strict=True):
            sources = spec.sources(cell.row, spec.rows(cell.layer - 1))
            for row in dict.fromkeys(sources):
                slots = {
                    slot: weight
                    for slot, source, weight in zip(sources._fields, sources, weights, strict=True)
                    if source == row
                }
                self._place_edge(canvas, cell, row, slots)

    def _place_edge(
        self, canvas: Canvas, cell: CellIndex, row: int, slots: Mapping[str, float]
    ) -> None:
        """Draw the line from one map to a cell; `slots` are the weights of the slots it fills."""
        remaining, strides = self.remaining, self.spec.strides
        weight = sum(slots.values())
        tooltip = f"1/{strides[row]} to 1/{strides[cell.row]}, layer {cell.layer}: {weight:.4f}"
        if len(slots) > 1:
            removed = set() if remaining is None else remaining.removed_slots(cell)
            terms = [
                f"{slot} {slot_weight:.4f}" + (" pruned" if slot in removed else "")
                for slot, slot_weight in slots.items()
            ]
            tooltip += "\n" + " + ".join(terms)
        kind = transfer_kind(row, cell.row)
        opacity = round(255 * (0.12 + 0.88 * weight**0.5))
        style = {
            "penwidth": f"{line_width(weight, self.layout):.3f}",
            "color": f"{TRANSFER_COLOURS[kind]}{opacity:02X}",
            "class": kind,
        }
        if remaining is not None and not remaining.reads(self.spec, cell, row):
            style = {"class": "pruned"} | REMOVED_LINE
            tooltip += "\npruned"
        self.line(canvas, cell, row, tooltip=tooltip, **style)

    def line(self, canvas: Canvas, cell: CellIndex, row: int, **style: Any) -> None:
        """Draw a line to a cell from a row of the layer before.

        Lines leave and arrive at different heights, so that they stay distinguishable.
        """
        (start_x, start_y), (end_x, end_y) = self.at(cell.layer - 1, row), self.at(*cell)
        offset = (cell.row - row) * self.cell[1] / 4
        if cell.layer == self.spec.first:
            start = start_x + self.layout.source / 2, start_y
        else:
            start = start_x + self.cell[0] / 2, start_y + offset
        end = end_x - self.cell[0] / 2, end_y - offset
        tail, head = self.node(cell.layer - 1, row), self.node(*cell)
        canvas.curve(tail, head, start, end, bend=0.35, **style)

    def place_inputs(self, canvas: Canvas) -> None:
        """Draw the maps before the first layer."""
        spec, labels = self.spec, self.layout.labels
        origin = "stem" if spec.first == 0 else "pyramid"
        for row in range(spec.input_rows):
            stride = f"1/{spec.strides[row]}"
            tooltip = f"map at {stride} of the {origin}"
            style = {"color": GREY, "penwidth": "0.6", "class": "input"}
            if self.remaining is not None and row not in self.remaining.inputs:
                style = {"style": "filled,dashed", "class": "pruned"} | REMOVED_NODE
                tooltip += "\npruned: no cell reads it"
            canvas.dot(
                self.node(spec.first - 1, row),
                self.at(spec.first - 1, row),
                self.layout.source,
                ["white" if labels else PALE],
                stride if labels else "",
                fontsize="8",
                tooltip=tooltip,
                **style,
            )

    def _place_cells(self, canvas: Canvas) -> None:
        """Draw the input maps, and the cells filled by their share of the scale paths."""
        spec = self.spec
        self.place_inputs(canvas)
        shares = path_shares(spec, self.architecture.scale_weights)
        for cell, weights in zip(spec.cells, self._operation_weights, strict=True):
            share, channels = shares[cell], spec.channels(cell.row)
            style = {
                "fillcolor": blend(CELL_COLOUR, share**0.5),
                "color": blend(INK, 0.25 + 0.75 * share**0.5),
                "penwidth": "0.8",
                "class": "cell",
            }
            tooltip = (
                f"layer {cell.layer}, 1/{spec.strides[cell.row]}, {channels} channels\n"
                f"share of the scale paths to the output {share:.4f}\n"
                f"{cell_weights_text(spec, weights)}"
            )
            if self._is_removed(cell):
                style = {"style": "rounded,filled,dashed", "fillcolor": "white", "class": "pruned"}
                style |= REMOVED_NODE
                tooltip += "\npruned"
            label = f"{channels} ch" if self.layout.labels and not spec.alpha_per_cell else ""
            centre = self.at(*cell)
            canvas.box(self.node(*cell), centre, self.cell, label, tooltip=tooltip, **style)

    @property
    def _operation_weights(self) -> Tensor:
        """softmax(alpha) of every cell [N, E, |O|]."""
        return self.architecture.operation_weights.expand(len(self.spec.cells), -1, -1)

    def _is_removed(self, cell: CellIndex) -> bool:
        return self.remaining is not None and cell not in self.remaining.kept

    def place_bars(self, canvas: Canvas, place_bar: PlaceBar) -> None:
        """Draw the name and the operations of every edge.

        They stand inside each cell or, where all cells share alpha, once below the fabric.

        Args:
            canvas: The canvas to draw on.
            place_bar: Draws the operations of one edge.
        """
        cells = self.spec.cells if self.bars_inside else (None,)
        for edge, (start, end) in enumerate(self.spec.edges):
            for cell in cells:
                corner, size, label_width = self._bar_place(cell, edge)
                if self.layout.labels:
                    removed = cell is not None and self._is_removed(cell)
                    canvas.text(
                        (corner[0] - label_width, corner[1] + size[1] / 2),
                        f"{start} → {end}" if cell is None else f"{start}→{end}",
                        size=9 if cell is None else 8,
                        colour=REMOVED_INK if removed else INK,
                    )
                key = self.key if cell is None else self.node(*cell)
                place_bar(canvas, f"{key}/{start}-{end}", cell, edge, corner, size)
        if self.layout.labels and not self.bars_inside:
            y = self.corner[1] + self.size[1] - self._panel_size[1] + self._panel_top - 10
            canvas.text((self.corner[0], y), "inside every cell", colour=GREY)

    def _bar_place(self, cell: CellIndex | None, edge: int) -> tuple[Point, Point, float]:
        """Return the corner and size of an edge's bar, and the width of its name at the left."""
        labels = self.layout.labels
        if cell is None:
            label_width = 30 if labels else 0
            pitch_x, pitch_y = self._bar_pitch
            line, column = divmod(edge, self.layout.columns)
            top = self.corner[1] + self.size[1] - self._panel_size[1] + self._panel_top
            left = self.corner[0] + label_width
            return (left + pitch_x * column, top + pitch_y * line), self.layout.bar, label_width
        label_width, height = 22 if labels else 0, self.layout.inside
        x, y = self.at(*cell)
        top = y - height / 2 + (height + 3) * (edge - (len(self.spec.edges) - 1) / 2)
        corner = x - self.cell[0] / 2 + 3 + label_width, top
        return corner, (self.cell[0] - 6 - label_width, height), label_width

    def _place_bar(
        self,
        canvas: Canvas,
        name: str,
        cell: CellIndex | None,
        edge: int,
        corner: Point,
        size: Point,
    ) -> None:
        """Draw softmax(alpha) of an edge; only bars below the fabric have percentages."""
        weights = self._operation_weights[0 if cell is None else self.spec.cells.index(cell), edge]
        removed: set[int] = set()
        if self.remaining is not None:
            removed = self.remaining.removed_operations(self.spec, cell, edge)
        percentages = self.layout.labels and cell is None
        place_operation_bar(
            canvas, name, self.spec, edge, weights, corner, size, removed, percentages
        )


def side_by_side(fabrics: Sequence[FabricGraph], columns: int) -> tuple[list[Point], Point]:
    """Return the upper left corners of fabrics in rows of `columns`, and the lower right corner."""
    corners: list[Point] = []
    x, top, right, bottom = 0.0, 0.0, 0.0, 0.0
    for index, fabric in enumerate(fabrics):
        width, height = fabric.size
        if index and index % columns == 0:
            x, top = 0.0, bottom + 34
        corners.append((x, top))
        right, bottom = max(right, x + width), max(bottom, top + height)
        x += width + 40
    return corners, (right, bottom)


def fitting_specs(
    spec: FabricSpec | Mapping[str, FabricSpec],
    architectures: Mapping[str, Architecture],
    steps: bool = False,
) -> dict[str, FabricSpec]:
    """Return the spec of each fabric after checking that its architecture fits.

    Args:
        spec: The spec of all fabrics, or one by fabric name.
        architectures: The architectures by fabric name.
        steps: Whether alpha and beta have a leading dimension of search steps.

    Raises:
        ValueError: alpha or beta does not fit the spec.
    """
    specs = {name: spec[name] if isinstance(spec, Mapping) else spec for name in architectures}
    for name, fabric_spec in specs.items():
        check_fit(fabric_spec, architectures[name], name, steps)
    return specs


def check_fit(spec: FabricSpec, architecture: Architecture, name: str, steps: bool = False) -> None:
    """Check that alpha and beta fit the spec.

    Args:
        spec: The fabric's spec.
        architecture: Its alpha and beta.
        name: Name of the fabric in the message.
        steps: Whether alpha and beta have a leading dimension of search steps.

    Raises:
        ValueError: alpha or beta does not fit.
    """
    logits = {
        "alpha": (architecture.alpha, spec.alpha_shape),
        "beta": (architecture.beta, spec.beta_shape),
    }
    for letter, (tensor, expected_shape) in logits.items():
        shape = list(tensor.shape[int(steps) :])
        if shape != list(expected_shape):
            shown = f"[n, …] of {shape}" if steps else f"{shape}"
            raise ValueError(
                f"{letter} of fabric {name!r} is {shown}; its spec needs {list(expected_shape)}"
            )


def line_width(weight: float, layout: Layout) -> float:
    """Return the width of a line in points; a weight of 0 stays visible."""
    return 0.4 + (layout.line - 0.4) * weight


def transfer_kind(source_row: int, row: int) -> str:
    """Return the transfer from a row to a row of cells: down, same or up."""
    if source_row < row:
        return "down"
    return "up" if source_row > row else "same"


def path_shares(spec: FabricSpec, scale_weights: Tensor) -> dict[CellIndex, float]:
    """Return the share of the scale paths to the output that pass each cell.

    The shares of a layer sum to 1. Several maps of the last layer are equal parts of the output.

    Args:
        spec: The fabric's spec.
        scale_weights: softmax(beta) [N, 3].
    """
    last_layer = spec.grid()[-1]
    shares = dict.fromkeys(spec.cells, 0.0) | dict.fromkeys(last_layer, 1 / len(last_layer))
    for cell, weights in reversed(list(zip(spec.cells, scale_weights.tolist(), strict=True))):
        sources = spec.sources(cell.row, spec.rows(cell.layer - 1))
        for row, weight in zip(sources, weights, strict=True):
            source = CellIndex(cell.layer - 1, row)
            if source in shares:
                shares[source] += shares[cell] * weight
    return shares

"""One fabric on a canvas: cells by layer and stride (Fig. 5, 7), beta as lines, alpha as bars."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from posenfs.body.words import plain_name
from posenfs.model.architecture import Architecture
from posenfs.model.prune import Kept
from posenfs.model.space import CellIndex, FabricSpec, Sources
from posenfs.show.canvas import (
    GREY,
    INK,
    OPERATION_COLOURS,
    PALE,
    Canvas,
    Point,
    blend,
    operation_colour,
    text_on,
)
from posenfs.show.legend import Sample, patch, place_samples, stroke

# The paper's colours for the transfers of Eq. 2, in shades that differ in lightness as well as in hue.
TRANSFER_COLOURS = {"down": "#6A2FA0", "same": "#1A1A1A", "up": "#E0602B"}
FILL = "#8FB4D6"
_GONE = {"color": "#9A9A9A", "fontcolor": "#9A9A9A", "penwidth": "0.8"}  # beside a dashed style, on white
_GONE_LINE = {"penwidth": "1.1", "color": "#A8A8A8", "style": "dotted"}


@dataclass(frozen=True)
class Layout:
    """How large a fabric is drawn, in points; without words in small pictures."""

    column: float = 86  # from the middle of a layer to the next
    gap: float = 32  # between the cells of a layer
    cell: Point = (52, 26)
    source: float = 26  # diameter of the maps before the first layer
    line: float = 5  # width of an edge of weight 1
    bar: Point = (190, 12)  # of the operation bars beneath a fabric
    columns: int = 1  # in which those bars stand
    inside: float = 6  # height of the operation bars within a cell
    margin: Point = (54, 62)  # left of and above the cells, for words
    words: bool = True
    bars: bool = True  # whether the operation bars are drawn


LARGE = Layout()
LARGE_PER_CELL = Layout(column=120, gap=22, cell=(82, 0))
SMALL = Layout(column=40, gap=14, cell=(18, 13), source=7, line=3, bar=(118, 6), margin=(0, 0), words=False)
TINY = Layout(column=30, gap=7, cell=(17, 12), source=6, line=2.4, bar=(0, 0), margin=(0, 0), words=False, bars=False)


@dataclass(frozen=True)
class Left:
    """What pruning left of a fabric: what stays of each cell, and the input rows that are read."""

    kept: Mapping[CellIndex, Kept]
    inputs: Collection[int]

    def reads(self, spec: FabricSpec, cell: CellIndex, row: int) -> bool:
        """Whether a cell still reads a row of the layer before, from any of its slots."""
        sources = spec.sources(cell.row, spec.rows(cell.layer - 1))
        return cell in self.kept and any(sources[slot] == row for slot in self.kept[cell].slots)

    def lost_slots(self, cell: CellIndex) -> set[str]:
        """finer, same, coarser: those that a cell no longer reads."""
        own = self.kept[cell].slots if cell in self.kept else ()
        return {name for slot, name in enumerate(Sources._fields) if slot not in own}

    def words(self, spec: FabricSpec) -> str:
        cells, doing = len(spec.cells), len([o for o in spec.operations if o != "zero"])
        slots = sum(len(kept.slots) for kept in self.kept.values())
        operations = sum(len(own) for kept in self.kept.values() for own in kept.operations)
        return (
            f"stay: {len(self.kept)} of {cells} cells, {slots} of {3 * cells} sources, "
            f"{operations} of {doing * len(spec.edges) * cells} operations"
        )


class FabricGraph:
    """Where everything of one fabric stands on a canvas; its nodes are named key/layer/row.

    Raises ValueError where alpha or beta does not fit the spec.
    """

    def __init__(
        self,
        spec: FabricSpec,
        architecture: Architecture,
        layout: Layout,
        key: str,
        name: str = "",
        left: Left | None = None,
    ):
        check_fit(spec, architecture, name or key)
        self.spec, self.architecture, self.layout, self.left = spec, architecture.detach(), layout, left
        self.key, self.name = key, plain_name(name)
        alpha, beta = self.architecture.entropy()
        self.subtitle = f"entropy: operations {alpha:.2f}, scales {beta:.2f}"
        if left is not None:
            self.subtitle = left.words(spec)
        self.layers = range(spec.first - 1, spec.end)  # the first one is that of the maps read
        self.rows = max(spec.rows(layer) for layer in self.layers)
        self.bars_inside = layout.bars and spec.alpha_per_cell
        inside = (layout.inside + 3) * len(spec.edges) + 8 if self.bars_inside else 0
        self.cell = layout.cell[0], max(layout.cell[1], inside)
        self.pitch = layout.cell[1] + layout.gap + max(inside - layout.cell[1], 0)

    @property
    def size(self) -> Point:
        """(width, height)"""
        layout = self.layout
        width = layout.margin[0] + layout.source / 2 + layout.column * (len(self.layers) - 1) + self.cell[0] / 2
        if layout.words:  # measured generously
            width = max(width, 7.4 * len(self.name), 4.7 * len(self.subtitle))
        panel = self._panel if layout.bars and not self.bars_inside else (0.0, 0.0)
        return max(width, panel[0]), layout.margin[1] + self.cell[1] + self.pitch * (self.rows - 1) + panel[1]

    @property
    def _panel(self) -> Point:
        """(width, height) of the operation bars beneath the fabric."""
        edges, columns = len(self.spec.edges), min(self.layout.columns, len(self.spec.edges))
        step, above = self._panel_step
        return columns * step[0] - 16, above + step[1] * -(-edges // columns)

    @property
    def _panel_step(self) -> tuple[Point, float]:
        """From one operation bar beneath the fabric to the next, and the room above the first."""
        width, height = self.layout.bar
        return ((30 + width + 16, height + 5), 34) if self.layout.words else ((width + 16, height + 2), 12)

    def place(self, canvas: Canvas, corner: Point) -> None:
        """Draw with the left upper corner there."""
        self.corner = corner
        if self.layout.words:
            self.place_words(canvas)
        self._place_edges(canvas)
        self._place_cells(canvas)
        if self.layout.bars:
            self.place_bars(canvas, self._place_bar)

    def at(self, layer: int, row: int) -> Point:
        """The middle of a cell or, one layer before the first, of a map."""
        margin = self.layout.margin
        x = self.corner[0] + margin[0] + self.layout.source / 2 + self.layout.column * (layer - self.spec.first + 1)
        return x, self.corner[1] + margin[1] + self.cell[1] / 2 + self.pitch * row

    def node(self, layer: int, row: int) -> str:
        return f"{self.key}/{layer}/{row}"

    def place_words(self, canvas: Canvas) -> None:
        """Title, entropy, layers above, strides at the left."""
        left, top = self.corner
        canvas.text((left, top + 8), self.name or "fabric", size=13, bold=True)
        canvas.text((left, top + 24), self.subtitle, colour=GREY)
        for layer in self.layers:
            before = "stem" if self.spec.first == 0 else "pyramid"
            words = f"layer {layer}" if layer >= self.spec.first else before
            canvas.text((self.at(layer, 0)[0], top + self.layout.margin[1] - 13), words, colour=GREY, align="c")
        for row in range(self.rows):
            y = self.at(0, row)[1]
            canvas.text((left, y - 6), f"1/{self.spec.strides[row]}", size=10, bold=True)
            canvas.text((left, y + 7), f"{self.spec.channels(row)} ch", size=9, colour=GREY)

    def _place_edges(self, canvas: Canvas) -> None:
        """Lines from sources to cells. Copies of one map (footnote 2) are one line, with the sum of their weights."""
        spec, strides = self.spec, self.spec.strides
        for cell, weights in zip(spec.cells, self.architecture.scale_weights.tolist(), strict=True):
            before = cell.layer - 1
            sources = spec.sources(cell.row, spec.rows(before))
            for row in dict.fromkeys(sources):
                terms = {n: w for n, s, w in zip(sources._fields, sources, weights, strict=True) if s == row}
                weight = sum(terms.values())
                kind = "down" if row < cell.row else "up" if row > cell.row else "same"
                lost = set() if self.left is None else self.left.lost_slots(cell)
                parts = [f"{n} {w:.4f}" + (" pruned" if n in lost else "") for n, w in terms.items()]
                copies = "\n" + " + ".join(parts) if len(parts) > 1 else ""
                words = f"1/{strides[row]} to 1/{strides[cell.row]}, layer {cell.layer}: {weight:.4f}{copies}"
                style = {
                    "penwidth": f"{line_width(weight, self.layout):.3f}",
                    "color": TRANSFER_COLOURS[kind] + f"{round(255 * (0.12 + 0.88 * weight**0.5)):02X}",
                    "class": kind,
                }
                if self.left is not None and not self.left.reads(spec, cell, row):
                    style = {"class": "gone"} | _GONE_LINE
                    words += "\npruned"
                self.line(canvas, cell, row, tooltip=words, **style)

    def line(self, canvas: Canvas, cell: CellIndex, row: int, **style: str) -> None:
        """A line to a cell from a row of the layer before; lines leave and arrive apart, so that each can be told."""
        (x0, y0), (x1, y1) = self.at(cell.layer - 1, row), self.at(*cell)
        fan, inputs = (cell.row - row) * self.cell[1] / 4, cell.layer == self.spec.first
        start = x0 + (self.layout.source if inputs else self.cell[0]) / 2, y0 + (0 if inputs else fan)
        end = x1 - self.cell[0] / 2, y1 - fan
        canvas.curve(self.node(cell.layer - 1, row), self.node(*cell), start, end, bend=0.35, **style)

    def place_inputs(self, canvas: Canvas) -> None:
        """The maps before the first layer."""
        spec, words = self.spec, self.layout.words
        for row in range(spec.input_rows):
            stride = f"1/{spec.strides[row]}"
            tooltip = f"map at {stride} of the {'stem' if spec.first == 0 else 'pyramid'}"
            style = {"color": GREY, "penwidth": "0.6", "class": "input"}
            if self.left is not None and row not in self.left.inputs:
                style = {"style": "filled,dashed", "class": "gone"} | _GONE
                tooltip += "\npruned: nothing reads it"
            canvas.dot(
                self.node(spec.first - 1, row), self.at(spec.first - 1, row), self.layout.source,
                ["white" if words else PALE], stride if words else "", fontsize="8", tooltip=tooltip, **style,
            )  # fmt: skip

    def _place_cells(self, canvas: Canvas) -> None:
        spec, words = self.spec, self.layout.words
        self.place_inputs(canvas)
        shares = path_shares(spec, self.architecture.scale_weights)
        for cell, weights in zip(spec.cells, self._operation_weights, strict=True):
            centre, share, channels = self.at(*cell), shares[cell], spec.channels(cell.row)
            fill, border = blend(FILL, share**0.5), blend(INK, 0.25 + 0.75 * share**0.5)
            style = {"fillcolor": fill, "color": border, "penwidth": "0.8", "class": "cell"}
            tooltip = (
                f"layer {cell.layer}, 1/{spec.strides[cell.row]}, {channels} channels\n"
                f"share of the scale paths to the output {share:.4f}\n{operations_text(spec, weights)}"
            )
            if self._gone(cell):
                style = {"style": "rounded,filled,dashed", "fillcolor": "white", "class": "gone"} | _GONE
                tooltip += "\npruned"
            label = f"{channels} ch" if words and not spec.alpha_per_cell else ""
            canvas.box(self.node(*cell), centre, self.cell, label, tooltip=tooltip, **style)

    @property
    def _operation_weights(self) -> Tensor:
        """softmax(alpha) of every cell [N, E, |O|]."""
        return self.architecture.operation_weights.expand(len(self.spec.cells), -1, -1)

    def _gone(self, cell: CellIndex) -> bool:
        return self.left is not None and cell not in self.left.kept

    def _operations_gone(self, cell: CellIndex | None, edge: int) -> set[int]:
        """Operations that an edge lost, in one cell or in all that stay; zero cannot be lost, as it does nothing."""
        if self.left is None:
            return set()
        kept = self.left.kept.values() if cell is None else [k for index, k in self.left.kept.items() if index == cell]
        stay = {o for own in kept for o in own.operations[edge]}
        return {o for o, name in enumerate(self.spec.operations) if name != "zero"} - stay

    def place_bars(self, canvas: Canvas, place_bar: "PlaceBar") -> None:
        """Every edge's name and operations: within each cell or, where all cells share alpha, once beneath the fabric.

        The operations are drawn by place_bar(canvas, name, cell, edge, corner, size); the cell is None for all cells.
        """
        for number, (start, end) in enumerate(self.spec.edges):
            for cell in self.spec.cells if self.bars_inside else (None,):
                corner, size, label = self._bar_place(cell, number)
                if self.layout.words:
                    ink = _GONE["fontcolor"] if cell is not None and self._gone(cell) else INK
                    words, fontsize = (f"{start} → {end}", 9) if cell is None else (f"{start}→{end}", 8)
                    canvas.text((corner[0] - label, corner[1] + size[1] / 2), words, size=fontsize, colour=ink)
                name = f"{self.key if cell is None else self.node(*cell)}/{start}-{end}"
                place_bar(canvas, name, cell, number, corner, size)
        if self.layout.words and not self.bars_inside:
            y = self.corner[1] + self.size[1] - self._panel[1] + self._panel_step[1] - 10
            canvas.text((self.corner[0], y), "inside every cell", colour=GREY)

    def _bar_place(self, cell: CellIndex | None, edge: int) -> tuple[Point, Point, float]:
        """Left upper corner and (width, height) of an edge's operations, and the room to the left for its name."""
        words = self.layout.words
        if cell is None:
            (step, above), label = self._panel_step, 30 if words else 0
            line, column = divmod(edge, self.layout.columns)
            top = self.corner[1] + self.size[1] - self._panel[1] + above
            return (self.corner[0] + label + step[0] * column, top + step[1] * line), self.layout.bar, label
        (x, y), height, label = self.at(*cell), self.layout.inside, 22 if words else 0
        top = y - height / 2 + (height + 3) * (edge - (len(self.spec.edges) - 1) / 2)
        return (x - self.cell[0] / 2 + 3 + label, top), (self.cell[0] - 6 - label, height), label

    def _place_bar(
        self, canvas: Canvas, name: str, cell: CellIndex | None, edge: int, corner: Point, size: Point
    ) -> None:
        """A stacked bar of softmax(alpha), with percentages in the bars beneath the fabric where there is room."""
        weights = self._operation_weights[0 if cell is None else self.spec.cells.index(cell), edge]
        gone, numbers = self._operations_gone(cell, edge), self.layout.words and cell is None
        _bar(canvas, name, self.spec, weights, self.spec.edges[edge], corner, size, gone, numbers)


PlaceBar = Callable[[Canvas, str, CellIndex | None, int, Point, Point], None]


def side_by_side(fabrics: Sequence[FabricGraph], columns: int) -> tuple[list[Point], Point]:
    """The left upper corners of fabrics in rows of `columns`, and the right lower corner of all."""
    corners, (x, top, right, bottom) = [], (0.0, 0.0, 0.0, 0.0)
    for number, (width, height) in enumerate(fabric.size for fabric in fabrics):
        if number and number % columns == 0:
            x, top = 0.0, bottom + 34
        corners.append((x, top))
        right, bottom = max(right, x + width), max(bottom, top + height)
        x += width + 40
    return corners, (right, bottom)


def fitting_specs(
    spec: FabricSpec | Mapping[str, FabricSpec], architectures: Mapping[str, Architecture], steps: bool = False
) -> dict[str, FabricSpec]:
    """The spec of each fabric, from their common one or {name: spec}; raises ValueError where alpha or beta does not
    fit. With `steps` these have a first dimension more, of the steps of a search."""
    specs = {name: spec[name] if isinstance(spec, Mapping) else spec for name in architectures}
    for name, own in specs.items():
        check_fit(own, architectures[name], name, steps)
    return specs


def check_fit(spec: FabricSpec, architecture: Architecture, name: str, steps: bool = False) -> None:
    """Raise ValueError where alpha or beta, of each of the steps, does not fit the spec."""
    for letter in ("alpha", "beta"):
        found, wanted = tuple(getattr(architecture, letter).shape[int(steps) :]), getattr(spec, f"{letter}_shape")
        if found != wanted:
            shown = f"[n, …] of {list(found)}" if steps else f"{list(found)}"
            raise ValueError(f"{letter} of fabric {name!r} is {shown}; its spec asks {list(wanted)}")


def _bar(
    canvas: Canvas,
    name: str,
    spec: FabricSpec,
    weights: Tensor,
    edge: tuple[int, int],
    corner: Point,
    size: Point,
    gone: Collection[int],
    numbers: bool,
) -> None:
    """A stacked bar of weights [|O|], with percentages where asked and where there is room; what is gone lies flat."""
    colours = (operation_colour(o, spec.operations) for o in spec.operations)
    stripes = list(zip(colours, weights.tolist(), strict=True))
    tooltip = f"{edge[0]} to {edge[1]}: {operation_words(spec, weights)}"
    if gone:
        tooltip += f"\npruned: {', '.join(spec.operations[o] for o in sorted(gone))}"
        _place_stripes(canvas, name, stripes, corner, size, gone, tooltip)
    else:
        canvas.bar(name, corner, size, stripes, tooltip=tooltip)
    x = corner[0]
    for number, (colour, weight) in enumerate(stripes):
        if numbers and weight * size[0] > 22:
            high, ink = (0.38, _GONE["fontcolor"]) if number in gone else (0.5, text_on(colour))
            middle = x + weight * size[0] / 2, corner[1] + high * size[1]
            canvas.text(middle, f"{weight:.0%}", size=8, colour=ink, align="c")
        x += weight * size[0]


def _place_stripes(
    canvas: Canvas,
    name: str,
    stripes: Sequence[tuple[str, float]],
    corner: Point,
    size: Point,
    gone: Collection[int],
    tooltip: str,
) -> None:
    """The (colour, share) of a bar in a pale frame. What is gone keeps its width, pale and a quarter as high, so that
    it is told from a light colour in print too."""
    canvas.bar(name, corner, size, [("#FFFFFF", 1)], tooltip=tooltip, color=PALE)
    x, low = corner[0], 0.25 * size[1]
    for number, (colour, share) in enumerate(stripes):
        width = share * size[0]
        if width >= 0.25:  # a thinner one cannot be seen
            top, height, style = corner[1], size[1], {}
            if number in gone:
                top, height, style, colour = top + height - low, low, {"penwidth": "0"}, blend(colour, 0.5)
            canvas.bar(f"{name}/{number}", (x, top), (width, height), [(colour, 1)], tooltip=tooltip, **style)
        x += width


def line_width(weight: float, layout: Layout) -> float:
    """Points; a weight of 0 can still be seen."""
    return 0.4 + (layout.line - 0.4) * weight


def operation_words(spec: FabricSpec, weights: Tensor) -> str:
    return ", ".join(f"{o} {w:.4f}" for o, w in zip(spec.operations, weights.tolist(), strict=True))


def operations_text(spec: FabricSpec, weights: Tensor) -> str:
    """softmax(alpha) [E, |O|], a line for each edge inside the cell."""
    lines = zip(spec.edges, weights, strict=True)
    return "\n".join(f"{start} to {end}: {operation_words(spec, edge)}" for (start, end), edge in lines)


def path_shares(spec: FabricSpec, scale_weights: Tensor) -> dict[CellIndex, float]:
    """{cell: share} of the scale paths to the output that pass a cell; the shares of a layer sum to 1.

    scale_weights [N, 3] is softmax(beta). Where the last layer has several maps, each is an equal part of the output.
    """
    last = spec.grid()[-1]
    shares = dict.fromkeys(spec.cells, 0.0) | dict.fromkeys(last, 1 / len(last))
    for cell, weights in reversed(list(zip(spec.cells, scale_weights.tolist(), strict=True))):
        for row, weight in zip(spec.sources(cell.row, spec.rows(cell.layer - 1)), weights, strict=True):
            before = CellIndex(cell.layer - 1, row)
            if before in shares:
                shares[before] += shares[cell] * weight
    return shares


def place_legend(canvas: Canvas, corner: Point, operations: Sequence[str], width: float, pruned: bool = False) -> float:
    """Colours of lines, operations (if any) and cells in lines of at most `width`; returns the height."""
    transfers = {"down": "down, from the finer map", "same": "same scale", "up": "up, from the coarser map"}
    cells = {"few": blend(FILL, 0.3), "all scale paths to the output pass here": FILL}
    rows = {
        "scales": [(patch(TRANSFER_COLOURS[kind], 3, penwidth="0"), words) for kind, words in transfers.items()],
        "operations": operation_samples(operations),
        "cells": [(patch(colour), words) for words, colour in cells.items()],
    }
    if pruned:
        rows["pruned"] = [
            (patch("white", style="rounded,filled,dashed", **_GONE), "a cell or map that went"),
            (stroke(**_GONE_LINE), "a source"),
            (_place_gone_operation, "an operation (zero computes nothing, and cannot be lost)"),
        ]
    return place_samples(canvas, corner, rows, width)


def _place_gone_operation(canvas: Canvas, name: str, centre: Point) -> None:
    colour, corner = OPERATION_COLOURS["separable_3x3"], (centre[0] - 7, centre[1] - 4.5)
    _place_stripes(canvas, name, [(colour, 1.0)], corner, (14, 9), {0}, " ")


def operation_samples(operations: Sequence[str]) -> list[tuple[Sample, str]]:
    return [(patch(operation_colour(o, operations)), operation_name(o)) for o in operations]


def operation_name(operation: str) -> str:
    """separable_3x3 -> separable 3×3"""
    return operation.replace("_", " ").replace("3x3", "3×3")

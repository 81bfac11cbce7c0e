"""Where one architecture gives more or less weight than another, on the graph of its fabric."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from posenfs.model.architecture import Architecture
from posenfs.model.space import CellIndex, FabricSpec
from posenfs.show.canvas import GREY, INK, PALE, Canvas, Point, blend, operation_colour, text_on
from posenfs.show.fabric_graph import LARGE, LARGE_PER_CELL, FabricGraph, check_fit, operation_name

# Tol's green and purple: told apart without full colour vision, and neither means a transfer or an operation.
MORE, LESS = "#117733", "#AA4499"
_LEAST = 0.0005  # a difference that no number shows


def draw_difference(
    spec: FabricSpec, architecture: Architecture, other: Architecture, name: str = "", other_name: str = "the other"
) -> Canvas:
    """One architecture less another of the same fabric: lines are differences of scale weights (copies of one map
    summed), cells of the strips those of operation weights. Raises ValueError where one does not fit the spec."""
    return draw_differences(spec, {name: architecture}, other, other_name)


def draw_differences(
    spec: FabricSpec,
    architectures: Mapping[str, Architecture],
    other: Architecture | Mapping[str, Architecture],
    other_name: str = "the other",
    columns: int = 3,
) -> Canvas:
    """Several architectures of one spec, each less the other, or less its own other: {name: Architecture}.

    All lines have one scale, and all strips one: that of the greatest difference on the picture.
    """
    if not architectures:
        raise ValueError("no fabric to draw: architectures is empty")
    others = {name: other[name] if isinstance(other, Mapping) else other for name in architectures}
    for name, architecture in architectures.items():
        check_fit(spec, architecture, name)
        check_fit(spec, others[name], other_name)
    differences = [_Difference(spec, a, others[name], name, n) for n, (name, a) in enumerate(architectures.items())]
    lines = max(abs(value) for d in differences for row in d.sources for value in row)
    strips = max(d.operations.abs().max().item() for d in differences)
    canvas, x, top, bottom, right = Canvas("differences"), 0.0, 0.0, 0.0, 0.0
    for number, difference in enumerate(differences):
        if number and number % columns == 0:
            x, top = 0.0, bottom + 34
        difference.place(canvas, (x, top), max(lines, _LEAST), max(strips, _LEAST))
        width, height = difference.graph.size
        right, bottom = max(right, x + width), max(bottom, top + height)
        x += width + 40
    _place_legend(canvas, (0.0, bottom + 34), spec, other_name, lines, strips)
    return canvas


class _Difference:
    """One architecture less another, on the places where FabricGraph puts things."""

    def __init__(self, spec: FabricSpec, architecture: Architecture, other: Architecture, name: str, number: int):
        layout = LARGE_PER_CELL if spec.alpha_per_cell else LARGE
        self.spec, self.graph = spec, FabricGraph(spec, architecture, layout, str(number), name)
        operations, sources = architecture.distance(other, spec)
        self.graph.subtitle = f"apart: operations {operations:.2f}, sources {sources:.2f}"
        pair = architecture.detach(), other.detach()
        self.sources = (pair[0].source_weights(spec) - pair[1].source_weights(spec)).tolist()  # [N][R]
        self.operations = pair[0].operation_weights - pair[1].operation_weights  # [E, |O|] or [N, E, |O|]

    def place(self, canvas: Canvas, corner: Point, lines: float, strips: float) -> None:
        self.graph.corner = corner
        self.graph.place_words(canvas)
        for cell, row in zip(self.spec.cells, self.sources, strict=True):
            self._place_lines(canvas, cell, row, lines)
        self.graph.place_inputs(canvas)
        for number, cell in enumerate(self.spec.cells):
            self._place_cell(canvas, cell, number, strips)
        if not self.spec.alpha_per_cell:
            self._place_panel(canvas, strips)

    def _place_lines(self, canvas: Canvas, cell: CellIndex, differences: Sequence[float], scale: float) -> None:
        strides, before = self.spec.strides, self.spec.rows(cell.layer - 1)
        for row in dict.fromkeys(self.spec.sources(cell.row, before)):
            value = differences[row]
            style = {"color": PALE, "penwidth": "0.5", "class": "same"}
            if abs(value) >= _LEAST:
                kind, colour, dashes = ("more", MORE, "solid") if value > 0 else ("less", LESS, "dashed")
                width = 0.6 + 4.4 * abs(value) / scale
                style = {"color": colour, "penwidth": f"{width:.3f}", "style": dashes, "class": kind}
            words = f"1/{strides[row]} to 1/{strides[cell.row]}, layer {cell.layer}: {value:+.4f}"
            self.graph.line(canvas, cell, row, tooltip=words, **style)

    def _place_cell(self, canvas: Canvas, cell: CellIndex, number: int, scale: float) -> None:
        centre, size, per_cell = self.graph.at(*cell), self.graph.cell, self.spec.alpha_per_cell
        label = "" if per_cell else f"{self.spec.channels(cell.row)} ch"
        words = f"layer {cell.layer}, 1/{self.spec.strides[cell.row]}"
        canvas.box(self.graph.node(*cell), centre, size, label, color=GREY, penwidth="0.8", tooltip=words)
        if not per_cell:
            return
        left, top = centre[0] - size[0] / 2 + 25, centre[1] - 9 * (len(self.spec.edges) - 1) / 2
        for e, edge in enumerate(self.spec.edges):
            start, own = (left, top + 9 * e), self.operations[number, e]
            canvas.text((left - 22, start[1]), f"{edge[0]}→{edge[1]}", size=8)
            self._place_strip(canvas, self.graph.node(*cell), own, edge, start, (size[0] - 28, 7), scale, False)

    def _place_panel(self, canvas: Canvas, scale: float) -> None:
        """The differences of the operation weights that all cells share, beneath the fabric."""
        width, height = self.graph.layout.bar
        top, left = self.graph.panel_top, self.graph.corner[0] + 30
        canvas.text((self.graph.corner[0], top - 19), "inside every cell", colour=GREY)
        step = width / len(self.spec.operations)
        for number, operation in enumerate(self.spec.operations):
            colour = operation_colour(operation, self.spec.operations)
            canvas.box(
                f"{self.graph.key}/operation/{number}", (left + step * (number + 0.5), top - 6), (step - 3, 4),
                style="filled", fillcolor=colour, color=GREY, penwidth="0.3", tooltip=operation_name(operation),
            )  # fmt: skip
        for e, edge in enumerate(self.spec.edges):
            y = top + (height + 5) * e + height / 2
            canvas.text((left - 30, y), f"{edge[0]} → {edge[1]}")
            self._place_strip(
                canvas, self.graph.key, self.operations[e], edge, (left, y), (width, height), scale, True
            )  # fmt: skip

    def _place_strip(
        self, canvas: Canvas, key: str, differences: Tensor, edge: tuple[int, int], start: Point, size: Point,
        scale: float, numbers: bool,
    ) -> None:  # fmt: skip
        """A cell for each operation, from the left end `start`: the deeper its colour, the greater the difference."""
        step = size[0] / len(self.spec.operations)
        for number, (operation, value) in enumerate(zip(self.spec.operations, differences.tolist(), strict=True)):
            colour = blend(MORE if value > 0 else LESS, abs(value) / scale)
            words = f"{edge[0]} to {edge[1]}, {operation_name(operation)}: {value:+.4f}"
            canvas.box(
                f"{key}/{edge[0]}-{edge[1]}/{number}", (start[0] + step * (number + 0.5), start[1]), (step, size[1]),
                f"{value:+.2f}" if numbers else "", style="filled", fillcolor=colour, color=GREY, penwidth="0.3",
                fontsize="8", fontcolor=text_on(colour), tooltip=words, **{"class": "strip"},
            )  # fmt: skip


def _place_legend(
    canvas: Canvas, corner: Point, spec: FabricSpec, other_name: str, lines: float, strips: float
) -> None:
    x, y = corner
    other = other_name.replace("_", " ")
    for colour, dashes, words in ((MORE, "solid", f"more weight than {other}"), (LESS, "dashed", "less")):
        name = f"legend/{dashes}"
        canvas.box(f"{name}/a", (x, y), (0.1, 0.1), penwidth="0")
        canvas.box(f"{name}/b", (x + 26, y), (0.1, 0.1), penwidth="0")
        canvas.curve(f"{name}/a", f"{name}/b", (x, y), (x + 26, y), color=colour, penwidth="3", style=dashes)
        canvas.text((x + 32, y), words)
        x += 32 + 4.6 * len(words) + 26
    widest = f"widest line {lines:.2f}, deepest cell {strips:.2f}" if max(lines, strips) >= _LEAST else "no difference"
    canvas.text((x, y), widest, colour=INK)
    x, y = corner[0], y + 16
    canvas.text((x, y), "operations", colour=GREY)
    x += 62
    for number, operation in enumerate(spec.operations):
        colour, words = operation_colour(operation, spec.operations), operation_name(operation)
        canvas.box(f"legend/operation/{number}", (x + 7, y), (14, 9), style="filled", fillcolor=colour, color=GREY,
                   penwidth="0.4")  # fmt: skip
        canvas.text((x + 18, y), words)
        x += 32 + 4.6 * len(words)

"""Where one architecture gives more or less weight than another, on the graph of its fabric."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch

from posenfs.body.words import plain_name
from posenfs.model.architecture import Architecture
from posenfs.model.space import CellIndex, FabricSpec
from posenfs.show.canvas import GREY, INK, PALE, Canvas, Point, operation_colour
from posenfs.show.fabric_graph import (
    LARGE,
    LARGE_PER_CELL,
    FabricGraph,
    check_fit,
    operation_name,
    operation_samples,
    side_by_side,
)
from posenfs.show.legend import place_samples, stroke

# Tol's green and purple: told apart without full colour vision, and neither means a transfer or an operation. Less is
# dashed too, so that it is told in print without colour.
_MORE = {"color": "#117733", "style": "solid"}
_LESS = {"color": "#AA4499", "style": "dashed"}
_SAME = {"color": PALE, "penwidth": "0.5"}
_LEAST = 0.00005  # a difference that four digits do not show
_SWATCH, _NUMBER = 12, 30  # room left and right of the signed bars, where there are words


def draw_difference(
    spec: FabricSpec, architecture: Architecture, other: Architecture, name: str = "", other_name: str = "the other"
) -> Canvas:
    """One architecture less another of the same fabric: lines are differences of scale weights (copies of one map
    summed), bars those of operation weights. Raises ValueError where one does not fit the spec."""
    return draw_differences(spec, {name: architecture}, other, other_name)


def draw_differences(
    spec: FabricSpec | Mapping[str, FabricSpec],
    architectures: Mapping[str, Architecture],
    other: Architecture | Mapping[str, Architecture],
    other_name: str = "the other",
    columns: int = 3,
) -> Canvas:
    """Several architectures, each less the other, or less its own other: {name: Architecture}. `spec` is theirs in
    common, or {name: spec}.

    All lines have one scale, and all bars one: that of the greatest difference on the picture. Raises ValueError where
    one does not fit the spec or has no other.
    """
    if not architectures:
        raise ValueError("no fabric to draw: architectures is empty")
    if isinstance(other, Mapping) and (alone := [name for name in architectures if name not in other]):
        raise ValueError(f"nothing to compare {', '.join(alone)} with; there are {', '.join(other)}")
    differences = []
    for number, (name, architecture) in enumerate(architectures.items()):
        own = spec[name] if isinstance(spec, Mapping) else spec
        theirs = other[name] if isinstance(other, Mapping) else other
        differences.append(_Difference(own, architecture, theirs, (name, other_name), str(number)))
    lines, bars = (max(d.greatest[n] for d in differences) for n in range(2))
    canvas, (corners, (right, bottom)) = Canvas("differences"), side_by_side([d.graph for d in differences], columns)
    for difference, corner in zip(differences, corners, strict=True):
        difference.place(canvas, corner, max(lines, _LEAST), max(bars, _LEAST))
    operations = tuple(dict.fromkeys(o for d in differences for o in d.spec.operations))
    _place_legend(canvas, (0.0, bottom + 34), operations, plain_name(other_name), (lines, bars), max(right, 430))
    return canvas


class _Difference:
    """One architecture less another, on the places where FabricGraph puts things."""

    def __init__(
        self, spec: FabricSpec, architecture: Architecture, other: Architecture, names: tuple[str, str], key: str
    ):
        count = len(spec.operations)
        whole = LARGE_PER_CELL if spec.alpha_per_cell else LARGE
        layout = replace(whole, bar=(135, 9 * count), columns=2, inside=3.5 * count)
        self.spec, self.graph = spec, FabricGraph(spec, architecture, layout, key, names[0])
        check_fit(spec, other, names[1])
        pair = architecture.detach(), other.detach()
        operations, sources = pair[0].distance(pair[1], spec)
        self.graph.subtitle = f"apart from {plain_name(names[1])}: operations {operations:.2f}, sources {sources:.2f}"
        self.sources = torch.stack([a.source_weights(spec) for a in pair])  # [2, N, R]
        cells = len(spec.cells)
        self.operations = torch.stack([a.operation_weights.expand(cells, -1, -1) for a in pair])  # [2, N, E, |O|]

    @property
    def greatest(self) -> tuple[float, float]:
        """The greatest difference of a source, and of an operation."""
        return tuple((own - other).abs().max().item() for own, other in (self.sources, self.operations))

    def place(self, canvas: Canvas, corner: Point, lines: float, bars: float) -> None:
        """Draw with the left upper corner there; a difference of `lines` is the widest, of `bars` the longest."""
        self.graph.corner = corner
        self.graph.place_words(canvas)
        for number, cell in enumerate(self.spec.cells):
            self._place_lines(canvas, cell, number, lines)
        self.graph.place_inputs(canvas)
        for cell in self.spec.cells:
            label = "" if self.spec.alpha_per_cell else f"{self.spec.channels(cell.row)} ch"
            canvas.box(
                self.graph.node(*cell), self.graph.at(*cell), self.graph.cell, label, color=GREY, penwidth="0.8",
                tooltip=f"layer {cell.layer}, 1/{self.spec.strides[cell.row]}", **{"class": "cell"},
            )  # fmt: skip
        self.graph.place_bars(canvas, partial(self._place_bars, scale=bars))

    def _place_lines(self, canvas: Canvas, cell: CellIndex, number: int, scale: float) -> None:
        strides, before = self.spec.strides, self.spec.rows(cell.layer - 1)
        for row in dict.fromkeys(self.spec.sources(cell.row, before)):
            own, other = self.sources[:, number, row].tolist()
            style = {"class": "same"} | _SAME
            if abs(own - other) >= _LEAST:
                style = {"class": "more"} | _MORE if own > other else {"class": "less"} | _LESS
                style["penwidth"] = f"{0.6 + 4.4 * abs(own - other) / scale:.3f}"
            where = f"1/{strides[row]} to 1/{strides[cell.row]}, layer {cell.layer}"
            self.graph.line(canvas, cell, row, tooltip=_words(where, own, other), **style)

    def _place_bars(
        self, canvas: Canvas, name: str, cell: CellIndex | None, edge: int, corner: Point, size: Point, scale: float
    ) -> None:
        """A bar for each operation, one beneath another: to the right of the middle where it has more weight."""
        number, words = 0 if cell is None else self.spec.cells.index(cell), cell is None
        (start, end), (left, right) = self.spec.edges[edge], (_SWATCH, _NUMBER) if words else (0, 0)
        half, height = (size[0] - left - right) / 2, size[1] / len(self.spec.operations)
        middle = corner[0] + left + half
        pairs = self.operations[:, number, edge].T.tolist()
        for o, (operation, (own, other)) in enumerate(zip(self.spec.operations, pairs, strict=True)):
            y, colour = corner[1] + height * (o + 0.5), operation_colour(operation, self.spec.operations)
            tooltip = _words(f"{start} to {end}, {operation_name(operation)}", own, other)
            fill = {"style": "filled", "fillcolor": colour, "color": GREY, "penwidth": "0.3", "tooltip": tooltip}
            ground = fill | {"fillcolor": "white", "penwidth": "0", "class": "operation"}  # shows the tooltip all along
            canvas.box(f"{name}/{o}", (corner[0] + size[0] / 2, y), (size[0], height), **ground)
            length = half * (own - other) / scale
            if abs(own - other) >= _LEAST:
                canvas.box(f"{name}/{o}/bar", (middle + length / 2, y), (abs(length), 0.72 * height), **fill,
                           **{"class": "signed"})  # fmt: skip
            if words:
                canvas.box(f"{name}/{o}/swatch", (corner[0] + 3, y), (6, 6), **fill)
                ink = INK if abs(own - other) >= 0.0005 else GREY
                canvas.text((corner[0] + size[0], y), _signed(own - other, 3), size=8, colour=ink, align="r")
        canvas.box(f"{name}/middle", (middle, corner[1] + size[1] / 2), (0.6, size[1]), style="filled", fillcolor=GREY,
                   penwidth="0")  # fmt: skip


def _place_legend(
    canvas: Canvas, corner: Point, operations: Sequence[str], other_name: str, greatest: Point, width: float
) -> None:
    lines, bars = greatest
    scale = []
    if lines >= _LEAST:
        scale.append((stroke(**_MORE, penwidth="5"), f"widest line = {lines:.3f}"))
    if bars >= _LEAST:
        scale.append((_place_pair, f"longest bar = {bars:.3f}: less to the left, more to the right"))
    rows = {
        "sources": [
            (stroke(**_MORE, penwidth="3"), f"more weight than in {other_name}"),
            (stroke(**_LESS, penwidth="3"), "less"),
            (stroke(**_SAME), "as much"),
        ],
        "scale": scale or [(stroke(**_SAME), "no difference")],
        "operations": operation_samples(operations),
    }
    place_samples(canvas, corner, rows, width)


def _place_pair(canvas: Canvas, name: str, centre: Point) -> None:
    """Two bars round a middle line."""
    x, y = centre
    for side, offset in (("less", -3.5), ("more", 3.5)):
        canvas.box(f"{name}/{side}", (x + offset, y + offset * 0.7), (7, 4), style="filled", fillcolor=PALE, color=GREY,
                   penwidth="0.3")  # fmt: skip
    canvas.box(name, centre, (0.6, 10), style="filled", fillcolor=GREY, penwidth="0")


def _signed(value: float, digits: int) -> str:
    """With its sign; without one where only zeros would be seen."""
    words = f"{abs(value):.{digits}f}"
    return words if float(words) == 0 else ("+" if value > 0 else "−") + words


def _words(where: str, own: float, other: float) -> str:
    return f"{where}: {_signed(own - other, 4)}\n{own:.4f} against {other:.4f}"

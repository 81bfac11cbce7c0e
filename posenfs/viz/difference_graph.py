"""Differences between the weights of two architectures, drawn on the graph of their fabric."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch

from posenfs.messages import plain_name
from posenfs.model.architecture import Architecture
from posenfs.model.space import CellIndex, FabricSpec
from posenfs.viz.canvas import Canvas, Point
from posenfs.viz.colours import GREY, INK, PALE, operation_colour
from posenfs.viz.fabric_graph import FabricGraph
from posenfs.viz.fabric_layout import LARGE, LARGE_PER_CELL, EdgeBar, FabricLayout, side_by_side
from posenfs.viz.fabric_weights import check_fit, operation_name
from posenfs.viz.legend import add_swatches, operation_swatches, stroke

# Tol's green and purple, safe for colour-blind readers and unlike all transfers and operations.
# Less weight is also dashed, so that it is recognisable in print without colour.
_MORE = {"color": "#117733", "style": "solid"}
_LESS = {"color": "#AA4499", "style": "dashed"}
_SAME = {"color": PALE, "penwidth": "0.5"}
_LEAST = 0.00005  # differences below are 0 in four digits
_SWATCH, _NUMBER = 12, 30  # space left and right of labelled signed bars


def draw_difference(
    spec: FabricSpec,
    architecture: Architecture,
    other: Architecture,
    name: str = "",
    other_name: str = "the other",
) -> Canvas:
    """Draw one architecture minus another of the same fabric.

    Lines are differences of scale weights (copies of one map are summed), bars are differences of
    operation weights.

    Args:
        spec: The fabric's spec.
        architecture: The first architecture.
        other: The architecture that is subtracted.
        name: Title.
        other_name: Name of the subtracted architecture.

    Raises:
        ValueError: An architecture does not fit the spec.
    """
    return draw_differences(spec, {name: architecture}, other, other_name)


def draw_differences(
    spec: FabricSpec | Mapping[str, FabricSpec],
    architectures: Mapping[str, Architecture],
    other: Architecture | Mapping[str, Architecture],
    other_name: str = "the other",
    columns: int = 3,
) -> Canvas:
    """Draw several architectures, each minus another one.

    All lines share one scale, and all bars another, set by the greatest difference on the canvas.

    Args:
        spec: The spec of all fabrics, or one by fabric name.
        architectures: The architectures by fabric name.
        other: The subtracted architecture, or one by fabric name.
        other_name: Name of the subtracted architectures.
        columns: Fabrics in a row.

    Raises:
        ValueError: An architecture does not fit its spec or has no counterpart.
    """
    if not architectures:
        raise ValueError("no fabric to draw: architectures is empty")
    if isinstance(other, Mapping) and (
        missing := [name for name in architectures if name not in other]
    ):
        known = ", ".join(other)
        raise ValueError(f"nothing to compare {', '.join(missing)} with; there are {known}")
    differences = []
    for index, (name, architecture) in enumerate(architectures.items()):
        fabric_spec = spec[name] if isinstance(spec, Mapping) else spec
        counterpart = other[name] if isinstance(other, Mapping) else other
        names = name, other_name
        difference = _Difference(fabric_spec, architecture, counterpart, names, str(index))
        differences.append(difference)
    lines = max(difference.greatest_source for difference in differences)
    bars = max(difference.greatest_operation for difference in differences)
    canvas = Canvas("differences")
    graphs = [difference.graph for difference in differences]
    corners, (right, bottom) = side_by_side([graph.size for graph in graphs], columns)
    for difference, corner in zip(differences, corners, strict=True):
        difference.draw(canvas, corner, max(lines, _LEAST), max(bars, _LEAST))
    operations = tuple(dict.fromkeys(o for graph in graphs for o in graph.spec.operations))
    corner, width = (0.0, bottom + 34), max(right, 430)
    _add_legend(canvas, corner, operations, plain_name(other_name), lines, bars, width)
    return canvas


class _Difference:
    """One architecture minus another, drawn at the positions of a FabricGraph."""

    def __init__(
        self,
        spec: FabricSpec,
        architecture: Architecture,
        other: Architecture,
        names: tuple[str, str],
        key: str,
    ):
        operations = len(spec.operations)
        sizes = replace(
            LARGE_PER_CELL if spec.alpha_per_cell else LARGE,
            bar=(135, 9 * operations),
            columns=2,
            inside=3.5 * operations,
        )
        self.spec = spec
        self.graph = FabricGraph(architecture, FabricLayout(spec, sizes, key), names[0])
        check_fit(spec, other, names[1])
        pair = architecture.detach(), other.detach()
        operation_distance, source_distance = pair[0].distance(pair[1], spec)
        self.graph.subtitle = (
            f"distance to {plain_name(names[1])}: "
            f"operations {operation_distance:.2f}, sources {source_distance:.2f}"
        )
        cells = len(spec.cells)
        self.sources = torch.stack([each.source_weights(spec) for each in pair])  # [2, N, R]
        self.operations = torch.stack(
            [each.operation_weights.expand(cells, -1, -1) for each in pair]
        )  # [2, N, E, |O|]

    @property
    def greatest_source(self) -> float:
        return _greatest(self.sources)

    @property
    def greatest_operation(self) -> float:
        return _greatest(self.operations)

    def draw(self, canvas: Canvas, corner: Point, lines: float, bars: float) -> None:
        """Draw with the upper left corner there.

        A difference of `lines` has the widest line, one of `bars` the longest bar.
        """
        graph, layout = self.graph, self.graph.layout
        layout.corner = corner
        graph.add_labels(canvas)
        for index, cell in enumerate(self.spec.cells):
            self._add_lines(canvas, cell, index, lines)
        graph.add_inputs(canvas)
        for cell in self.spec.cells:
            label = "" if self.spec.alpha_per_cell else f"{self.spec.channels(cell.row)} ch"
            canvas.box(
                layout.node(*cell),
                layout.centre(*cell),
                layout.cell,
                label,
                color=GREY,
                penwidth="0.8",
                tooltip=f"layer {cell.layer}, 1/{self.spec.strides[cell.row]}",
                class_="cell",
            )
        graph.add_bars(canvas, partial(self._add_bars, scale=bars))

    def _add_lines(self, canvas: Canvas, cell: CellIndex, index: int, scale: float) -> None:
        """Draw the differences of the sources of one cell."""
        strides, rows_before = self.spec.strides, self.spec.rows(cell.layer - 1)
        for row in dict.fromkeys(self.spec.sources(cell.row, rows_before)):
            weight, other_weight = self.sources[:, index, row].tolist()
            difference = weight - other_weight
            style = {"class": "same"} | _SAME
            if abs(difference) >= _LEAST:
                style = {"class": "more"} | _MORE if difference > 0 else {"class": "less"} | _LESS
                style["penwidth"] = f"{0.6 + 4.4 * abs(difference) / scale:.3f}"
            where = f"1/{strides[row]} to 1/{strides[cell.row]}, layer {cell.layer}"
            tooltip = _tooltip(where, weight, other_weight)
            self.graph.add_line(canvas, cell, row, tooltip=tooltip, **style)

    def _add_bars(self, canvas: Canvas, edge_bar: EdgeBar, scale: float) -> None:
        """Draw a signed bar for each operation of an edge; more weight points to the right."""
        name, corner, size = edge_bar.node, edge_bar.corner, edge_bar.size
        index = 0 if edge_bar.cell is None else self.spec.cells.index(edge_bar.cell)
        labels = edge_bar.cell is None
        left, right = (_SWATCH, _NUMBER) if labels else (0, 0)
        half, height = (size[0] - left - right) / 2, size[1] / len(self.spec.operations)
        middle = corner[0] + left + half
        tail, head = self.spec.edges[edge_bar.edge]
        pairs = self.operations[:, index, edge_bar.edge].T.tolist()
        for o, (operation, (weight, other_weight)) in enumerate(
            zip(self.spec.operations, pairs, strict=True)
        ):
            difference, y = weight - other_weight, corner[1] + height * (o + 0.5)
            where = f"{tail} to {head}, {operation_name(operation)}"
            fill = {
                "style": "filled",
                "fillcolor": operation_colour(operation, self.spec.operations),
                "color": GREY,
                "penwidth": "0.3",
                "tooltip": _tooltip(where, weight, other_weight),
            }
            # The background shows the tooltip along the whole bar.
            background = fill | {"fillcolor": "white", "penwidth": "0", "class": "operation"}
            centre = corner[0] + size[0] / 2, y
            canvas.box(f"{name}/{o}", centre, (size[0], height), **background)
            if abs(difference) >= _LEAST:
                length = half * difference / scale
                centre, bar_size = (middle + length / 2, y), (abs(length), 0.72 * height)
                canvas.box(f"{name}/{o}/bar", centre, bar_size, class_="signed", **fill)
            if labels:
                canvas.box(f"{name}/{o}/swatch", (corner[0] + 3, y), (6, 6), **fill)
                ink = INK if abs(difference) >= 0.0005 else GREY
                anchor = corner[0] + size[0], y
                canvas.text(anchor, _signed(difference, 3), size=8, colour=ink, align="r")
        _add_axis(canvas, f"{name}/middle", (middle, corner[1] + size[1] / 2), size[1])


def _add_legend(
    canvas: Canvas,
    corner: Point,
    operations: Sequence[str],
    other_name: str,
    lines: float,
    bars: float,
    width: float,
) -> None:
    """Draw the legend; `lines` and `bars` are the greatest differences."""
    scale = []
    if lines >= _LEAST:
        scale.append((stroke(**_MORE, penwidth="5"), f"widest line = {lines:.3f}"))
    if bars >= _LEAST:
        meaning = f"longest bar = {bars:.3f}: less to the left, more to the right"
        scale.append((_add_pair, meaning))
    rows = {
        "sources": [
            (stroke(**_MORE, penwidth="3"), f"more weight than in {other_name}"),
            (stroke(**_LESS, penwidth="3"), "less"),
            (stroke(**_SAME), "equal"),
        ],
        "scale": scale or [(stroke(**_SAME), "no difference")],
        "operations": operation_swatches(operations),
    }
    add_swatches(canvas, corner, rows, width)


def _add_pair(canvas: Canvas, name: str, centre: Point) -> None:
    """Draw a swatch of two bars beside an axis."""
    x, y = centre
    style = {"style": "filled", "fillcolor": PALE, "color": GREY, "penwidth": "0.3"}
    for side, offset in (("less", -3.5), ("more", 3.5)):
        canvas.box(f"{name}/{side}", (x + offset, y + offset * 0.7), (7, 4), **style)
    _add_axis(canvas, name, centre, 10)


def _add_axis(canvas: Canvas, name: str, centre: Point, height: float) -> None:
    """Draw a thin vertical line."""
    style = {"style": "filled", "fillcolor": GREY, "penwidth": "0"}
    canvas.box(name, centre, (0.6, height), **style)


def _greatest(pair: torch.Tensor) -> float:
    """Return the greatest difference between the two halves of a tensor [2, ...]."""
    return (pair[0] - pair[1]).abs().max().item()


def _signed(value: float, digits: int) -> str:
    """Return a number with its sign, or without one where all digits are 0."""
    text = f"{abs(value):.{digits}f}"
    if float(text) == 0:
        return text
    return f"+{text}" if value > 0 else f"−{text}"


def _tooltip(where: str, weight: float, other_weight: float) -> str:
    return f"{where}: {_signed(weight - other_weight, 4)}\n{weight:.4f} vs {other_weight:.4f}"

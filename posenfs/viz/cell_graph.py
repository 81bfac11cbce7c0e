"""The inside of one cell (Fig. 2, 4): sources (Eq. 2), operations (Eq. 1) and output (Eq. 3)."""

from itertools import pairwise
from typing import Any

from posenfs.model.architecture import Architecture
from posenfs.model.space import CellIndex, FabricSpec
from posenfs.viz.canvas import (
    CELL_COLOUR,
    GREY,
    INK,
    TRANSFER_COLOURS,
    Canvas,
    Point,
    blend,
    operation_colour,
)
from posenfs.viz.fabric_graph import LARGE, check_fit, line_width, transfer_kind
from posenfs.viz.operation_bars import operation_name

_TRANSFERS = {
    "down": "3×3 convolution\nstride 2, ",
    "same": "identity\n",
    "up": "1×1 convolution\nbilinear ×2, ",
}
_SOURCE_OF_TRANSFER = {"down": "finer", "same": "same", "up": "coarser"}
_MAP, _TRANSFER, _NODE = (54.0, 30.0), (122.0, 30.0), 28.0  # sizes; a node's diameter
_SOURCES = (-76.0, 0.0, 76.0)  # heights of finer, same, coarser
_GAP = 16.0  # between two boxes
_LANE = 13.0  # from one operation's line to the next
_RISE = 34.0  # length in which a line changes its height
_CHARACTER = 4.4  # width of a character at 8 points
_THIN: dict[str, Any] = {"color": GREY, "penwidth": "0.8"}


def draw_cell(
    spec: FabricSpec, architecture: Architecture, name: str = "", cell: CellIndex | None = None
) -> Canvas:
    """Draw one cell from left to right: sources, transfers, node 0, hidden nodes and output.

    Lines are softmax(beta) and, for every candidate operation of every edge, softmax(alpha). The
    exact weights are in the tooltips.

    Args:
        spec: The fabric's spec.
        architecture: Its alpha and beta.
        name: Name of the fabric in the title.
        cell: The cell; by default the first one with three different sources.

    Raises:
        ValueError: alpha or beta does not fit the spec, or the fabric has no such cell.
    """
    check_fit(spec, architecture, name)
    cell = cell or _default_cell(spec)
    if cell not in spec.cells:
        cells = [tuple(known) for known in spec.cells]
        raise ValueError(f"the fabric has no cell {tuple(cell)}; its cells are {cells}")
    architecture, index = architecture.detach(), spec.cells.index(cell)
    alpha = architecture.operation_weights.expand(len(spec.cells), -1, -1)[index].tolist()
    beta = architecture.scale_weights[index].tolist()
    canvas, levels, nodes = Canvas("cell"), _levels(spec), _nodes(spec)
    # The highest operation; the lines from the hidden nodes to the output run above it.
    ceiling = min(levels.values()) - _LANE * (len(spec.operations) - 1) / 2
    top = min(ceiling - _LANE * spec.hidden_nodes, _SOURCES[0] - 34) - 14
    _place_headings(canvas, spec, cell, name, nodes, top)
    _place_sources(canvas, spec, cell, beta, nodes[0])
    for edge, weights in zip(spec.edges, alpha, strict=True):
        _place_edge(canvas, spec, edge, weights, nodes, levels[edge])
    for number, place in enumerate(nodes):
        meaning = "the cell's input, the sum of its sources"
        if number:
            meaning = "hidden, the sum of its mixed operations"
        canvas.dot(
            f"node/{number}",
            place,
            _NODE,
            [blend(CELL_COLOUR, 0.3)],
            str(number),
            fontsize="11",
            color=INK,
            penwidth="0.8",
            tooltip=f"node {number}: {meaning}\n{_shape(spec, cell.row)}",
            class_="node",
        )
    _place_output(canvas, spec, cell, nodes, ceiling)
    return canvas


def _default_cell(spec: FabricSpec) -> CellIndex:
    """Return the first cell with three different sources, or the first cell."""
    for cell in spec.cells:
        if len(set(spec.sources(cell.row, spec.rows(cell.layer - 1)))) == 3:
            return cell
    return spec.cells[0]


def _nodes(spec: FabricSpec) -> list[Point]:
    """Return the places of node 0 and the hidden nodes."""
    letters = max(len(operation_name(name)) + len(" 100%") for name in spec.operations)
    pitch = 2 * _RISE + _CHARACTER * letters + 4 + 12
    left = _MAP[0] + _GAP + _TRANSFER[0] + 100
    return [(left + pitch * number, 0.0) for number in range(spec.hidden_nodes + 1)]


def _levels(spec: FabricSpec) -> dict[tuple[int, int], float]:
    """Return the height of each edge: 0 between neighbours, the longer the edge the farther away.

    Edges from even nodes run below the middle and those from odd nodes above, so that few cross.
    """
    pitch = _LANE * len(spec.operations) + 9
    return {
        (start, end): (end - start - 1) * pitch * (-1 if start % 2 else 1)
        for start, end in spec.edges
    }


def _place_headings(
    canvas: Canvas, spec: FabricSpec, cell: CellIndex, name: str, nodes: list[Point], top: float
) -> None:
    """Draw the title, and the equation of each stage above it."""
    stride, channels = spec.strides[cell.row], spec.channels(cell.row)
    where = f"layer {cell.layer}, scale 1/{stride}, {channels} channels"
    title = f"{name.replace('_', ' ')}: {where}".removeprefix(": ")
    canvas.text((0, top - 44), title, size=13, bold=True)
    alpha = "alpha of this cell alone"
    if not spec.alpha_per_cell:
        alpha = "alpha shared by all cells of the fabric"
    canvas.text((0, top - 28), f"{alpha}, beta of this cell", colour=GREY)
    headings = (
        "Eq. 2: sources, softmax(beta)",
        "Eq. 1: operations, softmax(alpha)",
        "Eq. 3: concatenation, projection",
    )
    ends = (0.0, nodes[0][0] - 14, nodes[-1][0] + 26, nodes[-1][0] + 272)
    for heading, (start, end) in zip(headings, pairwise(ends), strict=True):
        canvas.heading(heading, start, end - 12, top)


def _place_sources(
    canvas: Canvas, spec: FabricSpec, cell: CellIndex, weights: list[float], node: Point
) -> None:
    """Draw the maps finer, same and coarser, their transfers, and lines by weight [3] to node 0."""
    sources = spec.sources(cell.row, spec.rows(cell.layer - 1))
    for slot, row, weight, y in zip(sources._fields, sources, weights, _SOURCES, strict=True):
        kind = transfer_kind(row, cell.row)
        colour, channels = TRANSFER_COLOURS[kind], (spec.channels(row), spec.channels(cell.row))
        _place_map(canvas, spec, cell, slot, row, y)
        left = _MAP[0] + _GAP
        right = left + _TRANSFER[0]
        label = f"{_TRANSFERS[kind]}{channels[0]} → {channels[1]} ch"
        transfer = f"transfer/{slot}"
        canvas.box(
            transfer,
            (left + _TRANSFER[0] / 2, y),
            _TRANSFER,
            label,
            color=colour,
            penwidth="0.8",
            fontsize="8.5",
            tooltip=label,
            class_="transfer",
        )
        canvas.curve(f"source/{slot}", transfer, (_MAP[0], y), (left, y), **_THIN)
        canvas.curve(
            transfer,
            "node/0",
            (right, y),
            node,
            bend=0.5,
            through=((right + 34, y),),
            color=colour,
            penwidth=f"{line_width(weight, LARGE):.3f}",
            tooltip=f"{slot}: {weight:.4f}",
            class_="scale",
        )
        _place_weight(canvas, f"beta/{slot}", (right + 17, y), f"{weight:.0%}")


def _place_map(
    canvas: Canvas, spec: FabricSpec, cell: CellIndex, slot: str, row: int, y: float
) -> None:
    """Draw the map in one slot of a cell, named as a copy where it fills another slot's place."""
    if cell.layer > spec.first:
        origin = f"layer {cell.layer - 1}"
    else:
        origin = "the pyramid" if spec.first else "the stem"
    original = _SOURCE_OF_TRANSFER[transfer_kind(row, cell.row)]
    copy = "" if original == slot else f"copy of {original}"  # footnote 2
    canvas.text((0, y - 23), slot, bold=True)
    if copy:
        canvas.text((42, y - 23), copy, size=8, colour=GREY)
    canvas.box(
        f"source/{slot}",
        (_MAP[0] / 2, y),
        _MAP,
        _shape(spec, row, "\n"),
        tooltip=f"{slot}: {copy or 'a map'}, from {origin}\n{_shape(spec, row)}",
        class_="source",
        **_THIN,
    )


def _place_edge(
    canvas: Canvas,
    spec: FabricSpec,
    edge: tuple[int, int],
    weights: list[float],
    nodes: list[Point],
    level: float,
) -> None:
    """Draw a mixed operation: a line for each candidate operation, by its weight [|O|]."""
    tail, head = edge
    start, end = nodes[tail], nodes[head]
    middle = (start[0] + nodes[tail + 1][0]) / 2  # before the next node, even on a longer edge
    for index, (operation, weight) in enumerate(zip(spec.operations, weights, strict=True)):
        y = level + _LANE * (index - (len(spec.operations) - 1) / 2)
        canvas.curve(
            f"node/{tail}",
            f"node/{head}",
            start,
            end,
            bend=0.5,
            through=((start[0] + _RISE, y), (end[0] - _RISE, y)),
            color=operation_colour(operation, spec.operations),
            penwidth=f"{line_width(weight, LARGE):.3f}",
            tooltip=f"{tail} to {head}: {operation} {weight:.4f}",
            class_="operation",
        )
        label = f"{operation_name(operation)} {weight:.0%}"
        _place_weight(canvas, f"alpha/{tail}-{head}/{index}", (middle, y), label)


def _place_output(
    canvas: Canvas, spec: FabricSpec, cell: CellIndex, nodes: list[Point], ceiling: float
) -> None:
    """Draw the concatenated hidden nodes, the 1x1 projection and the cell's output map."""
    hidden, channels = spec.hidden_nodes, spec.channels(cell.row)
    left = nodes[-1][0] + 70
    _place_concatenation(canvas, spec, cell, nodes, ceiling, left)
    label = f"1×1 convolution\n{hidden * channels} → {channels} ch"
    concatenation_end, projection_width = left + 28, 76
    projection_start = concatenation_end + _GAP
    projection_end = projection_start + projection_width
    output_start = projection_end + _GAP
    canvas.box(
        "projection",
        ((projection_start + projection_end) / 2, 0),
        (projection_width, 30),
        label,
        penwidth="0.8",
        fontsize="8.5",
        tooltip=label,
        class_="projection",
    )
    canvas.box(
        "output",
        (output_start + _MAP[0] / 2, 0),
        _MAP,
        _shape(spec, cell.row, "\n"),
        color=INK,
        fillcolor=CELL_COLOUR,
        penwidth="0.8",
        tooltip=f"output\n{_shape(spec, cell.row)}",
        class_="output",
    )
    ends = (concatenation_end, 0), (projection_start, 0), (projection_end, 0), (output_start, 0)
    canvas.curve("joined/1", "projection", ends[0], ends[1], **_THIN)
    canvas.curve("projection", "output", ends[2], ends[3], **_THIN)


def _place_concatenation(
    canvas: Canvas,
    spec: FabricSpec,
    cell: CellIndex,
    nodes: list[Point],
    ceiling: float,
    left: float,
) -> None:
    """Draw the maps of the hidden nodes one above another, and lines to them."""
    hidden = spec.hidden_nodes
    size = f"{hidden} × {spec.channels(cell.row)} ch"
    for number, node in enumerate(nodes[1:], start=1):
        y = 20.0 * (number - (hidden + 1) / 2)
        lane = ceiling - _LANE * (hidden - number)
        through = ((node[0] + _RISE, lane), (left - 52, lane)) if number < hidden else ()
        canvas.curve(
            f"node/{number}",
            f"joined/{number}",
            node,
            (left, y),
            bend=0.5,
            through=through,
            tooltip=f"node {number}: {_shape(spec, cell.row)}",
            class_="joined",
            **_THIN,
        )
        canvas.box(
            f"joined/{number}",
            (left + 14, y),
            (28, 20),
            str(number),
            style="filled",
            fillcolor=blend(CELL_COLOUR, 0.3),
            tooltip=f"hidden nodes, concatenated: {size}",
            **_THIN,
        )
    canvas.text((left + 14, 10.0 * hidden + 11), size, size=8, colour=GREY, align="c")


def _place_weight(canvas: Canvas, name: str, centre: Point, label: str) -> None:
    """Draw a label that interrupts a line."""
    size = _CHARACTER * len(label) + 4, 10.0
    style = {"style": "filled", "penwidth": "0", "fontsize": "8"}
    canvas.box(name, centre, size, label, class_="weight", **style)


def _shape(spec: FabricSpec, row: int, separator: str = ", ") -> str:
    """Return the scale and the channels of a row of maps as text."""
    return f"1/{spec.strides[row]}{separator}{spec.channels(row)} ch"

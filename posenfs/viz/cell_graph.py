"""The inside of one cell (Fig. 2, 4): sources (Eq. 2), operations (Eq. 1) and output (Eq. 3)."""

from itertools import pairwise
from typing import Any

from posenfs.model.architecture import Architecture
from posenfs.model.space import CellIndex, FabricSpec
from posenfs.viz.canvas import Canvas, Point
from posenfs.viz.colours import CELL_COLOUR, GREY, INK, TRANSFER_COLOURS, blend, operation_colour
from posenfs.viz.fabric_layout import LARGE
from posenfs.viz.fabric_weights import check_fit, operation_name, transfer_kind

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
    graph = _CellGraph(spec, cell)
    graph.add_headings(name)
    graph.add_sources(beta)
    for edge, weights in zip(spec.edges, alpha, strict=True):
        graph.add_edge(edge, weights)
    graph.add_nodes()
    graph.add_output()
    return graph.canvas


def _default_cell(spec: FabricSpec) -> CellIndex:
    """Return the first cell with three different sources, or the first cell."""
    for cell in spec.cells:
        if len(set(spec.sources(cell.row, spec.rows(cell.layer - 1)))) == 3:
            return cell
    return spec.cells[0]


class _CellGraph:
    """Draws one cell; the vertical middle is at y = 0."""

    def __init__(self, spec: FabricSpec, cell: CellIndex):
        self.canvas, self.spec, self.cell = Canvas("cell"), spec, cell
        self.levels = _levels(spec)
        self.nodes = _node_positions(spec)
        # The highest operation; the lines from the hidden nodes to the output run above it.
        self.ceiling = min(self.levels.values()) - _LANE * (len(spec.operations) - 1) / 2

    def add_headings(self, name: str) -> None:
        """Draw the title, and the equation of each stage above it."""
        spec, cell, nodes = self.spec, self.cell, self.nodes
        top = min(self.ceiling - _LANE * spec.hidden_nodes, _SOURCES[0] - 34) - 14
        stride, channels = spec.strides[cell.row], spec.channels(cell.row)
        where = f"layer {cell.layer}, scale 1/{stride}, {channels} channels"
        title = f"{name.replace('_', ' ')}: {where}".removeprefix(": ")
        self.canvas.text((0, top - 44), title, size=13, bold=True)
        sharing = (
            "of this cell alone" if spec.alpha_per_cell else "shared by all cells of the fabric"
        )
        self.canvas.text((0, top - 28), f"alpha {sharing}, beta of this cell", colour=GREY)
        headings = (
            "Eq. 2: sources, softmax(beta)",
            "Eq. 1: operations, softmax(alpha)",
            "Eq. 3: concatenation, projection",
        )
        ends = (0.0, nodes[0][0] - 14, nodes[-1][0] + 26, nodes[-1][0] + 272)
        for heading, (start, end) in zip(headings, pairwise(ends), strict=True):
            self.canvas.heading(heading, start, end - 12, top)

    def add_sources(self, weights: list[float]) -> None:
        """Draw the maps finer, same and coarser, and lines by weight [3] to node 0."""
        sources = self.spec.sources(self.cell.row, self.spec.rows(self.cell.layer - 1))
        for slot, row, weight, y in zip(sources._fields, sources, weights, _SOURCES, strict=True):
            self._add_map(slot, row, y)
            self._add_transfer(slot, row, weight, y)

    def _add_transfer(self, slot: str, row: int, weight: float, y: float) -> None:
        """Draw the transfer of one source, and its line to node 0."""
        kind = transfer_kind(row, self.cell.row)
        colour = TRANSFER_COLOURS[kind]
        channels = self.spec.channels(row), self.spec.channels(self.cell.row)
        left = _MAP[0] + _GAP
        right = left + _TRANSFER[0]
        label = f"{_TRANSFERS[kind]}{channels[0]} → {channels[1]} ch"
        transfer = f"transfer/{slot}"
        self.canvas.box(
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
        self.canvas.curve(f"source/{slot}", transfer, (_MAP[0], y), (left, y), **_THIN)
        self.canvas.curve(
            transfer,
            "node/0",
            (right, y),
            self.nodes[0],
            bend=0.5,
            through=((right + 34, y),),
            color=colour,
            penwidth=f"{LARGE.line_width(weight):.3f}",
            tooltip=f"{slot}: {weight:.4f}",
            class_="scale",
        )
        self._add_weight(f"beta/{slot}", (right + 17, y), f"{weight:.0%}")

    def _add_map(self, slot: str, row: int, y: float) -> None:
        """Draw the map in one slot of the cell, named as a copy where it replaces another map."""
        origin = f"layer {self.cell.layer - 1}"
        if self.cell.layer == self.spec.first:
            origin = "the pyramid" if self.spec.first else "the stem"
        original = _SOURCE_OF_TRANSFER[transfer_kind(row, self.cell.row)]
        copy = "" if original == slot else f"copy of {original}"  # footnote 2
        self.canvas.text((0, y - 23), slot, bold=True)
        if copy:
            self.canvas.text((42, y - 23), copy, size=8, colour=GREY)
        self.canvas.box(
            f"source/{slot}",
            (_MAP[0] / 2, y),
            _MAP,
            self._shape(row, "\n"),
            tooltip=f"{slot}: {copy or 'a map'}, from {origin}\n{self._shape(row)}",
            class_="source",
            **_THIN,
        )

    def add_edge(self, edge: tuple[int, int], weights: list[float]) -> None:
        """Draw a mixed operation: a line for each candidate operation, by its weight [|O|]."""
        operations, (tail, head) = self.spec.operations, edge
        start, end = self.nodes[tail], self.nodes[head]
        middle = (start[0] + self.nodes[tail + 1][0]) / 2  # before the next node on longer edges
        for index, (operation, weight) in enumerate(zip(operations, weights, strict=True)):
            y = self.levels[edge] + _LANE * (index - (len(operations) - 1) / 2)
            self.canvas.curve(
                f"node/{tail}",
                f"node/{head}",
                start,
                end,
                bend=0.5,
                through=((start[0] + _RISE, y), (end[0] - _RISE, y)),
                color=operation_colour(operation, operations),
                penwidth=f"{LARGE.line_width(weight):.3f}",
                tooltip=f"{tail} to {head}: {operation} {weight:.4f}",
                class_="operation",
            )
            label = f"{operation_name(operation)} {weight:.0%}"
            self._add_weight(f"alpha/{tail}-{head}/{index}", (middle, y), label)

    def add_nodes(self) -> None:
        """Draw node 0 and the hidden nodes."""
        for number, position in enumerate(self.nodes):
            meaning = "the cell's input, the sum of its sources"
            if number:
                meaning = "hidden, the sum of its mixed operations"
            self.canvas.dot(
                f"node/{number}",
                position,
                _NODE,
                [blend(CELL_COLOUR, 0.3)],
                str(number),
                fontsize="11",
                color=INK,
                penwidth="0.8",
                tooltip=f"node {number}: {meaning}\n{self._shape(self.cell.row)}",
                class_="node",
            )

    def add_output(self) -> None:
        """Draw the concatenated hidden nodes, the 1x1 projection and the cell's output map."""
        canvas, row = self.canvas, self.cell.row
        hidden, channels = self.spec.hidden_nodes, self.spec.channels(row)
        left = self.nodes[-1][0] + 70
        self._add_concatenation(left)
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
            self._shape(row, "\n"),
            color=INK,
            fillcolor=CELL_COLOUR,
            penwidth="0.8",
            tooltip=f"output\n{self._shape(row)}",
            class_="output",
        )
        ends = (concatenation_end, 0), (projection_start, 0), (projection_end, 0), (output_start, 0)
        canvas.curve("joined/1", "projection", ends[0], ends[1], **_THIN)
        canvas.curve("projection", "output", ends[2], ends[3], **_THIN)

    def _add_concatenation(self, left: float) -> None:
        """Draw the maps of the hidden nodes one above another, and lines to them."""
        canvas, hidden = self.canvas, self.spec.hidden_nodes
        size = f"{hidden} × {self.spec.channels(self.cell.row)} ch"
        for number, node in enumerate(self.nodes[1:], start=1):
            y = 20.0 * (number - (hidden + 1) / 2)
            lane = self.ceiling - _LANE * (hidden - number)
            through = ((node[0] + _RISE, lane), (left - 52, lane)) if number < hidden else ()
            canvas.curve(
                f"node/{number}",
                f"joined/{number}",
                node,
                (left, y),
                bend=0.5,
                through=through,
                tooltip=f"node {number}: {self._shape(self.cell.row)}",
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

    def _add_weight(self, name: str, centre: Point, label: str) -> None:
        """Draw a label that interrupts a line."""
        size = _CHARACTER * len(label) + 4, 10.0
        style = {"style": "filled", "penwidth": "0", "fontsize": "8"}
        self.canvas.box(name, centre, size, label, class_="weight", **style)

    def _shape(self, row: int, separator: str = ", ") -> str:
        """Return the scale and the channels of a row of maps as text."""
        return f"1/{self.spec.strides[row]}{separator}{self.spec.channels(row)} ch"


def _node_positions(spec: FabricSpec) -> list[Point]:
    """Return the positions of node 0 and the hidden nodes."""
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

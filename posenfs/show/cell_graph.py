"""The inside of one cell (Fig. 2, 4): sources weighted by beta (Eq. 2), operations by alpha (Eq. 1), output (Eq. 3)."""

from itertools import pairwise

from posenfs.model.architecture import Architecture
from posenfs.model.space import CellIndex, FabricSpec
from posenfs.show.canvas import GREY, INK, Canvas, Point, blend, operation_colour
from posenfs.show.fabric_graph import FILL, LARGE, TRANSFER_COLOURS, check_fit, line_width, operation_name

_TRANSFERS = {"down": "3×3 convolution\nstride 2, ", "same": "identity\n", "up": "1×1 convolution\nbilinear ×2, "}
_MAP, _TRANSFER, _NODE = (54.0, 30.0), (122.0, 30.0), 28.0  # sizes of maps and transfers, diameter of a node
_SOURCES = (-76.0, 0.0, 76.0)  # heights of finer, same, coarser
_GAP = 16.0  # between two boxes
_LANE = 13.0  # from one operation's line to the next
_RISE = 34.0  # the length in which a line changes its height
_CHARACTER = 4.4  # width of a character at 8 points


def draw_cell(spec: FabricSpec, architecture: Architecture, name: str = "", cell: CellIndex | None = None) -> Canvas:
    """One cell from left to right: three sources and their transfers, node 0, hidden nodes, output.

    Lines are softmax(beta) and, a line for every candidate operation on every edge, softmax(alpha); the exact numbers
    are in the tooltips. By default the first cell with three different sources. Raises ValueError where alpha or beta
    does not fit, or where the fabric has no such cell.
    """
    check_fit(spec, architecture, name)
    if cell is None:
        three = [c for c in spec.cells if len(set(spec.sources(c.row, spec.rows(c.layer - 1)))) == 3]
        cell = (three or spec.cells)[0]
    if cell not in spec.cells:
        raise ValueError(f"the fabric has no cell {tuple(cell)}; its cells are {[tuple(c) for c in spec.cells]}")
    architecture, number = architecture.detach(), spec.cells.index(cell)
    alpha = architecture.operation_weights.expand(len(spec.cells), -1, -1)[number].tolist()
    canvas, levels = Canvas("cell"), _levels(spec)
    label = _CHARACTER * max(len(operation_name(o)) + len(" 100%") for o in spec.operations) + 4
    left = _MAP[0] + _GAP + _TRANSFER[0] + 100  # of node 0
    nodes = [(left + (2 * _RISE + label + 12) * n, 0.0) for n in range(spec.hidden_nodes + 1)]
    half = _LANE * (len(spec.operations) - 1) / 2
    ceiling = min(levels.values()) - half  # the highest operation; the hidden nodes' way to the output is above it
    top = min(ceiling - _LANE * spec.hidden_nodes, _SOURCES[0] - 34) - 14
    _place_words(canvas, spec, cell, name, nodes, top)
    _place_sources(canvas, spec, cell, architecture.scale_weights[number].tolist(), nodes[0])
    for (start, end), weights in zip(spec.edges, alpha, strict=True):
        _place_edge(canvas, spec, (start, end), weights, nodes, levels[start, end])
    for n, place in enumerate(nodes):
        words = "the cell's input, the sum of its sources" if n == 0 else "hidden, the sum of its mixed operations"
        canvas.dot(f"node/{n}", place, _NODE, [blend(FILL, 0.3)], str(n), fontsize="11", color=INK, penwidth="0.8",
                   tooltip=f"node {n}: {words}\n{_shape(spec, cell.row)}", **{"class": "node"})  # fmt: skip
    _place_output(canvas, spec, cell, nodes, ceiling)
    return canvas


def _levels(spec: FabricSpec) -> dict[tuple[int, int], float]:
    """Heights at which the edges run: between neighbours in the middle; the longer, the farther away.

    From node 0 and every second one beneath the middle, from the others above, so that few lines cross.
    """
    pitch = _LANE * len(spec.operations) + 9
    return {(start, end): (end - start - 1) * pitch * (-1 if start % 2 else 1) for start, end in spec.edges}


def _place_words(canvas: Canvas, spec: FabricSpec, cell: CellIndex, name: str, nodes: list[Point], top: float) -> None:
    """Title, and over each stage its equation."""
    where = f"layer {cell.layer}, scale 1/{spec.strides[cell.row]}, {spec.channels(cell.row)} channels"
    canvas.text((0, top - 44), f"{name.replace('_', ' ')}: {where}".removeprefix(": "), size=13, bold=True)
    shared = "alpha of this cell alone" if spec.alpha_per_cell else "alpha shared by all cells of the fabric"
    canvas.text((0, top - 28), f"{shared}, beta of this cell", colour=GREY)
    ends = (0.0, nodes[0][0] - 14, nodes[-1][0] + 26, nodes[-1][0] + 272)
    words = ("Eq. 2: sources, softmax(beta)", "Eq. 1: operations, softmax(alpha)", "Eq. 3: concatenation, projection")
    for line, (start, end) in zip(words, pairwise(ends), strict=True):
        canvas.heading(line, start, end - 12, top)


def _place_sources(canvas: Canvas, spec: FabricSpec, cell: CellIndex, weights: list[float], node: Point) -> None:
    """finer, same, coarser: map, transfer, and a line as wide as its weight [3] to node 0."""
    sources = spec.sources(cell.row, spec.rows(cell.layer - 1))
    before = f"layer {cell.layer - 1}" if cell.layer > spec.first else "the pyramid" if spec.first else "the stem"
    for source, row, weight, y in zip(sources._fields, sources, weights, _SOURCES, strict=True):
        kind = "down" if row < cell.row else "up" if row > cell.row else "same"
        own = {"down": "finer", "same": "same", "up": "coarser"}[kind]
        copy = "" if own == source else f"copy of {own}"  # footnote 2
        canvas.text((0, y - 23), source, bold=True)
        if copy:
            canvas.text((42, y - 23), copy, size=8, colour=GREY)
        canvas.box(
            f"source/{source}", (_MAP[0] / 2, y), _MAP, _shape(spec, row, "\n"), penwidth="0.8", color=GREY,
            tooltip=f"{source}: {copy or 'a map'}, from {before}\n{_shape(spec, row)}", **{"class": "source"},
        )  # fmt: skip
        at, colour = (_MAP[0] + _GAP + _TRANSFER[0] / 2, y), TRANSFER_COLOURS[kind]
        words = f"{_TRANSFERS[kind]}{spec.channels(row)} → {spec.channels(cell.row)} ch"
        canvas.box(
            f"transfer/{source}", at, _TRANSFER, words, color=colour, penwidth="0.8", fontsize="8.5", tooltip=words,
            **{"class": "transfer"},
        )  # fmt: skip
        canvas.curve(f"source/{source}", f"transfer/{source}", (_MAP[0], y), (at[0] - _TRANSFER[0] / 2, y), color=GREY,
                     penwidth="0.8")  # fmt: skip
        right = at[0] + _TRANSFER[0] / 2
        canvas.curve(
            f"transfer/{source}", "node/0", (right, y), node, bend=0.5, through=((right + 34, y),), color=colour,
            penwidth=f"{line_width(weight, LARGE):.3f}", tooltip=f"{source}: {weight:.4f}", **{"class": "scale"},
        )  # fmt: skip
        _label(canvas, f"beta/{source}", (right + 17, y), f"{weight:.0%}")


def _place_edge(
    canvas: Canvas, spec: FabricSpec, edge: tuple[int, int], weights: list[float], nodes: list[Point], level: float
) -> None:
    """A mixed operation: a line for each candidate, side by side, as wide as its weight [|O|]."""
    start, end = (nodes[n] for n in edge)
    middle = (start[0] + nodes[edge[0] + 1][0]) / 2  # before the next node, even where the edge goes on
    for number, (operation, weight) in enumerate(zip(spec.operations, weights, strict=True)):
        y = level + _LANE * (number - (len(spec.operations) - 1) / 2)
        canvas.curve(
            f"node/{edge[0]}", f"node/{edge[1]}", start, end, bend=0.5,
            through=((start[0] + _RISE, y), (end[0] - _RISE, y)), color=operation_colour(operation, spec.operations),
            penwidth=f"{line_width(weight, LARGE):.3f}", tooltip=f"{edge[0]} to {edge[1]}: {operation} {weight:.4f}",
            **{"class": "operation"},
        )  # fmt: skip
        words = f"{operation_name(operation)} {weight:.0%}"
        _label(canvas, f"alpha/{edge[0]}-{edge[1]}/{number}", (middle, y), words)


def _place_output(canvas: Canvas, spec: FabricSpec, cell: CellIndex, nodes: list[Point], ceiling: float) -> None:
    """The hidden nodes' maps one upon another, the 1x1 projection, the cell's output map."""
    hidden, channels = spec.hidden_nodes, spec.channels(cell.row)
    x = nodes[-1][0] + 70
    joined = f"{hidden} × {channels} ch"
    for n, node in enumerate(nodes[1:], start=1):
        slot = x, 20.0 * (n - (hidden + 1) / 2)
        above = ceiling - _LANE * (hidden - n)
        around = ((node[0] + _RISE, above), (x - 52, above)) if n < hidden else ()
        canvas.curve(f"node/{n}", f"joined/{n}", node, slot, bend=0.5, through=around, color=GREY, penwidth="0.8",
                     tooltip=f"node {n}: {_shape(spec, cell.row)}", **{"class": "joined"})  # fmt: skip
        canvas.box(f"joined/{n}", (x + 14, slot[1]), (28, 20), str(n), style="filled", fillcolor=blend(FILL, 0.3),
                   color=GREY, penwidth="0.8", tooltip=f"hidden nodes side by side: {joined}")  # fmt: skip
    canvas.text((x + 14, 10.0 * hidden + 11), joined, size=8, colour=GREY, align="c")
    words = f"1×1 convolution\n{hidden * channels} → {channels} ch"
    stops = (x + 28, x + 28 + _GAP, x + 104 + _GAP, x + 104 + 2 * _GAP)
    canvas.box("projection", ((stops[1] + stops[2]) / 2, 0), (stops[2] - stops[1], 30), words, penwidth="0.8",
               fontsize="8.5", tooltip=words, **{"class": "projection"})  # fmt: skip
    canvas.box("output", (stops[3] + _MAP[0] / 2, 0), _MAP, _shape(spec, cell.row, "\n"), color=INK, fillcolor=FILL,
               penwidth="0.8", tooltip=f"output\n{_shape(spec, cell.row)}", **{"class": "output"})  # fmt: skip
    for tail, head, start, end in (("joined/1", "projection", *stops[:2]), ("projection", "output", *stops[2:])):
        canvas.curve(tail, head, (start, 0), (end, 0), color=GREY, penwidth="0.8")


def _label(canvas: Canvas, name: str, centre: Point, words: str) -> None:
    """Words that interrupt a line."""
    size = _CHARACTER * len(words) + 4, 10.0
    canvas.box(name, centre, size, words, style="filled", penwidth="0", fontsize="8", **{"class": "weight"})


def _shape(spec: FabricSpec, row: int, between: str = ", ") -> str:
    return f"1/{spec.strides[row]}{between}{spec.channels(row)} ch"

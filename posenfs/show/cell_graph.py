"""The inside of one cell (Fig. 2, 4): scales fused by beta (Eq. 2), operations mixed by alpha (Eq. 1), Eq. 3."""

from posenfs.model.architecture import Architecture
from posenfs.model.space import CellIndex, FabricSpec
from posenfs.show.canvas import FONT, GREY, INK, Canvas, Point, operation_colour
from posenfs.show.fabric_graph import LARGE, TRANSFER_COLOURS, check_fit, line_width, operation_name

_TRANSFERS = {"down": "3×3 conv, stride 2", "same": "identity", "up": "1×1 conv, twice the size"}
_SOURCE, _TRANSFER, _NODE, _EDGE = (92, 34), (112, 26), (46, 34), 150  # sizes, and the width of a mixed operation
_ROW = 13.0  # points from one operation of a mixed operation to the next
_PITCH = _EDGE + 104.0  # points from one node to the next


def draw_cell(spec: FabricSpec, architecture: Architecture, name: str = "", cell: CellIndex | None = None) -> Canvas:
    """One cell from left to right: three sources, their transfers, node 0, the mixed operations, hidden nodes, output.

    By default the first cell with three different sources. Lines are softmax(beta), bars softmax(alpha). Raises
    ValueError where alpha or beta does not fit, or where the fabric has no such cell.
    """
    check_fit(spec, architecture, name)
    architecture = architecture.detach()
    if cell is None:
        whole = [c for c in spec.cells if len(set(spec.sources(c.row, spec.rows(c.layer - 1)))) == 3]
        cell = (whole or spec.cells)[0]
    if cell not in spec.cells:
        raise ValueError(f"the fabric has no cell {tuple(cell)}; its cells are {[tuple(c) for c in spec.cells]}")
    number = spec.cells.index(cell)
    alpha = architecture.operation_weights.expand(len(spec.cells), -1, -1)[number]
    beta = architecture.scale_weights[number].tolist()
    canvas = Canvas("cell")
    height = 18 + _ROW * len(spec.operations)
    lanes = _lanes(spec.edges)
    top = -height / 2 - max(lanes.values()) * (height + 14) - 30
    where = f"layer {cell.layer}, scale 1/{spec.strides[cell.row]}, {spec.channels(cell.row)} channels"
    canvas.text((0, min(top, -118)), f"{name.replace('_', ' ')}: {where}".removeprefix(": "), size=13, bold=True)
    node_0 = _place_sources(canvas, spec, cell, beta)
    nodes = [(node_0 + _PITCH * n, 0.0) for n in range(spec.hidden_nodes + 1)]
    for n, place in enumerate(nodes):
        words = "input, Eq. 2" if n == 0 else "hidden: the sum of its edges"
        canvas.box(f"node/{n}", place, _NODE, f"node {n}", tooltip=f"node {n}: {words}", **{"class": "node"})
    for (start, end), weights in zip(spec.edges, alpha.tolist(), strict=True):
        _place_edge(canvas, spec, (start, end), weights, nodes, height, -lanes[start, end] * (height + 14))
    canvas.text((nodes[0][0] + _PITCH / 2, height / 2 + 18), "Eq. 1: every operation, weighted", colour=GREY, align="c")
    _place_output(canvas, spec, cell, nodes[-1][0], height)
    return canvas


def _place_sources(canvas: Canvas, spec: FabricSpec, cell: CellIndex, beta: list[float]) -> float:
    """Three sources and their transfers at the left; returns where node 0 stands."""
    sources, node_0 = spec.sources(cell.row, spec.rows(cell.layer - 1)), 380.0
    for (source, row), weight, y in zip(sources._asdict().items(), beta, (-78.0, 0.0, 78.0), strict=True):
        kind = "down" if row < cell.row else "up" if row > cell.row else "same"
        copied = {"finer": row >= cell.row, "same": row != cell.row, "coarser": row <= cell.row}[source]
        words = f"{source} {'(a copy)' if copied else ''}\n1/{spec.strides[row]}, {spec.channels(row)} ch"
        colour, at = TRANSFER_COLOURS[kind], (_SOURCE[0] / 2, y)
        canvas.box(f"source/{source}", at, _SOURCE, words, tooltip=words, **{"class": "source"})
        transfer = (_SOURCE[0] + 44 + _TRANSFER[0] / 2, y)
        canvas.box(f"transfer/{source}", transfer, _TRANSFER, _TRANSFERS[kind], color=colour, fontcolor=colour,
                   fontsize="8.5", tooltip=_TRANSFERS[kind], **{"class": "transfer"})  # fmt: skip
        canvas.curve(f"source/{source}", f"transfer/{source}", (at[0] + _SOURCE[0] / 2, y),
                     (transfer[0] - _TRANSFER[0] / 2, y), color=GREY, penwidth="0.8")  # fmt: skip
        start, end = (transfer[0] + _TRANSFER[0] / 2, y), (node_0 - _NODE[0] / 2, y / 9)
        canvas.curve(f"transfer/{source}", "node/0", start, end, bend=0.45, color=colour,
                     penwidth=f"{line_width(weight, LARGE):.3f}", tooltip=f"{source}: {weight:.4f}",
                     **{"class": "scale"})  # fmt: skip
        canvas.text((start[0] + 8, y + (11 if source == "coarser" else -9)), f"{weight:.0%}", colour=colour)
    canvas.text((node_0, 32), "Eq. 2", colour=GREY, align="c")
    return node_0


def _lanes(edges: list[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """How high each edge runs: 0 between neighbours, else the lowest lane in which it meets no other."""
    lanes: dict[tuple[int, int], int] = {}
    for start, end in sorted(edges, key=lambda edge: edge[1] - edge[0]):
        taken = {lane for (a, b), lane in lanes.items() if a < end and start < b}
        lanes[start, end] = 0 if end == start + 1 else next(n for n in range(1, len(edges) + 1) if n not in taken)
    return lanes


def _place_edge(
    canvas: Canvas, spec: FabricSpec, edge: tuple[int, int], weights: list[float], nodes: list[Point], height: float,
    y: float,
) -> None:  # fmt: skip
    """A mixed operation before the node it ends in, `y` its lane."""
    start, end = edge
    left = nodes[end][0] - _PITCH / 2 - _EDGE / 2
    key = f"edge/{start}-{end}"
    canvas.box(key, (left + _EDGE / 2, y), (_EDGE, height), color=GREY, penwidth="0.6",
               tooltip=f"edge {start} to {end}", **{"class": "mixed"})  # fmt: skip
    canvas.text((left + 6, y - height / 2 + 8), f"{start} → {end}", size=8, colour=GREY)
    for number, (operation, weight) in enumerate(zip(spec.operations, weights, strict=True)):
        line = y - height / 2 + 20 + _ROW * number
        canvas.text((left + 6, line), operation_name(operation), size=8)
        canvas.bar(f"{key}/{operation}", (left + 72, line - 4), (48, 8),
                   [(operation_colour(operation, spec.operations), weight), ("#FFFFFF", 1 - weight)],
                   tooltip=f"{start} to {end}: {operation} {weight:.4f}")  # fmt: skip
        canvas.text((left + 146, line), f"{weight:.0%}", size=8, align="r")
    here, there = (nodes[start][0] + _NODE[0] / 2, 0.0), (nodes[end][0] - _NODE[0] / 2, 0.0)
    _route(canvas, f"node/{start}", key, here, (left, y), early=True)
    _route(canvas, key, f"node/{end}", (left + _EDGE, y), there, early=False)


def _route(canvas: Canvas, tail: str, head: str, start: Point, end: Point, early: bool) -> None:
    """A line that changes its height at once (early) or just before its end, and is level otherwise."""
    if early:
        canvas.bent(tail, head, start, (start[0] + 26, end[1]), end, color=GREY, penwidth="1")
    else:
        canvas.bent(tail, head, start, (end[0] - 26, start[1]), end, color=GREY, penwidth="1")


def _place_output(canvas: Canvas, spec: FabricSpec, cell: CellIndex, last: float, height: float) -> None:
    """Concatenation and projection."""
    hidden, channels = spec.hidden_nodes, spec.channels(cell.row)
    nodes = "node 1" if hidden == 1 else f"nodes 1 to {hidden} joined"
    words = f"{nodes}\n1×1 conv\n{hidden * channels} → {channels} ch"
    at, size = (last + _NODE[0] / 2 + 36 + 50, 0.0), (100, 52)
    canvas.box("output", at, size, words, fontname=FONT, color=INK, tooltip=words, **{"class": "output"})
    canvas.curve(f"node/{hidden}", "output", (last + _NODE[0] / 2, 0), (at[0] - size[0] / 2, 0), color=GREY,
                 penwidth="1")  # fmt: skip
    canvas.text((at[0], 40), "Eq. 3", colour=GREY, align="c")

"""Fabrics as graphs: one, several side by side, and round a body (Fig. 1). They show themselves in a notebook."""

from collections.abc import Mapping

from posenfs.model.architecture import Architecture
from posenfs.model.network import PoseNFS
from posenfs.model.prune import PrunedNFS
from posenfs.model.space import FabricSpec
from posenfs.show.canvas import Canvas
from posenfs.show.fabric_graph import LARGE, LARGE_PER_CELL, FabricGraph, Left, place_legend


def draw_fabric(spec: FabricSpec, architecture: Architecture, name: str = "") -> Canvas:
    """One fabric. Lines are softmax(beta), bars softmax(alpha); the exact numbers are in the tooltips.

    A map that stands in for a missing neighbour (footnote 2) has one line, with the sum of its weights. A cell's fill
    tells its share of the scale paths that end in the output. Raises ValueError where alpha or beta does not fit.
    """
    return draw_fabrics(spec, {name: architecture})


def draw_fabrics(
    spec: FabricSpec | Mapping[str, FabricSpec],
    architectures: Mapping[str, Architecture],
    columns: int = 3,
    left: Mapping[str, Left] | None = None,
) -> Canvas:
    """Several fabrics, `columns` side by side. `spec` is theirs in common, or {name: spec}; `left` is what pruning left
    of each, all else being drawn as gone.

    Of a model: `draw_fabrics({n: f.spec for n, f in model.fabrics().items()}, model.architectures())`.
    """
    if not architectures:
        raise ValueError("no fabric to draw: architectures is empty")
    canvas = Canvas("fabrics")
    x = top = bottom = right = 0.0
    operations: dict[str, None] = {}
    for number, (name, architecture) in enumerate(architectures.items()):
        own = spec[name] if isinstance(spec, Mapping) else spec
        layout, rest = LARGE_PER_CELL if own.alpha_per_cell else LARGE, None if left is None else left[name]
        fabric = FabricGraph(own, architecture, layout, str(number), name, rest)
        if number and number % columns == 0:
            x, top = 0.0, bottom + 34
        fabric.place(canvas, (x, top))
        width, height = fabric.size
        right, bottom = max(right, x + width), max(bottom, top + height)
        x += width + 40
        operations |= dict.fromkeys(own.operations)
    place_legend(canvas, (0.0, bottom + 34), tuple(operations), max(right, 430), left is not None)
    return canvas


def draw_pruned(model: PoseNFS, pruned: PrunedNFS, columns: int = 3) -> Canvas:
    """Every fabric of a model, what pruning took away dashed, dotted or pale; its weights are those before."""
    rest = {name: Left(fabric.kept, fabric.inputs) for name, fabric in pruned.pruned_fabrics.items()}
    specs = {name: fabric.spec for name, fabric in model.fabrics().items()}
    left = {name: rest.get(name, Left({}, ())) for name in specs}
    return draw_fabrics(specs, model.architectures(), columns, left)

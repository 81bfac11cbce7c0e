"""Fabrics as graphs: one, several side by side, and round a body (Fig. 1). They show themselves in a notebook."""

from collections.abc import Mapping

from posenfs.model.architecture import Architecture
from posenfs.model.network import PoseNFS
from posenfs.model.prune import PrunedNFS
from posenfs.model.space import FabricSpec
from posenfs.show.canvas import Canvas
from posenfs.show.fabric_graph import LARGE, LARGE_PER_CELL, FabricGraph, Left, place_legend, side_by_side


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
    fabrics = []
    for number, (name, architecture) in enumerate(architectures.items()):
        own = spec[name] if isinstance(spec, Mapping) else spec
        layout, rest = LARGE_PER_CELL if own.alpha_per_cell else LARGE, None if left is None else left[name]
        fabrics.append(FabricGraph(own, architecture, layout, str(number), name, rest))
    canvas, (corners, (right, bottom)) = Canvas("fabrics"), side_by_side(fabrics, columns)
    for fabric, corner in zip(fabrics, corners, strict=True):
        fabric.place(canvas, corner)
    operations = tuple(dict.fromkeys(o for fabric in fabrics for o in fabric.spec.operations))
    place_legend(canvas, (0.0, bottom + 34), operations, max(right, 430), left is not None)
    return canvas


def draw_pruned(model: PoseNFS, pruned: PrunedNFS, columns: int = 3) -> Canvas:
    """Every fabric of a model, what pruning took away dashed, dotted or flat; its weights are those before.

    Raises ValueError where the second is not a pruned form of the first.
    """
    specs, rest = {name: fabric.spec for name, fabric in model.fabrics().items()}, pruned.pruned_fabrics
    missing = specs.keys() - rest.keys() - {"backbone"}  # of a backbone perhaps nothing is read
    if missing or any(fabric.spec != specs.get(name) for name, fabric in rest.items()):
        raise ValueError(f"the pruned model, of {', '.join(rest)}, is not one of this model, of {', '.join(specs)}")
    left = {name: Left(rest[name].kept, rest[name].inputs) if name in rest else Left({}, ()) for name in specs}
    return draw_fabrics(specs, model.architectures(), columns, left)

"""Fabrics as graphs: one, several side by side, or pruned. A notebook displays them."""

from collections.abc import Mapping

from posenfs.model.architecture import Architecture
from posenfs.model.network import PoseNFS
from posenfs.model.space import FabricSpec
from posenfs.viz.canvas import Canvas
from posenfs.viz.fabric_graph import LARGE, LARGE_PER_CELL, FabricGraph, Remaining, side_by_side
from posenfs.viz.legend import place_fabric_legend


def draw_fabric(spec: FabricSpec, architecture: Architecture, name: str = "") -> Canvas:
    """Draw one fabric: lines are softmax(beta), bars are softmax(alpha), with exact tooltips.

    A map that replaces a missing neighbour (footnote 2) has one line, with the sum of its weights.
    The fill of a cell shows its share of the scale paths to the output.

    Args:
        spec: The fabric's spec.
        architecture: Its alpha and beta.
        name: Title.

    Raises:
        ValueError: alpha or beta does not fit the spec.
    """
    return draw_fabrics(spec, {name: architecture})


def draw_fabrics(
    spec: FabricSpec | Mapping[str, FabricSpec],
    architectures: Mapping[str, Architecture],
    columns: int = 3,
    remaining: Mapping[str, Remaining] | None = None,
) -> Canvas:
    """Draw several fabrics side by side.

    For a model: `draw_fabrics({n: f.spec for n, f in model.fabrics().items()},
    model.architectures())`.

    Args:
        spec: The spec of all fabrics, or one by fabric name.
        architectures: The architectures by fabric name.
        columns: Fabrics in a row.
        remaining: What remains of each fabric after pruning; the rest is drawn as removed.

    Raises:
        ValueError: There is no fabric, or alpha or beta does not fit a spec.
    """
    if not architectures:
        raise ValueError("no fabric to draw: architectures is empty")
    fabrics = []
    for index, (name, architecture) in enumerate(architectures.items()):
        fabric_spec = spec[name] if isinstance(spec, Mapping) else spec
        layout = LARGE_PER_CELL if fabric_spec.alpha_per_cell else LARGE
        rest = None if remaining is None else remaining[name]
        fabrics.append(FabricGraph(fabric_spec, architecture, layout, str(index), name, rest))
    canvas = Canvas("fabrics")
    corners, (right, bottom) = side_by_side(fabrics, columns)
    for fabric, corner in zip(fabrics, corners, strict=True):
        fabric.place(canvas, corner)
    operations = tuple(dict.fromkeys(o for fabric in fabrics for o in fabric.spec.operations))
    corner, width = (0.0, bottom + 34), max(right, 430)
    place_fabric_legend(canvas, corner, operations, width, remaining is not None)
    return canvas


def draw_pruned(model: PoseNFS, pruned: PoseNFS, columns: int = 3) -> Canvas:
    """Draw every fabric of a model; what pruning removed is dashed, dotted or flat.

    The weights are those before pruning.

    Args:
        model: The model before pruning.
        pruned: The pruned model.
        columns: Fabrics in a row.

    Raises:
        ValueError: The second is not a pruned form of the first.
    """
    specs = {name: fabric.spec for name, fabric in model.fabrics().items()}
    fabrics = pruned.pruned_fabrics
    missing = specs.keys() - fabrics.keys() - {"backbone"}  # a backbone may be wholly removed
    if missing or any(fabric.spec != specs.get(name) for name, fabric in fabrics.items()):
        raise ValueError(
            f"the pruned model with {', '.join(fabrics)} is not derived from this model "
            f"with {', '.join(specs)}"
        )
    remaining = {name: Remaining({}, ()) for name in specs}
    masks = {name: fabric.mask for name, fabric in fabrics.items()}
    remaining |= {name: Remaining(mask.cells, mask.inputs) for name, mask in masks.items() if mask}
    return draw_fabrics(specs, model.architectures(), columns, remaining)

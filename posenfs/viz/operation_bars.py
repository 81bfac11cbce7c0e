"""Operation weights, softmax(alpha), as stacked bars on a canvas and as text."""

from collections.abc import Collection, Sequence

from torch import Tensor

from posenfs.model.space import FabricSpec
from posenfs.viz.canvas import PALE, Canvas, Point, blend, operation_colour, text_on

REMOVED_INK = "#9A9A9A"  # of what pruning removed, on white
_LEAST_WIDTH = 0.25  # points; a thinner stripe is invisible
_NUMBER_WIDTH = 22  # points that a percentage needs


def operation_name(operation: str) -> str:
    """Return the printed name of an operation: separable_3x3 -> separable 3×3."""
    return operation.replace("_", " ").replace("3x3", "3×3")


def weights_text(spec: FabricSpec, weights: Tensor) -> str:
    """Return the operation weights [|O|] of one edge as text."""
    pairs = zip(spec.operations, weights.tolist(), strict=True)
    return ", ".join(f"{operation} {weight:.4f}" for operation, weight in pairs)


def cell_weights_text(spec: FabricSpec, weights: Tensor) -> str:
    """Return the operation weights [E, |O|] of a cell as text, a line for each edge."""
    lines = [
        f"{start} to {end}: {weights_text(spec, edge_weights)}"
        for (start, end), edge_weights in zip(spec.edges, weights, strict=True)
    ]
    return "\n".join(lines)


def place_operation_bar(
    canvas: Canvas,
    name: str,
    spec: FabricSpec,
    edge: int,
    weights: Tensor,
    corner: Point,
    size: Point,
    removed: Collection[int] = (),
    percentages: bool = False,
) -> None:
    """Draw the operation weights of one edge as a stacked bar.

    Args:
        canvas: The canvas to draw on.
        name: Name of the node.
        spec: The fabric's spec.
        edge: Index of the edge inside the cell.
        weights: softmax(alpha) of the edge [|O|].
        corner: Upper left corner.
        size: (width, height).
        removed: Indices of the operations that pruning removed; they are drawn flat.
        percentages: Whether the weights are printed where they fit.
    """
    colours = [operation_colour(operation, spec.operations) for operation in spec.operations]
    stripes = list(zip(colours, weights.tolist(), strict=True))
    start, end = spec.edges[edge]
    tooltip = f"{start} to {end}: {weights_text(spec, weights)}"
    if removed:
        tooltip += f"\npruned: {', '.join(spec.operations[index] for index in sorted(removed))}"
        place_stripes(canvas, name, stripes, corner, size, removed, tooltip)
    else:
        canvas.bar(name, corner, size, stripes, tooltip=tooltip)
    x = corner[0]
    for index, (colour, weight) in enumerate(stripes):
        width = weight * size[0]
        if percentages and width > _NUMBER_WIDTH:
            height, ink = (0.38, REMOVED_INK) if index in removed else (0.5, text_on(colour))
            middle = x + width / 2, corner[1] + height * size[1]
            canvas.text(middle, f"{weight:.0%}", size=8, colour=ink, align="c")
        x += width


def place_stripes(
    canvas: Canvas,
    name: str,
    stripes: Sequence[tuple[str, float]],
    corner: Point,
    size: Point,
    removed: Collection[int],
    tooltip: str,
) -> None:
    """Draw a stacked bar in a pale frame, removed stripes pale and at a quarter of the height.

    Their height distinguishes them from a light colour in print too.

    Args:
        canvas: The canvas to draw on.
        name: Name of the node.
        stripes: (colour, share) from left to right.
        corner: Upper left corner.
        size: (width, height).
        removed: Indices of the removed stripes.
        tooltip: Tooltip of the whole bar.
    """
    canvas.bar(name, corner, size, [("#FFFFFF", 1)], tooltip=tooltip, color=PALE)
    x, low = corner[0], 0.25 * size[1]
    for index, (colour, share) in enumerate(stripes):
        width, stripe = share * size[0], f"{name}/{index}"
        if width >= _LEAST_WIDTH and index in removed:
            place, fill = (x, corner[1] + size[1] - low), [(blend(colour, 0.5), 1)]
            canvas.bar(stripe, place, (width, low), fill, tooltip=tooltip, penwidth="0")
        elif width >= _LEAST_WIDTH:
            canvas.bar(stripe, (x, corner[1]), (width, size[1]), [(colour, 1)], tooltip=tooltip)
        x += width

"""Operation weights, softmax(alpha), as stacked bars on a canvas."""

from collections.abc import Collection, Sequence

from torch import Tensor

from posenfs.model.space import FabricSpec
from posenfs.viz.canvas import Canvas, Point, Size
from posenfs.viz.colours import PALE, blend, operation_colour, text_on
from posenfs.viz.fabric_layout import EdgeBar
from posenfs.viz.fabric_weights import weights_text

REMOVED_INK = "#9A9A9A"  # of what pruning removed, on white
_LEAST_WIDTH = 0.25  # points; a thinner stripe is invisible
_NUMBER_WIDTH = 22  # points that a percentage needs


def add_operation_bar(
    canvas: Canvas,
    bar: EdgeBar,
    spec: FabricSpec,
    weights: Tensor,
    removed: Collection[int] = (),
    percentages: bool = False,
) -> None:
    """Draw the operation weights of one edge as a stacked bar.

    Args:
        canvas: The canvas to draw on.
        bar: Node, position and size of the bar.
        spec: The fabric's spec.
        weights: softmax(alpha) of the edge [|O|].
        removed: Indices of the operations that pruning removed; they are drawn flat.
        percentages: Whether the weights are printed where they fit.
    """
    colours = [operation_colour(operation, spec.operations) for operation in spec.operations]
    stripes = list(zip(colours, weights.tolist(), strict=True))
    start, end = spec.edges[bar.edge]
    tooltip = f"{start} to {end}: {weights_text(spec, weights)}"
    if removed:
        tooltip += f"\npruned: {', '.join(spec.operations[index] for index in sorted(removed))}"
        add_stripes(canvas, bar.node, stripes, bar.corner, bar.size, removed, tooltip)
    else:
        canvas.bar(bar.node, bar.corner, bar.size, stripes, tooltip=tooltip)
    x = bar.corner[0]
    for index, (colour, weight) in enumerate(stripes):
        width = weight * bar.size[0]
        if percentages and width > _NUMBER_WIDTH:
            height, ink = (0.38, REMOVED_INK) if index in removed else (0.5, text_on(colour))
            middle = x + width / 2, bar.corner[1] + height * bar.size[1]
            canvas.text(middle, f"{weight:.0%}", size=8, colour=ink, align="c")
        x += width


def add_stripes(
    canvas: Canvas,
    name: str,
    stripes: Sequence[tuple[str, float]],
    corner: Point,
    size: Size,
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
            low_corner, fill = (x, corner[1] + size[1] - low), [(blend(colour, 0.5), 1)]
            canvas.bar(stripe, low_corner, (width, low), fill, tooltip=tooltip, penwidth="0")
        elif width >= _LEAST_WIDTH:
            canvas.bar(stripe, (x, corner[1]), (width, size[1]), [(colour, 1)], tooltip=tooltip)
        x += width

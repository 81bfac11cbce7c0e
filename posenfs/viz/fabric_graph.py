"""Fabrics as graphs (Fig. 5, 7): lines are softmax(beta), bars softmax(alpha); also pruned."""

from collections.abc import Callable, Mapping
from typing import Any

from posenfs.messages import plain_name
from posenfs.model.architecture import Architecture
from posenfs.model.network import PoseNFS
from posenfs.model.space import CellIndex, FabricSpec
from posenfs.viz.canvas import Canvas, Point, Size
from posenfs.viz.colours import CELL_COLOUR, GREY, INK, PALE, TRANSFER_COLOURS, blend
from posenfs.viz.fabric_layout import LARGE, LARGE_PER_CELL, EdgeBar, FabricLayout, side_by_side
from posenfs.viz.fabric_weights import (
    Remaining,
    cell_weights_text,
    check_fit,
    path_shares,
    transfer_kind,
)
from posenfs.viz.legend import REMOVED_LINE, REMOVED_NODE, add_fabric_legend
from posenfs.viz.operation_bars import REMOVED_INK, add_operation_bar


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

    For a model: `draw_fabrics({name: fabric.spec for name, fabric in model.fabrics().items()},
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
        sizes = LARGE_PER_CELL if fabric_spec.alpha_per_cell else LARGE
        layout = FabricLayout(fabric_spec, sizes, str(index))
        rest = None if remaining is None else remaining[name]
        fabrics.append(FabricGraph(architecture, layout, name, rest))
    canvas = Canvas("fabrics")
    corners, (right, bottom) = side_by_side([fabric.size for fabric in fabrics], columns)
    for fabric, corner in zip(fabrics, corners, strict=True):
        fabric.draw(canvas, corner)
    operations = tuple(dict.fromkeys(o for fabric in fabrics for o in fabric.spec.operations))
    corner, width = (0.0, bottom + 34), max(right, 430)
    add_fabric_legend(canvas, corner, operations, width, remaining is not None)
    return canvas


def draw_pruned(model: PoseNFS, pruned: PoseNFS, columns: int = 3) -> Canvas:
    """Draw every fabric of a model with its weights before pruning.

    What pruning removed is dashed, dotted or flat.

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


class FabricGraph:
    """One fabric on a canvas, which other graphs also use as a part.

    Args:
        architecture: The fabric's alpha and beta.
        layout: Positions; it holds the fabric's spec.
        name: Title.
        remaining: What remains after pruning; everything else is drawn as removed.

    Raises:
        ValueError: alpha or beta does not fit the spec.
    """

    def __init__(
        self,
        architecture: Architecture,
        layout: FabricLayout,
        name: str = "",
        remaining: Remaining | None = None,
    ):
        check_fit(layout.spec, architecture, name or layout.key)
        self.spec, self.layout, self.remaining = layout.spec, layout, remaining
        self.architecture = architecture.detach()
        weights = self.architecture.operation_weights
        self._operation_weights = weights.expand(len(self.spec.cells), -1, -1)  # [N, E, |O|]
        self.name = plain_name(name)
        if remaining is None:
            alpha, beta = self.architecture.entropy()
            self.subtitle = f"entropy: operations {alpha:.2f}, scales {beta:.2f}"
        else:
            self.subtitle = remaining.text(self.spec)

    @property
    def size(self) -> Size:
        """Size of the drawn fabric."""
        width, height = self.layout.size
        if self.layout.sizes.labels:  # the width of the text is overestimated
            width = max(width, 7.4 * len(self.name), 4.7 * len(self.subtitle))
        return width, height

    def draw(self, canvas: Canvas, corner: Point) -> None:
        """Draw the fabric with its upper left corner at a point."""
        self.layout.corner = corner
        self.add_labels(canvas)
        self._add_edges(canvas)
        self.add_inputs(canvas)
        self._add_cells(canvas)
        self.add_bars(canvas, self._add_bar)

    def add_labels(self, canvas: Canvas) -> None:
        """Draw the title, the subtitle, the layers above and the strides at the left."""
        layout, (left, top) = self.layout, self.layout.corner
        if not layout.sizes.labels:
            return
        canvas.text((left, top + 8), self.name or "fabric", size=13, bold=True)
        canvas.text((left, top + 24), self.subtitle, colour=GREY)
        for layer in layout.layers:
            label = layout.inputs_name if layer < self.spec.first else f"layer {layer}"
            anchor = layout.centre(layer, 0)[0], top + layout.sizes.margin[1] - 13
            canvas.text(anchor, label, colour=GREY, align="c")
        for row in range(layout.rows):
            y = layout.centre(0, row)[1]
            canvas.text((left, y - 6), f"1/{self.spec.strides[row]}", size=10, bold=True)
            canvas.text((left, y + 7), f"{self.spec.channels(row)} ch", size=9, colour=GREY)

    def _add_edges(self, canvas: Canvas) -> None:
        """Draw the lines from sources to cells.

        Copies of one map (footnote 2) are one line, with the sum of their weights.
        """
        spec = self.spec
        scale_weights = self.architecture.scale_weights.tolist()
        for cell, weights in zip(spec.cells, scale_weights, strict=True):
            sources = spec.sources(cell.row, spec.rows(cell.layer - 1))
            for row in dict.fromkeys(sources):
                slots = {
                    slot: weight
                    for slot, source, weight in zip(sources._fields, sources, weights, strict=True)
                    if source == row
                }
                self._add_edge(canvas, cell, row, slots)

    def _add_edge(
        self, canvas: Canvas, cell: CellIndex, row: int, slots: Mapping[str, float]
    ) -> None:
        """Draw the line from one map to a cell; `slots` are the weights of the slots it fills."""
        remaining, strides = self.remaining, self.spec.strides
        weight = sum(slots.values())
        tooltip = f"1/{strides[row]} to 1/{strides[cell.row]}, layer {cell.layer}: {weight:.4f}"
        if len(slots) > 1:
            removed = set() if remaining is None else remaining.removed_slots(cell)
            terms = [
                f"{slot} {slot_weight:.4f}" + (" pruned" if slot in removed else "")
                for slot, slot_weight in slots.items()
            ]
            tooltip += "\n" + " + ".join(terms)
        kind = transfer_kind(row, cell.row)
        opacity = round(255 * (0.12 + 0.88 * weight**0.5))
        style = {
            "penwidth": f"{self.layout.sizes.line_width(weight):.3f}",
            "color": f"{TRANSFER_COLOURS[kind]}{opacity:02X}",
            "class": kind,
        }
        if remaining is not None and not remaining.reads(self.spec, cell, row):
            style = {"class": "pruned"} | REMOVED_LINE
            tooltip += "\npruned"
        self.add_line(canvas, cell, row, tooltip=tooltip, **style)

    def add_line(self, canvas: Canvas, cell: CellIndex, row: int, **style: Any) -> None:
        """Draw a line to a cell from a row of the layer before."""
        start, end = self.layout.line_ends(cell, row)
        tail, head = self.layout.node(cell.layer - 1, row), self.layout.node(*cell)
        canvas.curve(tail, head, start, end, bend=0.35, **style)

    def add_inputs(self, canvas: Canvas) -> None:
        """Draw the maps before the first layer."""
        spec, layout, labels = self.spec, self.layout, self.layout.sizes.labels
        for row in range(spec.input_rows):
            stride = f"1/{spec.strides[row]}"
            tooltip = f"map at {stride} of the {layout.inputs_name}"
            style = {"color": GREY, "penwidth": "0.6", "class": "input"}
            if self.remaining is not None and row not in self.remaining.inputs:
                style = {"style": "filled,dashed", "class": "pruned"} | REMOVED_NODE
                tooltip += "\npruned: no cell reads it"
            canvas.dot(
                layout.node(spec.first - 1, row),
                layout.centre(spec.first - 1, row),
                layout.sizes.source,
                ["white" if labels else PALE],
                stride if labels else "",
                fontsize="8",
                tooltip=tooltip,
                **style,
            )

    def _add_cells(self, canvas: Canvas) -> None:
        """Draw the cells, filled by their share of the scale paths."""
        spec, layout = self.spec, self.layout
        shares = path_shares(spec, self.architecture.scale_weights)
        for cell, weights in zip(spec.cells, self._operation_weights, strict=True):
            share, channels = shares[cell], spec.channels(cell.row)
            style = {
                "fillcolor": blend(CELL_COLOUR, share**0.5),
                "color": blend(INK, 0.25 + 0.75 * share**0.5),
                "penwidth": "0.8",
                "class": "cell",
            }
            tooltip = (
                f"layer {cell.layer}, 1/{spec.strides[cell.row]}, {channels} channels\n"
                f"share of the scale paths to the output {share:.4f}\n"
                f"{cell_weights_text(spec, weights)}"
            )
            if self._is_removed(cell):
                style = {"style": "rounded,filled,dashed", "fillcolor": "white", "class": "pruned"}
                style |= REMOVED_NODE
                tooltip += "\npruned"
            label = f"{channels} ch" if layout.sizes.labels and not spec.alpha_per_cell else ""
            node, centre = layout.node(*cell), layout.centre(*cell)
            canvas.box(node, centre, layout.cell, label, tooltip=tooltip, **style)

    def _is_removed(self, cell: CellIndex) -> bool:
        return self.remaining is not None and cell not in self.remaining.kept

    def add_bars(self, canvas: Canvas, add_bar: Callable[[Canvas, EdgeBar], None]) -> None:
        """Draw the name of every edge, and its operations by `add_bar`."""
        layout = self.layout
        if not layout.sizes.bars:
            return
        for bar in layout.bars():
            if layout.sizes.labels:
                start, end = self.spec.edges[bar.edge]
                removed = bar.cell is not None and self._is_removed(bar.cell)
                canvas.text(
                    (bar.corner[0] - bar.label_width, bar.corner[1] + bar.size[1] / 2),
                    f"{start} → {end}" if bar.cell is None else f"{start}→{end}",
                    size=9 if bar.cell is None else 8,
                    colour=REMOVED_INK if removed else INK,
                )
            add_bar(canvas, bar)
        if layout.sizes.labels and not layout.bars_inside:
            canvas.text((layout.corner[0], layout.bars_y - 10), "inside every cell", colour=GREY)

    def _add_bar(self, canvas: Canvas, bar: EdgeBar) -> None:
        """Draw softmax(alpha) of an edge; only bars below the fabric have percentages."""
        index = 0 if bar.cell is None else self.spec.cells.index(bar.cell)
        removed: set[int] = set()
        if self.remaining is not None:
            removed = self.remaining.removed_operations(self.spec, bar.cell, bar.edge)
        percentages = self.layout.sizes.labels and bar.cell is None
        weights = self._operation_weights[index, bar.edge]
        add_operation_bar(canvas, bar, self.spec, weights, removed, percentages)

"""Comparison of architectures: choices, weights, entropies and distances of fabrics."""

from collections.abc import Mapping

import pandas
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from posenfs.messages import plain_name
from posenfs.model.architecture import Architecture
from posenfs.model.space import CellIndex, FabricSpec, Sources
from posenfs.study.distinctness import Distinctness
from posenfs.viz.colours import INK, TRANSFER_COLOURS
from posenfs.viz.fabric_weights import fitting_specs, operation_name
from posenfs.viz.figures import layout


def genotype_table(
    spec: FabricSpec | Mapping[str, FabricSpec], architectures: Mapping[str, Architecture]
) -> pandas.DataFrame:
    """Return a table of the choices of greatest weight and these weights.

    Args:
        spec: The spec of all fabrics, or one by fabric name.
        architectures: The architectures by fabric name.

    Returns:
        A row for each fabric; a column for each edge inside the cells and for each cell.

    Raises:
        ValueError: alpha or beta does not fit its spec.
    """
    specs = fitting_specs(spec, architectures)
    rows = {
        plain_name(name): _choices(fabric_spec, architectures[name])
        for name, fabric_spec in specs.items()
    }
    return pandas.DataFrame.from_dict(rows, orient="index").fillna("")


def _choices(spec: FabricSpec, architecture: Architecture) -> dict[str, str]:
    """Return the chosen operation of each edge and the chosen source of each cell."""
    genotype = architecture.genotype(spec)
    cells = [f"layer {cell.layer}, 1/{spec.strides[cell.row]}" for cell in spec.cells]
    prefixes = [f"{cell}: " for cell in cells] if spec.alpha_per_cell else [""]
    alpha = architecture.operation_weights.detach().reshape(len(prefixes), len(spec.edges), -1)
    edge_weights = alpha.amax(-1).tolist()
    choices = {}
    for prefix, operations, weights in zip(
        prefixes, genotype.operations, edge_weights, strict=True
    ):
        for (start, end), operation, weight in zip(spec.edges, operations, weights, strict=True):
            edge = f"{prefix}edge {start} → {end}"
            choices[edge] = f"{operation_name(operation)} {weight:.0%}"
    source_weights = architecture.scale_weights.detach().amax(-1).tolist()
    for cell, source, weight in zip(cells, genotype.sources, source_weights, strict=True):
        choices[cell] = f"{source} {weight:.0%}"
    return choices


def alpha_maps(
    spec: FabricSpec | Mapping[str, FabricSpec],
    architectures: Mapping[str, Architecture],
    when: str = "now",
) -> go.Figure:
    """Draw softmax(alpha) of every fabric: a row for each edge, a column for each operation.

    Where each cell has its own alpha, the mean over cells is drawn.

    Args:
        spec: The spec of all fabrics, or one by fabric name.
        architectures: The architectures by fabric name.
        when: End of the title.

    Raises:
        ValueError: alpha or beta does not fit its spec.
    """
    specs = fitting_specs(spec, architectures)
    figure = make_subplots(cols=len(specs), column_titles=[plain_name(name) for name in specs])
    for column, (name, fabric_spec) in enumerate(specs.items(), 1):
        weights = architectures[name].operation_weights.detach()
        if fabric_spec.alpha_per_cell:
            weights = weights.mean(0)
        edges = [f"{start} → {end}" for start, end in fabric_spec.edges]
        operations = [operation_name(operation) for operation in fabric_spec.operations]
        _add_weights(figure, weights.tolist(), operations, edges, column)
    height = 90 + 60 * max(len(fabric_spec.edges) for fabric_spec in specs.values())
    return figure.update_layout(layout(f"softmax(alpha), {when}") | {"height": height})


def beta_maps(
    spec: FabricSpec | Mapping[str, FabricSpec],
    architectures: Mapping[str, Architecture],
    when: str = "now",
) -> go.Figure:
    """Draw softmax(beta) of every fabric: a column for each layer, a row for each scale and source.

    Args:
        spec: The spec of all fabrics, or one by fabric name.
        architectures: The architectures by fabric name.
        when: End of the title.

    Raises:
        ValueError: alpha or beta does not fit its spec.
    """
    specs = fitting_specs(spec, architectures)
    titles = [plain_name(name) for name in specs]
    figure = make_subplots(cols=len(specs), column_titles=titles, horizontal_spacing=0.08)
    for column, (name, fabric_spec) in enumerate(specs.items(), 1):
        scale_weights = architectures[name].scale_weights.detach().tolist()
        weights = dict(zip(fabric_spec.cells, scale_weights, strict=True))
        layers = range(fabric_spec.first, fabric_spec.end)
        rows = range(1 + max(cell.row for cell in fabric_spec.cells))
        values = []
        for row in rows:
            cells = [weights.get(CellIndex(layer, row)) for layer in layers]
            values += [
                [None if cell is None else cell[source] for cell in cells] for source in range(3)
            ]
        names = [
            f"1/{fabric_spec.strides[row]} {source}" for row in rows for source in Sources._fields
        ]
        _add_weights(figure, values, [f"layer {layer}" for layer in layers], names, column)
    height = 110 + 24 * max(len(trace.y) for trace in figure.data)
    return figure.update_layout(layout(f"softmax(beta), {when}") | {"height": height})


def _add_weights(
    figure: go.Figure, values: list, columns: list[str], rows: list[str], column: int
) -> None:
    """Add a matrix of weights in [0, 1] to a column of subplots."""
    template = "%{y}, %{x}: %{z:.4f}<extra></extra>"
    _add_matrix(figure, values, columns, rows, 1, template, column)


def _add_matrix(
    figure: go.Figure,
    values: list,
    columns: list[str],
    rows: list[str],
    greatest: float,
    template: str,
    column: int,
) -> None:
    """Add a matrix of values in [0, greatest] to a column of subplots."""
    figure.add_heatmap(
        z=values,
        x=columns,
        y=rows,
        colorscale="Blues",
        zmin=0,
        zmax=greatest,
        showscale=False,
        texttemplate="%{z:.2f}",
        hovertemplate=template,
        hoverongaps=False,
        row=1,
        col=column,
    )
    figure.update_yaxes(autorange="reversed", row=1, col=column)


def distance_maps(spec: FabricSpec, architectures: Mapping[str, Architecture]) -> go.Figure:
    """Draw the pairwise distances of fabrics of one spec, and their entropies.

    A distance is the share of weight that would have to move, with copies of one map summed. The
    entropy is 1 where all weights are equal and 0 where one weight is 1.

    Args:
        spec: The spec of all fabrics.
        architectures: The architectures by fabric name.
    """
    names = [plain_name(name) for name in architectures]
    fabrics = list(architectures.values())
    distances = [[first.distance(second, spec) for second in fabrics] for first in fabrics]
    titles = ("distance of operations", "distance of sources", "entropy")
    figure = make_subplots(cols=3, column_titles=titles, horizontal_spacing=0.12)
    greatest = max(max(max(pair) for pair in row) for row in distances) or 1.0
    template = "%{y} and %{x}: %{z:.4f}<extra></extra>"
    for index in (0, 1):  # operations, sources
        values = [[pair[index] for pair in row] for row in distances]
        _add_matrix(figure, values, names, names, greatest, template, index + 1)
    colours = {"operations": TRANSFER_COLOURS["up"], "sources": INK}
    for index, (kind, colour) in enumerate(colours.items()):
        entropies = [architecture.entropy()[index] for architecture in fabrics]
        figure.add_bar(x=names, y=entropies, name=kind, marker_color=colour, row=1, col=3)
    figure.update_yaxes(range=[0, 1], row=1, col=3)
    figure.update_layout(layout("Comparison of parts"), height=330 + 12 * len(names))
    return figure


def distance_strips(distinctness: Mapping[str, Distinctness]) -> go.Figure:
    """Draw every distance between fabrics of different seeds, of the same and of different parts.

    Distances of the same part show the noise. Boxes are quartiles, the mean is dashed.

    Args:
        distinctness: The results of `part_distinctness` by kind of weights.
    """
    titles = [f"{kind}: p = {result.p:.2g}" for kind, result in distinctness.items()]
    figure = make_subplots(cols=len(distinctness), subplot_titles=titles, shared_yaxes=True)
    for column, result in enumerate(distinctness.values(), 1):
        strips = {
            "same part": (result.within, "#8C8C8C"),
            "different parts": (result.between, "#0072B2"),
        }
        for name, (values, colour) in strips.items():
            figure.add_box(
                y=values,
                name=f"{name}<br>{len(values)} distances",
                boxpoints="all",
                pointpos=0,
                jitter=0.6,
                boxmean=True,
                fillcolor="rgba(0,0,0,0)",
                line={"color": INK, "width": 1},
                marker={"color": colour, "size": 5, "opacity": 0.6},
                showlegend=False,
                hovertemplate="%{y:.4f}<extra></extra>",
                row=1,
                col=column,
            )
    figure.update_layout(layout("Distances of parts"))
    figure.update_yaxes(rangemode="tozero")
    figure.update_yaxes(title="distance (share of weight to move)", col=1)
    return figure

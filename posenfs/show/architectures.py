"""Architectures beside each other: what each fabric would choose, how decided it is, how far they are apart."""

from collections.abc import Mapping

import pandas
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from posenfs.body.words import plain_name
from posenfs.model.architecture import Architecture
from posenfs.model.space import CellIndex, FabricSpec, Sources
from posenfs.show.canvas import INK
from posenfs.show.curves import layout
from posenfs.show.canvas import TRANSFER_COLOURS
from posenfs.show.fabric_graph import fitting_specs, operation_name
from posenfs.study.distinctness import Distinctness


def genotype_table(
    spec: FabricSpec | Mapping[str, FabricSpec], architectures: Mapping[str, Architecture]
) -> pandas.DataFrame:
    """A row for each fabric, a column for each edge inside the cells and for each cell: the choice of greatest weight,
    and that weight. `spec` is theirs in common, or {name: spec}. Raises ValueError where alpha or beta does not fit."""
    rows = {}
    for name, own in fitting_specs(spec, architectures).items():
        architecture = architectures[name]
        genotype, cells = (
            architecture.genotype(own),
            [f"layer {c.layer}, 1/{own.strides[c.row]}" for c in own.cells],
        )
        places = [f"{cell}: " for cell in cells] if own.alpha_per_cell else [""]
        weights = (
            architecture.operation_weights.detach()
            .reshape(len(places), len(own.edges), -1)
            .amax(-1)
        )
        row = {
            f"{place}edge {start} → {end}": f"{operation_name(operation)} {weight:.0%}"
            for place, operations, found in zip(
                places, genotype.operations, weights.tolist(), strict=True
            )
            for (start, end), operation, weight in zip(own.edges, operations, found, strict=True)
        }
        scales = architecture.scale_weights.detach().amax(-1).tolist()
        row |= {c: f"{s} {w:.0%}" for c, s, w in zip(cells, genotype.sources, scales, strict=True)}
        rows[plain_name(name)] = row
    return pandas.DataFrame.from_dict(rows, orient="index").fillna("")


def alpha_maps(
    spec: FabricSpec | Mapping[str, FabricSpec],
    architectures: Mapping[str, Architecture],
    when: str = "now",
) -> go.Figure:
    """softmax(alpha) of every fabric: a row for each edge inside a cell, a column for each operation; where each cell
    has its own alpha, the mean over cells. Raises ValueError where alpha or beta does not fit."""
    specs = fitting_specs(spec, architectures)
    figure = make_subplots(cols=len(specs), column_titles=[plain_name(name) for name in specs])
    for column, (name, own) in enumerate(specs.items(), 1):
        weights = architectures[name].operation_weights.detach()
        weights = weights.mean(0) if own.alpha_per_cell else weights
        edges = [f"{start} → {end}" for start, end in own.edges]
        _add_map(
            figure, weights.tolist(), [operation_name(o) for o in own.operations], edges, column
        )
    return _as_map(
        figure, f"softmax(alpha), {when}", 90 + 60 * max(len(own.edges) for own in specs.values())
    )


def beta_maps(
    spec: FabricSpec | Mapping[str, FabricSpec],
    architectures: Mapping[str, Architecture],
    when: str = "now",
) -> go.Figure:
    """softmax(beta) of every fabric: a column for each layer; for each stride the rows finer, same, coarser. Raises
    ValueError where alpha or beta does not fit."""
    specs = fitting_specs(spec, architectures)
    figure = make_subplots(
        cols=len(specs), column_titles=[plain_name(name) for name in specs], horizontal_spacing=0.08
    )
    for column, (name, own) in enumerate(specs.items(), 1):
        weights = dict(
            zip(own.cells, architectures[name].scale_weights.detach().tolist(), strict=True)
        )
        layers, rows = range(own.first, own.end), range(1 + max(cell.row for cell in own.cells))
        values = [
            [
                weights[cell][source] if (cell := CellIndex(layer, row)) in weights else None
                for layer in layers
            ]
            for row in rows
            for source in range(3)
        ]
        names = [f"1/{own.strides[row]} {source}" for row in rows for source in Sources._fields]
        _add_map(figure, values, [f"layer {layer}" for layer in layers], names, column)
    return _as_map(
        figure, f"softmax(beta), {when}", 110 + 24 * max(len(trace.y) for trace in figure.data)
    )


def _add_map(
    figure: go.Figure, values: list, columns: list[str], rows: list[str], column: int
) -> None:
    figure.add_heatmap(
        z=values, x=columns, y=rows, colorscale="Blues", zmin=0, zmax=1, showscale=False, texttemplate="%{z:.2f}",
        hovertemplate="%{y}, %{x}: %{z:.4f}<extra></extra>", hoverongaps=False, row=1, col=column,
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed", row=1, col=column)


def _as_map(figure: go.Figure, title: str, height: int) -> go.Figure:
    return figure.update_layout(layout(title) | {"height": height})


def distance_maps(spec: FabricSpec, architectures: Mapping[str, Architecture]) -> go.Figure:
    """How far fabrics of one spec are apart, two by two (share of weight that would have to move, copies of one map
    summed), of operations and of sources; and the entropy of each: 1 where all weights are equal, 0 where decided."""
    names = [plain_name(name) for name in architectures]
    pairs = [[a.distance(b, spec) for b in architectures.values()] for a in architectures.values()]
    titles = ("distance of operations", "distance of sources", "entropy")
    figure = make_subplots(cols=3, column_titles=titles, horizontal_spacing=0.12)
    top = max(max(max(pair) for pair in row) for row in pairs) or 1.0
    for column in (0, 1):
        values = [[pair[column] for pair in row] for row in pairs]
        figure.add_heatmap(
            z=values, x=names, y=names, colorscale="Blues", zmin=0, zmax=top, showscale=False, texttemplate="%{z:.2f}",
            hovertemplate="%{y} and %{x}: %{z:.4f}<extra></extra>", row=1, col=column + 1,
        )  # fmt: skip
        figure.update_yaxes(autorange="reversed", row=1, col=column + 1)
    colours = {"operations": TRANSFER_COLOURS["up"], "sources": INK}
    for number, (kind, colour) in enumerate(colours.items()):
        entropies = [a.entropy()[number] for a in architectures.values()]
        figure.add_bar(x=names, y=entropies, name=kind, marker_color=colour, row=1, col=3)
    figure.update_yaxes(range=[0, 1], row=1, col=3)
    figure.update_layout(layout("Parts beside each other"), height=330 + 12 * len(names))
    return figure


def distance_strips(found: Mapping[str, Distinctness]) -> go.Figure:
    """Every distance that `part_distinctness` judged, between fabrics of different seeds: of the same part, which is
    the noise, and of different parts; quartiles as boxes, the mean dashed."""
    titles = [f"{kind}: p = {own.p:.2g}" for kind, own in found.items()]
    figure = make_subplots(cols=len(found), subplot_titles=titles, shared_yaxes=True)
    for column, own in enumerate(found.values(), 1):
        strips = {"same part": (own.within, "#8C8C8C"), "different parts": (own.between, "#0072B2")}
        for name, (values, colour) in strips.items():
            figure.add_box(
                y=values, name=f"{name}<br>{len(values)} distances", boxpoints="all", pointpos=0, jitter=0.6,
                boxmean=True, fillcolor="rgba(0,0,0,0)", line={"color": INK, "width": 1},
                marker={"color": colour, "size": 5, "opacity": 0.6}, showlegend=False,
                hovertemplate="%{y:.4f}<extra></extra>", row=1, col=column,
            )  # fmt: skip
    figure.update_layout(layout("Parts beside seeds"))
    figure.update_yaxes(rangemode="tozero")
    figure.update_yaxes(title="distance (share of weight to move)", col=1)
    return figure

"""Curves of alpha, beta and the signs of collapse during a search (plotly)."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from posenfs.messages import plain_name
from posenfs.model.architecture import Architecture
from posenfs.model.collapse import WARNING_WEIGHT
from posenfs.model.space import FabricSpec
from posenfs.viz.colours import TRANSFER_COLOURS, operation_colour
from posenfs.viz.fabric_weights import fitting_specs
from posenfs.viz.figures import COLOURS, layout

_TRANSFERS = {"finer": "down", "same": "same", "coarser": "up"}  # the transfer of each source
_DASHES = ("solid", "dash", "dashdot", "dot")  # of cells, the finest first


def alpha_curves(
    steps: np.ndarray,
    architectures: Mapping[str, Architecture],
    spec: FabricSpec | Mapping[str, FabricSpec],
) -> go.Figure:
    """Draw softmax(alpha) by step: a column for each fabric, a row for each edge inside a cell.

    Where each cell has its own alpha, a line is the mean over cells.

    Args:
        steps: The training steps [n].
        architectures: The architectures by fabric name, alpha and beta with a leading [n].
        spec: The spec of all fabrics, or one by fabric name.

    Raises:
        ValueError: alpha or beta does not fit its spec.
    """
    specs = fitting_specs(spec, architectures, steps=True)
    edges = max((fabric_spec.edges for fabric_spec in specs.values()), key=len)
    titles = [f"edge {start}→{end}" for start, end in edges]
    figure = _grid(architectures, titles, "Operation weights, softmax(alpha)")
    in_legend: set[str] = set()
    for column, (name, fabric_spec) in enumerate(specs.items(), 1):
        weights = architectures[name].operation_weights.numpy()
        if fabric_spec.alpha_per_cell:
            weights = weights.mean(1)  # [n, N, E, |O|] -> [n, E, |O|]
        for row in range(len(fabric_spec.edges)):
            for index, operation in enumerate(fabric_spec.operations):
                colour = operation_colour(operation, fabric_spec.operations)
                figure.add_scatter(
                    x=steps,
                    y=weights[:, row, index],
                    name=operation,
                    legendgroup=operation,
                    mode="lines",
                    showlegend=operation not in in_legend,
                    row=row + 1,
                    col=column,
                    line={"color": colour, "width": 2},
                )
                in_legend.add(operation)
    figure.update_yaxes(title="weight", col=1)
    return figure


def beta_curves(
    steps: np.ndarray,
    architectures: Mapping[str, Architecture],
    spec: FabricSpec | Mapping[str, FabricSpec],
) -> go.Figure:
    """Draw softmax(beta) by step: a column for each fabric, a row for each layer.

    Each line is a source of a cell. The colour is the source; the finest cell is solid, coarser
    ones are dashed.

    Args:
        steps: The training steps [n].
        architectures: The architectures by fabric name, alpha and beta with a leading [n].
        spec: The spec of all fabrics, or one by fabric name.

    Raises:
        ValueError: alpha or beta does not fit its spec.
    """
    specs = fitting_specs(spec, architectures, steps=True)
    cells = [cell for fabric_spec in specs.values() for cell in fabric_spec.cells]
    layers = sorted({cell.layer for cell in cells})
    titles = [f"layer {layer}" for layer in layers]
    figure = _grid(architectures, titles, "Scale weights, softmax(beta)")
    for column, (name, fabric_spec) in enumerate(specs.items(), 1):
        weights = architectures[name].scale_weights.numpy()  # [n, N, 3]
        for number, cell in enumerate(fabric_spec.cells):
            dash = _DASHES[cell.row % 4]
            for index, (source, transfer) in enumerate(_TRANSFERS.items()):
                figure.add_scatter(
                    x=steps,
                    y=weights[:, number, index],
                    name=f"{source}, 1/{fabric_spec.strides[cell.row]}",
                    legendgroup=source,
                    showlegend=False,
                    mode="lines",
                    row=layers.index(cell.layer) + 1,
                    col=column,
                    line={"color": TRANSFER_COLOURS[transfer], "dash": dash, "width": 1.8},
                )
    for source, transfer in _TRANSFERS.items():
        _add_legend_entry(figure, source, {"color": TRANSFER_COLOURS[transfer], "width": 3})
    rows = 1 + max(cell.row for cell in cells)
    deepest = max(specs.values(), key=lambda each: max(cell.row for cell in each.cells))
    for row in range(rows):
        line = {"color": "#555555", "dash": _DASHES[row % 4]}
        _add_legend_entry(figure, f"cell at 1/{deepest.strides[row]}", line)
    figure.update_yaxes(title="weight", col=1)
    return figure


def collapse_curves(history: Sequence[Mapping]) -> go.Figure:
    """Draw the signs of collapse at each evaluation, a line for each fabric.

    The signs are the weight of operations that compute nothing, the entropies of alpha and beta,
    and the effective number of paths. The dashed line is the weight above which a search warns;
    the other signs have no threshold.

    Args:
        history: Rows of a search's history.
    """
    rows = [row for row in history if row.get("architecture")]
    titles = ("weight of zero and skip", "entropy of alpha", "entropy of beta", "effective paths")
    figure = make_subplots(rows=1, cols=4, subplot_titles=titles, horizontal_spacing=0.05)
    names = list(rows[0]["architecture"]) if rows else []
    for name, colour in zip(names, itertools.cycle(COLOURS), strict=False):
        signs = [row["architecture"][name] for row in rows]
        panels = (
            [sign["zero"] + sign["skip"] for sign in signs],
            [sign["entropy_alpha"] for sign in signs],
            [sign["entropy_beta"] for sign in signs],
            [sign["paths"] for sign in signs],
        )
        for column, values in enumerate(panels, 1):
            figure.add_scatter(
                x=[row["step"] for row in rows],
                y=values,
                name=plain_name(name),
                legendgroup=name,
                showlegend=column == 1,
                mode="lines+markers",
                line={"color": colour, "width": 2},
                row=1,
                col=column,
            )
    figure.update_layout(layout("Signs of collapse"), height=340)
    figure.update_xaxes(title="training step")
    for column in (1, 2, 3):
        figure.update_yaxes(range=[0, 1.03], row=1, col=column)
    figure.update_yaxes(rangemode="tozero", row=1, col=4)
    figure.add_hline(
        WARNING_WEIGHT,
        row=1,
        col=1,
        line={"color": "#C62828", "dash": "dash", "width": 1.5},
        annotation={"text": f"warning above {WARNING_WEIGHT:g}", "font": {"color": "#C62828"}},
        annotation_position="bottom right",
    )
    return figure


def _add_legend_entry(figure: go.Figure, name: str, line: dict) -> None:
    """Add an entry to the legend without a visible line."""
    figure.add_scatter(
        x=[None], y=[None], name=name, legendgroup=name, mode="lines", line=line, row=1, col=1
    )


def _grid(architectures: Mapping[str, Architecture], rows: list[str], title: str) -> go.Figure:
    """Return empty subplots with a column for each fabric."""
    figure = make_subplots(
        rows=len(rows),
        cols=len(architectures),
        column_titles=[plain_name(name) for name in architectures],
        row_titles=rows,
        shared_yaxes="all",
        shared_xaxes="all",
        horizontal_spacing=0.02,
        vertical_spacing=0.05,
    )
    figure.update_layout(layout(title), height=150 + 190 * len(rows))
    figure.update_xaxes(title="training step", row=len(rows))
    return figure

"""Curves over a search (plotly): loss, PCKh, alpha and beta."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from posenfs.evaluation.metrics import COLUMNS
from posenfs.model.architecture import Architecture
from posenfs.model.space import FabricSpec
from posenfs.show.canvas import operation_colour
from posenfs.show.fabric_graph import TRANSFER_COLOURS

_TRANSFERS = {"finer": "down", "same": "same", "coarser": "up"}  # a source and the transfer it comes through
# Okabe and Ito's colours, told apart without full colour vision; left out are their black (the mean) and yellow (pale)
_COLUMN_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#0072B2", "#D55E00", "#8C8C8C")


def loss_curve(history: Sequence[Mapping]) -> go.Figure:
    """Training loss by step (Eq. 6), each step faint and a running mean over it, on a log axis."""
    rows = [row for row in history if "loss" in row]
    steps, losses = [row["step"] for row in rows], np.array([row["loss"] for row in rows])
    window = max(len(rows) // 40, 1)
    # a mean over the last steps alone: it never looks ahead of where the search stood
    total = np.concatenate([[0.0], np.cumsum(losses)])
    first = np.maximum(np.arange(len(losses)) + 1 - window, 0)
    smooth = (total[1:] - total[first]) / (np.arange(1, len(losses) + 1) - first)
    figure = go.Figure(layout=_layout("Training loss"))
    figure.add_scatter(x=steps, y=losses, mode="lines", name="each step", line={"color": "#c8c8c8", "width": 1})
    figure.add_scatter(
        x=steps, y=smooth, mode="lines", name=f"mean of {window} steps", line={"color": "#222222", "width": 2}
    )
    figure.update_yaxes(title="loss (Eq. 6, squared score × px)", type="log", dtick="D2")
    figure.update_xaxes(title="training step")
    return figure


def score_curve(history: Sequence[Mapping], mean_pose: float | None = None, metric: str = "pckh@0.5") -> go.Figure:
    """A metric at each evaluation, its mean bold and by keypoint; the mean pose's as a dashed line."""
    rows = [row for row in history if metric in row]
    steps = [row["step"] for row in rows]
    title = metric.replace("pckh", "PCKh")
    figure = go.Figure(layout=_layout(f"{title} on people the network has not seen"))
    for column, colour in zip(COLUMNS, _COLUMN_COLOURS, strict=True):
        values = [row.get(f"{metric}/{column}") for row in rows]
        if any(value is not None for value in values):
            line = {"color": colour, "width": 1.2}
            figure.add_scatter(x=steps, y=values, name=column, line=line, mode="lines+markers", marker={"size": 4})
    figure.add_scatter(
        x=steps, y=[row[metric] for row in rows], name="mean", line={"color": "#000000", "width": 3.5},
        mode="lines+markers", marker={"size": 8},
    )  # fmt: skip
    if mean_pose is not None:
        figure.add_hline(mean_pose, line={"dash": "dash", "color": "#666666"}, annotation_text="mean pose")
    figure.update_yaxes(title=f"{title} (%)", range=[0, 100])
    figure.update_xaxes(title="training step")
    return figure


def alpha_curves(steps: np.ndarray, architectures: Mapping[str, Architecture], spec: FabricSpec) -> go.Figure:
    """softmax(alpha) by step: a column for each fabric, a row for each edge inside a cell, a line an operation.

    Where each cell has its own alpha, the line is the mean over cells.
    """
    edges = [f"edge {start}→{end}" for start, end in spec.edges]
    figure = _grid(architectures, edges, "Operation weights, softmax(alpha)")
    for column, architecture in enumerate(architectures.values(), 1):
        weights = architecture.operation_weights.numpy()
        weights = weights.mean(1) if weights.ndim == 4 else weights  # [n, E, |O|]
        for row in range(len(edges)):
            for index, operation in enumerate(spec.operations):
                figure.add_scatter(
                    x=steps, y=weights[:, row, index], name=operation, legendgroup=operation, mode="lines",
                    showlegend=column == 1 and row == 0, row=row + 1, col=column,
                    line={"color": operation_colour(operation, spec.operations), "width": 2},
                )  # fmt: skip
    figure.update_yaxes(title="weight", col=1)
    return figure


def beta_curves(steps: np.ndarray, architectures: Mapping[str, Architecture], spec: FabricSpec) -> go.Figure:
    """softmax(beta) by step: a column for each fabric, a row for each layer; a line for each cell and source.

    Colour is the source; the finest cell is drawn solid, coarser ones dashed more and more finely.
    """
    layers = spec.grid()
    figure = _grid(architectures, [f"layer {cells[0].layer}" for cells in layers], "Scale weights, softmax(beta)")
    dashes = ("solid", "dash", "dashdot", "dot")
    for column, architecture in enumerate(architectures.values(), 1):
        weights, cell_number = architecture.scale_weights.numpy(), 0  # [n, N, 3]
        for row, cells in enumerate(layers, 1):
            for cell in cells:
                for source, name in enumerate(_TRANSFERS):
                    figure.add_scatter(
                        x=steps, y=weights[:, cell_number, source], name=f"{name}, 1/{spec.strides[cell.row]}",
                        legendgroup=name, showlegend=False, mode="lines", row=row, col=column,
                        line={"color": TRANSFER_COLOURS[_TRANSFERS[name]], "dash": dashes[cell.row % 4], "width": 1.8},
                    )  # fmt: skip
                cell_number += 1
    for name in _TRANSFERS:  # one legend entry a source
        figure.add_scatter(x=[None], y=[None], name=name, legendgroup=name, mode="lines",
                           line={"color": TRANSFER_COLOURS[_TRANSFERS[name]], "width": 3}, row=1, col=1)  # fmt: skip
    for row, stride in enumerate(spec.strides[: max(len(cells) for cells in layers)]):
        figure.add_scatter(x=[None], y=[None], name=f"cell at 1/{stride}", mode="lines",
                           line={"color": "#555555", "dash": dashes[row % 4]}, row=1, col=1)  # fmt: skip
    figure.update_yaxes(title="weight", col=1)
    return figure


def _grid(architectures: Mapping[str, Architecture], rows: list[str], title: str) -> go.Figure:
    figure = make_subplots(
        rows=len(rows), cols=len(architectures), column_titles=[_plain(name) for name in architectures],
        row_titles=rows, shared_yaxes="all", shared_xaxes="all", horizontal_spacing=0.02, vertical_spacing=0.05,
    )  # fmt: skip
    figure.update_layout(_layout(title), height=150 + 190 * len(rows))
    figure.update_xaxes(title="training step", row=len(rows))
    return figure


def _plain(name: str) -> str:
    return name.removesuffix("_part").replace("_", " ")


def _layout(title: str) -> dict:
    return {
        "title": {"text": title, "x": 0.01, "font": {"size": 17}},
        "template": "plotly_white",
        "height": 380,
        "margin": {"l": 60, "r": 30, "t": 70, "b": 55},
        "legend": {"groupclick": "togglegroup"},
        "hovermode": "closest",
    }

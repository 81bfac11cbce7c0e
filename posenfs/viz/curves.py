"""Curves of a search (plotly): loss, score, learning rate, speed, alpha, beta and collapse."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from posenfs.evaluation.metrics import metric_title
from posenfs.messages import many, plain_name
from posenfs.model.architecture import Architecture
from posenfs.model.collapse import WARNING_WEIGHT
from posenfs.model.space import FabricSpec
from posenfs.viz.canvas import TRANSFER_COLOURS, operation_colour
from posenfs.viz.fabric_graph import fitting_specs

_TRANSFERS = {"finer": "down", "same": "same", "coarser": "up"}  # the transfer of each source
_DASHES = ("solid", "dash", "dashdot", "dot")  # of cells, the finest first
_LOSS_TITLE = "loss (Eq. 6, squared score × px)"
TICKS = [digit * 10.0**power for power in range(-6, 7) for digit in (1, 2, 5)]  # of log axes
# Okabe and Ito's palette, safe for colour-blind readers, without black (the mean) and pale yellow.
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#0072B2", "#D55E00", "#8C8C8C")
# Seven further colours of Paul Tol's muted palette, for figures with many lines.
_MANY_COLOURS = (
    *COLOURS,
    *("#882255", "#44AA99", "#332288", "#999933", "#AA4499", "#661100", "#6699CC"),
)


def loss_curve(history: Sequence[Mapping], most: int = 5000) -> go.Figure:
    """Draw the training loss by step (Eq. 6) and its running mean, on a log axis.

    Args:
        history: Rows of a search's history.
        most: Greatest number of points; of more steps every n-th is drawn.
    """
    rows = [row for row in history if "loss" in row]
    steps = [row["step"] for row in rows]
    losses = np.array([row["loss"] for row in rows])
    window = max(len(rows) // 40, 1)
    # The mean covers the last steps only, never later ones.
    total = np.concatenate([[0.0], np.cumsum(losses)])
    first = np.maximum(np.arange(len(losses)) + 1 - window, 0)
    smooth = (total[1:] - total[first]) / (np.arange(1, len(losses) + 1) - first)
    shown = thinned(range(len(steps)), most)
    x = [steps[index] for index in shown]
    figure = go.Figure(layout=layout("Training loss"))
    line = {"color": "#c8c8c8", "width": 1}
    figure.add_scatter(x=x, y=losses[shown], mode="lines", name="each step", line=line)
    name, line = f"mean of {many(window, 'step')}", {"color": "#222222", "width": 2}
    figure.add_scatter(x=x, y=smooth[shown], mode="lines", name=name, line=line)
    set_loss_axis(figure)
    figure.update_xaxes(title="training step")
    return figure


def set_loss_axis(figure: go.Figure) -> None:
    """Title the first y axis of a figure, that of its losses; make it log if two ticks fit."""
    losses = [trace.y for trace in figure.data if trace.yaxis in (None, "y") and len(trace.y)]
    lowest = min(map(min, losses), default=0.0)
    highest = max(map(max, losses), default=0.0)
    visible = [tick for tick in TICKS if lowest <= tick <= highest]
    scale = {"type": "log", "tickvals": TICKS} if len(visible) > 1 else {}
    figure.update_layout(yaxis={"title": _LOSS_TITLE, **scale})


def thinned(rows: Sequence, most: int) -> list:
    """Return every n-th row, at most `most` of them and always the last one."""
    stride = max(-(-len(rows) // most), 1)
    return list(rows[(len(rows) - 1) % stride :: stride])


def rate_curve(history: Sequence[Mapping]) -> go.Figure:
    """Draw the learning rate of the weights by step.

    Args:
        history: Rows of a search's history.
    """
    rows = [row for row in history if "lr" in row]
    changes = [
        row
        for index, row in enumerate(rows)
        if index in (0, len(rows) - 1) or row["lr"] != rows[index - 1]["lr"]
    ]
    figure = go.Figure(layout=layout("Learning rate") | {"height": 220})
    figure.add_scatter(
        x=[row["step"] for row in changes],
        y=[row["lr"] for row in changes],
        mode="lines",
        line={"color": "#222222", "width": 2, "shape": "hv"},
        name="lr",
    )
    figure.update_yaxes(title="learning rate of w", rangemode="tozero")
    figure.update_xaxes(title="training step")
    return figure


def speed_curve(timing: Sequence[Mapping]) -> go.Figure:
    """Draw the images per second by step, and the percentage of time spent waiting for data.

    Args:
        timing: Rows with step, images_per_s and wait_share.
    """
    steps = [row["step"] for row in timing]
    figure = make_subplots(specs=[[{"secondary_y": True}]])
    figure.update_layout(layout("Speed") | {"height": 260})
    figure.add_scatter(
        x=steps,
        y=[row["images_per_s"] for row in timing],
        name="images/s",
        mode="lines",
        line={"color": "#222222", "width": 1.5},
        secondary_y=False,
    )
    figure.add_scatter(
        x=steps,
        y=[100 * row["wait_share"] for row in timing],
        name="waiting for data, %",
        mode="lines",
        line={"color": "#E69F00", "width": 1.2},
        secondary_y=True,
    )
    figure.update_yaxes(title="images/s", rangemode="tozero", secondary_y=False)
    figure.update_yaxes(
        title="waiting, %", range=[0, 100], dtick=25, showgrid=False, secondary_y=True
    )
    figure.update_xaxes(title="training step")
    return figure


def score_curve(
    history: Sequence[Mapping], *, metric: str = "pckh@0.5", mean_pose: float | None = None
) -> go.Figure:
    """Draw a metric at each evaluation on the validation split: its mean and each keypoint.

    A dotted line is the primary metric on the early-stopping split, where the search has one.

    Args:
        history: Rows of a search's history.
        metric: Name of the metric.
        mean_pose: The score of the mean pose in percent, drawn as a dashed line.
    """
    rows = [row for row in history if metric in row]
    steps = [row["step"] for row in rows]
    title = metric_title(metric)
    figure = go.Figure(layout=layout(f"{title} on the validation split"))
    prefix = f"{metric}/"
    keys = [key for key in rows[0] if key.startswith(prefix)] if rows else []
    styles = itertools.product(("solid", "dot", "dash"), _MANY_COLOURS)
    for key, (dash, colour) in zip(keys, styles, strict=False):
        values = [row.get(key) for row in rows]
        if any(value is not None for value in values):
            figure.add_scatter(
                x=steps,
                y=values,
                name=key.removeprefix(prefix),
                line={"color": colour, "width": 1.2, "dash": dash},
                mode="lines+markers",
                marker={"size": 4},
            )
    figure.add_scatter(
        x=steps,
        y=[row[metric] for row in rows],
        name="mean",
        line={"color": "#000000", "width": 3.5},
        mode="lines+markers",
        marker={"size": 8},
    )
    if any(row.get("judged") is not None for row in rows):
        figure.add_scatter(
            x=steps,
            y=[row.get("judged") for row in rows],
            name="early stopping",
            mode="lines",
            line={"color": "#000000", "width": 2, "dash": "dot"},
        )
    if mean_pose is not None:
        line = {"dash": "dash", "color": "#666666"}
        figure.add_hline(mean_pose, line=line, annotation_text="mean pose")
    figure.update_yaxes(title=f"{title} (%)", range=[0, 100])
    figure.update_xaxes(title="training step")
    return figure


def compared_curves(histories: Mapping[str, Sequence[Mapping]], metric: str | None) -> go.Figure:
    """Draw the loss and a metric by step, a line for each run; of many steps every n-th is drawn.

    Args:
        histories: The history of each run by name.
        metric: Name of the metric.
    """
    titles = ("training loss, mean of 20 steps", metric_title(metric or "score"))
    figure = make_subplots(cols=2, subplot_titles=titles)
    for colour, (name, history) in zip(itertools.cycle(COLOURS), histories.items(), strict=False):
        style = {"name": name, "legendgroup": name, "line": {"color": colour, "width": 2}}
        rows = [row for row in history if "loss" in row]
        losses = np.array([row["loss"] for row in rows])
        shown = thinned(range(len(rows)), 1000)
        figure.add_scatter(
            x=[rows[index]["step"] for index in shown],
            y=[losses[max(index - 19, 0) : index + 1].mean() for index in shown],
            mode="lines",
            row=1,
            col=1,
            **style,
        )
        evaluations = [row for row in history if row.get(metric) is not None]
        figure.add_scatter(
            x=[row["step"] for row in evaluations],
            y=[row[metric] for row in evaluations],
            showlegend=False,
            mode="lines+markers",
            row=1,
            col=2,
            **style,
        )
    figure.update_layout(layout("Comparison of runs"))
    figure.update_xaxes(title="training step")
    set_loss_axis(figure)
    figure.update_yaxes(title="%", range=[0, 100], row=1, col=2)
    return figure


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


def layout(title: str) -> dict:
    """Return the plotly layout that all figures share."""
    return {
        "title": {"text": title, "x": 0.01, "font": {"size": 17}},
        "template": "plotly_white",
        "height": 380,
        "margin": {"l": 60, "r": 30, "t": 70, "b": 55},
        "legend": {"groupclick": "togglegroup"},
        "hovermode": "closest",
    }

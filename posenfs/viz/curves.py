"""Curves of a training: loss, score, learning rate and speed (plotly, one with matplotlib)."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from posenfs.evaluation.metrics import metric_title
from posenfs.messages import many
from posenfs.viz.figures import COLOURS, LOSS_TITLE, StaticFigure, layout, set_loss_axis

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
    if any(row.get("early_stopping_score") is not None for row in rows):
        figure.add_scatter(
            x=steps,
            y=[row.get("early_stopping_score") for row in rows],
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


def draw_training(history: Sequence[Mapping], metric: str | None) -> StaticFigure:
    """Draw the training loss by step, and a metric at each evaluation, with matplotlib.

    Args:
        history: Rows of a search's history.
        metric: Name of the metric.
    """
    figure = StaticFigure((9.5, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    rows = [row for row in history if "loss" in row]
    steps, losses = [row["step"] for row in rows], [row["loss"] for row in rows]
    left.plot(steps, losses, color="#222222", linewidth=0.8)
    left.set(xlabel="training step", ylabel=LOSS_TITLE, title="Training loss")
    if rows:
        left.set_yscale("log")
    rows = [row for row in history if row.get(metric) is not None]
    steps, scores = [row["step"] for row in rows], [row[metric] for row in rows]
    right.plot(steps, scores, "o-", color="#222222", markersize=4)
    name = metric_title(metric) if metric else "score"
    right.set(
        xlabel="training step",
        ylabel=f"{name} (%)",
        ylim=(0, 100),
        title=f"{name} on the validation split",
    )
    return figure


def thinned(rows: Sequence, most: int) -> list:
    """Return every n-th row, at most `most` of them and always the last one."""
    stride = max(-(-len(rows) // most), 1)
    return list(rows[(len(rows) - 1) % stride :: stride])

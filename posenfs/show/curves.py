"""Curves over a search (plotly): loss, PCKh, alpha and beta."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from posenfs.body.words import many, plain_name
from posenfs.evaluation.metrics import metric_title
from posenfs.model.architecture import Architecture
from posenfs.model.space import FabricSpec
from posenfs.model.watch import WARNING_WEIGHT
from posenfs.show.canvas import operation_colour
from posenfs.show.canvas import TRANSFER_COLOURS
from posenfs.show.fabric_graph import fitting_specs

_TRANSFERS = {
    "finer": "down",
    "same": "same",
    "coarser": "up",
}  # a source and the transfer it comes through
_DASHES = ("solid", "dash", "dashdot", "dot")  # of cells, the finest first
TICKS = [
    digit * 10.0**power for power in range(-6, 7) for digit in (1, 2, 5)
]  # of a log axis, read without thinking
# Okabe and Ito's colours, told apart without full colour vision; left out are their black (the mean) and yellow (pale)
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#0072B2", "#D55E00", "#8C8C8C")
# Seven further colours (of Paul Tol's muted scheme) for figures with many lines
_MANY_COLOURS = (
    *COLOURS,
    "#882255",
    "#44AA99",
    "#332288",
    "#999933",
    "#AA4499",
    "#661100",
    "#6699CC",
)


def loss_curve(history: Sequence[Mapping], most: int = 5000) -> go.Figure:
    """Training loss by step (Eq. 6), each step faint and a running mean over it, on a log axis; of more than `most`
    steps every n-th is drawn."""
    rows = [row for row in history if "loss" in row]
    steps, losses = [row["step"] for row in rows], np.array([row["loss"] for row in rows])
    window = max(len(rows) // 40, 1)
    # a mean over the last steps alone: it never looks ahead of where the search stood
    total = np.concatenate([[0.0], np.cumsum(losses)])
    first = np.maximum(np.arange(len(losses)) + 1 - window, 0)
    smooth = (total[1:] - total[first]) / (np.arange(1, len(losses) + 1) - first)
    every = thinned(range(len(steps)), most)
    shown = [steps[n] for n in every]
    figure = go.Figure(layout=layout("Training loss"))
    figure.add_scatter(
        x=shown,
        y=losses[every],
        mode="lines",
        name="each step",
        line={"color": "#c8c8c8", "width": 1},
    )
    figure.add_scatter(
        x=shown,
        y=smooth[every],
        mode="lines",
        name=f"mean of {many(window, 'step')}",
        line={"color": "#222222", "width": 2},
    )
    name_losses(figure)
    figure.update_xaxes(title="training step")
    return figure


def name_losses(figure: go.Figure) -> None:
    """The first axis of a figure, that of its training losses: a log one, but where they span no two of its ticks."""
    losses = [trace.y for trace in figure.data if trace.yaxis in (None, "y") and len(trace.y)]
    lowest, highest = min(map(min, losses), default=0.0), max(map(max, losses), default=0.0)
    spanned = [tick for tick in TICKS if lowest <= tick <= highest]
    scale = {"type": "log", "tickvals": TICKS} if len(spanned) > 1 else {}
    figure.update_layout(yaxis={"title": "loss (Eq. 6, squared score × px)", **scale})


def thinned(rows: Sequence, most: int) -> list:
    """Every n-th of them, the last one among them: `most` or fewer."""
    every = max(-(-len(rows) // most), 1)
    return list(rows[(len(rows) - 1) % every :: every])


def rate_curve(history: Sequence[Mapping]) -> go.Figure:
    """The learning rate of the weights by step, where it changes."""
    rows = [row for row in history if "lr" in row]
    changes = [
        n for n in range(len(rows)) if n in (0, len(rows) - 1) or rows[n]["lr"] != rows[n - 1]["lr"]
    ]
    steps, rates = [rows[n]["step"] for n in changes], [rows[n]["lr"] for n in changes]
    figure = go.Figure(layout=layout("Learning rate") | {"height": 220})
    figure.add_scatter(
        x=steps,
        y=rates,
        mode="lines",
        line={"color": "#222222", "width": 2, "shape": "hv"},
        name="lr",
    )
    figure.update_yaxes(title="learning rate of w", rangemode="tozero")
    figure.update_xaxes(title="training step")
    return figure


def speed_curve(timing: Sequence[Mapping]) -> go.Figure:
    """Images a second by step, and the share of the time that was spent waiting for data."""
    steps = [row["step"] for row in timing]
    figure = make_subplots(specs=[[{"secondary_y": True}]])
    figure.update_layout(layout("Speed") | {"height": 260})
    for name, key, line, second in (
        ("images/s", "images_per_s", {"color": "#222222", "width": 1.5}, False),
        ("waiting for data, %", "wait_share", {"color": "#E69F00", "width": 1.2}, True),
    ):
        values = [row[key] * (100 if second else 1) for row in timing]
        figure.add_scatter(
            x=steps, y=values, name=name, mode="lines", line=line, secondary_y=second
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
    """A metric at each evaluation, its mean bold and by keypoint; the mean pose's as a dashed line.

    Where people apart judge the epochs, their score is the dotted line: it is of the search's headline."""
    rows = [row for row in history if metric in row]
    steps = [row["step"] for row in rows]
    figure = go.Figure(layout=layout(f"{metric_title(metric)} on people the network has not seen"))
    columns = [
        key.removeprefix(f"{metric}/")
        for key in (rows[0] if rows else ())
        if key.startswith(f"{metric}/")
    ]
    styles = itertools.product(("solid", "dot", "dash"), _MANY_COLOURS)
    for column, (dash, colour) in zip(columns, styles, strict=False):
        values = [row.get(f"{metric}/{column}") for row in rows]
        if any(value is not None for value in values):
            line = {"color": colour, "width": 1.2, "dash": dash}
            figure.add_scatter(
                x=steps, y=values, name=column, line=line, mode="lines+markers", marker={"size": 4}
            )
    figure.add_scatter(
        x=steps, y=[row[metric] for row in rows], name="mean", line={"color": "#000000", "width": 3.5},
        mode="lines+markers", marker={"size": 8},
    )  # fmt: skip
    if any(
        row.get("judged") is not None for row in rows
    ):  # in a search with people apart to judge its epochs
        figure.add_scatter(
            x=steps, y=[row.get("judged") for row in rows], name="of those who judge", mode="lines",
            line={"color": "#000000", "width": 2, "dash": "dot"},
        )  # fmt: skip
    if mean_pose is not None:
        figure.add_hline(
            mean_pose, line={"dash": "dash", "color": "#666666"}, annotation_text="mean pose"
        )
    figure.update_yaxes(title=f"{metric_title(metric)} (%)", range=[0, 100])
    figure.update_xaxes(title="training step")
    return figure


def compared_curves(histories: Mapping[str, Sequence[Mapping]], metric: str | None) -> go.Figure:
    """Loss and a metric by step, a line for each run; of many steps every n-th is drawn."""
    figure = make_subplots(
        cols=2, subplot_titles=("training loss, mean of 20 steps", metric_title(metric or "score"))
    )
    for colour, (name, history) in zip(itertools.cycle(COLOURS), histories.items(), strict=False):
        line = {"color": colour, "width": 2}
        rows = [row for row in history if "loss" in row]
        losses = np.array([row["loss"] for row in rows])
        smooth = [losses[max(n - 19, 0) : n + 1].mean() for n in range(len(losses))]
        judged = [row for row in history if row.get(metric) is not None]
        shown = thinned(range(len(rows)), 1000)
        figure.add_scatter(
            x=[rows[n]["step"] for n in shown], y=[smooth[n] for n in shown], name=name, legendgroup=name, mode="lines",
            line=line, row=1, col=1,
        )  # fmt: skip
        figure.add_scatter(
            x=[row["step"] for row in judged], y=[row[metric] for row in judged], name=name, legendgroup=name,
            showlegend=False, mode="lines+markers", line=line, row=1, col=2,
        )  # fmt: skip
    figure.update_layout(layout("Runs beside each other"))
    figure.update_xaxes(title="training step")
    name_losses(figure)
    figure.update_yaxes(title="%", range=[0, 100], row=1, col=2)
    return figure


def alpha_curves(
    steps: np.ndarray,
    architectures: Mapping[str, Architecture],
    spec: FabricSpec | Mapping[str, FabricSpec],
) -> go.Figure:
    """softmax(alpha) by step: a column for each fabric, a row for each edge inside a cell, a line an operation.

    `spec` is that of all fabrics, or {name: spec}; alpha and beta carry a leading [n]. Where each cell has its own
    alpha, the line is the mean over cells. Raises ValueError where alpha or beta does not fit its spec.
    """
    specs = fitting_specs(spec, architectures, steps=True)
    edges = max((own.edges for own in specs.values()), key=len)
    titles = [f"edge {start}→{end}" for start, end in edges]
    figure = _grid(architectures, titles, "Operation weights, softmax(alpha)")
    seen: set[str] = set()  # operations that have their entry in the legend
    for column, (name, own) in enumerate(specs.items(), 1):
        weights = architectures[name].operation_weights.numpy()
        weights = weights.mean(1) if own.alpha_per_cell else weights  # [n, E, |O|]
        for row in range(len(own.edges)):
            for index, operation in enumerate(own.operations):
                figure.add_scatter(
                    x=steps, y=weights[:, row, index], name=operation, legendgroup=operation, mode="lines",
                    showlegend=operation not in seen, row=row + 1, col=column,
                    line={"color": operation_colour(operation, own.operations), "width": 2},
                )  # fmt: skip
                seen.add(operation)
    figure.update_yaxes(title="weight", col=1)
    return figure


def beta_curves(
    steps: np.ndarray,
    architectures: Mapping[str, Architecture],
    spec: FabricSpec | Mapping[str, FabricSpec],
) -> go.Figure:
    """softmax(beta) by step: a column for each fabric, a row for each layer; a line for each cell and source.

    Colour is the source; the finest cell is drawn solid, coarser ones dashed more and more finely. `spec` and errors
    as in alpha_curves.
    """
    specs = fitting_specs(spec, architectures, steps=True)
    layers = sorted({cell.layer for own in specs.values() for cell in own.cells})
    figure = _grid(
        architectures, [f"layer {layer}" for layer in layers], "Scale weights, softmax(beta)"
    )
    for column, (name, own) in enumerate(specs.items(), 1):
        weights = architectures[name].scale_weights.numpy()  # [n, N, 3]
        for number, cell in enumerate(own.cells):
            for source, word in enumerate(_TRANSFERS):
                figure.add_scatter(
                    x=steps, y=weights[:, number, source], name=f"{word}, 1/{own.strides[cell.row]}",
                    legendgroup=word, showlegend=False, mode="lines", row=layers.index(cell.layer) + 1, col=column,
                    line={"color": TRANSFER_COLOURS[_TRANSFERS[word]], "dash": _DASHES[cell.row % 4], "width": 1.8},
                )  # fmt: skip
    for word, transfer in _TRANSFERS.items():  # one legend entry a source, and one a row
        _legend_entry(figure, word, {"color": TRANSFER_COLOURS[transfer], "width": 3})
    own = max(specs.values(), key=lambda own: max(cell.row for cell in own.cells))
    for row in range(1 + max(cell.row for cell in own.cells)):
        _legend_entry(
            figure, f"cell at 1/{own.strides[row]}", {"color": "#555555", "dash": _DASHES[row % 4]}
        )
    figure.update_yaxes(title="weight", col=1)
    return figure


def collapse_curves(history: Sequence[Mapping]) -> go.Figure:
    """Signs of collapse at each evaluation, a line for each fabric: the weight of operations that compute nothing, the
    entropies of alpha and beta, and the effective number of paths.

    The dashed line is the weight above which a search warns; the other signs have no such value."""
    rows = [row for row in history if row.get("architecture")]
    titles = ("weight of zero and skip", "entropy of alpha", "entropy of beta", "effective paths")
    figure = make_subplots(rows=1, cols=len(titles), subplot_titles=titles, horizontal_spacing=0.05)
    names = list(rows[0]["architecture"]) if rows else []
    for name, colour in zip(names, itertools.cycle(COLOURS), strict=False):
        signs = [row["architecture"][name] for row in rows]
        panels = (
            [own["zero"] + own["skip"] for own in signs],
            *([own[key] for own in signs] for key in ("entropy_alpha", "entropy_beta", "paths")),
        )
        for column, values in enumerate(panels, 1):
            figure.add_scatter(
                x=[row["step"] for row in rows], y=values, name=plain_name(name), legendgroup=name,
                showlegend=column == 1, mode="lines+markers", line={"color": colour, "width": 2}, row=1, col=column,
            )  # fmt: skip
    figure.update_layout(layout("Is a fabric collapsing?"), height=340)
    figure.update_xaxes(title="training step")
    for column in (1, 2, 3):
        figure.update_yaxes(range=[0, 1.03], row=1, col=column)
    figure.update_yaxes(rangemode="tozero", row=1, col=4)
    figure.add_hline(
        WARNING_WEIGHT, row=1, col=1, line={"color": "#C62828", "dash": "dash", "width": 1.5},
        annotation={"text": f"warning above {WARNING_WEIGHT:g}", "font": {"color": "#C62828"}},
        annotation_position="bottom right",
    )  # fmt: skip
    return figure


def _legend_entry(figure: go.Figure, name: str, line: dict) -> None:
    figure.add_scatter(
        x=[None], y=[None], name=name, legendgroup=name, mode="lines", line=line, row=1, col=1
    )


def _grid(architectures: Mapping[str, Architecture], rows: list[str], title: str) -> go.Figure:
    figure = make_subplots(
        rows=len(rows), cols=len(architectures), column_titles=[plain_name(name) for name in architectures],
        row_titles=rows, shared_yaxes="all", shared_xaxes="all", horizontal_spacing=0.02, vertical_spacing=0.05,
    )  # fmt: skip
    figure.update_layout(layout(title), height=150 + 190 * len(rows))
    figure.update_xaxes(title="training step", row=len(rows))
    return figure


def layout(title: str) -> dict:
    """What all curves have in common."""
    return {
        "title": {"text": title, "x": 0.01, "font": {"size": 17}},
        "template": "plotly_white",
        "height": 380,
        "margin": {"l": 60, "r": 30, "t": 70, "b": 55},
        "legend": {"groupclick": "togglegroup"},
        "hovermode": "closest",
    }

"""Figures of an ablation (plotly): scores of all seeds, curves of all runs, accuracy and cost."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas
import plotly.graph_objects as go
from pandas.io.formats.style import Styler
from plotly.subplots import make_subplots

from posenfs.evaluation.metrics import metric_title
from posenfs.evaluation.seeds import mean_interval
from posenfs.evaluation.stats import Interval
from posenfs.search.run_dir import runs_home
from posenfs.study.cost_tables import full_cost, latency_ms
from posenfs.study.outcomes import Outcome, primary_metric_of
from posenfs.viz.figures import COLOURS, TICKS, layout, set_loss_axis
from posenfs.viz.scatter_labels import label_sides

_INK = "#222222"
_PAPER_MARKER = {"color": "#D55E00", "symbol": "diamond-open", "size": 10}


def score_dots(rows: Sequence[Outcome], metric: str | None = None) -> go.Figure:
    """Draw every seed of every row, the mean with Student's 95 % interval, and the paper's score.

    Args:
        rows: The rows of a table; a row without a run is empty.
        metric: Name of the metric; by default the primary metric of the rows.
    """
    metric = metric or primary_metric_of(rows)
    labels = [row.row.label for row in rows]
    figure = go.Figure(layout=layout(f"{metric_title(metric)} by row"))
    seeds = [
        (row.row.label, seed, score) for row in rows for seed, score in row.scores(metric).items()
    ]
    figure.add_scatter(
        x=[score for _, _, score in seeds],
        y=[label for label, _, _ in seeds],
        mode="markers",
        name="one seed",
        marker={"color": "#56B4E9", "size": 8},
        text=[f"seed {seed}" for _, seed, _ in seeds],
    )
    means = _means(rows, metric)
    half_widths = [_half_width(mean) for mean in means.values()]
    figure.add_scatter(
        x=[mean.value for mean in means.values()],
        y=list(means),
        mode="markers",
        name="mean, 95 % over seeds",
        marker={
            "color": _INK,
            "symbol": "line-ns",
            "size": 14,
            "line": {"width": 3, "color": _INK},
        },
        error_x={"array": half_widths, "color": _INK, "thickness": 1.5},
    )
    paper = {row.row.label: row.row.printed[metric] for row in rows if metric in row.row.printed}
    figure.add_scatter(
        x=list(paper.values()), y=list(paper), mode="markers", name="paper", marker=_PAPER_MARKER
    )
    # An invisible trace reserves a line for rows without any point.
    figure.add_scatter(
        x=[None] * len(labels), y=labels, mode="markers", showlegend=False, hoverinfo="skip"
    )
    figure.update_yaxes(
        type="category",
        categoryorder="array",
        categoryarray=labels[::-1],
        range=[-0.6, len(labels) - 0.4],
    )
    figure.update_xaxes(title=f"{metric_title(metric)} (%)")
    return figure.update_layout(height=180 + 34 * len(rows))


def _means(rows: Sequence[Outcome], metric: str) -> dict[str, Interval]:
    """Return the mean over seeds of each row that has runs, by label."""
    return {row.row.label: mean_interval(scores) for row in rows if (scores := row.scores(metric))}


def _half_width(interval: Interval) -> float:
    """Return half the width of an interval; 0 for that of a single seed, which has no bounds."""
    return 0.0 if math.isnan(interval.high) else interval.high - interval.value


def run_list(rows: Sequence[Outcome]) -> Styler:
    """Return a table of every run: score, date, commit, and links to its result and notebook.

    The links start from a page in reports/. There is no link to a notebook that does not exist.

    Args:
        rows: The rows of a table.
    """
    metric = primary_metric_of(rows)
    lines = []
    for row in rows:
        scores = row.scores(metric)
        for seed, result in row.results.items():
            name, provenance = result["name"], result["provenance"]
            links = [f"<a href='results/{name}.json'>result</a>"]
            if (runs_home() / name / "notebook.ipynb").is_file():
                links.append(f"<a href='runs/{name}/notebook.ipynb'>notebook</a>")
            lines.append(
                {
                    "row": row.row.label,
                    "seed": seed,
                    f"{metric_title(metric)} (%)": scores.get(seed),
                    "date": provenance["created"][:10],
                    "commit": provenance["commit"],
                    "links": ", ".join(links),
                }
            )
    frame = pandas.DataFrame(lines, columns=None if lines else ["row", "seed", "links"])
    return frame.style.hide(axis="index").format(precision=1, na_rep="")


def run_curves(rows: Sequence[Outcome]) -> go.Figure:
    """Draw the training loss and the metric of every run: a colour for each row.

    The loss is a running mean over a fortieth of the run.

    Args:
        rows: The rows of a table; without any run the figure is empty.
    """
    if not any(row.results for row in rows):
        figure = go.Figure(layout=layout("No runs yet"))
        figure.update_layout(height=80)
        return figure.update_xaxes(visible=False).update_yaxes(visible=False)
    metric = primary_metric_of(rows)
    figure = make_subplots(cols=2, subplot_titles=("training loss", metric_title(metric)))
    panels = (("losses", "lines"), ("epochs", "lines+markers"))
    for colour, row in zip(itertools.cycle(COLOURS), rows, strict=False):
        for index, result in enumerate(row.results.values()):
            for column, (key, mode) in enumerate(panels, 1):
                figure.add_scatter(
                    x=[step for step, _ in result[key]],
                    y=[value for _, value in result[key]],
                    mode=mode,
                    name=row.row.label,
                    legendgroup=row.name,
                    showlegend=column == 1 and index == 0,
                    line={"color": colour, "width": 1.4},
                    row=1,
                    col=column,
                )
    figure.update_layout(layout("All runs"))
    figure.update_xaxes(title="training step")
    set_loss_axis(figure)
    figure.update_yaxes(title="%", row=1, col=2)
    return figure


_PANEL = (320.0, 300.0)  # px
_MARGIN = 0.2  # free share of the costs' span at either end
_COSTS = {
    "gmac": "GMAC for one crop",
    "params": "parameters (millions)",
    "latency": "ms for one crop, measured here",
}
_Point = tuple[float, float, str]  # cost, score, label


def accuracy_against_cost(rows: Sequence[Outcome], by: str = "gmac") -> go.Figure:
    """Draw the score of the rows over a cost, on a log axis.

    The left panel has the paper's scores over the costs of its networks, counted or measured here
    at its size. The right panel has our runs with their intervals over seeds. Data and sizes of the
    panels differ, so that each has its own axes. `draw_systems` draws other systems beside the
    paper's (Fig. 7).

    Args:
        rows: The rows of a table.
        by: gmac (multiply-adds), params (parameters) or latency (time of a prediction, measured
            here).

    Raises:
        ValueError: Another cost.
    """
    if by not in _COSTS:
        raise ValueError(f"accuracy is drawn against {', '.join(_COSTS)}; got {by!r}")
    metric = primary_metric_of(rows)
    titles = ("paper: PCKh@0.5 on MPII", f"ours: {metric_title(metric)}")
    figure = make_subplots(cols=2, subplot_titles=titles, horizontal_spacing=0.12)
    paper = [
        (_paper_cost(row, by), row.row.printed["pckh@0.5"], row.row.label)
        for row in rows
        if "pckh@0.5" in row.row.printed and row.experiment is not None
    ]
    means = _means(rows, metric)
    ours = [
        (_run_cost(row, by), means[row.row.label].value, row.row.label)
        for row in rows
        if row.row.label in means
    ]
    _add_points(
        figure,
        1,
        paper,
        _choose_label_sides(figure, 1, paper),
        name="in the paper",
        marker=_PAPER_MARKER,
    )
    half_widths = [_half_width(mean) for mean in means.values()]
    _add_points(
        figure,
        2,
        ours,
        _choose_label_sides(figure, 2, ours),
        name="ours",
        marker={"color": _INK, "size": 9},
        error_y={"array": half_widths, "thickness": 1.2},
        showlegend=False,
    )
    figure.update_xaxes(title=_COSTS[by], type="log", tickvals=TICKS)
    figure.update_yaxes(title="%")
    figure.update_traces(cliponaxis=False)
    return figure.update_layout(layout("Accuracy against cost") | {"height": 460})


def _add_points(
    figure: go.Figure,
    panel: int,
    points: Sequence[_Point],
    sides: Sequence[str],
    **style: Any,
) -> None:
    """Add labelled points to a panel."""
    figure.add_scatter(
        x=tuple(cost for cost, _, _ in points),
        y=tuple(score for _, score, _ in points),
        text=[f" {label} " for _, _, label in points],
        textposition=list(sides),
        mode="markers+text",
        row=1,
        col=panel,
        **style,
    )


def _choose_label_sides(figure: go.Figure, panel: int, points: Sequence[_Point]) -> list[str]:
    """Set the range of a panel's costs with space for labels; return the side of each label."""
    if not points:
        return []
    costs = np.log10([cost for cost, _, _ in points])
    scores = np.array([score for _, score, _ in points])
    span = max(np.ptp(costs), 0.1)
    left, right = costs.min() - _MARGIN * span, costs.min() + (1 + _MARGIN) * span
    figure.update_xaxes(range=[left, right], row=1, col=panel)
    x = (costs - left) / (right - left)
    # plotly leaves about this margin above and below.
    y = (scores - scores.min()) / max(np.ptp(scores), 1.0) * 0.9 + 0.05
    positions = list(zip(x * _PANEL[0], y * _PANEL[1], strict=True))
    return label_sides(positions, [label for _, _, label in points], _PANEL)


def _paper_cost(row: Outcome, by: str) -> float:
    """Return the cost of a row's network on a crop of the paper's size."""
    if by == "latency":
        return latency_ms(row, True)
    cost = full_cost(row)
    return cost.gmac if by == "gmac" else cost.params / 1e6


def _run_cost(row: Outcome, by: str) -> float:
    """Return the cost of a row's network on a crop of the size of its runs."""
    if by == "latency":
        return latency_ms(row, False)
    metrics: Mapping = next(iter(row.results.values()))["metrics"]
    return metrics["multiply_adds"] / 1e9 if by == "gmac" else metrics["params"] / 1e6

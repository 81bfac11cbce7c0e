"""Figures of an ablation (plotly): scores by row with every seed, curves of all runs, accuracy against cost."""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas
import plotly.graph_objects as go
from pandas.io.formats.style import Styler
from plotly.subplots import make_subplots

from posenfs.evaluation.metrics import metric_title
from posenfs.evaluation.seeds import mean_interval
from posenfs.evaluation.stats import Interval
from posenfs.search.run import runs_home
from posenfs.show.curves import COLOURS, TICKS, layout, name_losses
from posenfs.show.labels import label_sides
from posenfs.study.experiments import FRONTIER
from posenfs.study.row_costs import full_cost, latency_ms
from posenfs.study.rows import Outcome, headline_of

_INK, _PALE = "#222222", "#8C8C8C"


def score_dots(rows: Sequence[Outcome], metric: str | None = None) -> go.Figure:
    """A line for each row: every seed as a dot, the mean with Student's 95 % interval, and the paper's number as a
    diamond; rows without a run are empty."""
    metric = metric or headline_of(rows)
    figure = go.Figure(layout=layout(f"{metric_title(metric)} by row"))
    labels = [own.row.label for own in rows]
    seeds = [
        (own.row.label, seed, score) for own in rows for seed, score in own.scores(metric).items()
    ]
    figure.add_scatter(
        x=[score for *_, score in seeds], y=[label for label, *_ in seeds], mode="markers", name="one seed",
        marker={"color": "#56B4E9", "size": 8}, text=[f"seed {seed}" for _, seed, _ in seeds],
    )  # fmt: skip
    means = {own.row.label: mean_interval(own.scores(metric)) for own in rows if own.scores(metric)}
    figure.add_scatter(
        x=[own.value for own in means.values()], y=list(means), mode="markers", name="mean, 95 % over seeds",
        marker={"color": _INK, "symbol": "line-ns", "size": 14, "line": {"width": 3, "color": _INK}},
        error_x={"array": [_reach(own) for own in means.values()], "color": _INK, "thickness": 1.5},
    )  # fmt: skip
    printed = [
        (own.row.label, own.row.printed[metric]) for own in rows if metric in own.row.printed
    ]
    figure.add_scatter(
        x=[score for _, score in printed], y=[label for label, _ in printed], mode="markers", name="printed",
        marker={"color": "#D55E00", "symbol": "diamond-open", "size": 10},
    )  # fmt: skip
    # rows without any point have their line too
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


def _reach(interval: Interval) -> float:
    return 0.0 if interval.high != interval.high else interval.high - interval.value


def run_list(rows: Sequence[Outcome]) -> Styler:
    """Every run of the rows: its score, when and on what commit it was made, and links, from a page in reports/, to its
    result and to its executed notebook where that is still there."""
    metric, lines = headline_of(rows), []
    for own in rows:
        for seed, result in own.results.items():
            notebook = runs_home() / result["name"] / "notebook.ipynb"
            links = [f"<a href='results/{result['name']}.json'>result</a>"]
            links += (
                [f"<a href='runs/{result['name']}/notebook.ipynb'>notebook</a>"]
                if notebook.is_file()
                else []
            )
            how = result["provenance"]
            lines.append(
                {
                    "row": own.row.label,
                    "seed": seed,
                    f"{metric_title(metric)} (%)": own.scores(metric).get(seed),
                    "made": how["created"][:10],
                    "commit": how["commit"],
                    "links": ", ".join(links),
                }
            )
    frame = pandas.DataFrame(lines, columns=None if lines else ["row", "seed", "links"])
    return frame.style.hide(axis="index").format(precision=1, na_rep="")


def run_curves(rows: Sequence[Outcome]) -> go.Figure:
    """The training loss by step (a running mean over a fortieth of it) and the metric after each epoch: a colour for
    each row, a line for each seed. Without a run it says so."""
    if not any(own.results for own in rows):
        figure = go.Figure(layout=layout("Every run: none yet"))
        return (
            figure.update_layout(height=80).update_xaxes(visible=False).update_yaxes(visible=False)
        )
    metric = headline_of(rows)
    figure = make_subplots(cols=2, subplot_titles=("training loss", metric_title(metric)))
    for colour, own in zip(itertools.cycle(COLOURS), rows, strict=False):
        for number, result in enumerate(own.results.values()):
            for column, (key, mode) in enumerate(
                (("losses", "lines"), ("epochs", "lines+markers")), 1
            ):
                figure.add_scatter(
                    x=[step for step, _ in result[key]], y=[value for _, value in result[key]], mode=mode,
                    name=own.row.label, legendgroup=own.name, showlegend=column == 1 and number == 0,
                    line={"color": colour, "width": 1.4}, row=1, col=column,
                )  # fmt: skip
    figure.update_layout(layout("Every run"))
    figure.update_xaxes(title="training step")
    name_losses(figure)
    figure.update_yaxes(title="%", row=1, col=2)
    return figure


_PANEL, _ROOM = (
    (320.0, 300.0),
    0.2,
)  # px of a panel, and the share of its costs' span left free at either end
_COSTS = {
    "gmac": "GMAC for one crop",
    "params": "parameters (millions)",
    "latency": "ms for one crop, measured here",
}


def accuracy_against_cost(rows: Sequence[Outcome], by: str = "gmac") -> go.Figure:
    """Fig. 7: the score over multiply-adds (`gmac`), parameters (`params`) or the time of a prediction measured here
    (`latency`), on a log axis. Left the paper's printed numbers beside what others publish (MPII val, PCKh@0.5, 256 x
    256 px), whose time nobody can look up; right our runs, with their interval over seeds. The two are of different
    data and sizes, and stand on axes of their own. Raises ValueError for another `by`."""
    if by not in _COSTS:
        raise ValueError(f"accuracy is drawn against {', '.join(_COSTS)}; got {by!r}")
    metric, others = (
        headline_of(rows),
        [own for own in FRONTIER if own.pckh is not None and by != "latency"],
    )
    titles = ("printed: MPII val, PCKh@0.5", f"ours: {metric_title(metric)}")
    figure = make_subplots(cols=2, subplot_titles=titles, horizontal_spacing=0.12)
    # the quoted numbers of networks that others publish stand there already
    named = {own.name for own in others}
    quoted = [own for own in rows if "pckh@0.5" in own.row.printed and own.row.label not in named]
    published = [
        (own.square_gmac if by == "gmac" else own.params_m, own.pckh, own.name) for own in others
    ]
    printed = [
        (_cost(own, by, full=True), own.row.printed["pckh@0.5"], own.row.label) for own in quoted
    ]
    found = {
        own.row.label: (own, mean_interval(own.scores(metric)))
        for own in rows
        if own.scores(metric)
    }
    ours = [(_cost(own, by), interval.value, label) for label, (own, interval) in found.items()]
    sides = _place_labels(figure, 1, published + printed)
    quote = {"color": "#D55E00", "symbol": "diamond-open", "size": 10}
    first, rest = sides[: len(published)], sides[len(published) :]
    _add_points(
        figure, 1, published, first, name="others, as published", marker={"color": _PALE, "size": 9}
    )
    _add_points(figure, 1, printed, rest, name="in the paper", marker=quote)
    reach = {"array": [_reach(interval) for _, interval in found.values()], "thickness": 1.2}
    marker = {"color": _INK, "size": 9}
    _add_points(
        figure,
        2,
        ours,
        _place_labels(figure, 2, ours),
        name="ours",
        marker=marker,
        error_y=reach,
        showlegend=False,
    )
    figure.update_xaxes(title=_COSTS[by], type="log", tickvals=TICKS)
    figure.update_yaxes(title="%")
    figure.update_traces(cliponaxis=False)
    return figure.update_layout(layout("Accuracy against cost") | {"height": 460})


_Point = tuple[float, float, str]  # cost, score, label


def _add_points(
    figure: go.Figure, panel: int, points: Sequence[_Point], sides: Sequence[str], **look: object
) -> None:
    costs, scores, labels = zip(*points, strict=True) if points else ((), (), ())
    texts = [f" {label} " for label in labels]
    figure.add_scatter(
        x=costs,
        y=scores,
        text=texts,
        textposition=list(sides),
        mode="markers+text",
        row=1,
        col=panel,
        **look,
    )


def _place_labels(figure: go.Figure, panel: int, points: Sequence[_Point]) -> list[str]:
    """The sides of their labels; and the range of the panel's costs, with room for them."""
    if not points:
        return []
    costs, scores = (
        np.log10([cost for cost, *_ in points]),
        np.array([score for _, score, _ in points]),
    )
    span = max(np.ptp(costs), 0.1)
    left, right = costs.min() - _ROOM * span, costs.min() + (1 + _ROOM) * span
    figure.update_xaxes(range=[left, right], row=1, col=panel)
    x = (costs - left) / (right - left)
    y = (scores - scores.min()) / max(
        np.ptp(scores), 1.0
    ) * 0.9 + 0.05  # as plotly leaves room by itself
    places = list(zip(x * _PANEL[0], y * _PANEL[1], strict=True))
    return label_sides(places, [label for *_, label in points], _PANEL)


def _cost(own: Outcome, by: str, full: bool = False) -> float:
    """Of a row's network on a crop of our size, or of the paper's."""
    if by == "latency":
        return latency_ms(own, full)
    if full:
        cost = full_cost(own)
        return cost.gmac if by == "gmac" else cost.params / 1e6
    ours = next(iter(own.results.values()))["metrics"]
    return ours["multiply_adds"] / 1e9 if by == "gmac" else ours["params"] / 1e6

"""A table's page, with pictures: what the runs of each row came to, and the fabrics they found."""

import itertools
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from posenfs.evaluation.metrics import metric_title
from posenfs.evaluation.seeds import mean_interval
from posenfs.show.curves import COLOURS
from posenfs.show.graphs import draw_fabrics
from posenfs.show.poses import Picture
from posenfs.study.rows import Outcome, headline_of, mean_architectures
from posenfs.study.tables import write_table

_INK = "#222222"


def write_table_page(
    table: str,
    profile_name: str,
    rows: Sequence[Outcome],
    paired: bool = False,
    publish: bool = False,
) -> list[Path]:
    """As `write_table`, with a picture of every run, and one of the searched fabrics, where there are any."""
    pictures = {"runs.png": draw_runs(rows).png()} if any(own.results for own in rows) else {}
    specs, found = mean_architectures(rows)
    if found:
        pictures["fabrics.svg"] = draw_fabrics(specs, found, columns=4).svg()
    return write_table(table, profile_name, rows, paired, pictures, publish)


def draw_runs(rows: Sequence[Outcome]) -> Picture:
    """Three pictures side by side: scores by row, each seed and the mean with its 95 % interval over seeds; the loss of
    every run; its score after each epoch."""
    metric = headline_of(rows)
    figure = Picture((14, 2.2 + 0.32 * len(rows)), layout="constrained")
    scores, losses, epochs = figure.subplots(1, 3, width_ratios=(1.25, 1, 1))
    for place, (own, colour) in enumerate(zip(rows, itertools.cycle(COLOURS), strict=False)):
        _draw_scores(scores, own, metric, place, colour)
        for number, result in enumerate(own.results.values()):
            label = None if number else own.row.label
            losses.plot(
                *zip(*result["losses"], strict=True), color=colour, linewidth=0.8, label=label
            )
            epochs.plot(
                *zip(*result["epochs"], strict=True),
                "o-",
                color=colour,
                linewidth=0.8,
                markersize=3,
            )
    scores.set(
        yticks=range(len(rows)), yticklabels=[own.row.label for own in rows], ylim=(len(rows) - 0.4, -0.6),
        xlabel=f"{metric_title(metric)} (%)", title="seeds, and their mean with its 95 % interval",
    )  # fmt: skip
    later = [
        loss
        for own in rows
        for r in own.results.values()
        for _, loss in r["losses"][len(r["losses"]) // 20 :]
    ]
    losses.set(
        xlabel="training step", ylabel="loss (Eq. 6, squared score x px)", title="training loss"
    )
    losses.set_ylim(
        min(later) * 0.95, max(later) * 1.05
    )  # the first steps lie far above, and would flatten all others
    epochs.set(
        xlabel="training step", ylabel=f"{metric_title(metric)} (%)", title="after each epoch"
    )
    losses.legend(fontsize=7, frameon=False)
    for axes in (scores, losses, epochs):
        axes.grid(alpha=0.25, linewidth=0.5)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_scores(axes: Axes, own: Outcome, metric: str, place: int, colour: str) -> None:
    values = own.scores(metric)
    axes.plot(
        list(values.values()), [place] * len(values), "o", color=colour, markersize=5, alpha=0.8
    )
    if len(values) > 1:
        found = mean_interval(values)
        axes.plot([found.low, found.high], [place + 0.2] * 2, "-", color=_INK, linewidth=1.2)
        axes.plot(found.value, place + 0.2, "|", color=_INK, markersize=9, markeredgewidth=2)
    elif not values:
        axes.text(
            0.02,
            place,
            "no run",
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=8,
            color="#8C8C8C",
        )

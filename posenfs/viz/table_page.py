"""The page of a table with figures: the runs of each row, and the searched fabrics."""

import itertools
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from posenfs.evaluation.metrics import metric_title
from posenfs.evaluation.seeds import mean_interval
from posenfs.study.outcomes import Outcome, mean_architectures, primary_metric_of
from posenfs.study.rows import TABLES
from posenfs.study.systems import systems_table
from posenfs.study.table_files import write_table
from posenfs.viz.fabric_graph import draw_fabrics
from posenfs.viz.figures import COLOURS, StaticFigure
from posenfs.viz.systems import draw_systems

_INK = "#222222"


def write_table_page(
    table: str,
    profile_name: str,
    rows: Sequence[Outcome],
    paired: bool = False,
    publish: bool = False,
) -> list[Path]:
    """Write a table as `write_table` does, with figures of the runs and of the searched fabrics.

    Figure 7's page also has its panels, and the systems in them with their sources.

    Args:
        table: Name of the table.
        profile_name: Name of the profile.
        rows: The rows of the table.
        paired: Whether rows are compared seed by seed.
        publish: Whether to write to reports/tables (committed) instead of reports/drafts.

    Returns:
        The files written.
    """
    figures: dict[str, bytes | str] = {}
    if any(row.results for row in rows):
        figures["runs.png"] = draw_runs(rows).png()
    specs, architectures = mean_architectures(rows)
    if architectures:
        figures["fabrics.svg"] = draw_fabrics(specs, architectures, columns=4).svg()
    panels = TABLES[table].panels
    figures |= {f"{panel}.png": draw_systems(panel).png() for panel in panels}
    systems = {f"systems on {panel.upper()}": systems_table(panel) for panel in panels}
    return write_table(table, profile_name, rows, paired, figures, publish, systems)


def draw_runs(rows: Sequence[Outcome]) -> StaticFigure:
    """Draw the scores by row, the loss of every run, and its score after each epoch.

    The scores are those of each seed and their mean with its 95 % interval over seeds.

    Args:
        rows: The rows of a table; quoted ones are left out.
    """
    rows = [row for row in rows if not row.row.quoted]
    metric = primary_metric_of(rows)
    metric_label = f"{metric_title(metric)} (%)"
    figure = StaticFigure((14, 2.2 + 0.32 * len(rows)), layout="constrained")
    scores, losses, epochs = figure.subplots(1, 3, width_ratios=(1.25, 1, 1))
    for height, (row, colour) in enumerate(zip(rows, itertools.cycle(COLOURS), strict=False)):
        _draw_scores(scores, row, metric, height, colour)
        style = {"color": colour, "linewidth": 0.8}
        for index, result in enumerate(row.results.values()):
            label = None if index else row.row.label
            losses.plot(*zip(*result["losses"], strict=True), label=label, **style)
            epochs.plot(*zip(*result["epochs"], strict=True), "o-", markersize=3, **style)
    scores.set(
        yticks=range(len(rows)),
        yticklabels=[row.row.label for row in rows],
        ylim=(len(rows) - 0.4, -0.6),
        xlabel=metric_label,
        title="seeds, and their mean with its 95 % interval",
    )
    losses.set(
        xlabel="training step", ylabel="loss (Eq. 6, squared score x px)", title="training loss"
    )
    later_losses = _later_losses(rows)
    losses.set_ylim(min(later_losses) * 0.95, max(later_losses) * 1.05)
    epochs.set(xlabel="training step", ylabel=metric_label, title="after each epoch")
    losses.legend(fontsize=7, frameon=False)
    for axes in (scores, losses, epochs):
        axes.grid(alpha=0.25, linewidth=0.5)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _later_losses(rows: Sequence[Outcome]) -> list[float]:
    """Return the losses without the first twentieth of each run, which would flatten the rest."""
    values = []
    for row in rows:
        for result in row.results.values():
            losses = result["losses"]
            values += [loss for _, loss in losses[len(losses) // 20 :]]
    return values


def _draw_scores(axes: Axes, row: Outcome, metric: str, height: int, colour: str) -> None:
    """Draw the seeds of one row at a height, and below them the mean with its interval."""
    scores = row.scores(metric)
    dots = list(scores.values())
    axes.plot(dots, [height] * len(dots), "o", color=colour, markersize=5, alpha=0.8)
    if len(scores) > 1:
        mean, y = mean_interval(scores), height + 0.2
        axes.plot([mean.low, mean.high], [y] * 2, "-", color=_INK, linewidth=1.2)
        axes.plot(mean.value, y, "|", color=_INK, markersize=9, markeredgewidth=2)
    elif not scores:
        axes.text(
            0.02,
            height,
            "no run",
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=8,
            color="#8C8C8C",
        )

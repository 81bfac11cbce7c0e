"""A static summary of a search (matplotlib)."""

from collections.abc import Mapping, Sequence

from posenfs.evaluation.metrics import metric_title
from posenfs.viz.poses import Image


def summary(history: Sequence[Mapping], metric: str | None) -> Image:
    """Draw the training loss by step, and a metric at each evaluation.

    Args:
        history: Rows of a search's history.
        metric: Name of the metric.
    """
    figure = Image((9.5, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    rows = [row for row in history if "loss" in row]
    steps, losses = [row["step"] for row in rows], [row["loss"] for row in rows]
    left.plot(steps, losses, color="#222222", linewidth=0.8)
    left.set(
        xlabel="training step", ylabel="loss (Eq. 6, squared score × px)", title="Training loss"
    )
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

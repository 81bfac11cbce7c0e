"""A search at a glance, as one still picture (matplotlib)."""

from collections.abc import Mapping, Sequence

from posenfs.evaluation.metrics import metric_title
from posenfs.show.poses import Picture


def summary(history: Sequence[Mapping], metric: str | None) -> Picture:
    """Training loss by step, and a metric at each evaluation."""
    figure = Picture((9.5, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    rows = [row for row in history if "loss" in row]
    left.plot(
        [row["step"] for row in rows], [row["loss"] for row in rows], color="#222222", linewidth=0.8
    )
    left.set(
        xlabel="training step", ylabel="loss (Eq. 6, squared score × px)", title="Training loss"
    )
    if rows:
        left.set_yscale("log")
    judged = [row for row in history if row.get(metric) is not None]
    right.plot(
        [row["step"] for row in judged],
        [row[metric] for row in judged],
        "o-",
        color="#222222",
        markersize=4,
    )
    words = metric_title(metric) if metric else "score"
    right.set(
        xlabel="training step",
        ylabel=f"{words} (%)",
        ylim=(0, 100),
        title=f"{words} on people it has not seen",
    )
    return figure

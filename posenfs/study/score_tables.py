"""Scores of the rows of a table beside the paper's, and their differences with tests over seeds."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import pandas

from posenfs.evaluation.metrics import metric_title
from posenfs.evaluation.seeds import (
    SeedComparison,
    compare_seeds,
    holm,
    mean_interval,
    prediction_interval,
    spread,
    verdict,
)
from posenfs.evaluation.stats import Interval
from posenfs.study.outcomes import Outcome, primary_metric_of
from posenfs.study.table import Row

_MISSING = "missing"
_PRINTED = ("pckh@0.5", "pckh@0.11", "ap")  # metrics that the paper prints


def score_table(rows: Sequence[Outcome], metric: str | None = None) -> pandas.DataFrame:
    """Return the scores of each row, in percent, beside the paper's.

    The columns hold the paper's numbers (its column @0.1 was computed at 0.11) with what it prints
    after ±, mean and standard deviation over seeds, Student's t interval for the mean, the
    prediction interval for one more
    seed, and the bootstrap interval over people of the first seed. The intervals answer two
    questions: how scores vary over seeds, and over people.

    Args:
        rows: The rows with their results.
        metric: The metric; None: the primary one.
    """
    metric = metric or primary_metric_of(rows)
    title = metric_title(metric)
    metrics = dict.fromkeys((metric, *_PRINTED))
    printed = [name for name in metrics if any(name in outcome.row.printed for outcome in rows)]
    spreads = [name for name in metrics if any(name in outcome.row.spreads for outcome in rows)]
    lines = []
    for outcome in rows:
        row = outcome.row
        values = outcome.scores(metric)
        stricter = outcome.scores("pckh@0.11")
        lines.append(
            {
                "row": row.label,
                **{_printed_title(name): row.printed.get(name) for name in printed},
                **{f"paper ± of {metric_title(name)}": _spread(row, name) for name in spreads},
                f"ours {title}": mean_interval(values).value if values else None,
                "sd over seeds": _number(spread(values)),
                "seeds": "quoted" if row.quoted else len(values) or _MISSING,
                "95 % for the mean": _range(mean_interval(values)) if values else "",
                "95 % for one more seed": _range(prediction_interval(values)) if values else "",
                "95 % over people, first seed": _people_range(outcome, metric),
                "ours PCKh@0.11": mean_interval(stricter).value if stricter else None,
                "initialisation": _initialisation(outcome),
                "note": row.note,
            }
        )
    return pandas.DataFrame(lines).set_index("row")


def _printed_title(metric: str) -> str:
    if metric == "pckh@0.11":
        return "paper PCKh@0.11 (headed @0.1)"
    return f"paper {metric_title(metric)}"


def _spread(row: Row, metric: str) -> str:
    """Format what the paper prints after ±, and over how many seeds; empty without it."""
    spread = row.spreads.get(metric)
    return "" if spread is None else f"{spread:g} ({row.printed_seeds} seeds)"


def printed_table(rows: Sequence[Outcome]) -> pandas.DataFrame:
    """Return every score that the paper prints in these rows, beside ours, in percent.

    A row has a line with the paper's scores and, below it, a line with the means over our seeds.
    The frame is empty if `score_table` has all of the paper's scores.

    Args:
        rows: The rows with their results.
    """
    metrics = list(dict.fromkeys(name for outcome in rows for name in outcome.row.printed))
    if set(metrics) <= set(_PRINTED):
        return pandas.DataFrame()
    lines = []
    for outcome in rows:
        scores = {metric: outcome.scores(metric) for metric in metrics}
        ours = {name: mean_interval(seeds).value for name, seeds in scores.items() if seeds}
        seeds = max(map(len, scores.values()))
        for source, values in (("paper", outcome.row.printed), (f"ours, n = {seeds}", ours)):
            if values:
                columns = {_short_title(metric): values.get(metric) for metric in metrics}
                lines.append({"row": outcome.row.label, "scores": source, **columns})
    return pandas.DataFrame(lines).set_index("row")


def _short_title(metric: str) -> str:
    """Return the title of a column: PCKh@0.5, head, AP50."""
    name, _, column = metric.partition("/")
    if column == "hard":
        return f"{metric_title(name)}, ten hard keypoints (†)"
    return column or metric_title(name)


def _people_range(outcome: Outcome, metric: str) -> str:
    """Format the bootstrap interval over people of the first seed; empty where there is none."""
    for result in outcome.results.values():
        interval = result["metrics"].get("intervals", {}).get(metric)
        return f"{interval['low']:.1f} to {interval['high']:.1f}" if interval else ""
    return ""


def _initialisation(outcome: Outcome) -> str:
    if outcome.experiment is None:
        return ""
    return (
        "random weights" if outcome.experiment.backbone_weights is None else "pretrained backbone"
    )


def comparison_table(
    rows: Sequence[Outcome], metric: str | None = None, paired: bool = False
) -> pandas.DataFrame:
    """Return the difference of each row from the one it is compared with, over seeds.

    Each line holds the p value, the p value after Holm's correction over the table, and a verdict.
    The interval is not corrected.

    Args:
        rows: The rows with their results.
        metric: The metric; None: the primary one.
        paired: Whether a paired t test over common seeds replaces Welch's t test.
    """
    metric = metric or primary_metric_of(rows)
    lines = []
    for base, outcome, comparison, p_holm in _compare(rows, lambda row: row.scores(metric), paired):
        printed = outcome.row.printed.get(metric)
        printed_base = base.row.printed.get(metric)
        missing = printed is None or printed_base is None
        paper = None if missing else round(printed - printed_base, 3)  # of printed digits
        difference = comparison.difference.value
        lines.append(
            {"row": outcome.row.label, "minus": base.row.label, "paper": paper}
            | _comparison_columns(comparison, p_holm, 1)
            | {"verdict": verdict(p_holm, difference, comparison.seeds)}
        )
    return _frame(lines)


def loss_comparison_table(rows: Sequence[Outcome], paired: bool = False) -> pandas.DataFrame:
    """Return `comparison_table` of the final training loss.

    The final loss (Eq. 6) is the mean over the last fortieth of a run.

    Args:
        rows: The rows with their results.
        paired: Whether a paired t test over common seeds replaces Welch's t test.
    """
    lines = []
    for base, outcome, comparison, p_holm in _compare(rows, Outcome.final_losses, paired):
        loss_verdict = verdict(p_holm, -comparison.difference.value, comparison.seeds)
        loss_verdict = loss_verdict.replace("better", "lower").replace("worse", "higher")
        lines.append(
            {"row": outcome.row.label, "minus": base.row.label}
            | _comparison_columns(comparison, p_holm, 3)
            | {"verdict": loss_verdict.removesuffix(" points")}
        )
    return _frame(lines)


def _compare(
    rows: Sequence[Outcome], scores: Callable[[Outcome], Mapping[int, float]], paired: bool
) -> Iterator[tuple[Outcome, Outcome, SeedComparison, float]]:
    """Yield the base of each compared row, the row, their comparison, and Holm's p value."""
    by_name = {outcome.name: outcome for outcome in rows}
    pairs = [(by_name[outcome.row.against], outcome) for outcome in rows if outcome.row.against]
    comparisons = [compare_seeds(scores(base), scores(outcome), paired) for base, outcome in pairs]
    corrected = holm([comparison.p for comparison in comparisons])
    for (base, outcome), comparison, p_holm in zip(pairs, comparisons, corrected, strict=True):
        yield base, outcome, comparison, p_holm


def _frame(lines: Sequence[Mapping]) -> pandas.DataFrame:
    return pandas.DataFrame(lines).set_index("row") if lines else pandas.DataFrame()


def _comparison_columns(comparison: SeedComparison, p_holm: float, digits: int) -> dict:
    return {
        "ours": _number(comparison.difference.value),
        "95 %": _range(comparison.difference, digits),
        "test": comparison.test,
        "p": _number(comparison.p),
        "p (Holm)": _number(p_holm),
    }


def _range(interval: Interval, digits: int = 1) -> str:
    if interval.low is None or math.isnan(interval.low):
        return ""
    return f"{interval.low:.{digits}f} to {interval.high:.{digits}f}"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value

"""Tables of rows and their results: the paper's numbers beside those of this project."""

import math
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas

from posenfs.data.datasets.catalogue import home
from posenfs.data.files import write_atomic
from posenfs.data.geometry import ImageSize
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
from posenfs.model.space import PAPER, RELEASED
from posenfs.study.experiments import PROFILES, TABLES, experiment_of
from posenfs.study.row_costs import cost_table
from posenfs.study.rows import Outcome, device_words, primary_metric_of

_MISSING = "missing"
_PRINTED = ("pckh@0.5", "pckh@0.11", "ap")  # metrics that the paper prints


def score_table(rows: Sequence[Outcome], metric: str | None = None) -> pandas.DataFrame:
    """Return the scores of each row, in percent, beside the paper's.

    The columns hold the paper's numbers (its column @0.1 was computed at 0.11), mean and standard
    deviation over seeds, Student's t interval for the mean, the prediction interval for one more
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
    lines = []
    for outcome in rows:
        row = outcome.row
        values = outcome.scores(metric)
        stricter = outcome.scores("pckh@0.11")
        lines.append(
            {
                "row": row.label,
                **{_printed_title(name): row.printed.get(name) for name in printed},
                f"ours {title}": mean_interval(values).value if values else None,
                "sd over seeds": _number(spread(values)),
                "seeds": "quoted" if row.quoted else len(values) or _MISSING,
                "95 % for the mean": _range(mean_interval(values)) if values else "",
                "95 % for one more seed": _range(prediction_interval(values)) if values else "",
                "95 % over people, first seed": _people_range(outcome, metric),
                "ours PCKh@0.11": mean_interval(stricter).value if stricter else None,
                "begun with": _initialisation(outcome),
                "note": row.note,
            }
        )
    return pandas.DataFrame(lines).set_index("row")


def _printed_title(metric: str) -> str:
    if metric == "pckh@0.11":
        return "paper PCKh@0.11 (headed @0.1)"
    return f"paper {metric_title(metric)}"


def _people_range(outcome: Outcome, metric: str) -> str:
    """Format the bootstrap interval over people of the first seed; empty where there is none."""
    for result in outcome.results.values():
        interval = result["metrics"].get("intervals", {}).get(metric)
        return f"{interval['low']:.1f} to {interval['high']:.1f}" if interval else ""
    return ""


def _initialisation(outcome: Outcome) -> str:
    if outcome.asked is None:
        return ""
    return "random weights" if outcome.asked.backbone_weights is None else "pretrained backbone"


def comparison_table(
    rows: Sequence[Outcome], metric: str | None = None, paired: bool = False
) -> pandas.DataFrame:
    """Return the difference of each row from the one it is compared with, over seeds.

    Each line holds the p value, the p value after Holm's correction over the table, and a verdict.
    The interval is of its pair alone.

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
        paper = None if printed is None or printed_base is None else printed - printed_base
        difference = comparison.difference.value
        lines.append(
            {"row": outcome.row.label, "less": base.row.label, "paper": paper}
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
            {"row": outcome.row.label, "less": base.row.label}
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


def caption(table: str, rows: Sequence[Outcome]) -> str:
    """Describe how the numbers of a table were computed, wrapped at 100 characters.

    Args:
        table: Its name in TABLES.
        rows: The rows with their results.
    """
    experiments = [outcome.asked for outcome in rows if outcome.asked is not None]
    results = [result for outcome in rows for result in outcome.results.values()]
    training = experiments[0].training
    data = _joined(experiment.data.name for experiment in experiments)
    sizes = _joined(_size(experiment.image_size) for experiment in experiments)
    if len({experiment.rules for experiment in experiments}) == 1:
        names = {PAPER: "the paper's text", RELEASED: "the released code"}
        rules = names.get(experiments[0].rules, "its own")
    else:
        rules = "each row's own"
    text = (
        f"{TABLES[table].title}. Ours: {data}, {sizes} px, {training.epochs} epochs of batches of "
        f"{training.batch_size}, Adam {training.lr:g}, rules of {rules}; "
    )
    if results:
        boxes = _joined(result["metrics"]["boxes"] for result in results)
        head_sizes = _joined(result["metrics"]["head_size"] for result in results)
        devices = "; ".join(sorted({device_words(result["time"]) for result in results}))
        people = _evaluated_people(results[0], primary_metric_of(rows))
        text += (
            f"{len(results)} run{'s' if len(results) > 1 else ''}, judged on {people} people; "
            f"boxes: {boxes}; head size: {head_sizes}; on {devices}."
        )
    else:
        text += "no run yet."
    if left_out := sum(outcome.left_out for outcome in rows):
        text += f" Left out: {left_out} results of other people or other initial weights."
    return textwrap.fill(text, 100)


def _joined(names: Iterable[str]) -> str:
    """Join the different names in the order of their first occurrence."""
    return ", ".join(dict.fromkeys(names))


def _size(size: ImageSize) -> str:
    return f"{size.height} x {size.width}"


def _evaluated_people(result: Mapping, metric: str) -> int:
    """Return over how many people the metric is computed."""
    metrics = result["metrics"]
    return metrics.get("intervals", {}).get(metric, {}).get("people", metrics["people"])


def page_stem(table: str, profile_name: str, rows: Sequence[Outcome]) -> str:
    """Return the stem of a table's file names.

    It holds the names of the table and the profile, and what differs from the profile: data, image
    size, epochs, batch size. Runs of different sizes therefore never overwrite each other's files.

    Args:
        table: Its name in TABLES.
        profile_name: The name of the profile.
        rows: The rows with their results.
    """
    parts = [table, profile_name]
    experiments = [(outcome.asked, outcome.row) for outcome in rows if outcome.asked is not None]
    experiment, row = experiments[0]
    default = experiment_of(row, PROFILES[profile_name])
    if experiment.data.name != default.data.name:
        parts.append(experiment.data.name)
    if experiment.data.images != default.data.images:
        parts.append(f"{experiment.data.images[0]}_{experiment.data.images[1]}_images")
    if experiment.image_size != default.image_size:
        parts.append(_size(experiment.image_size).replace(" ", ""))
    if experiment.training.epochs != default.training.epochs:
        parts.append(f"{experiment.training.epochs}_epochs")
    if experiment.training.batch_size != default.training.batch_size:
        parts.append(f"batch_{experiment.training.batch_size}")
    return "_".join(parts)


def tables_home(publish: bool = False) -> Path:
    """Return the folder of written tables.

    Args:
        publish: Whether it is reports/tables, whose files are committed, instead of reports/drafts,
            which git ignores.
    """
    return home() / "reports" / ("tables" if publish else "drafts")


def write_table(
    table: str,
    profile_name: str,
    rows: Sequence[Outcome],
    paired: bool = False,
    images: Mapping[str, bytes | str] | None = None,
    publish: bool = False,
) -> list[Path]:
    """Write a table as Markdown, with its caption, and as CSV.

    Args:
        table: Its name in TABLES.
        profile_name: The name of the profile of the rows.
        rows: The rows with their results.
        paired: Whether seeds are compared in pairs.
        images: Figures that the Markdown shows, by the ends of their file names ("runs.png").
        publish: Whether the committed files are written; see `tables_home`.

    Returns:
        The files, the Markdown first.
    """
    frames = {
        "scores": score_table(rows),
        "comparisons": comparison_table(rows, paired=paired),
        "costs": cost_table(rows),
    }
    introductions = {
        "comparisons": "p (Holm), and with it the verdict, is over the comparisons of this page; "
        "an interval is of its pair alone.\n\n"
    }
    folder, stem = tables_home(publish), page_stem(table, profile_name, rows)
    folder.mkdir(parents=True, exist_ok=True)
    sections = [f"# {TABLES[table].title}", TABLES[table].question, caption(table, rows)]
    csv_files = {}
    for name, frame in frames.items():
        if len(frame):
            introduction = introductions.get(name, "")
            sections.append(f"## {name.capitalize()}\n\n{introduction}{as_markdown(frame)}")
            csv_files[f"{stem}_{name}.csv"] = frame.to_csv()
    figures = {f"{stem}_{name}": content for name, content in (images or {}).items()}
    sections += [f"![{Path(name).stem.replace('_', ' ')}]({name})" for name in figures]
    # JupyterLab would turn an unescaped PCKh@0.5 into an e-mail address.
    text = "\n\n".join(sections).replace("@", r"\@")
    files = {f"{stem}.md": text + "\n"} | csv_files | figures
    for name, content in files.items():
        write_atomic(folder / name, content)
    return [folder / name for name in files]


def as_markdown(frame: pandas.DataFrame) -> str:
    """Format a frame and its index as a Markdown table, numbers to four digits.

    Args:
        frame: The frame; its index becomes the first column.
    """
    columns = frame.reset_index()
    header = [columns.columns.tolist(), ["---"] * len(columns.columns)]
    lines = [*header, *columns.itertuples(index=False)]
    return "\n".join("| " + " | ".join(_text(value) for value in line) + " |" for line in lines)


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _range(interval: Interval, digits: int = 1) -> str:
    if interval.low is None or math.isnan(interval.low):
        return ""
    return f"{interval.low:.{digits}f} to {interval.high:.{digits}f}"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value

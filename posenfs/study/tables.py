"""Rows and their runs as one table: the paper's number beside ours, with what is known of both."""

import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas

from posenfs.data.datasets.catalogue import home
from posenfs.data.files import write_whole
from posenfs.evaluation.metrics import metric_title
from posenfs.evaluation.seeds import SeedComparison, compare_seeds, holm, mean_interval, prediction_interval, spread
from posenfs.evaluation.seeds import verdict as in_words
from posenfs.evaluation.stats import Interval
from posenfs.model.space import PAPER, RELEASED
from posenfs.study.experiments import PROFILES, TABLES, experiment_of
from posenfs.study.row_costs import cost_table
from posenfs.study.rows import Outcome, device_words, headline_of

_MISSING = "missing"
_PRINTED = ("pckh@0.5", "pckh@0.11", "ap")  # metrics of which the paper prints numbers


def score_table(rows: Sequence[Outcome], metric: str | None = None) -> pandas.DataFrame:
    """A line for each row: the paper's numbers (what it heads @0.1 was computed at 0.11), ours: mean and standard
    deviation over seeds, Student's interval for the mean, the interval for one further seed, and the bootstrap interval
    over people of the first seed. Two different questions: other seeds, other people."""
    metric = metric or headline_of(rows)
    title = metric_title(metric)
    printed = [name for name in dict.fromkeys((metric, *_PRINTED)) if any(name in own.row.printed for own in rows)]
    lines = []
    for own in rows:
        values = own.scores(metric)
        people = next(iter(own.results.values()), {"metrics": {}})["metrics"].get("intervals", {}).get(metric)
        finer = own.scores("pckh@0.11")
        lines.append(
            {
                "row": own.row.label,
                **{_printed_title(name): own.row.printed.get(name) for name in printed},
                f"ours {title}": mean_interval(values).value if values else None,
                "sd over seeds": _number(spread(values)),
                "seeds": "quoted" if own.row.quoted else len(values) or _MISSING,
                "95 % for the mean": _range(mean_interval(values)) if values else "",
                "95 % for one more seed": _range(prediction_interval(values)) if values else "",
                "95 % over people, first seed": f"{people['low']:.1f} to {people['high']:.1f}" if people else "",
                "ours PCKh@0.11": mean_interval(finer).value if finer else None,
                "begun with": _begun_with(own),
                "note": own.row.note,
            }
        )
    return pandas.DataFrame(lines).set_index("row")


def _printed_title(metric: str) -> str:
    return "paper PCKh@0.11 (headed @0.1)" if metric == "pckh@0.11" else f"paper {metric_title(metric)}"


def _begun_with(own: Outcome) -> str:
    """What the network's weights were before training."""
    if own.asked is None:
        return ""
    return "random weights" if own.asked.backbone_weights is None else "pretrained backbone"


def comparison_table(rows: Sequence[Outcome], metric: str | None = None, paired: bool = False) -> pandas.DataFrame:
    """Each row less the one it is compared with, over seeds: Welch's t test, or the paired one over the seeds both
    have; p as it is and by Holm's correction over the table, and the verdict in words. The interval is of each pair
    alone."""
    metric = metric or headline_of(rows)
    lines = []
    for base, own, found, adjusted in _compared(rows, lambda row: row.scores(metric), paired):
        printed = [o.row.printed.get(metric) for o in (base, own)]
        paper = None if None in printed else printed[1] - printed[0]
        first = {"row": own.row.label, "less": base.row.label, "paper": paper}
        verdict = {"verdict": in_words(adjusted, found.difference.value, found.seeds)}
        lines.append(first | _comparison_numbers(found, adjusted, 1) | verdict)
    return _frame(lines)


def loss_comparison_table(rows: Sequence[Outcome], paired: bool = False) -> pandas.DataFrame:
    """As `comparison_table`, of the training loss at the end (Eq. 6, the mean of the last fortieth of a run)."""
    lines = []
    for base, own, found, adjusted in _compared(rows, Outcome.final_losses, paired):
        told = in_words(adjusted, -found.difference.value, found.seeds)
        told = told.replace("better", "lower").replace("worse", "higher").removesuffix(" points")
        first = {"row": own.row.label, "less": base.row.label}
        lines.append(first | _comparison_numbers(found, adjusted, 3) | {"verdict": told})
    return _frame(lines)


def _compared(
    rows: Sequence[Outcome], scores: Callable[[Outcome], Mapping[int, float]], paired: bool
) -> Iterator[tuple[Outcome, Outcome, SeedComparison, float]]:
    """Of each row that is compared with another: that other, itself, the comparison, and p by Holm's correction."""
    by_name = {own.name: own for own in rows}
    pairs = [(by_name[own.row.against], own) for own in rows if own.row.against]
    found = [compare_seeds(scores(base), scores(own), paired) for base, own in pairs]
    for (base, own), compared, adjusted in zip(pairs, found, holm([one.p for one in found]), strict=True):
        yield base, own, compared, adjusted


def _frame(lines: Sequence[Mapping]) -> pandas.DataFrame:
    return pandas.DataFrame(lines).set_index("row") if lines else pandas.DataFrame()


def _comparison_numbers(found: SeedComparison, adjusted: float, digits: int) -> dict:
    return {
        "ours": _number(found.difference.value),
        "95 %": _range(found.difference, digits),
        "test": found.test,
        "p": _number(found.p),
        "p (Holm)": _number(adjusted),
    }


def caption(table: str, rows: Sequence[Outcome]) -> str:
    """How these numbers were made, in words, in lines of a hundred characters."""
    asked = [row.asked for row in rows if row.asked is not None]
    own, results = asked[0], [result for row in rows for result in row.results.values()]
    data, sizes = ({words(a): None for a in asked} for words in (lambda a: a.data.name, lambda a: _size(a.image_size)))
    known = {PAPER: "the paper's text", RELEASED: "the released code"}
    rules = known.get(own.rules, "its own") if len({a.rules for a in asked}) == 1 else "each row's own"
    words = (
        f"{TABLES[table].title}. Ours: {', '.join(data)}, {', '.join(sizes)} px, {own.run.epochs} epochs of batches of "
        f"{own.run.batch_size}, Adam {own.run.lr:g}, rules of {rules}; "
    )
    if results:
        boxes, heads = (", ".join({r["metrics"][kind]: None for r in results}) for kind in ("boxes", "head_size"))
        where = "; ".join(sorted({device_words(r["time"]) for r in results}))
        people, count = _people(results[0], headline_of(rows)), f"{len(results)} run{'s' if len(results) > 1 else ''}"
        words += f"{count}, judged on {people} people; boxes: {boxes}; head size: {heads}; on {where}."
    else:
        words += "no run yet."
    if left_out := sum(row.left_out for row in rows):
        words += f" Left out: {left_out} results of other people or other initial weights."
    return textwrap.fill(words, 100)


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _people(result: Mapping, metric: str) -> int:
    """How many people the metric is over: those who can be judged by it."""
    return result["metrics"].get("intervals", {}).get(metric, {}).get("people", result["metrics"]["people"])


def page_stem(table: str, profile_name: str, rows: Sequence[Outcome]) -> str:
    """The name of a table's files: its own and the profile's, and what is other than the profile says: data, pixels,
    epochs, batch. So no size overwrites another."""
    words = [table, profile_name]
    own = next(row for row in rows if row.asked is not None)
    asked, plain = own.asked, experiment_of(own.row, PROFILES[profile_name])
    if asked.data.name != plain.data.name:
        words.append(asked.data.name)
    if asked.data.pictures != plain.data.pictures:
        words.append(f"{asked.data.pictures[0]}_{asked.data.pictures[1]}_pictures")
    if asked.image_size != plain.image_size:
        words.append(_size(asked.image_size).replace(" ", ""))
    if asked.run.epochs != plain.run.epochs:
        words.append(f"{asked.run.epochs}_epochs")
    if asked.run.batch_size != plain.run.batch_size:
        words.append(f"batch_{asked.run.batch_size}")
    return "_".join(words)


def tables_home(publish: bool = False) -> Path:
    """Return the folder of written tables: reports/drafts, which git ignores.

    Only with `publish` it is reports/tables, whose files are committed: what is tried out changes no committed page.
    """
    return home() / "reports" / ("tables" if publish else "drafts")


def write_table(
    table: str,
    profile_name: str,
    rows: Sequence[Outcome],
    paired: bool = False,
    pictures: Mapping[str, bytes | str] | None = None,
    publish: bool = False,
) -> list[Path]:
    """Write a table as Markdown, with its caption, and as CSV.

    Args:
        table: Its name in TABLES.
        profile_name: The name of the profile that the rows were run at.
        rows: The rows with their results.
        paired: Whether seeds are compared in pairs.
        pictures: Files that the Markdown shows, by the ends of their names ("runs.png").
        publish: Whether the committed files are written; see `tables_home`.

    Returns:
        The files, the Markdown first.
    """
    frames = {
        "scores": score_table(rows),
        "comparisons": comparison_table(rows, paired=paired),
        "costs": cost_table(rows),
    }
    said = {
        "comparisons": "p (Holm), and with it the verdict, is over the comparisons of this page; an interval is of its "
        "pair alone.\n\n"
    }
    folder, stem = tables_home(publish), page_stem(table, profile_name, rows)
    folder.mkdir(parents=True, exist_ok=True)
    parts = [f"# {TABLES[table].title}", TABLES[table].question, caption(table, rows)]
    full = {name: frame for name, frame in frames.items() if len(frame)}
    parts += [f"## {name.capitalize()}\n\n{said.get(name, '')}{as_markdown(frame)}" for name, frame in full.items()]
    tables = {f"{stem}_{name}.csv": frame.to_csv() for name, frame in full.items()}
    shown = {f"{stem}_{name}": picture for name, picture in (pictures or {}).items()}
    parts += [f"![{Path(name).stem.replace('_', ' ')}]({name})" for name in shown]
    text = "\n\n".join(parts).replace("@", r"\@")  # else JupyterLab takes PCKh@0.5 for an e-mail address
    pages = {f"{stem}.md": text + "\n"}
    for name, content in (pages | tables | shown).items():
        write_whole(folder / name, content)
    return [folder / name for name in pages | tables | shown]


def as_markdown(frame: pandas.DataFrame) -> str:
    """A frame with its index as a Markdown table; numbers to four digits."""
    shown = frame.reset_index()
    lines = [shown.columns.tolist(), ["---"] * len(shown.columns), *shown.itertuples(index=False)]
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

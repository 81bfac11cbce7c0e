"""Rows and their runs as one table: the paper's number beside ours, with what is known of both."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas

from posenfs.data.datasets.catalogue import home
from posenfs.data.files import write_whole
from posenfs.evaluation.metrics import metric_title
from posenfs.evaluation.seeds import SeedComparison, compare_seeds, holm, mean_interval, prediction_interval, spread
from posenfs.evaluation.seeds import verdict as in_words
from posenfs.evaluation.stats import Interval
from posenfs.study.experiments import TABLES
from posenfs.study.row_costs import cost_table
from posenfs.study.rows import Outcome, headline_of

_MISSING = "missing"


def score_table(rows: Sequence[Outcome], metric: str | None = None) -> pandas.DataFrame:
    """A line for each row: the paper's numbers (what it heads @0.1 was computed at 0.11), ours: mean and standard
    deviation over seeds, Student's interval for the mean, the interval for one further seed, and the bootstrap interval
    over people of the first seed. Two different questions: other seeds, other people."""
    metric = metric or headline_of(rows)
    title = metric_title(metric)
    lines = []
    for own in rows:
        values = own.scores(metric)
        people = next(iter(own.results.values()), {"metrics": {}})["metrics"].get("intervals", {}).get(metric)
        finer = own.scores("pckh@0.11")
        lines.append(
            {
                "row": own.row.label,
                f"paper {title}": own.row.printed.get(metric),
                "paper PCKh@0.11 (headed @0.1)": own.row.printed.get("pckh@0.11"),
                f"ours {title}": mean_interval(values).value if values else None,
                "sd over seeds": _number(spread(values)),
                "seeds": "quoted" if own.row.quoted else len(values) or _MISSING,
                "95 % for the mean": _range(mean_interval(values)) if values else "",
                "95 % for one more seed": _range(prediction_interval(values)) if values else "",
                "95 % over people, first seed": f"{people['low']:.1f} to {people['high']:.1f}" if people else "",
                "ours PCKh@0.11": mean_interval(finer).value if finer else None,
                "note": own.row.note,
            }
        )
    return pandas.DataFrame(lines).set_index("row")


def comparison_table(rows: Sequence[Outcome], metric: str | None = None, paired: bool = False) -> pandas.DataFrame:
    """Each row less the one it is compared with, over seeds: Welch's t test, or the paired one over the seeds both
    have; p as it is and by Holm's correction over the table, and the verdict in words."""
    metric = metric or headline_of(rows)
    by_name = {own.name: own for own in rows}
    pairs = [(by_name[own.row.against], own) for own in rows if own.row.against]
    found = [compare_seeds(a.scores(metric), b.scores(metric), paired) for a, b in pairs]
    adjusted = holm([own.p for own in found])
    lines = [_comparison_line(a, b, own, p) for (a, b), own, p in zip(pairs, found, adjusted, strict=True)]
    return pandas.DataFrame(lines).set_index("row") if lines else pandas.DataFrame()


def _comparison_line(base: Outcome, own: Outcome, found: SeedComparison, adjusted: float) -> dict:
    printed = [o.row.printed.get("pckh@0.5") for o in (base, own)]
    return {
        "row": own.row.label,
        "less": base.row.label,
        "paper": None if None in printed else printed[1] - printed[0],
        "ours": _number(found.difference.value),
        "95 %": _range(found.difference),
        "test": found.test,
        "p": _number(found.p),
        "p (Holm)": _number(adjusted),
        "verdict": in_words(adjusted, found.difference.value, found.seeds),
    }


def caption(table: str, rows: Sequence[Outcome]) -> str:
    """How these numbers were made, in words."""
    own = next(row.asked for row in rows if row.asked is not None)
    results = [result for row in rows for result in row.results.values()]
    runs = f"{len(results)} runs" + (f" of {results[0]['metrics']['people']} people each" if results else "")
    where = {f"{r['time']['device']}, {r['time']['threads']} threads" for r in results}
    boxes, heads = ({r["metrics"][kind] for r in results} for kind in ("boxes", "head_size"))
    height, width = own.image_size
    return (
        f"{TABLES[table].title}. Ours: {own.data.name}, {height} x {width} px, {own.run.epochs} epochs of batches of "
        f"{own.run.batch_size}, Adam {own.run.lr:g}; {runs}; boxes: {_words(boxes)}; head size: "
        f"{_words(heads)}; on {_words(where)}."
    )


def _words(found: set[str]) -> str:
    return ", ".join(sorted(found)) or "none yet"


def tables_home() -> Path:
    """Where tables are written: reports/tables of the project."""
    return home() / "reports" / "tables"


def write_table(
    table: str,
    profile_name: str,
    rows: Sequence[Outcome],
    paired: bool = False,
    pictures: Mapping[str, bytes | str] | None = None,
) -> list[Path]:
    """Write a table as Markdown, with its caption, and as CSV, into reports/tables, beside `pictures` by the ends of
    their names ("runs.png"), which the Markdown shows; returns the files."""
    frames = {
        "scores": score_table(rows),
        "comparisons": comparison_table(rows, paired=paired),
        "costs": cost_table(rows),
    }
    folder, stem = tables_home(), f"{table}_{profile_name}"
    folder.mkdir(parents=True, exist_ok=True)
    parts = [f"# {TABLES[table].title}", TABLES[table].question, caption(table, rows)]
    parts += [f"## {name.capitalize()}\n\n{as_markdown(frame)}" for name, frame in frames.items() if len(frame)]
    tables = {f"{stem}_{name}.csv": frame.to_csv() for name, frame in frames.items() if len(frame)}
    shown = {f"{stem}_{name}": picture for name, picture in (pictures or {}).items()}
    parts += [f"![{Path(name).stem.replace('_', ' ')}]({name})" for name in shown]
    pages = {f"{stem}.md": "\n\n".join(parts) + "\n"}
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


def _range(interval: Interval) -> str:
    return "" if interval.low is None or math.isnan(interval.low) else f"{interval.low:.1f} to {interval.high:.1f}"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value

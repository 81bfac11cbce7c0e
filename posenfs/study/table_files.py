"""Tables as Markdown and CSV files, with captions that say how their numbers were computed."""

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas

from posenfs.data.datasets.catalogue import home
from posenfs.data.files import write_atomic
from posenfs.model.space import PAPER, RELEASED
from posenfs.study.cost_tables import cost_table
from posenfs.study.outcomes import Outcome, device_title, primary_metric_of
from posenfs.study.profiles import PROFILES, experiment_of
from posenfs.study.rows import TABLES
from posenfs.study.score_tables import comparison_table, printed_table, score_table


def caption(table: str, rows: Sequence[Outcome]) -> str:
    """Describe how the numbers of a table were computed, wrapped at 100 characters.

    Args:
        table: Its name in TABLES.
        rows: The rows with their results.
    """
    experiments = [outcome.experiment for outcome in rows if outcome.experiment is not None]
    results = [result for outcome in rows for result in outcome.results.values()]
    training = experiments[0].training
    data = _joined(experiment.data.name for experiment in experiments)
    sizes = _joined(_size(experiment.image_size) for experiment in experiments)
    if len({experiment.rules for experiment in experiments}) == 1:
        names = {PAPER: "rules of the paper's text", RELEASED: "rules of the released code"}
        rules = names.get(experiments[0].rules, "custom rules")
    else:
        rules = "the rules of each row"
    paper = f"Paper: {TABLES[table].printed_on}. " if TABLES[table].printed_on else ""
    text = (
        f"{TABLES[table].title}. {paper}Ours: {data}, {sizes} px, {training.epochs} epochs of "
        f"batches of {training.batch_size}, Adam {training.lr:g}, {rules}; "
    )
    if results:
        boxes = _joined(result["metrics"]["boxes"] for result in results)
        head_sizes = _joined(result["metrics"]["head_size"] for result in results)
        devices = "; ".join(sorted({device_title(result["time"]) for result in results}))
        people = _evaluated_people(results[0], primary_metric_of(rows))
        text += (
            f"{len(results)} run{'s' if len(results) > 1 else ''}, evaluated on {people} people; "
            f"boxes: {boxes}; head size: {head_sizes}; on {devices}."
        )
    else:
        text += "no run yet."
    if left_out := sum(outcome.left_out for outcome in rows):
        text += f" Left out: {left_out} results with other data or other initial weights."
    return textwrap.fill(text, 100, break_on_hyphens=False)


def _joined(names: Iterable[str]) -> str:
    """Join the different names in the order of their first occurrence."""
    return ", ".join(dict.fromkeys(names))


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


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
    experiments = [
        (outcome.experiment, outcome.row) for outcome in rows if outcome.experiment is not None
    ]
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
    further: Mapping[str, pandas.DataFrame] | None = None,
) -> list[Path]:
    """Write a table as Markdown, with its caption, and as CSV.

    Args:
        table: Its name in TABLES.
        profile_name: The name of the profile of the rows.
        rows: The rows with their results.
        paired: Whether seeds are compared in pairs.
        images: Figures that the Markdown shows, by the ends of their file names ("runs.png").
        publish: Whether the committed files are written; see `tables_home`.
        further: Further tables by title, below the others.

    Returns:
        The files, the Markdown first.
    """
    frames = {
        "scores": score_table(rows),
        "all printed scores": printed_table(rows),
        "comparisons": comparison_table(rows, paired=paired),
        "costs": cost_table(rows),
        **(further or {}),
    }
    introductions = {
        "comparisons": "p (Holm) and the verdict are corrected for the number of comparisons on "
        "this page; the intervals are not.\n\n"
    }
    folder, stem = tables_home(publish), page_stem(table, profile_name, rows)
    folder.mkdir(parents=True, exist_ok=True)
    content = TABLES[table]
    sections = [f"# {content.title}", content.question, content.about, caption(table, rows)]
    sections = [section for section in sections if section]
    csv_files = {}
    for name, frame in frames.items():
        if len(frame):
            introduction = introductions.get(name, "")
            sections.append(f"## {name[0].upper()}{name[1:]}\n\n{introduction}{as_markdown(frame)}")
            csv_files[f"{stem}_{_file_name(name)}.csv"] = frame.to_csv()
    figures = {f"{stem}_{name}": content for name, content in (images or {}).items()}
    sections += [f"![{Path(name).stem.replace('_', ' ')}]({name})" for name in figures]
    # JupyterLab would turn an unescaped PCKh@0.5 into an e-mail address.
    text = "\n\n".join(sections).replace("@", r"\@")
    files = {f"{stem}.md": text + "\n"} | csv_files | figures
    for name, content in files.items():
        write_atomic(folder / name, content)
    return [folder / name for name in files]


def _file_name(title: str) -> str:
    return re.sub(r"\W+", "_", title.lower()).strip("_")


def as_markdown(frame: pandas.DataFrame) -> str:
    """Format a frame and its index as a Markdown table, numbers to four digits.

    Args:
        frame: The frame; its index becomes the first column.
    """
    cells = frame.astype(object).where(frame.notna(), None).reset_index()
    return cells.to_markdown(index=False, floatfmt=".4g")

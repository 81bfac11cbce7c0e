"""Executed notebooks as HTML pages that need no internet."""

import base64
import html
import io
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import nbformat
import plotly.graph_objects as go
import plotly.io
from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import math_to_image
from nbconvert import HTMLExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor, Preprocessor, TagRemovePreprocessor
from plotly.offline import get_plotlyjs

from posenfs.data.datasets.catalogue import home
from posenfs.data.files import check_output_file, write_atomic
from posenfs.search.build import TENSORS
from posenfs.search.checkpoints import RunError
from posenfs.search.run_dir import RunDir
from posenfs.study.notebooks import read_notebook, run_notebook
from posenfs.study.parameters import parse_parameters
from posenfs.study.rows import TABLES
from posenfs.viz.run_summary import summarise_run

_FONT_SIZE = 13  # pt, of formulas
_WITHOUT_LIVE = TagRemovePreprocessor(remove_cell_tags={"live"}, enabled=True)
_PLOTLY = "application/vnd.plotly.v1+json"
_FOLDED = {"parameters": "Parameters", "injected-parameters": "Parameters of this run"}


class RenderOutputs(Preprocessor):
    """Convert plotly figures to HTML, and show stderr as plain output.

    A headless run leaves figures as data that a page does not show. Progress bars are written to
    stderr, which a page would highlight as an error.
    """

    def preprocess_cell(
        self, cell: nbformat.NotebookNode, resources: dict, index: int
    ) -> tuple[nbformat.NotebookNode, dict]:
        """Convert the outputs of one cell."""
        for output in cell.get("outputs", ()):
            if output.get("name") == "stderr":
                output["name"] = "stdout"
            data = output.get("data", {})
            if _PLOTLY in data:
                content = data[_PLOTLY]
                figure = go.Figure(content["data"], content["layout"], skip_invalid=True)
                data.clear()
                data["text/html"] = plotly.io.to_html(
                    figure, full_html=False, include_plotlyjs=False
                )
        return cell, resources


class RenderFormulas(Preprocessor):
    """Replace the formulas of Markdown cells by SVG images, because a page loads no MathJax."""

    def preprocess_cell(
        self, cell: nbformat.NotebookNode, resources: dict, index: int
    ) -> tuple[nbformat.NotebookNode, dict]:
        """Replace the formulas of one cell."""
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"\$\$(.+?)\$\$", _display, cell.source, flags=re.S)
            cell.source = re.sub(r"\$([^$\n]+)\$", _inline, cell.source)
        return cell, resources


def _display(match: re.Match) -> str:
    return f"<div style='text-align: center'>{_inline(match)}</div>"


def _inline(match: re.Match) -> str:
    """Return the image of one formula, shifted down to the baseline of the text."""
    source = " ".join(match.group(1).split())
    svg = io.BytesIO()
    font = FontProperties(size=_FONT_SIZE)
    depth = math_to_image(f"${source}$", svg, font, dpi=72, format="svg")
    data = base64.b64encode(svg.getvalue()).decode()
    style = f"display: inline; vertical-align: -{depth:.0f}px"
    alternative = html.escape(source, quote=True)
    return f"<img style='{style}' alt='{alternative}' src='data:image/svg+xml;base64,{data}'>"


class FoldParameters(Preprocessor):
    """Fold the cells of parameters: those of the notebook, and those injected by papermill."""

    def preprocess_cell(
        self, cell: nbformat.NotebookNode, resources: dict, index: int
    ) -> tuple[nbformat.NotebookNode, dict]:
        """Replace one cell of parameters by folded HTML."""
        tags = [tag for tag in cell.metadata.get("tags", ()) if tag in _FOLDED]
        if cell.cell_type != "code" or not tags:
            return cell, resources
        # One line of HTML, because Markdown ends HTML at a blank line.
        code = html.escape(cell.source).replace("\n", "&#10;")
        title = _FOLDED[tags[0]]
        folded = f"<details><summary>{title}</summary><pre>{code}</pre></details>"
        return nbformat.v4.new_markdown_cell(folded), resources


def write_report(notebook: Path, target: Path) -> Path:
    """Write an executed notebook as one HTML file that contains its figures and plotly.

    The notebook of a run gets a summary of the run after its first cell. Cells of parameters are
    folded. Cells tagged `live`, which describe buttons that a page does not have, are removed.

    Args:
        notebook: The executed notebook.
        target: The HTML file.

    Returns:
        The target.

    Raises:
        FileNotFoundError: There is no such notebook.
        NotebookError: The file is not a notebook.
        ValueError: The notebook was not executed.
    """
    if not notebook.is_file():
        raise FileNotFoundError(
            f"no executed notebook at {notebook}; run it first with `posenfs run`"
        )
    content = read_notebook(notebook)
    if not any(cell.get("outputs") for cell in content.cells):
        raise ValueError(
            f"{notebook} has no outputs: it was not executed; run it first with `posenfs run`"
        )
    # With the state of widgets the page would download their code; it shows static images.
    content.metadata.pop("widgets", None)
    if (notebook.parent / "config.json").is_file():
        summary = summarise_run(RunDir(notebook.parent))
        content.cells.insert(1, nbformat.v4.new_markdown_cell(summary))
    preprocessors = [
        CoalesceStreamsPreprocessor,
        RenderOutputs,
        RenderFormulas,
        FoldParameters,
        _WITHOUT_LIVE,
    ]
    exporter = HTMLExporter(preprocessors=preprocessors, embed_images=True)
    # Without these URLs the page downloads nothing.
    exporter.require_js_url = ""
    exporter.mathjax_url = ""
    exporter.mermaid_js_url = ""
    exporter.jquery_url = ""
    page, _ = exporter.from_notebook_node(content, {"metadata": {"name": target.stem}})
    target.parent.mkdir(parents=True, exist_ok=True)
    plotly_script = f"<script>{get_plotlyjs()}</script></head>"
    write_atomic(target, page.replace("</head>", plotly_script, 1))
    return target


TABLE_NOTEBOOK = "table.ipynb"  # its parameter `table` names the table
# Pages that have a notebook of their own.
_OTHER_NOTEBOOKS = ("figure_6", "figure_7", "figures_8_9", "are_parts_different")
# The pages that report_table writes.
PAGES = (*TABLES, "figures_8_9", "are_parts_different")


def report_table(table: str, output: Path | None = None, parameters: Sequence[str] = ()) -> Path:
    """Execute the notebook of a page, write the page, and update reports/index.html.

    Args:
        table: One of PAGES.
        output: The page; by default reports/<table>.html, with the parameters in its name.
        parameters: Parameters of the notebook, e.g. "epochs=60".

    Returns:
        The page.

    Raises:
        FileNotFoundError: There is no such notebook, e.g. outside the project's folder.
        NotebookError: The notebook does not have a parameter, or a cell failed.
    """
    reports = home() / "reports"
    source = _notebook(f"{table}.ipynb" if table in _OTHER_NOTEBOOKS else TABLE_NOTEBOOK)
    values = parse_parameters(source, parameters)
    if output is not None:
        check_output_file(output)
    suffixes = [f"{name}_{value}" for name, value in values.items() if name != "publish"]
    name = re.sub(r"[^\w.,()= -]+", "_", "_".join([table, *suffixes]))  # a value may be a path
    if source.name == TABLE_NOTEBOOK:
        values["table"] = table
    executed = reports / f"{name}.ipynb"
    run_notebook(source, executed, values, progress=False)
    page = write_report(executed, output or reports / f"{name}.html")
    write_index(reports)
    return page


RUN_NOTEBOOK = "run_page.ipynb"  # shows a run from the files of its folder


def report_run(run: RunDir, output: Path | None = None) -> Path:
    """Execute the notebook that shows a run from its folder, and write its page.

    Args:
        run: A finished run, or one with a checkpoint. It is not changed.
        output: The page; by default report.html in the run's folder, beside the executed
            report.ipynb.

    Returns:
        The page.

    Raises:
        RunError: The run has no weights yet, or is a model's folder.
        FileNotFoundError: The notebook is missing, e.g. outside the project's folder.
        NotebookError: A cell failed.
    """
    run.check_is_run()
    run.experiment()
    if not (run.folder / TENSORS).is_file() and not run.checkpoints.steps():
        raise RunError(
            f"{run.folder} has no weights yet ({run.state()}): there is nothing to show before the "
            f"end of its first epoch; `posenfs status {run.name}` shows its progress"
        )
    source = _notebook(RUN_NOTEBOOK)
    executed = run.folder / "report.ipynb"
    run_notebook(source, executed, {"run": str(run.folder.resolve())}, progress=False)
    return write_report(executed, output or executed.with_suffix(".html"))


def _notebook(name: str) -> Path:
    """Return the path of one of the project's notebooks."""
    path = home() / "notebooks" / name
    if not path.is_file():
        raise FileNotFoundError(f"no notebook {path}; reports are written in the project's folder")
    return path


def write_index(reports: Path) -> Path:
    """Write index.html, which lists all pages of a folder and of the runs below it.

    Args:
        reports: The folder of the pages.

    Returns:
        The path of index.html.
    """
    index = reports / "index.html"
    pages = sorted(page for page in reports.glob("*.html") if page != index)
    pages += sorted(reports.glob("runs/*/*.html"))
    lines = []
    for page in pages:
        relative = page.relative_to(reports)
        table = TABLES.get(page.stem)
        title = relative.with_suffix("").as_posix()
        if table is not None:
            title = f"{table.title}: {table.question}"
        link = quote(relative.as_posix())
        lines.append(f"<li><a href='{link}'>{html.escape(title)}</a></li>")
    style = "body { font: 16px/1.6 sans-serif; max-width: 50em; margin: 3em auto; padding: 0 1em }"
    head = (
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        f"<title>posenfs: reports</title><style>{style}</style>"
    )
    write_atomic(index, f"{head}<h1>Reports</h1><ul>{''.join(lines)}</ul></html>\n")
    return index

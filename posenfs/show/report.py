"""An executed notebook as one HTML page that needs no internet."""

import html
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import nbformat
import plotly.graph_objects as go
import plotly.io
from nbconvert import HTMLExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor, Preprocessor, TagRemovePreprocessor
from plotly.offline import get_plotlyjs

from posenfs.data.datasets.catalogue import home
from posenfs.data.files import check_writable, write_whole
from posenfs.search.experiment import TENSORS
from posenfs.search.run import Run, RunError
from posenfs.show.run_summary import run_summary
from posenfs.study.experiments import TABLES
from posenfs.study.sweep import parse_parameters, read_notebook, run_notebook

_WITHOUT_LIVE = TagRemovePreprocessor(remove_cell_tags={"live"}, enabled=True)
_PLOTLY = "application/vnd.plotly.v1+json"


class ForThePage(Preprocessor):
    """A headless run leaves plotly's figures as data, which a page would not show: turn each into HTML.

    Progress goes to stderr, which a page would paint as an alarm: show it as any other output.
    """

    def preprocess_cell(
        self, cell: nbformat.NotebookNode, resources: dict, index: int
    ) -> tuple[nbformat.NotebookNode, dict]:
        for output in cell.get("outputs", ()):
            if output.get("name") == "stderr":
                output["name"] = "stdout"
            data = output.get("data", {})
            if _PLOTLY in data:
                figure = go.Figure(
                    data=data[_PLOTLY]["data"], layout=data[_PLOTLY]["layout"], skip_invalid=True
                )
                data.clear()
                data["text/html"] = plotly.io.to_html(
                    figure, full_html=False, include_plotlyjs=False
                )
        return cell, resources


class FoldParameters(Preprocessor):
    """Show the cells of parameters (the notebook's, and those that papermill injected) folded."""

    def preprocess_cell(
        self, cell: nbformat.NotebookNode, resources: dict, index: int
    ) -> tuple[nbformat.NotebookNode, dict]:
        titles = {"parameters": "Parameters", "injected-parameters": "Parameters given to this run"}
        tags = [tag for tag in cell.metadata.get("tags", ()) if tag in titles]
        if cell.cell_type != "code" or not tags:
            return cell, resources
        code = html.escape(cell.source).replace(
            "\n", "&#10;"
        )  # in one line: a blank one would end the HTML
        folded = f"<details><summary>{titles[tags[0]]}</summary><pre>{code}</pre></details>"
        return nbformat.v4.new_markdown_cell(folded), resources


def write_report(notebook: Path, target: Path) -> Path:
    """Write an executed notebook as one HTML file, with its figures and plotly itself inside.

    The notebook of a run has a summary of that run after its first cell. Parameters are folded, and cells tagged
    `live`, about buttons that a page does not have, are left out.

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
    content.metadata.pop(
        "widgets", None
    )  # a page would fetch their program; it shows their pictures
    if (notebook.parent / "config.json").is_file():
        content.cells.insert(1, nbformat.v4.new_markdown_cell(run_summary(Run(notebook.parent))))
    preprocessors = [CoalesceStreamsPreprocessor, ForThePage, FoldParameters, _WITHOUT_LIVE]
    exporter = HTMLExporter(preprocessors=preprocessors, embed_images=True)
    # nothing may be fetched when the page is opened
    exporter.require_js_url = exporter.mathjax_url = exporter.mermaid_js_url = (
        exporter.jquery_url
    ) = ""
    page, _ = exporter.from_notebook_node(content, {"metadata": {"name": target.stem}})
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, page.replace("</head>", f"<script>{get_plotlyjs()}</script></head>", 1))
    return target


_OTHERS = {"rules": "released_rules"}  # the notebooks of tables that have another name
PAGES = (*TABLES, "released_rules", "are_parts_different")  # what report_table knows


def report_table(table: str, output: Path | None = None, parameters: Sequence[str] = ()) -> Path:
    """Execute the notebook of one of PAGES, with parameters ("epochs=60"), and write its page, by default
    reports/<table>.html, parameters in its name; then reports/index.html anew. Raises NotebookError for parameters that
    it does not have."""
    reports = home() / "reports"
    source = home() / "notebooks" / f"{_OTHERS.get(table, table)}.ipynb"
    if not source.is_file():
        raise FileNotFoundError(
            f"no notebook {source}; reports are written in the project's folder"
        )
    values = parse_parameters(source, parameters)
    if output is not None:
        check_writable(output)
    name = "_".join(
        [source.stem, *(f"{name}_{value}" for name, value in values.items() if name != "publish")]
    )
    executed = reports / f"{name}.ipynb"
    run_notebook(source, executed, values, progress=False)
    page = write_report(executed, output or reports / f"{name}.html")
    write_index(reports)
    return page


RUN_NOTEBOOK = "run_page.ipynb"  # shows a run from its folder alone


def report_run(run: Run, output: Path | None = None) -> Path:
    """Execute the notebook that shows a run from its folder, and write its page.

    Args:
        run: A finished run, or one with a snapshot; it is left as it is.
        output: The page; None: report.html in the run's folder, beside the executed report.ipynb.

    Returns:
        The page.

    Raises:
        RunError: The run holds no weights yet, or is a model's folder.
        FileNotFoundError: This is not the project's folder.
        NotebookError: A cell failed.
    """
    run.check_searched()
    run.experiment()
    if not (run.folder / TENSORS).is_file() and not run.snapshots():
        raise RunError(
            f"{run.folder} has no weights yet ({run.state()}): there is nothing to show before the end of its first "
            f"epoch; `posenfs status {run.name}` says how far it is"
        )
    source = home() / "notebooks" / RUN_NOTEBOOK
    if not source.is_file():
        raise FileNotFoundError(
            f"no notebook {source}; reports are written in the project's folder"
        )
    executed = run.folder / "report.ipynb"
    run_notebook(source, executed, {"run": str(run.folder.resolve())}, progress=False)
    return write_report(executed, output or executed.with_suffix(".html"))


def write_index(reports: Path) -> Path:
    """index.html: all pages of a folder and of the runs below it, with what they are about."""
    pages = sorted(p for p in reports.glob("*.html") if p.name != "index.html") + sorted(
        reports.glob("runs/*/*.html")
    )
    titles = {_OTHERS.get(name, name): table for name, table in TABLES.items()}
    lines = []
    for page in pages:
        about = titles.get(page.stem)
        words = (
            f"{about.title}: {about.question}"
            if about
            else page.relative_to(reports).with_suffix("").as_posix()
        )
        link = quote(page.relative_to(reports).as_posix())
        lines.append(f"<li><a href='{link}'>{html.escape(words)}</a></li>")
    style = "body { font: 16px/1.6 sans-serif; max-width: 50em; margin: 3em auto; padding: 0 1em }"
    head = f"<!doctype html><html lang='en'><meta charset='utf-8'><title>posenfs: reports</title><style>{style}</style>"
    write_whole(reports / "index.html", f"{head}<h1>Reports</h1><ul>{''.join(lines)}</ul></html>\n")
    return reports / "index.html"

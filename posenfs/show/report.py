"""An executed notebook as one HTML page that needs no internet."""

from pathlib import Path

import nbformat
import plotly.graph_objects as go
import plotly.io
from nbconvert import HTMLExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor, Preprocessor
from plotly.offline import get_plotlyjs

from posenfs.data.files import write_whole

_PLOTLY = "application/vnd.plotly.v1+json"


class ForThePage(Preprocessor):
    """A headless run leaves plotly's figures as data, which a page would not show: turn each into HTML.

    Progress goes to stderr, which a page would paint as an alarm: show it as any other output.
    """

    def preprocess_cell(self, cell, resources, index):
        for output in cell.get("outputs", ()):
            if output.get("name") == "stderr":
                output["name"] = "stdout"
            data = output.get("data", {})
            if _PLOTLY in data:
                figure = go.Figure(data=data[_PLOTLY]["data"], layout=data[_PLOTLY]["layout"], skip_invalid=True)
                data.clear()
                data["text/html"] = plotly.io.to_html(figure, full_html=False, include_plotlyjs=False)
        return cell, resources


def write_report(notebook: Path, target: Path) -> Path:
    """Executed notebook -> one HTML file, figures and plotly itself inside; raises FileNotFoundError, ValueError."""
    if not notebook.is_file():
        raise FileNotFoundError(f"no executed notebook at {notebook}; run it first with `posenfs run`")
    content = nbformat.read(notebook, as_version=4)
    if not any(cell.get("outputs") for cell in content.cells):
        raise ValueError(f"{notebook} has no outputs: it was not executed; run it first with `posenfs run`")
    exporter = HTMLExporter(preprocessors=[CoalesceStreamsPreprocessor, ForThePage], embed_images=True)
    # nothing may be fetched when the page is opened
    exporter.require_js_url = exporter.mathjax_url = exporter.mermaid_js_url = exporter.jquery_url = ""
    page, _ = exporter.from_notebook_node(content, {"metadata": {"name": target.stem}})
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, page.replace("</head>", f"<script>{get_plotlyjs()}</script></head>", 1))
    return target

"""Pages of executed notebooks."""

import html
import re

import nbformat
import plotly.graph_objects as go
import pytest
from plotly.offline import get_plotlyjs

from posenfs.viz.report import write_report


@pytest.fixture
def executed(tmp_path):
    figure = go.Figure().add_scatter(x=[1, 2], y=[3, 4], name="a curve")
    outputs = [
        nbformat.v4.new_output(
            "display_data", {"application/vnd.plotly.v1+json": figure.to_plotly_json()}
        ),
        nbformat.v4.new_output("stream", name="stderr", text="  0%|\r 50%|\r100%|done\n"),
    ]
    cells = [
        nbformat.v4.new_markdown_cell("# Title"),
        nbformat.v4.new_code_cell("figure", outputs=outputs),
    ]
    # A kernel with widgets leaves their state and static images of them.
    view = {
        "application/vnd.jupyter.widget-view+json": {
            "model_id": "a",
            "version_major": 2,
            "version_minor": 0,
        }
    }
    cells[1].outputs.append(
        nbformat.v4.new_output("display_data", {**view, "text/html": "<b>a still</b>"})
    )
    model = {
        "model_name": "LabelModel",
        "model_module": "@jupyter-widgets/controls",
        "state": {"value": "words"},
    }
    state = {"state": {"a": model}, "version_major": 2, "version_minor": 0}
    widgets = {"application/vnd.jupyter.widget-state+json": state}
    nbformat.write(
        nbformat.v4.new_notebook(cells=cells, metadata={"widgets": widgets}), tmp_path / "run.ipynb"
    )
    return tmp_path / "run.ipynb"


def test_page_is_self_contained(executed, tmp_path):
    page = write_report(executed, tmp_path / "new" / "page.html").read_text()
    assert "a curve" in page and "Plotly.newPlot" in page
    assert page.count("plotly.js v") == 1 and "a still" in page
    ours = page.replace(get_plotlyjs(), "")  # some versions of plotly's code contain unpkg
    assert len(ours) < len(page) and "html-manager" not in page and "unpkg" not in ours
    markup = re.sub(r"<script[^>]*>.*?</script>", "", page, flags=re.S)
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"(?:https?:)?//", page)
    assert not re.findall(r"@import|url\((?:\"|')?https?:", markup)


def test_progress_bars_leave_only_their_last_line(executed, tmp_path):
    page = write_report(executed, tmp_path / "page.html").read_text()
    assert "100%|done" in page and " 50%|" not in page


def test_missing_or_unexecuted_notebooks_are_refused(executed, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing.ipynb; run it first"):
        write_report(tmp_path / "nothing.ipynb", tmp_path / "page.html")
    notebook = nbformat.read(executed, 4)
    notebook.cells[1].outputs = []
    nbformat.write(notebook, executed)
    with pytest.raises(ValueError, match="no outputs"):
        write_report(executed, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_page_folds_parameters_and_removes_live_cells(executed, tmp_path):
    notebook = nbformat.read(executed, 4)
    notebook.cells[1:1] = [
        nbformat.v4.new_code_cell(
            "lr = 0.003\n\nname = 'a < b'", metadata={"tags": ["parameters"]}
        ),
        nbformat.v4.new_code_cell("lr = 0.5", metadata={"tags": ["injected-parameters"]}),
        nbformat.v4.new_markdown_cell("Press *Run* here.", metadata={"tags": ["live"]}),
    ]
    nbformat.write(notebook, executed)
    page = write_report(executed, tmp_path / "page.html").read_text()
    assert "Press <em>Run" not in page and "Press *Run*" not in page
    folded = re.findall(r"<details><summary>(.*?)</summary><pre>(.*?)</pre></details>", page, re.S)
    assert [title for title, _ in folded] == ["Parameters", "Parameters of this run"]
    assert (
        html.unescape(folded[0][1]) == "lr = 0.003\n\nname = 'a < b'" and folded[1][1] == "lr = 0.5"
    )


def test_page_of_a_run_begins_with_its_summary(executed, tmp_path, tiny):
    (tmp_path / "config.json").write_text(tiny.to_json())
    page = write_report(executed, tmp_path / "page.html").read_text()
    summary = page.index("This run is not finished")
    assert page.index("Title") < summary < page.index("a curve")

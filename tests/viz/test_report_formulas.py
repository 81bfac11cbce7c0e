"""Formulas of Markdown cells become images; other text stays."""

import base64
import json
import re
from pathlib import Path

import nbformat
import pytest

from posenfs.viz.report import RenderFormulas

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def render(source: str) -> str:
    cell = nbformat.v4.new_markdown_cell(source)
    return RenderFormulas().preprocess_cell(cell, {}, 0)[0].source


def test_formulas_become_images_with_their_source_as_alternative():
    text = render("The weight $w_o < 1$ of\n$$\\sum_o w_o\n= 1$$\nis **soft**.")
    sources = re.findall(r"alt='([^']*)' src='data:image/svg\+xml;base64,([^']*)'", text)
    assert [source for source, _ in sources] == ["\\sum_o w_o = 1", "w_o &lt; 1"] or [
        source for source, _ in sources
    ] == ["w_o &lt; 1", "\\sum_o w_o = 1"]
    assert all(b"<svg" in base64.b64decode(data) for _, data in sources)
    assert "is **soft**." in text and "text-align: center" in text


def test_text_without_formulas_stays():
    text = "It costs 5 $ here.\n\nAnd 3 $ there."
    assert render(text) == text
    code = nbformat.v4.new_code_cell("price = '$x$'")
    assert RenderFormulas().preprocess_cell(code, {}, 0)[0].source == "price = '$x$'"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_formula_of_the_notebooks_can_be_drawn(notebook):
    for cell in json.loads(notebook.read_text())["cells"]:
        if cell["cell_type"] == "markdown":
            assert "$" not in render("".join(cell["source"]))

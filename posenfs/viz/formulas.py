"""LaTeX formulas of notebooks as images, for pages that load no MathJax."""

import base64
import html
import io
import re

import nbformat
from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import math_to_image
from nbconvert.preprocessors import Preprocessor

_FONT_SIZE = 13  # pt


class RenderFormulas(Preprocessor):
    """Replace the formulas of Markdown cells by SVG images, drawn with matplotlib's mathtext."""

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

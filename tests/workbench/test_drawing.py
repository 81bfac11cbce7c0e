"""Pictures drawn again and again: what is kept, what is made anew, and what a click gives."""

import plotly.graph_objects as go

from posenfs.model.architecture import Architecture
from posenfs.model.space import FabricSpec
from posenfs.show.graphs import draw_fabric
from posenfs.workbench.drawing import Drawing, Plot


def line(*values):
    return go.Figure(go.Scatter(x=list(range(len(values))), y=values))


def test_lines_that_grow_stay_in_their_figure():
    plot = Plot()
    plot.draw(line(1, 2))
    first = plot.figure
    plot.draw(line(1, 2, 3))
    assert plot.figure is first and list(first.data[0].y) == [1, 2, 3] and first in plot.widget.children
    plot.draw(go.Figure(go.Heatmap(z=[[1]])))
    assert plot.figure is not first and plot.figure in plot.widget.children and first not in plot.widget.children


def test_a_layout_that_changes_is_followed():
    plot = Plot()
    plot.draw(line(1, 2).update_layout(title="one"))
    plot.draw(line(1, 2).update_layout(title="two"))
    assert plot.figure.layout.title.text == "two"


def test_a_click_on_a_drawing_names_its_node():
    chosen = []
    drawing = Drawing("cell", chosen.append)
    spec = FabricSpec()
    drawing.draw(draw_fabric(spec, Architecture.zeros(spec), "head"))
    assert "<title>0/3/0</title>" in drawing.svg and 'class="node cell"' in drawing.svg
    drawing._handle_custom_msg({"chosen": "0/3/0"}, [])  # as the page sends it
    assert chosen == ["0/3/0"]
    drawing.draw(None)
    assert drawing.svg == ""


def test_a_zoom_stays():
    plot = Plot()
    plot.draw(line(1, 2))
    plot.figure.layout.xaxis.range = (0.2, 0.4)  # as the page does
    plot.draw(line(1, 2, 3))
    assert plot.figure.layout.xaxis.range == (0.2, 0.4)

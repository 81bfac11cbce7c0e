"""Figure 7: every system stands where its numbers are, and no label covers another."""

import itertools

import matplotlib.text
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from posenfs.study.systems import systems_of
from posenfs.viz.systems import draw_systems


@pytest.fixture(scope="module", params=["mpii", "coco"])
def drawn_panel(request):
    return request.param, draw_systems(request.param)


def labels_of(figure):
    """The labels of all axes, without titles and ticks."""
    return [
        text
        for axes in figure.axes
        for text in axes.texts
        if isinstance(text, matplotlib.text.Annotation)
    ]


def test_every_system_is_named_where_its_numbers_are(drawn_panel):
    panel, figure = drawn_panel
    systems = systems_of(panel)
    named = {label.get_text().removesuffix(" (test-dev)") for label in labels_of(figure)}
    assert named == {system.name.partition(":")[0] for system in systems}
    positions = {label.xy for label in labels_of(figure) if label.axes is figure.axes[0]}
    once = {(s.name, s.data): s for s in reversed(systems)}.values()
    assert positions == {(s.cost, s.score) for s in once if s.cost is not None}


def test_no_label_covers_another_or_leaves_the_figure(drawn_panel):
    """By the boxes that matplotlib draws, not by those of the placement."""
    _, figure = drawn_panel
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    boxes = {
        label: matplotlib.text.Text.get_window_extent(label, renderer)
        for label in labels_of(figure)
    }
    for first, second in itertools.combinations(boxes, 2):
        assert not boxes[first].overlaps(boxes[second]), (first.get_text(), second.get_text())
    width, height = figure.get_size_inches() * figure.dpi
    for label, box in boxes.items():
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height, label


def test_areas_are_linear_in_the_parameters():
    figure = draw_systems("coco")
    sizes = {tuple(c.get_offsets()[0]): c.get_sizes()[0] for c in figure.axes[0].collections}
    by_name = {s.name: s for s in systems_of("coco") if s.name.startswith("ViTPose")}
    small, huge = by_name["ViTPose-B"], by_name["ViTPose-H"]
    ratio = sizes[huge.cost, huge.score] / sizes[small.cost, small.score]
    assert ratio == pytest.approx(637 / 90)


def test_systems_without_a_cost_stand_in_the_strip():
    plot, strip = draw_systems("coco").axes
    names = [label.get_text() for label in strip.texts]
    assert names == [
        *("CMU-Pose", "Mask-RCNN", "Associative Embedding", "SJTU", "PersonLab", "MultiPoseNet"),
        "CPN",
    ]
    assert strip.get_ylim() == plot.get_ylim()
    assert len(draw_systems("mpii").axes) == 1

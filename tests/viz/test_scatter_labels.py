"""Labels avoid points, other labels and the edge of the panel."""

import math

import pytest

from posenfs.viz.scatter_labels import label_sides, place_labels


def test_labels_avoid_points_and_edges():
    assert label_sides([(100, 100)], ["alone"], (300, 200)) == ["middle right"]
    assert label_sides([(290, 100)], ["at the edge"], (300, 200)) == ["middle left"]
    assert label_sides([(100, 100), (120, 100)], ["one", "two"], (300, 200)) == [
        "middle left",
        "middle right",
    ]
    row = [(100, 100), (120, 100), (140, 100)]  # the middle one has no space at its sides
    assert label_sides(row, ["one", "two", "three"], (300, 200)) == [
        "middle left",
        "top center",
        "middle right",
    ]
    corner = [(60, 196), (80, 196)]
    assert label_sides(corner, ["long enough", "two"], (300, 200)) == [
        "bottom center",
        "middle right",
    ]


def test_labels_avoid_each_other():
    assert label_sides([(100, 100), (100, 112)], ["below", "above"], (300, 200)) == [
        "middle right",
        "middle left",
    ]
    assert label_sides([], [], (300, 200)) == []


def _overlap(first, second):
    """The common width and height of two boxes (centre, size)."""
    (point, size), (other, other_size) = first, second
    return [(size[axis] + other_size[axis]) / 2 - abs(point[axis] - other[axis]) for axis in (0, 1)]


@pytest.mark.parametrize("count", [1, 5, 20])
def test_labels_of_crowded_points_do_not_overlap(count):
    """Points within 20 units, labels of 60 x 10: without lines they cannot all stand at their points."""
    points = [(200 + 10 * math.cos(k), 150 + 10 * math.sin(k)) for k in range(count)]
    centres, lines = place_labels(points, [2.0] * count, [(60.0, 10.0)] * count, (400, 300))
    labels = [(centre, (60.0, 10.0)) for centre in centres]
    dots = [(point, (4.0, 4.0)) for point in points]
    for index, label in enumerate(labels):
        for other in [*labels[:index], *dots]:
            assert min(_overlap(label, other)) <= 1e-6
        assert 30 <= label[0][0] <= 370 and 5 <= label[0][1] <= 295
    assert any(lines) == (count > 1)


def test_a_label_without_a_line_is_nearest_to_its_own_point():
    """Another point stands where the label of the first one would: its label goes elsewhere or has a line."""
    points, sizes = [(100.0, 100.0), (112.0, 100.0)], [(40.0, 10.0)] * 2
    centres, lines = place_labels(points, [2.0, 2.0], sizes, (300, 200))
    for point, centre, line in zip(points, centres, lines, strict=True):
        (other,) = [p for p in points if p != point]
        distances = [
            math.hypot(
                *(max(0.0, abs(c - p) - s / 2) for c, p, s in zip(centre, q, (40, 10), strict=True))
            )
            for q in (point, other)
        ]
        assert line or distances[0] + 3 < distances[1]
    assert place_labels([], [], [], (300, 200)) == ([], [])

"""Labels avoid points, other labels and the edge of the panel."""

from posenfs.viz.scatter_labels import label_sides


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

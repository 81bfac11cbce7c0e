"""The squash curve has the marks of Eq. 10; boxes have the quartiles of each group."""

import re
from dataclasses import replace

import numpy as np
import pytest

from posenfs.body.skeleton import MPII
from posenfs.data.datasets.mpii import read_mpii
from posenfs.data.geometry import ImageSize
from posenfs.search.build import build
from posenfs.viz.poses import draw_vectors
from posenfs.viz.vectors import squash_curves, visibility_boxes, visibility_means


def test_slope_is_greatest_at_a_score_of_a_quarter():
    score, slope, marks = squash_curves().data
    x, y = np.array(score.x), np.array(score.y)
    np.testing.assert_allclose(y, x**2 / (1 + x**2), atol=1e-6)
    np.testing.assert_allclose(slope.y, 2 * x / (1 + x**2) ** 2, atol=1e-6)
    assert y[np.argmax(slope.y)] == pytest.approx(0.25, abs=0.02)
    np.testing.assert_allclose(np.interp(marks.x, x, y), marks.y, atol=1e-3)


def test_visibility_boxes():
    random = np.random.default_rng(0)
    visibility = random.integers(0, 3, (50, 16))
    scores = np.where(visibility == 0, np.nan, random.random((50, 16)) + visibility)
    figure = visibility_boxes(
        {"d = 8": (scores, 2 * scores), "d = 1": (scores + 1, scores)}, visibility
    )
    assert [box.name for box in figure.data] == ["d = 8", "d = 8", "d = 1", "d = 1"]
    box = figure.data[0]
    for n, level in enumerate((2, 1)):
        values = scores[visibility == level]
        assert box.x[n].endswith(f"n = {len(values)}")
        assert (box.q1[n], box.median[n], box.q3[n]) == pytest.approx(
            tuple(np.percentile(values, (25, 50, 75)))
        )
        assert box.mean[n] == pytest.approx(values.mean()) and box.lowerfence[n] == pytest.approx(
            np.percentile(values, 10)
        )
    assert box.x == figure.data[1].x


def test_visibility_means_agree_with_loops():
    random = np.random.default_rng(0)
    visibility = random.integers(0, 3, (50, 16))
    scores = np.where(visibility == 0, np.nan, random.random((50, 16)))
    visibility[:, 5] = 2 * (visibility[:, 5] > 0)  # never occluded: no difference within it
    line = visibility_means({"d": (scores, scores)}, visibility).split("\n")[0]
    numbers = [float(number) for number in re.findall(r"[+-]?\d\.\d+", line)]
    seen, hidden = scores[visibility == 2].mean(), scores[visibility == 1].mean()
    values = [
        scores[visibility[:, k] == 1, k].mean() - scores[visibility[:, k] == 2, k].mean()
        for k in range(16)
        if k != 5
    ]
    assert numbers == pytest.approx([seen, hidden, hidden - seen, np.mean(values)], abs=6e-4)


def test_no_occluded_keypoint_gives_an_empty_box():
    assert "occluded    nan" in visibility_means(
        {"d": (np.ones((3, 16)),) * 2}, np.full((3, 16), 2)
    )
    figure = visibility_boxes({"d = 8": (np.ones((3, 16)),) * 2}, np.full((3, 16), 2))
    assert figure.data[0].x[1] == "occluded, n = 0" and figure.data[0].median[1] is None


def test_vectors_have_a_row_for_each_part_of_a_keypoint(tiny, drawn):
    people = read_mpii(drawn, "valid")
    model = build(replace(tiny, parts=8), progress=False).model
    figure = draw_vectors(model, people, 0, "left_shoulder", ImageSize(64, 64))
    titles = [axes.get_title() for axes in figure.axes]
    assert [t.split(":")[0] for t in titles if "length" in t] == ["left upper arm", "head shoulder"]
    assert sum(t.startswith("component") for t in titles) == 2 * 8
    assert model.training and len(figure._repr_png_()) > 10_000
    assert (
        len(draw_vectors(model, people, 0, "pelvis", ImageSize(64, 64)).axes) == 2 * 5 + 1
    )  # with the colour scales
    with pytest.raises(ValueError, match="vector_dim 1"):
        draw_vectors(
            build(replace(tiny, vector_dim=1), progress=False).model,
            people,
            0,
            MPII.keypoints[0],
            ImageSize(64, 64),
        )

"""Figures of errors agree with the metrics."""

import numpy as np
import pytest

from posenfs.data.datasets.coco import read_coco
from posenfs.evaluation.pck import pck
from posenfs.evaluation.stats import pck_interval
from posenfs.viz.errors import calibration, errors_by_group, errors_by_keypoint, pck_curves


@pytest.fixture
def people(drawn):
    return read_coco(drawn, "train")


@pytest.fixture
def errors(people):
    errors = np.random.default_rng(0).gamma(1.5, 0.2, people.visibility.shape)
    return np.where(people.visibility > 0, errors, np.nan)


def test_pck_curves(errors):
    figure = pck_curves({"a": errors, "b": errors / 2})
    first, second = figure.data
    assert first.y[-1] == pytest.approx(pck(errors, 0.5)) and second.y[25] == pytest.approx(
        pck(errors, 0.5)
    )
    assert "area" in first.name


def test_errors_by_keypoint(errors, people):
    figure = errors_by_keypoint(errors, people, 0.5)
    boxes = figure.data
    assert figure.layout.shapes[0].y0 == 0.5 and figure.layout.annotations[0].y == pytest.approx(
        np.log10(0.5)
    )
    shown = {box.name: box for box in boxes}
    for k, name in enumerate(people.skeleton.keypoints):
        labelled = errors[np.isfinite(errors[:, k]), k]
        assert (name in shown) == bool(len(labelled))
        if len(labelled):
            assert shown[name].median[0] == pytest.approx(np.median(labelled))


def test_errors_by_occlusion_and_size(errors, people):
    (bars,) = errors_by_group(errors, people, 0.3).data
    values = dict(zip((name.partition("<br>")[0] for name in bars.x), bars.y, strict=True))
    occluded = np.where(people.visibility == 1, errors, np.nan)
    assert values["visible"] == pytest.approx(
        pck(np.where(people.visibility == 2, errors, np.nan), 0.3)
    )
    assert values["occluded"] == pytest.approx(pck(occluded, 0.3)) and len(values) == 5
    place = list(values).index("occluded")
    assert bars.y[place] + bars.error_y.array[place] == pytest.approx(
        pck_interval(occluded, 0.3).high
    )
    labels = sum(int(name.rpartition("<br>")[2].split()[0]) for name in bars.x[2:])
    assert labels == np.isfinite(errors).sum()


def test_calibration_of_informative_and_random_scores(errors):
    line, probability = calibration(1 / (1 + errors), errors, 0.3).data
    assert probability.y == pytest.approx([0, 100 * line.x[-1]])
    assert line.y[0] == 0 and line.y[-1] == 100 and list(line.x) == sorted(line.x)
    flat, _ = calibration(np.random.default_rng(1).random(errors.shape), errors, 0.3).data
    assert (
        np.ptp(flat.y) < 60
        and sum(int(t.split()[0]) for t in flat.text) == np.isfinite(errors).sum()
    )
    assert len(calibration(errors, np.full(errors.shape, np.nan), 0.3).data[0].x) == 0

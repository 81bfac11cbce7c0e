"""PCKh and PCK against plain loops."""

import numpy as np
import pytest

from posenfs.body.skeleton import MPII
from posenfs.data.datasets.mpii import read_mpii
from posenfs.evaluation.pck import normalised_errors, pck, pck_curve, pck_metrics, torso_sizes


def test_pckh_equals_plain_loops():
    random = np.random.default_rng(0)
    errors = random.uniform(0, 1, (40, 16))
    errors[random.random((40, 16)) < 0.2] = np.nan
    values = pck_metrics(errors, MPII, "pckh", 0.3)
    hits = total = 0
    for person in errors:
        for name, error in zip(MPII.keypoints, person, strict=True):
            if name not in ("pelvis", "thorax") and not np.isnan(error):
                total += 1
                hits += error <= 0.3
    assert values["pckh@0.3"] == pytest.approx(100 * hits / total)
    knees = [100 * np.mean(errors[~np.isnan(errors[:, k]), k] <= 0.3) for k in (11, 12)]
    assert values["pckh@0.3/knee"] == pytest.approx(np.mean(knees))


def test_an_error_equal_to_the_threshold_is_correct():
    errors = np.full((1, 16), 0.5)
    assert pck_metrics(errors, MPII, "pckh", 0.5)["pckh@0.5"] == 100
    assert pck_metrics(np.nextafter(errors, 1), MPII, "pckh", 0.5)["pckh@0.5"] == 0


def test_errors_without_label_or_head_size_are_nan(drawn):
    people = read_mpii(drawn, "valid")
    sizes = people.head_sizes.copy()
    sizes[0] = 0
    errors = normalised_errors(people.keypoints_image + [3, 4], people, sizes)
    assert np.isnan(errors[0]).all()
    assert (np.isnan(errors[1:]) == (people.visibility[1:] == 0)).all()
    np.testing.assert_allclose(np.nanmax(errors[1:], 1), 5 / sizes[1:])
    with pytest.raises(ValueError, match=r"shape \(2, 16, 2\)"):
        normalised_errors(np.zeros((2, 16, 2)), people, sizes)


def test_pck_by_torso_equals_plain_loops(drawn):
    people = read_mpii(drawn, "valid")
    predicted = people.keypoints_image + np.random.default_rng(0).normal(
        0, 8, people.keypoints_image.shape
    )
    hits = []
    for truth, prediction, labelled in zip(
        people.keypoints_image, predicted, people.visibility > 0, strict=True
    ):
        shoulder, hip = MPII.index("left_shoulder"), MPII.index("right_hip")
        if labelled[shoulder] and labelled[hip]:
            torso = np.hypot(*(truth[shoulder] - truth[hip]))
            hits += [
                np.hypot(*(truth[k] - prediction[k])) <= 0.2 * torso
                for k in np.flatnonzero(labelled)
            ]
    assert 5 < 100 * np.mean(hits) < 95
    assert pck(normalised_errors(predicted, people, torso_sizes(people)), 0.2) == pytest.approx(
        100 * np.mean(hits)
    )


def test_pck_without_labels_is_nan():
    assert np.isnan(pck_metrics(np.full((3, 16), np.nan), MPII, "pckh", 0.5)["pckh@0.5"])


def test_the_ten_hard_keypoints(drawn):
    people = read_mpii(drawn, "valid")
    errors = np.random.default_rng(0).uniform(0, 1, people.visibility.shape)
    share = pck_metrics(errors, MPII, "pckh", 0.5)["pckh@0.5/hard"]
    hard = [
        k
        for k, name in enumerate(MPII.keypoints)
        if name.split("_")[-1] in ["ankle", "knee", "hip", "wrist", "elbow"]
    ]
    assert len(hard) == 10 and share == pytest.approx(100 * (errors[:, hard] <= 0.5).mean())
    assert "pck_box@0.2/hard" not in pck_metrics(errors, MPII, "pck_box", 0.2)


def test_pck_curve_and_its_area():
    errors = np.array([[0.1, 0.3], [0.2, np.nan]])
    thresholds, shares, area = pck_curve(errors, 0.4, 401)
    assert shares[0] == 0 and shares[-1] == 100 and shares[250] == pytest.approx(200 / 3)
    assert (
        area == pytest.approx(100 * (0.3 + 0.1 + 0.2) / 3 / 0.4, abs=0.2) and len(thresholds) == 401
    )
    assert pck_curve(np.zeros((2, 2)))[2] == 100

import os
from pathlib import Path

import numpy as np
import pytest

from posenfs.body.skeleton import MPII
from posenfs.data.datasets.mpii import FILE_ORDER, read_mpii
from posenfs.evaluation.metrics import normalised_errors, pck, pckh, torso_sizes

REAL = Path(os.environ.get("POSENFS_DATA", Path(__file__).parents[3] / "shared" / "data"))

HOURGLASS = {
    "pckh@0.5/head": 95.941, "pckh@0.5/shoulder": 94.684, "pckh@0.5/elbow": 88.529, "pckh@0.5/wrist": 83.382,
    "pckh@0.5/hip": 87.485, "pckh@0.5/knee": 83.094, "pckh@0.5/ankle": 79.050, "pckh@0.5": 88.035,
    "pckh@0.1": 28.647, "pckh@0.11": 32.805,
}  # fmt: skip


@pytest.mark.skipif(not (REAL / "mpii_valid").is_dir(), reason=f"no published predictions at {REAL}/mpii_valid")
def test_published_predictions_score_as_published(tmp_path):
    (tmp_path / "annot").symlink_to(REAL / "mpii_valid")
    people = read_mpii(tmp_path, "valid")
    predicted = np.load(REAL / "mpii_valid" / "hourglass_valid_preds.npy").astype(float)[:, FILE_ORDER] - 1
    values = pckh(normalised_errors(predicted, people, people.head_sizes), MPII)
    for name, expected in HOURGLASS.items():
        assert round(values[name], 3) == expected, name


def test_by_loops():
    random = np.random.default_rng(0)
    errors = random.uniform(0, 1, (40, 16))
    errors[random.random((40, 16)) < 0.2] = np.nan
    values = pckh(errors, MPII, (0.3,))
    hits = total = 0
    for person in errors:
        for name, error in zip(MPII.keypoints, person, strict=True):
            if name not in ("pelvis", "thorax") and not np.isnan(error):
                total += 1
                hits += error <= 0.3
    assert values["pckh@0.3"] == pytest.approx(100 * hits / total)
    knees = [100 * np.mean(errors[~np.isnan(errors[:, k]), k] <= 0.3) for k in (11, 12)]
    assert values["pckh@0.3/knee"] == pytest.approx(np.mean(knees))


def test_the_threshold_itself_counts_as_correct():
    errors = np.full((1, 16), 0.5)
    assert pckh(errors, MPII)["pckh@0.5"] == 100
    assert pckh(np.nextafter(errors, 1), MPII)["pckh@0.5"] == 0


def test_unlabelled_people_without_head_and_shape(drawn):
    people = read_mpii(drawn, "valid")
    sizes = people.head_sizes.copy()
    sizes[0] = 0
    errors = normalised_errors(people.keypoints_image + [3, 4], people, sizes)
    assert np.isnan(errors[0]).all()
    assert (np.isnan(errors[1:]) == (people.visibility[1:] == 0)).all()
    np.testing.assert_allclose(np.nanmax(errors[1:], 1), 5 / sizes[1:])
    with pytest.raises(ValueError, match=r"shape \(2, 16, 2\)"):
        normalised_errors(np.zeros((2, 16, 2)), people, sizes)


def test_pck_by_the_torso(drawn):
    people = read_mpii(drawn, "valid")
    predicted = people.keypoints_image + np.random.default_rng(0).normal(0, 8, people.keypoints_image.shape)
    hits = []
    for truth, guess, labelled in zip(people.keypoints_image, predicted, people.visibility > 0, strict=True):
        shoulder, hip = MPII.index("left_shoulder"), MPII.index("right_hip")
        if labelled[shoulder] and labelled[hip]:
            torso = np.hypot(*(truth[shoulder] - truth[hip]))
            hits += [np.hypot(*(truth[k] - guess[k])) <= 0.2 * torso for k in np.flatnonzero(labelled)]
    assert 5 < 100 * np.mean(hits) < 95
    assert pck(normalised_errors(predicted, people, torso_sizes(people)), 0.2) == pytest.approx(100 * np.mean(hits))


def test_nothing_labelled_is_nan():
    assert np.isnan(pckh(np.full((3, 16), np.nan), MPII)["pckh@0.5"])

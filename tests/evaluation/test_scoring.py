"""Scoring of prediction files: published numbers, plain loops, and invalid files."""

import json

import numpy as np
import pytest
from scipy.io import savemat

from posenfs.cli.main import main
from posenfs.data.sample import DataError
from posenfs.evaluation.ground_truth import read_truth
from posenfs.evaluation.scoring import score_mpii, score_pck


def pck_files(predictions, ground_truth):
    return ["--predictions", str(predictions), "--ground-truth", str(ground_truth)]


def coco_files(results, annotations):
    return ["--predictions", str(results), "--annotations", str(annotations)]


def test_published_hourglass_scores(real, capsys):
    folder = real("mpii_valid")
    files = pck_files(folder / "hourglass_valid_preds.npy", folder / "gt_valid.mat")
    main(["evaluate", "mpii", *files, "--one-based", "--json"])
    scores = json.loads(capsys.readouterr().out)
    published = {
        "head": 95.941,
        "shoulder": 94.684,
        "elbow": 88.529,
        "wrist": 83.382,
        "hip": 87.485,
        "knee": 83.094,
        "ankle": 79.050,
        "mean": 88.035,
    }
    assert {name: round(value, 3) for name, value in scores["pckh@0.5"].items()} == published
    assert round(scores["pckh@0.1"]["mean"], 3) == 28.647
    assert round(scores["pckh@0.11"]["mean"], 3) == 32.805
    main(["evaluate", "mpii", *files])
    shifted = capsys.readouterr().out  # read as 0-based, so one pixel off
    assert "PCKh@0.1 " in shifted and "88.035" not in shifted


@pytest.fixture
def truth(tmp_path):
    """Return a file of three people with every joint at (10, 20), 1-based, and heads of 0.6 x 5 px.

    The last person has no head size.
    """
    joints = np.tile(np.array([10.0, 20.0])[None, :, None], (16, 1, 3))
    heads = np.zeros((2, 2, 3))
    heads[1, :, :2] = [[3], [4]]
    missing = np.zeros((16, 3), np.uint8)
    missing[9, 0] = 1
    path = tmp_path / "gt_valid.mat"
    savemat(path, {"pos_gt_src": joints, "headboxes_src": heads, "jnt_missing": missing})
    return path


def test_pckh_by_hand(truth):
    predictions = np.tile([9.0, 19.0], (3, 16, 1))  # 0-based: exact
    predictions[1, 10] = [9 + 1.6, 19]  # the right wrist is off by more than half of three px
    predictions[1, 6] = 999  # the pelvis does not count
    scores, skipped = score_mpii(predictions, truth)
    assert skipped == {"without a head size": 1}
    assert scores["pckh@0.5"]["mean"] == pytest.approx(100 * 26 / 27)
    assert scores["pckh@0.5"]["wrist"] == 75 and scores["pckh@0.5"]["head"] == 100
    assert score_mpii(predictions + 1, truth, one_based=True)[0] == scores


def test_predictions_of_another_number_of_people_raise_an_error(tmp_path, truth):
    np.save(tmp_path / "five.npy", np.zeros((5, 16, 2)))
    command = ["evaluate", "mpii", "--predictions", str(tmp_path / "five.npy"), "--ground-truth"]
    with pytest.raises(
        SystemExit, match=f"five.npy: predictions of 5 people, but {truth} has 3; give one for each"
    ):
        main([*command, str(truth)])
    with pytest.raises(SystemExit, match="no ground truth at none.mat; give MPII's gt_valid.mat"):
        main([*command, "none.mat"])


def test_skipped_people_are_counted_by_reason(tmp_path, capsys):
    joints = np.random.default_rng(0).uniform(0, 9, (16, 2, 4))
    heads, missing = np.zeros((2, 2, 4)), np.zeros((16, 4), np.uint8)
    # One person without head and keypoints, one without keypoints, two complete people.
    heads[1, :, 1:] = 3
    missing[:, :2] = 1
    savemat(
        tmp_path / "gt.mat", {"pos_gt_src": joints, "headboxes_src": heads, "jnt_missing": missing}
    )
    np.save(tmp_path / "preds.npy", joints.transpose(2, 0, 1))
    files = [*pck_files(tmp_path / "preds.npy", tmp_path / "gt.mat"), "--one-based"]
    main(["evaluate", "mpii", *files, "--thresholds", "0.2", "--json"])
    printed = capsys.readouterr()
    assert "people skipped: 1 without a head size, 1 without a labelled keypoint" in printed.err
    assert json.loads(printed.out)["pckh@0.2"]["mean"] == 100
    main(["evaluate", "pck", *files, "--normalise", "box", "--json"])
    assert "people skipped: 2 without a box size" in capsys.readouterr().err


def test_pck_on_lsp_equals_plain_loops(real, tmp_path, capsys):
    truth = read_truth(real("lspet") / "joints.mat")
    predictions = truth.keypoints_image + np.random.default_rng(0).normal(
        0, 6, truth.keypoints_image.shape
    )
    np.save(tmp_path / "preds.npy", predictions)
    files = pck_files(tmp_path / "preds.npy", real("lspet") / "joints.mat")
    main(["evaluate", "pck", *files, "--threshold", "0.1", "--json"])
    scores = json.loads(capsys.readouterr().out)["pck_torso@0.1"]
    hits = []
    shoulder = truth.skeleton.index("left_shoulder")
    hip = truth.skeleton.index("right_hip")
    people = zip(truth.keypoints_image, predictions, truth.visibility > 0, strict=True)
    for points, predicted, labelled in people:
        if labelled[shoulder] and labelled[hip]:
            torso = np.hypot(*(points[shoulder] - points[hip]))
            assert torso > 0
            for k in np.flatnonzero(labelled):
                hits.append(np.hypot(*(points[k] - predicted[k])) <= 0.1 * torso)
    assert scores["mean"] == pytest.approx(100 * np.mean(hits)) and 5 < scores["mean"] < 95
    main(["evaluate", "pck", *files, "--torso", "right_shoulder", "left_hip", "--json"])
    assert json.loads(capsys.readouterr().out)["pck_torso@0.2"]["mean"] != scores["mean"]
    main(["evaluate", "pck", *files, "--normalise", "head"])
    assert "PCK@0.2 (head)" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["gt_valid.mat", "valid.json", "person_keypoints_val.json"])
@pytest.mark.parametrize("normalise", ["torso", "box", "head"])
def test_pck_with_every_format_of_ground_truth(name, normalise, drawn, tmp_path, capsys):
    folder = "annotations" if name.startswith("person") else "annot"
    truth = read_truth(drawn / folder / name)
    np.save(tmp_path / "preds.npy", truth.keypoints_image + 1)
    files = pck_files(tmp_path / "preds.npy", drawn / folder / name)
    if normalise == "head" and name.startswith("person"):
        with pytest.raises(
            SystemExit, match="no person in person_keypoints_val.json has a head with a size"
        ):
            main(["evaluate", "pck", *files, "--normalise", normalise])
        return
    main(["evaluate", "pck", *files, "--normalise", normalise, "--one-based", "--json"])
    assert json.loads(capsys.readouterr().out)[f"pck_{normalise}@0.2"]["mean"] == 100


@pytest.mark.parametrize(
    "options",
    [
        ("pck", "--threshold", "nan"),
        ("pck", "--threshold", "-1"),
        ("pck", "--threshold", "inf"),
        ("coco", "--rescore", "--nms", "nan"),
        ("coco", "--rescore", "--nms", "-1"),
        ("coco", "--aspect", "-1"),
        ("coco", "--rescore", "--nms", "2"),
        ("coco", "--rescore", "--aspect", "0"),
        ("coco", "--aspect", "nan"),
    ],
)
def test_impossible_options_raise_an_error(options, drawn, tmp_path):
    kind, *arguments = options
    truth = drawn / "annotations" / "person_keypoints_val.json"
    np.save(tmp_path / "preds.npy", read_truth(truth).keypoints_image)
    files = coco_files(truth, truth)
    if kind == "pck":
        files = pck_files(tmp_path / "preds.npy", truth)
    with pytest.raises(SystemExit, match=f"got {float(arguments[-1])}"):
        main(["evaluate", kind, *files, *arguments])


@pytest.mark.parametrize(
    ("kind", "predictions", "truth", "message"),
    [
        ("mpii", "none.npy", "valid.json", "no predictions at"),
        ("pck", "none.npy", "valid.json", "no predictions at"),
        ("coco", "none.json", "person_keypoints_val.json", "no results at"),
        ("coco", "person_keypoints_val.json", "none.json", "no annotations at"),
    ],
)
def test_missing_files_raise_an_error(kind, predictions, truth, message, drawn):
    option, folder = "--ground-truth", "annot"
    if kind == "coco":
        option, folder = "--annotations", "annotations"
    folder = drawn / folder
    files = ["--predictions", str(folder / predictions), option, str(folder / truth)]
    with pytest.raises(SystemExit, match=f"{message} .*none"):
        main(["evaluate", kind, *files])


def test_pck_of_other_people_or_keypoints_raises_an_error(real):
    truth = read_truth(real("lspet") / "joints.mat")
    with pytest.raises(
        DataError, match=r"shape \[5, 14, 2\] for joints.mat, which has 6000 people"
    ):
        score_pck(np.zeros((5, 14, 2)), truth, "torso", 0.2)
    with pytest.raises(ValueError, match="has no keypoint 'tail'"):
        score_pck(truth.keypoints_image, truth, "torso", 0.2, ("tail", "neck"))
    with pytest.raises(ValueError, match="not by 'size'"):
        score_pck(truth.keypoints_image, truth, "size", 0.2)

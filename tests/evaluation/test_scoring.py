"""Anyone's predictions: published ones to three decimals, COCO's results, and files that are not as they should be."""

import json
import shutil

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from posenfs.body.skeleton import COCO, MPII_FILE_KEYPOINTS
from posenfs.cli import main
from posenfs.data.sample import DataError
from posenfs.evaluation.oks import average_precision, nms_areas
from posenfs.evaluation.scoring import read_predictions, rescored, score_mpii, score_pck
from posenfs.evaluation.truth import read_truth
from tests.evaluation.test_oks import by_pycocotools, plain_nms


def test_the_published_hourglass(real, capsys):
    folder = real("mpii_valid")
    files = [
        "--predictions",
        str(folder / "hourglass_valid_preds.npy"),
        "--ground-truth",
        str(folder / "gt_valid.mat"),
    ]
    main(["evaluate", "mpii", *files, "--one-based", "--json"])
    found = json.loads(capsys.readouterr().out)
    published = {"head": 95.941, "shoulder": 94.684, "elbow": 88.529, "wrist": 83.382, "hip": 87.485, "knee": 83.094,
                 "ankle": 79.050, "mean": 88.035}  # fmt: skip
    assert {name: round(value, 3) for name, value in found["pckh@0.5"].items()} == published
    assert (
        round(found["pckh@0.1"]["mean"], 3) == 28.647
        and round(found["pckh@0.11"]["mean"], 3) == 32.805
    )
    main(["evaluate", "mpii", *files])
    shifted = capsys.readouterr().out  # taken as 0-based they are a pixel off
    assert "PCKh@0.1 " in shifted and "88.035" not in shifted


@pytest.fixture
def truth(tmp_path):
    """Three people with every joint at (10, 20), 1-based, heads of 0.6 x 5 px; the last one has no head size."""
    joints = np.tile(np.array([10.0, 20.0])[None, :, None], (16, 1, 3))
    heads = np.zeros((2, 2, 3))
    heads[1, :, :2] = [[3], [4]]
    missing = np.zeros((16, 3), np.uint8)
    missing[9, 0] = 1
    path = tmp_path / "gt_valid.mat"
    savemat(path, {"pos_gt_src": joints, "headboxes_src": heads, "jnt_missing": missing})
    return path


def test_by_hand(truth):
    predictions = np.tile([9.0, 19.0], (3, 16, 1))  # 0-based: on the spot
    predictions[1, 10] = [9 + 1.6, 19]  # the right wrist beyond half of three px
    predictions[1, 6] = 999  # the pelvis does not count
    found, skipped = score_mpii(predictions, truth)
    assert skipped == {"without a head size": 1} and found["pckh@0.5"]["mean"] == pytest.approx(
        100 * 26 / 27
    )
    assert found["pckh@0.5"]["wrist"] == 75 and found["pckh@0.5"]["head"] == 100
    assert score_mpii(predictions + 1, truth, one_based=True)[0] == found


@pytest.mark.parametrize("form", ["npy", "mat", "h5", "json"])
def test_every_form_of_predictions(form, tmp_path):
    array, path = np.random.default_rng(0).uniform(0, 99, (3, 16, 2)), tmp_path / f"preds.{form}"
    if form == "npy":
        np.save(path, array)
    elif form == "mat":
        savemat(path, {"preds": array, "more": 1})
    elif form == "h5":
        with h5py.File(path, "w") as file:
            file["preds"] = array
    else:
        path.write_text(json.dumps(array.tolist()))
    assert read_predictions(path, MPII_FILE_KEYPOINTS) == pytest.approx(array)


def test_who_is_skipped_is_counted_by_the_reason(tmp_path, capsys):
    joints = np.random.default_rng(0).uniform(0, 9, (16, 2, 4))
    heads, missing = np.zeros((2, 2, 4)), np.zeros((16, 4), np.uint8)
    heads[1, :, 1:], missing[:, :2] = (
        3,
        1,
    )  # no head and no keypoint; a head, but no keypoint; two whole ones
    savemat(
        tmp_path / "gt.mat", {"pos_gt_src": joints, "headboxes_src": heads, "jnt_missing": missing}
    )
    np.save(tmp_path / "preds.npy", joints.transpose(2, 0, 1))
    files = [
        "--predictions",
        str(tmp_path / "preds.npy"),
        "--ground-truth",
        str(tmp_path / "gt.mat"),
        "--one-based",
    ]
    main(["evaluate", "mpii", *files, "--thresholds", "0.2", "--json"])
    printed = capsys.readouterr()
    assert "people skipped: 1 without a head size, 1 without a labelled keypoint" in printed.err
    assert json.loads(printed.out)["pckh@0.2"]["mean"] == 100
    main(["evaluate", "pck", *files, "--normalise", "box", "--json"])
    assert "people skipped: 2 without a box size" in capsys.readouterr().err


def matlab73(path, array, name="preds"):
    """As MATLAB writes version 7.3: HDF5 behind 512 bytes of its own, axes the other way round."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file[name] = array.T
    with open(path, "rb+") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


def test_predictions_of_other_names_and_axes(tmp_path):
    points = np.random.default_rng(0).uniform(0, 99, (5, 16, 2))
    scored = np.concatenate([points, np.ones((5, 16, 1))], -1)
    matlab73(tmp_path / "a.mat", points)
    savemat(
        tmp_path / "b.mat",
        {"found": scored, "scores": np.ones((5, 16, 1)), "version": "1", "cell": np.array({})},
    )
    savemat(tmp_path / "c.mat", {"preds": points.transpose(1, 2, 0)})
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file.create_group("results")["preds"] = points.astype(np.float32)
        file["truth"] = points + 1
    with h5py.File(tmp_path / "e.h5", "w") as file:
        file["points"], file["visible"] = points.transpose(2, 1, 0), np.ones((5, 16))
        file.create_group("of nothing")
    (tmp_path / "f.json").write_text(json.dumps({"preds": points.tolist(), "by": "us"}))
    np.save(tmp_path / "g.npy", scored)
    for path in sorted(tmp_path.iterdir()):
        assert read_predictions(path, MPII_FILE_KEYPOINTS) == pytest.approx(points, abs=1e-5), path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((3, 15, 2)), r"\[3, 15, 2\]; expected numbers of shape \[N, 16, 2\]"),
        (np.zeros((16, 16, 3, 1)), r"\[16, 16, 3, 1\]"),
        (np.zeros((2, 16, 16)), r"\[2, 16, 16\]"),  # which sixteen are people?
        (np.zeros((0, 16, 2)), r"\[0, 16, 2\]"),
        (np.full((3, 16, 2), np.nan), r"person 0's right_ankle is \[nan, nan\]"),
        (np.full((3, 16, 2), np.inf), r"\[inf, inf\]"),
        (np.array([["a"]]), "its array, no numbers"),
        (np.array([{}], dtype=object), "cannot be read"),
    ],
)
def test_predictions_that_are_none(content, message, tmp_path):
    np.save(tmp_path / "bad.npy", content)
    with pytest.raises(DataError, match=message) as error:
        read_predictions(tmp_path / "bad.npy", MPII_FILE_KEYPOINTS)
    assert "bad.npy" in str(error.value)


def test_files_that_are_none(tmp_path, truth):
    for name, message in (
        ("a.npy", "cannot be read"),
        ("a.h5", "cannot be read"),
        ("a.txt", "are read from .npy"),
    ):
        (tmp_path / name).write_bytes(b"nothing")
        with pytest.raises(DataError, match=message):
            read_predictions(tmp_path / name, MPII_FILE_KEYPOINTS)
    savemat(tmp_path / "b.mat", {"one": 1, "two": 2})
    with pytest.raises(
        DataError, match=r"one of shape \[1, 1\], two of shape \[1, 1\]; expected numbers"
    ):
        read_predictions(tmp_path / "b.mat", MPII_FILE_KEYPOINTS)
    savemat(tmp_path / "c.mat", {"one": np.zeros((3, 16, 2)), "two": np.ones((3, 16, 2))})
    with pytest.raises(DataError, match="one, two may each be the predictions; name them `preds`"):
        read_predictions(tmp_path / "c.mat", MPII_FILE_KEYPOINTS)
    for text, message in (
        ("[" * 10**5, "recursion limit"),
        ("[[[1" + "0" * 400 + ", 0]]]", "no numbers"),
        ("[]", "shape"),
    ):
        (tmp_path / "d.json").write_text(text)
        with pytest.raises(DataError, match=message):
            read_predictions(tmp_path / "d.json", MPII_FILE_KEYPOINTS)
    np.save(tmp_path / "five.npy", np.zeros((5, 16, 2)))
    command = ["evaluate", "mpii", "--predictions", str(tmp_path / "five.npy"), "--ground-truth"]
    with pytest.raises(
        SystemExit, match=f"five.npy: predictions of 5 people, but {truth} has 3; give one for each"
    ):
        main([*command, str(truth)])
    with pytest.raises(SystemExit, match="no ground truth at none.mat; give MPII's gt_valid.mat"):
        main([*command, "none.mat"])


@pytest.fixture
def annotations(real):
    return json.loads((real("coco_mini") / "person_keypoints_val.json").read_text())


def results_of(annotations, seed):
    """Perturbed ground truth with duplicates: box scores, raw keypoint scores, boxes."""
    random, results = np.random.default_rng(seed), []
    for annotation in annotations["annotations"]:
        if annotation["iscrowd"] or not annotation["num_keypoints"]:
            continue
        for _ in range(random.integers(1, 4)):
            points = np.array(annotation["keypoints"], float).reshape(-1, 3)
            points[:, :2] += (
                random.choice([0, 0.01, 0.05])
                * annotation["area"] ** 0.5
                * random.normal(size=(17, 2))
            )
            points[:, 2] = random.random(17)
            results.append(
                {
                    "image_id": annotation["image_id"], "category_id": 1, "bbox": annotation["bbox"],
                    "score": float(random.integers(1, 5) / 4), "keypoints": points.ravel().tolist(),
                }
            )  # fmt: skip
    return results


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("seed", range(6))
def test_rescoring_and_suppression_are_plain_loops(seed, split, real, tmp_path, capsys):
    truth = real("coco_mini") / f"person_keypoints_{split}.json"
    annotations = json.loads(truth.read_text())
    results, plain = results_of(annotations, seed), []
    for image in dict.fromkeys(result["image_id"] for result in results):
        own = [result for result in results if result["image_id"] == image]
        scores = []
        for result in own:
            total, count = np.float32(0), 0
            for score in result["keypoints"][2::3]:
                if np.float32(score) > 0.2:
                    total, count = total + np.float32(score), count + 1
            scores.append(total / np.float32(max(count, 1)) * np.float32(result["score"]))
        poses = [np.array(result["keypoints"]).reshape(-1, 3)[:, :2] for result in own]
        areas = nms_areas(np.array([result["bbox"] for result in own]))
        plain += [
            {**own[n], "score": float(scores[n])} for n in plain_nms(poses, scores, areas, 0.9)
        ]
    found = rescored(results, COCO.oks_sigmas, 0.9)
    key = lambda r: (r["image_id"], r["score"], r["keypoints"])  # noqa: E731
    assert sorted(found, key=key) == sorted(plain, key=key) and len(found) < len(results)
    (tmp_path / "results.json").write_text(json.dumps(results))
    files = ["--predictions", str(tmp_path / "results.json"), "--annotations", str(truth)]
    main(["evaluate", "coco", *files, "--rescore", "--nms", "0.9", "--json"])
    assert json.loads(capsys.readouterr().out) == by_pycocotools(truth, plain)
    main(["evaluate", "coco", *files, "--json"])
    assert json.loads(capsys.readouterr().out) == by_pycocotools(truth, results)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.update(image_id=-5), "is of image -5, which the annotations do not have"),
        (lambda r: r.update(image_id=True), "image_id is True; COCO's are whole numbers"),
        (lambda r: r.update(keypoints=r["keypoints"][:48]), "keypoints must be 51 numbers"),
        (lambda r: r["keypoints"].__setitem__(0, float("nan")), "keypoints holds nan"),
        (lambda r: r.update(score=float("inf")), "score holds inf"),
        (lambda r: r.pop("score"), "score must be a number"),
        (lambda r: r.pop("bbox"), "bbox must be 4 numbers"),
        (lambda r: r.update(bbox=[0, 0, 0, 5]), "has no size"),
    ],
)
def test_results_that_cannot_be_used(change, message, annotations, real, tmp_path):
    results = results_of(annotations, 0)
    change(results[2])
    (tmp_path / "bad.json").write_text(json.dumps(results))
    truth = real("coco_mini") / "person_keypoints_val.json"
    with pytest.raises(SystemExit) as error:
        main(
            [
                "evaluate",
                "coco",
                "--predictions",
                str(tmp_path / "bad.json"),
                "--annotations",
                str(truth),
                "--rescore",
            ]
        )
    assert message in str(error.value.code) and "bad.json, result 2" in str(error.value.code)


def test_other_keypoints_by_their_own_sigmas(annotations, real, tmp_path, capsys):
    results = results_of(annotations, 0)
    own = json.loads(json.dumps(annotations))
    own["categories"][0]["keypoints"] = [f"point_{k}" for k in range(17)]
    (tmp_path / "own.json").write_text(json.dumps(own))
    (tmp_path / "results.json").write_text(json.dumps(results))
    files = [
        "--predictions",
        str(tmp_path / "results.json"),
        "--annotations",
        str(tmp_path / "own.json"),
    ]
    with pytest.raises(SystemExit, match="give their --sigmas"):
        main(["evaluate", "coco", *files])
    with pytest.raises(SystemExit, match="17 numbers above 0"):
        main(["evaluate", "coco", *files, "--sigmas", "0.1"])
    main(["evaluate", "coco", *files, "--sigmas", *["0.03"] * 17, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found == average_precision(own, results, [0.03] * 17) != average_precision(own, results)


def test_an_empty_results_file(real, tmp_path):
    truth = real("coco_mini") / "person_keypoints_val.json"
    (tmp_path / "empty.json").write_text("[]")
    with pytest.raises(SystemExit, match="at least one result"):
        main(
            [
                "evaluate",
                "coco",
                "--predictions",
                str(tmp_path / "empty.json"),
                "--annotations",
                str(truth),
            ]
        )
    with pytest.raises(SystemExit, match="give --rescore with it"):
        main(
            [
                "evaluate",
                "coco",
                "--predictions",
                str(truth),
                "--annotations",
                str(truth),
                "--nms",
                "0.9",
            ]
        )


def test_pck_of_lsp(real, tmp_path, capsys):
    truth = read_truth(real("lspet") / "joints.mat")
    predictions = truth.keypoints_image + np.random.default_rng(0).normal(
        0, 6, truth.keypoints_image.shape
    )
    np.save(tmp_path / "preds.npy", predictions)
    files = [
        "--predictions",
        str(tmp_path / "preds.npy"),
        "--ground-truth",
        str(real("lspet") / "joints.mat"),
    ]
    main(["evaluate", "pck", *files, "--threshold", "0.1", "--json"])
    found = json.loads(capsys.readouterr().out)["pck_torso@0.1"]
    hits = []
    shoulder, hip = (truth.skeleton.index(name) for name in ("left_shoulder", "right_hip"))
    for points, guess, seen in zip(
        truth.keypoints_image, predictions, truth.visibility > 0, strict=True
    ):
        torso = np.hypot(*(points[shoulder] - points[hip])) if seen[shoulder] and seen[hip] else 0
        if torso > 0:
            hits += [np.hypot(*(points[k] - guess[k])) <= 0.1 * torso for k in np.flatnonzero(seen)]
    assert found["mean"] == pytest.approx(100 * np.mean(hits)) and 5 < found["mean"] < 95
    main(["evaluate", "pck", *files, "--torso", "right_shoulder", "left_hip", "--json"])
    assert json.loads(capsys.readouterr().out)["pck_torso@0.2"]["mean"] != found["mean"]
    main(["evaluate", "pck", *files, "--normalise", "head"])
    assert "PCK@0.2 (head)" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["gt_valid.mat", "valid.json", "person_keypoints_val.json"])
@pytest.mark.parametrize("normalise", ["torso", "box", "head"])
def test_pck_of_every_form_of_truth(form, normalise, drawn, tmp_path, capsys):
    folder = "annotations" if form.startswith("person") else "annot"
    truth = read_truth(drawn / folder / form)
    np.save(tmp_path / "preds.npy", truth.keypoints_image + 1)
    files = [
        "--predictions",
        str(tmp_path / "preds.npy"),
        "--ground-truth",
        str(drawn / folder / form),
    ]
    if normalise == "head" and form.startswith("person"):
        with pytest.raises(
            SystemExit, match="no person in person_keypoints_val.json has a head with a size"
        ):
            main(["evaluate", "pck", *files, "--normalise", normalise])
        return
    main(["evaluate", "pck", *files, "--normalise", normalise, "--one-based", "--json"])
    assert json.loads(capsys.readouterr().out)[f"pck_{normalise}@0.2"]["mean"] == 100


def test_the_named_file_is_read(drawn, tmp_path):
    """Not one of the same name in annot/ beside it."""
    shutil.copytree(drawn / "annot", tmp_path / "annot")
    people = json.loads((drawn / "annot" / "valid.json").read_text())
    (tmp_path / "valid.json").write_text(json.dumps(people[:2]))
    own, whole = read_truth(tmp_path / "valid.json"), read_truth(tmp_path / "annot" / "valid.json")
    assert len(own) == 2 < len(whole) == len(people)
    np.testing.assert_array_equal(own.keypoints_image, whole.keypoints_image[:2])


@pytest.mark.parametrize(
    "options",
    [("pck", "--threshold", "nan"), ("pck", "--threshold", "-1"), ("pck", "--threshold", "inf"),
     ("coco", "--rescore", "--nms", "nan"), ("coco", "--rescore", "--nms", "-1"), ("coco", "--aspect", "-1"),
     ("coco", "--rescore", "--nms", "2"), ("coco", "--rescore", "--aspect", "0"), ("coco", "--aspect", "nan")],
)  # fmt: skip
def test_numbers_that_are_no_choice(options, drawn, tmp_path):
    kind, *given = options
    truth = drawn / "annotations" / "person_keypoints_val.json"
    np.save(tmp_path / "preds.npy", read_truth(truth).keypoints_image)
    predictions, against = (
        (tmp_path / "preds.npy", "--ground-truth") if kind == "pck" else (truth, "--annotations")
    )
    with pytest.raises(SystemExit, match=f"got {float(given[-1])}"):
        main(["evaluate", kind, "--predictions", str(predictions), against, str(truth), *given])


@pytest.mark.parametrize(
    ("kind", "predictions", "truth", "message"),
    [
        ("mpii", "none.npy", "valid.json", "no predictions at"),
        ("pck", "none.npy", "valid.json", "no predictions at"),
        ("coco", "none.json", "person_keypoints_val.json", "no results at"),
        ("coco", "person_keypoints_val.json", "none.json", "no annotations at"),
    ],
)
def test_files_that_are_not_there(kind, predictions, truth, message, drawn):
    against, folder = (
        ("--annotations", "annotations") if kind == "coco" else ("--ground-truth", "annot")
    )
    files = [
        "--predictions",
        str(drawn / folder / predictions),
        against,
        str(drawn / folder / truth),
    ]
    with pytest.raises(SystemExit, match=f"{message} .*none"):
        main(["evaluate", kind, *files])


def test_nobody_found(annotations):
    assert rescored([], COCO.oks_sigmas) == []
    assert set(average_precision(annotations, []).values()) == {0}


def test_truth_that_cannot_be_used(tmp_path, real):
    with pytest.raises(FileNotFoundError, match="no ground truth"):
        read_truth(tmp_path / "none.mat")
    for name, message in (
        ("a.mat", "cannot be read"),
        ("a.txt", "ground truth is"),
        ("a.json", "not JSON"),
    ):
        (tmp_path / name).write_bytes(b"nothing")
        with pytest.raises(DataError, match=message):
            read_truth(tmp_path / name)
    truth = read_truth(real("lspet") / "joints.mat")
    with pytest.raises(
        DataError, match=r"shape \[5, 14, 2\] for joints.mat, which has 6000 people"
    ):
        score_pck(np.zeros((5, 14, 2)), truth, "torso", 0.2)
    with pytest.raises(ValueError, match="has no keypoint 'tail'"):
        score_pck(truth.keypoints_image, truth, "torso", 0.2, ("tail", "neck"))
    with pytest.raises(ValueError, match="not by 'size'"):
        score_pck(truth.keypoints_image, truth, "size", 0.2)

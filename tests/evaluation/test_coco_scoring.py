"""Scoring of COCO results: plain loops, pycocotools, published numbers, and invalid files."""

import json
from operator import itemgetter

import numpy as np
import pytest

from posenfs.body.skeleton import COCO
from posenfs.cli.main import main
from posenfs.evaluation.coco import average_precision
from posenfs.evaluation.oks import nms_areas, rescore_results
from tests.evaluation.test_coco import by_pycocotools, truth_of_persons
from tests.evaluation.test_oks import plain_nms
from tests.evaluation.test_scoring import coco_files


@pytest.fixture
def annotations(real):
    return json.loads((real("coco_mini") / "person_keypoints_val.json").read_text())


def results_of(annotations, seed):
    """Return perturbed annotations with duplicates: box scores, raw keypoint scores, boxes."""
    random = np.random.default_rng(seed)
    results = []
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
                    "image_id": annotation["image_id"],
                    "category_id": 1,
                    "bbox": annotation["bbox"],
                    "score": float(random.integers(1, 5) / 4),
                    "keypoints": points.ravel().tolist(),
                }
            )
    return results


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("seed", range(6))
def test_rescoring_and_suppression_equal_plain_loops(seed, split, real, tmp_path, capsys):
    truth = real("coco_mini") / f"person_keypoints_{split}.json"
    annotations = json.loads(truth.read_text())
    results = results_of(annotations, seed)
    expected = []
    for image in dict.fromkeys(result["image_id"] for result in results):
        of_image = [result for result in results if result["image_id"] == image]
        scores = []
        for result in of_image:
            total, count = np.float32(0), 0
            for score in result["keypoints"][2::3]:
                if np.float32(score) > 0.2:
                    total, count = total + np.float32(score), count + 1
            scores.append(float(total / np.float32(max(count, 1))) * result["score"])
        poses = [np.array(result["keypoints"]).reshape(-1, 3)[:, :2] for result in of_image]
        areas = nms_areas(np.array([result["bbox"] for result in of_image]))
        remaining = plain_nms(poses, scores, areas, 0.9)
        expected += [{**of_image[n], "score": float(scores[n])} for n in remaining]
    rows = rescore_results(results, COCO.oks_sigmas, 0.9)
    key = itemgetter("image_id", "score", "keypoints")
    assert sorted(rows, key=key) == sorted(expected, key=key) and len(rows) < len(results)
    (tmp_path / "results.json").write_text(json.dumps(results))
    files = coco_files(tmp_path / "results.json", truth)
    main(["evaluate", "coco", *files, "--rescore", "--nms", "0.9", "--json"])
    assert json.loads(capsys.readouterr().out) == by_pycocotools(truth, expected)
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
def test_invalid_results_raise_an_error(change, message, annotations, real, tmp_path):
    results = results_of(annotations, 0)
    change(results[2])
    (tmp_path / "bad.json").write_text(json.dumps(results))
    truth = real("coco_mini") / "person_keypoints_val.json"
    with pytest.raises(SystemExit) as error:
        main(["evaluate", "coco", *coco_files(tmp_path / "bad.json", truth), "--rescore"])
    assert message in str(error.value.code) and "bad.json, result 2" in str(error.value.code)


def test_other_keypoints_need_sigmas(annotations, real, tmp_path, capsys):
    results = results_of(annotations, 0)
    renamed = json.loads(json.dumps(annotations))
    renamed["categories"][0]["keypoints"] = [f"point_{k}" for k in range(17)]
    (tmp_path / "renamed.json").write_text(json.dumps(renamed))
    (tmp_path / "results.json").write_text(json.dumps(results))
    files = coco_files(tmp_path / "results.json", tmp_path / "renamed.json")
    with pytest.raises(SystemExit, match="give their --sigmas"):
        main(["evaluate", "coco", *files])
    with pytest.raises(SystemExit, match="17 numbers above 0"):
        main(["evaluate", "coco", *files, "--sigmas", "0.1"])
    main(["evaluate", "coco", *files, "--sigmas", *["0.03"] * 17, "--json"])
    scores = json.loads(capsys.readouterr().out)
    assert scores == average_precision(truth_of_persons(renamed), results, [0.03] * 17)
    assert scores != average_precision(truth_of_persons(renamed), results)


def test_empty_results_and_suppression_without_rescoring(real, tmp_path):
    truth = real("coco_mini") / "person_keypoints_val.json"
    (tmp_path / "empty.json").write_text("[]")
    with pytest.raises(SystemExit, match="at least one result"):
        main(["evaluate", "coco", *coco_files(tmp_path / "empty.json", truth)])
    with pytest.raises(SystemExit, match="give --rescore with it"):
        main(["evaluate", "coco", *coco_files(truth, truth), "--nms", "0.9"])


def test_no_results_score_zero(annotations):
    assert rescore_results([], COCO.oks_sigmas) == []
    assert set(average_precision(truth_of_persons(annotations), []).values()) == {0}

"""Scoring of COCO results: plain loops, pycocotools, published numbers, and invalid files."""

import json
from operator import itemgetter
from pathlib import Path

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


def test_published_numbers_of_mmpose(tmp_path, capsys):
    """The numbers of `test_topdown_alignment` in MMPose's test_coco_metric.py.

    Its predictions are the annotations, shifted; all keypoint scores are 1.6 or 0.8 and all box
    scores equal, so that the order of equal scores decides.
    """
    truth = Path(__file__).parents[1] / "data_files" / "coco_four_images.json"
    results = []
    for row in json.loads(truth.read_text())["annotations"]:
        keypoints = np.array(row["keypoints"], np.float32).reshape(17, 3)
        keypoints *= np.array([0.98, 1.02, 0.8], np.float32)
        result = {name: row[name] for name in ("image_id", "category_id", "bbox")}
        score = float(np.float32(0.98))
        results.append(result | {"score": score, "keypoints": keypoints.ravel().tolist()})
    (tmp_path / "dt.json").write_text(json.dumps(results))
    for options in (["--rescore", "--nms", "0.9"], ["--rescore"]):
        main(["evaluate", "coco", *coco_files(tmp_path / "dt.json", truth), *options, "--json"])
        assert json.loads(capsys.readouterr().out) == pytest.approx(
            {
                "AP": 0.5287458745874587,
                "AP50": 0.9042904290429042,
                "AP75": 0.5009900990099009,
                "AP_M": 0.42475247524752474,
                "AP_L": 0.6219554455445544,
                "AR": 0.5833333333333333,
                "AR50": 0.9166666666666666,
                "AR75": 0.5833333333333334,
                "AR_M": 0.44000000000000006,
                "AR_L": 0.6857142857142857,
            }
        )


def hrnet_results(people, threshold):
    """HRNet's `evaluate` and `oks_nms` (lib/dataset/coco.py, lib/nms/nms.py) for one image.

    Of equal scores the last comes first: `argsort()[::-1]`, with a sort that is stable as numpy's
    is for up to 16 numbers.
    """
    for person in people:
        kpt_score, valid_num = 0, 0
        for t_s in person["preds"][:, 2]:  # float32
            if t_s > 0.2:
                kpt_score = kpt_score + t_s
                valid_num = valid_num + 1
        if valid_num != 0:
            kpt_score = kpt_score / valid_num
        person["pose_score"] = kpt_score * np.float64(person["score"])
    order = np.array([p["pose_score"] for p in people]).argsort(kind="stable")[::-1]
    keep = []
    variances = (np.array(COCO.oks_sigmas) * 2) ** 2
    while order.size > 0:
        i = order[0]
        keep.append(i)
        similarities = []
        for n in order[1:]:
            d = people[n]["preds"][:, :2].astype(float) - people[i]["preds"][:, :2]
            area = (people[i]["area"] + people[n]["area"]) / 2 + np.spacing(1)
            e = (d**2).sum(1) / variances / area / 2
            similarities.append(np.sum(np.exp(-e)) / e.shape[0])
        order = order[np.where(np.array(similarities) <= threshold)[0] + 1]
    return [(people[n]["name"], float(people[n]["pose_score"])) for n in keep]


@pytest.mark.parametrize("seed", range(20))
def test_equal_scores_have_the_order_of_hrnet(seed):
    """Random people with few different scores, and keypoints that are counted or not."""
    random = np.random.default_rng(seed)
    results, expected = [], []
    for image in (3, 1, 2):
        people = []
        for n in range(random.integers(1, 13)):
            preds = np.zeros((17, 3), np.float32)
            preds[:, :2] = random.uniform(0, 90, (17, 2)) + 100 * random.integers(0, 3, 2)
            if people and random.random() < 0.4:  # nearly the same pose
                preds[:, :2] = people[-1]["preds"][:, :2] + random.normal(0, 0.2, (17, 2))
            preds[:, 2] = random.choice(np.array([0.1, 0.8], np.float32), 17, p=[0.3, 0.7])
            w, h = 60.0, 80.0
            person = {"name": f"{image} {n}", "preds": preds, "area": w * 1.25 * h * 1.25}
            people.append(person | {"score": float(random.choice([0.5, 0.9]))})
            results.append(
                {
                    "image_id": image,
                    "category_id": 1,
                    "keypoints": preds.ravel().tolist(),
                    "score": people[-1]["score"],
                    "bbox": [0.0, 0.0, w, h],
                    "name": people[-1]["name"],
                }
            )
        expected += hrnet_results(people, 0.9)
    rows = rescore_results(results, COCO.oks_sigmas, 0.9)
    assert [(row["name"], row["score"]) for row in rows] == expected
    assert len({score for _, score in expected}) < len(expected) < len(results)


@pytest.fixture
def pose(tmp_path, capsys):
    """Return a function that scores rows of results and annotations: numbers and lines of stderr."""

    def score(results, annotations, *options, categories=None, images=(1,)):
        person = {"id": 1, "name": "person", "keypoints": list(COCO.keypoints)}
        content = {
            "images": [{"id": n} for n in images],
            "categories": categories or [person],
            "annotations": annotations,
        }
        (tmp_path / "gt.json").write_text(json.dumps(content))
        (tmp_path / "dt.json").write_text(json.dumps(results))
        files = coco_files(tmp_path / "dt.json", tmp_path / "gt.json")
        main(["evaluate", "coco", *files, *options])
        printed = capsys.readouterr()
        text = json.loads(printed.out) if "--json" in options else printed.out
        return text, printed.err.splitlines()

    return score


def annotation(number=1, image=1, category=1, count=17, step=4.0, **fields):
    points = [[10 + step * k, 20 + step * k, 2] for k in range(count)]
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "iscrowd": 0,
        "keypoints": [value for point in points for value in point],
        "num_keypoints": count,
        "bbox": [10, 20, 16 * step, 16 * step],
        "area": (16 * step) ** 2,
    } | fields


def result(row, **fields):
    ids = {name: row[name] for name in ("image_id", "category_id", "keypoints")}
    return ids | {"score": 0.5} | fields


def test_what_is_not_defined_is_not_a_number(pose):
    scores, notes = pose([result(annotation())], [annotation()], "--json")
    assert scores == dict.fromkeys(scores, pytest.approx(1)) | {"AP_L": None, "AR_L": None}
    assert notes == [
        "note: AP_L and AR_L are n/a: no annotated person has this size (above 96² px²)"
    ]
    text, _ = pose([result(annotation())], [annotation()])
    assert "AP_L     n/a\nAR    100.00\n" in text and "-100" not in text
    crowd = annotation(iscrowd=1)
    scores, notes = pose([result(crowd)], [crowd], "--json")
    assert set(scores.values()) == {None} and len(notes) == 1
    assert "no annotation has a labelled keypoint" in notes[0]


def test_boxes_of_results_do_not_change_the_numbers(pose):
    """The area of an unmatched pose is that of its keypoints: 30 x 30 px are not of medium size."""
    truth = annotation()
    wrong = annotation(step=30 / 16)
    wrong["keypoints"] = [v + 300 * (n % 3 < 2) for n, v in enumerate(wrong["keypoints"])]
    for more in ({}, {"bbox": [0, 0, 64, 64], "area": 4096, "segmentation": []}, {"bbox": []}):
        results = [result(wrong, score=0.9, **more), result(truth, **more)]
        scores, _ = pose(results, [truth], "--json")
        assert scores["AP"] == pytest.approx(0.5) and scores["AP_M"] == pytest.approx(1), more


DOG = {"id": 2, "name": "dog", "keypoints": ["nose", "tail", "paw"]}
PERSON = {"id": 1, "name": "person", "keypoints": list(COCO.keypoints)}
SIGMAS = ["--sigmas", "0.05", "0.05", "0.05"]


def test_each_category_is_judged_for_itself(pose):
    person, dog = annotation(1), annotation(2, category=2, count=3)
    wrong = result(dog)
    wrong["keypoints"] = [value + 200 for value in wrong["keypoints"]]
    both = {"categories": [DOG, PERSON]}
    scores, notes = pose([result(person)], [person, dog], "--json", **both)
    assert scores["AP"] == pytest.approx(1)
    assert notes[0] == "note: judged: person (id 1); not judged: dog (0 results)"
    results = [wrong, result(person)]
    scores, notes = pose(results, [person, dog], *SIGMAS, "--json", **both)
    assert scores["person"]["AP"] == pytest.approx(1) and scores["dog"]["AP"] == 0
    assert notes[0] == "note: judged: dog (id 2), person (id 1), each for itself"
    text, _ = pose(results, [person, dog], *SIGMAS, **both)
    rows = [line.split()[:2] for line in text.splitlines()]
    assert rows == [["%", "AP"], ["dog", "0.00"], ["person", "100.00"]]
    for name in ("person", "1"):
        scores, notes = pose(results, [person, dog], "--category", name, "--json", **both)
        assert scores["AP"] == pytest.approx(1)
        assert notes[0] == "note: judged: person (id 1); not judged: dog (1 result)"
    scores, _ = pose(results, [person, dog], "--category", "dog", *SIGMAS, "--json", **both)
    assert scores["AP"] == 0


def test_sigmas_of_categories(pose):
    """Each category has its own: a dog's keypoints are 3 px off, a person's not at all."""
    person, dog = annotation(1), annotation(2, category=2, count=3)
    near = result(dog)
    near["keypoints"] = [v + 3 * (n % 3 == 0) for n, v in enumerate(near["keypoints"])]
    for sigma, expected in (("0.5", 1), ("0.01", 0)):
        options = ["--sigmas", *[sigma] * 3, "--json"]
        scores, _ = pose([near, result(person)], [person, dog], *options, categories=[PERSON, DOG])
        assert scores["dog"]["AP"] == pytest.approx(expected)
        assert scores["person"]["AP"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("categories", "options", "message"),
    [
        ([PERSON, DOG], [], "labels 3 keypoints .nose, tail, paw., not COCO's 17: give their"),
        ([PERSON, DOG], ["--category", "cat"], "no category 'cat' with keypoints .*dog .id 2"),
        ([DOG | {"id": 1}, DOG], SIGMAS, "dog, dog each have other keypoints than COCO"),
        ([PERSON, PERSON | {"id": 2}], SIGMAS, "--sigmas are for one category"),
        ([PERSON, DOG | {"id": 1}], [], "category 'dog' needs another id"),
        ([PERSON, DOG | {"id": "b"}], [], "category 'dog' needs a whole number as its id"),
        ([PERSON], [], "is of category 2, which the annotations do not have with keypoints"),
        ([PERSON, {"id": 2, "name": "car"}], [], "is of category 2, which the annotations do not"),
    ],
)
def test_categories_that_cannot_be_judged(categories, options, message, pose):
    counts = {row["id"]: len(row.get("keypoints", [1] * 3)) for row in reversed(categories)}
    rows = [annotation(1, count=counts[1]), annotation(2, category=2, count=counts.get(2, 3))]
    with pytest.raises(SystemExit, match=message):
        pose([result(row) for row in rows], rows, *options, categories=categories)


def test_a_category_without_results(pose):
    with pytest.raises(SystemExit, match="dt.json has no result of category dog"):
        pose([result(annotation())], [annotation()], "--category", "dog", categories=[PERSON, DOG])


def test_more_results_than_pycocotools_judges(pose):
    """Of 25 people, five are never found: AR is 20 / 25."""
    rows = [annotation(n, step=4 + n / 2) for n in range(1, 26)]
    scores, notes = pose([result(row) for row in rows], rows, "--json")
    assert scores["AR"] == pytest.approx(0.8)
    assert notes[0] == (
        "note: maxDets 20: 5 results of 1 image ignored, those with the lowest scores: pycocotools "
        "and COCO's server judge 20 of an image"
    )


def test_ids_of_results_are_converted(pose):
    for image, category in (("1", 1.0), (1.0, "1"), ("0001", 1)):
        row = result(annotation(), image_id=image, category_id=category)
        assert pose([row], [annotation()], "--json")[0]["AP"] == pytest.approx(1)
    points = [str(value) for value in annotation()["keypoints"]]
    row = result(annotation(), keypoints=points, score="0.5")
    assert pose([row], [annotation()], "--json")[0]["AP"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": None}, "score must be a number; got None"),
        ({"score": "high"}, "score must be a number; got 'high'"),
        ({"keypoints": None}, "keypoints must be 51 numbers; got None"),
        ({"keypoints": [None] * 51}, "keypoints holds nan"),
        ({"keypoints": ["np.float64(1.5)"] * 51}, "keypoints must be 51 numbers"),
        ({"image_id": "one"}, "image_id is 'one'"),
        ({"image_id": 1.5}, "image_id is 1.5"),
        ({"image_id": None}, "image_id is None"),
        ({"category_id": None}, "category_id is None"),
        ({"image_id": 7}, "is of image 7, which the annotations do not have"),
    ],
)
def test_results_without_numbers(change, message, pose, capsys):
    with pytest.raises(SystemExit, match=f"dt.json, result 1:? {message}"):
        pose([result(annotation()), result(annotation(), **change)], [annotation()])
    assert capsys.readouterr().out == ""


def test_suppression_without_rescoring_is_refused(pose, capsys):
    with pytest.raises(SystemExit, match="--nms.* give --rescore with it"):
        pose([result(annotation())], [annotation()], "--nms", "0.9")
    assert capsys.readouterr().out == ""


def test_a_result_without_bbox_is_named_by_its_number(pose):
    person, dog = annotation(1), annotation(2, category=2, count=3)
    rows = [result(person, bbox=[1, 2, 3, 4]), result(dog, bbox=[1, 2, 3, 4]), result(dog)]
    options = ["--rescore", *SIGMAS]
    with pytest.raises(SystemExit, match="dt.json, result 2: bbox must be 4 numbers"):
        pose(rows, [person, dog], *options, categories=[PERSON, DOG])

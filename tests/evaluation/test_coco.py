"""OKS-AP against pycocotools, for annotated and for detected boxes."""

import contextlib
import io
import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO as CocoAnnotations
from pycocotools.cocoeval import COCOeval

from posenfs.body.skeleton import COCO
from posenfs.data.datasets.catalogue import DataSpec, open_data
from posenfs.data.datasets.coco import read_coco
from posenfs.data.datasets.coco_detections import with_detections
from posenfs.data.datasets.mpii import read_mpii
from posenfs.data.geometry import ImageSize
from posenfs.data.sample import DataError
from posenfs.evaluation.coco import AP_NAMES, average_precision, coco_results
from posenfs.evaluation.coco_truth import complete_truth
from posenfs.evaluation.metrics import evaluate
from posenfs.evaluation.prediction import Predictions, predict
from posenfs.search.build import build

SIGMAS = np.array(COCO.oks_sigmas)


def truth_of_persons(annotations):
    return complete_truth(annotations, 1, 17, "gt.json")


def by_pycocotools(file, results):
    """Return the ten numbers of pycocotools by name, from what COCO's server gets of results."""
    fields = ("image_id", "category_id", "keypoints", "score")
    results = [{field: result[field] for field in fields} for result in results]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = CocoAnnotations(str(file))
        evaluation = COCOeval(truth, truth.loadRes(results), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(AP_NAMES, evaluation.stats.tolist(), strict=True))


@pytest.mark.parametrize("seed", range(4))
def test_average_precision_equals_pycocotools(seed, real):
    annotations = json.loads((real("coco_mini") / "person_keypoints_val.json").read_text())
    random = np.random.default_rng(seed)
    results = []
    for annotation in annotations["annotations"]:
        if annotation["iscrowd"] or random.random() < 0.1:
            continue
        points = np.array(annotation["keypoints"], float).reshape(-1, 3)
        points[:, :2] += random.normal(scale=0.03 * annotation["area"] ** 0.5, size=(17, 2))
        points[:, 2] = random.random(17)
        ids = {key: annotation[key] for key in ("image_id", "category_id")}
        results.append(
            {**ids, "keypoints": points.ravel().tolist(), "score": float(random.random())}
        )
    before = json.dumps(annotations)
    values = average_precision(truth_of_persons(annotations), results)
    assert json.dumps(annotations) == before
    assert values == by_pycocotools(real("coco_mini") / "person_keypoints_val.json", results)
    assert 0.1 < values["AP"] < 0.95
    wider = average_precision(truth_of_persons(annotations), results, 2 * SIGMAS)
    assert wider["AP"] > values["AP"]


def test_output_is_silenced_in_its_own_thread_only(monkeypatch, capsys):
    """While one thread evaluates, the output of another thread is printed, pycocotools' too."""
    started, proceed = threading.Event(), threading.Event()
    evaluate = COCOeval.evaluate

    def wait(evaluation):
        started.set()
        assert proceed.wait(60)
        evaluate(evaluation)

    monkeypatch.setattr(COCOeval, "evaluate", wait)
    pose = {"image_id": 1, "category_id": 1, "keypoints": [float(n) for n in range(51)]}
    truth = {
        "images": [{"id": 1}],
        "categories": [{"id": 1}],
        "annotations": [{**pose, "id": 1, "area": 2000.0, "bbox": [0, 1, 49, 49]}],
    }
    values = []
    results = [{**pose, "score": 1.0}]
    thread = threading.Thread(
        target=lambda: values.append(average_precision(truth_of_persons(truth), results))
    )
    thread.start()
    assert started.wait(60)
    print("output of a cell")
    CocoAnnotations().createIndex()
    proceed.set()
    thread.join()
    assert values[0]["AP"] == pytest.approx(1)
    assert capsys.readouterr().out == "output of a cell\ncreating index...\nindex created!\n"


def perturbed(people, seed, scale=0.03):
    """Return predictions near the annotated keypoints."""
    random = np.random.default_rng(seed)
    spread = scale * np.sqrt(people.boxes[:, 2] * people.boxes[:, 3])[:, None, None]
    keypoints = people.keypoints_image + spread * random.normal(size=people.keypoints_image.shape)
    return Predictions(keypoints, random.uniform(0.1, 1, people.visibility.shape))


@pytest.mark.parametrize("seed", range(3))
def test_ap_of_annotated_boxes_equals_pycocotools(seed, real):
    people = read_coco(real("coco_mini"), "valid")
    predictions = perturbed(people, seed)
    results = coco_results(predictions, people)
    for result, scores in zip(results, predictions.scores, strict=True):
        counted = scores[scores.astype(np.float32) > 0.2]
        result["score"] = float(counted.mean()) if len(counted) else 0.0
    metrics, errors = evaluate(predictions, people)
    expected = by_pycocotools(real("coco_mini") / "person_keypoints_val.json", results)
    values = {"AP": metrics["ap"]} | {name: metrics[f"ap/{name}"] for name in AP_NAMES[1:]}
    assert values == pytest.approx({name: 100 * share for name, share in expected.items()})
    assert 10 < metrics["ap"] < 95 and errors.shape == people.visibility.shape


def test_people_outside_a_selection_do_not_count(real):
    people = read_coco(real("coco_mini"), "valid")
    for chosen in (people.image_index < 10, slice(0, 8), slice(3, 50, 2)):
        selection = people.select(chosen)
        predictions = Predictions(selection.keypoints_image, np.ones(selection.visibility.shape))
        assert evaluate(predictions, selection)[0]["ap"] == 100


def test_annotations_without_optional_fields(drawn, tmp_path):
    content = json.loads((drawn / "annotations" / "person_keypoints_val.json").read_text())
    for annotation in content["annotations"]:
        del annotation["area"], annotation["num_keypoints"], annotation["iscrowd"]
    (tmp_path / "person_keypoints_val.json").write_text(json.dumps(content))
    people = read_coco(tmp_path, "valid")
    assert (
        evaluate(Predictions(people.keypoints_image, np.ones(people.visibility.shape)), people)[0][
            "ap"
        ]
        == 100
    )


def test_other_categories_do_not_count(drawn, tmp_path):
    """Annotated feet, a crowd and a foot without keypoints do not change the metrics."""
    content = json.loads((drawn / "annotations" / "person_keypoints_val.json").read_text())
    content["categories"].append({"id": 2, "name": "foot", "keypoints": ["heel", "toe"]})
    foot = {
        "category_id": 2,
        "keypoints": [1, 2, 2, 3, 4, 2],
        "num_keypoints": 2,
        "iscrowd": 0,
        "area": 9.0,
    }
    place = {"image_id": content["images"][0]["id"], "bbox": [0, 0, 1, 1]}
    content["annotations"] += [
        {**place, "id": 9001, **foot},
        {**place, "id": 9002, "category_id": 2, "iscrowd": 0},
        {**place, "id": 9003, "category_id": 1, "iscrowd": 1},
    ]
    (tmp_path / "person_keypoints_val.json").write_text(json.dumps(content))
    metrics = []
    for root in (drawn, tmp_path):
        people = read_coco(root, "valid")
        metrics.append(evaluate(perturbed(people, 0), people)[0])
    assert metrics[0] == metrics[1] and 10 < metrics[0]["ap"] < 95


@pytest.fixture
def detections(drawn, tmp_path):
    """Return a file of the annotated boxes, each twice, and one box of another category."""
    people = read_coco(drawn, "valid")
    rows = [
        {
            "image_id": int(people.coco.image_ids[image]),
            "category_id": 1,
            "bbox": box.tolist(),
            "score": score,
        }
        for score in (0.9, 0.5)
        for image, box in zip(people.image_index, people.boxes, strict=True)
    ]
    rows.append({**rows[0], "category_id": 3})
    (tmp_path / "boxes.json").write_text(json.dumps(rows))
    return tmp_path / "boxes.json"


def test_ap_of_detected_boxes(drawn, detections, tiny):
    annotated = read_coco(drawn, "valid")
    people = with_detections(annotated, detections)
    assert len(people) == 2 * len(annotated) and people.box_source == "detected (boxes.json)"
    assert (
        people.excluded == {"of another category, or of no size": 1} and not people.visibility.any()
    )
    twice = np.concatenate([annotated.keypoints_image] * 2)
    metrics, errors = evaluate(Predictions(twice, np.ones(people.visibility.shape)), people)
    assert metrics["ap"] == 100 and np.isnan(errors).all()  # duplicates are suppressed
    _, valid = open_data(DataSpec("coco", str(drawn), detections=str(detections)), progress=False)
    assert (valid.boxes == people.boxes).all()
    experiment = replace(tiny, data=DataSpec("coco", str(drawn), detections=str(detections)))
    built = build(experiment, progress=False)
    predictions = predict(built.model, built.valid, ImageSize(64, 64))
    assert predictions.aspect == 1 and 0 <= evaluate(predictions, built.valid)[0]["ap"] <= 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[1].update(image_id=99999), "detection 1 is of image 99999"),
        (lambda rows: rows[1].update(bbox=[1, 2, 3]), r"detection 1 has bbox \[1, 2, 3\]"),
        (lambda rows: rows[1].update(score=None), "detection 1 has bbox .* and score None"),
        (lambda rows: rows[1]["bbox"].__setitem__(0, float("nan")), "detection 1 has bbox"),
        (lambda rows: rows.clear(), "at least one detection"),
        (lambda rows: [row.update(category_id=7) for row in rows], "no box of category 1 among"),
    ],
)
def test_invalid_detections_raise_an_error(change, message, drawn, detections):
    rows = json.loads(detections.read_text())
    change(rows)
    detections.write_text(json.dumps(rows))
    with pytest.raises(DataError, match=message):
        with_detections(read_coco(drawn, "valid"), detections)


def test_detections_need_a_coco_file(drawn, detections):
    with pytest.raises(DataError, match="not in COCO's form"):
        with_detections(read_mpii(drawn, "valid"), detections)
    with pytest.raises(DataError, match="no detections at nofile.json; give a JSON file"):
        with_detections(read_coco(drawn, "valid"), Path("nofile.json"))

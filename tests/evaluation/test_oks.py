"""OKS, suppression and rescoring against plain loops; average precision against pycocotools."""

import contextlib
import io
import json
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO as CocoAnnotations
from pycocotools.cocoeval import COCOeval

from posenfs.body.skeleton import COCO
from posenfs.evaluation.coco import AP_NAMES, average_precision
from posenfs.evaluation.oks import nms_areas, oks_nms, pose_similarity, rescore

SIGMAS = np.array(COCO.oks_sigmas)


def by_pycocotools(file, results):
    """Return the ten numbers of pycocotools by name."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = CocoAnnotations(str(file))
        evaluation = COCOeval(truth, truth.loadRes(results), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(AP_NAMES, evaluation.stats.tolist(), strict=True))


def plain_similarity(a, b, area_a, area_b):
    total = 0.0
    for k in range(len(a)):
        squared = (a[k][0] - b[k][0]) ** 2 + (a[k][1] - b[k][1]) ** 2
        total += np.exp(
            -squared / (2 * (2 * SIGMAS[k]) ** 2 * ((area_a + area_b) / 2 + np.spacing(1)))
        )
    return total / len(a)


def plain_nms(poses, scores, areas, threshold):
    remaining = []
    for candidate in sorted(range(len(poses)), key=lambda n: (-scores[n], n)):
        similarities = [
            plain_similarity(poses[k], poses[candidate], areas[k], areas[candidate])
            for k in remaining
        ]
        if all(similarity <= threshold for similarity in similarities):
            remaining.append(candidate)
    return remaining


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(0, 12),
    st.sampled_from([0.3, 0.7, 0.9]),
    st.sampled_from([0, 2, 30]),
)
def test_suppression_and_similarity_equal_plain_loops(seed, count, threshold, spread):
    random = np.random.default_rng(seed)
    centres = random.uniform(0, 200, (3, 17, 2))
    poses = centres[random.integers(0, 3, count)] + spread * random.normal(
        size=(count, 17, 2)
    )  # spread 0: duplicates
    scores = random.integers(0, 4, count) / 4  # ties
    areas = random.uniform(500, 20000, count)
    assert oks_nms(poses, scores, areas, SIGMAS, threshold) == plain_nms(
        poses, scores, areas, threshold
    )
    for n in range(count):
        similarities = pose_similarity(poses[n], poses, areas[n], areas, SIGMAS)
        plain = [plain_similarity(poses[n], poses[m], areas[n], areas[m]) for m in range(count)]
        assert similarities == pytest.approx(plain)


def test_one_of_four_equal_poses_remains():
    poses = np.repeat(np.random.default_rng(0).uniform(0, 99, (1, 17, 2)), 4, axis=0)
    assert oks_nms(poses, np.array([0.1, 0.9, 0.9, 0.5]), np.full(4, 900.0), SIGMAS) == [1]


@given(st.integers(0, 10**6))
def test_rescoring_equals_a_loop_in_float32(seed):
    random = np.random.default_rng(seed)
    scores, boxes = random.uniform(0, 1, (5, 17)), random.uniform(0, 1, 5)
    scores[0] = 0.1
    for n, pose_score in enumerate(rescore(boxes, scores)):
        total, count = np.float32(0), 0
        for score in scores[n].astype(np.float32):
            if score > 0.2:
                total, count = np.float32(total + score), count + 1
        mean = total / np.float32(count) if count else np.float32(0)
        assert pose_score == mean * np.float32(boxes[n])


def test_areas_of_padded_crops():
    boxes = np.array([[0, 0, 30, 40], [0, 0, 30, 10], [5, 5, 10, 40]])
    assert nms_areas(boxes) == pytest.approx(np.array([30 * 40, 30 * 40, 30 * 40]) * 1.25**2)


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
    values = average_precision(annotations, results)
    assert json.dumps(annotations) == before
    assert values == by_pycocotools(real("coco_mini") / "person_keypoints_val.json", results)
    assert 0.1 < values["AP"] < 0.95
    wider = average_precision(annotations, results, 2 * SIGMAS)
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
    thread = threading.Thread(target=lambda: values.append(average_precision(truth, results)))
    thread.start()
    assert started.wait(60)
    print("output of a cell")
    CocoAnnotations().createIndex()
    proceed.set()
    thread.join()
    assert values[0]["AP"] == pytest.approx(1)
    assert capsys.readouterr().out == "output of a cell\ncreating index...\nindex created!\n"

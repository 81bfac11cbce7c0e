"""Reported and primary metrics: published numbers, plain loops, and data without head sizes."""

from dataclasses import replace

import numpy as np
import pytest

from posenfs.body.skeleton import COCO
from posenfs.data.datasets.coco import read_coco
from posenfs.data.datasets.mpii import FILE_ORDER, read_mpii
from posenfs.evaluation.metrics import (
    evaluate,
    metric_title,
    primary_distance_metric,
    primary_metric,
)
from posenfs.evaluation.prediction import Predictions

HOURGLASS = {
    "pckh@0.5/head": 95.941, "pckh@0.5/shoulder": 94.684, "pckh@0.5/elbow": 88.529,
    "pckh@0.5/wrist": 83.382,
    "pckh@0.5/hip": 87.485, "pckh@0.5/knee": 83.094, "pckh@0.5/ankle": 79.050, "pckh@0.5": 88.035,
    "pckh@0.1": 28.647, "pckh@0.11": 32.805,
}  # fmt: skip


def test_hourglass_predictions_score_as_published(real):
    people = read_mpii(real("mpii_valid"), "valid")
    predicted = (
        np.load(real("mpii_valid") / "hourglass_valid_preds.npy").astype(float)[:, FILE_ORDER] - 1
    )
    values, errors = evaluate(Predictions(predicted, np.ones(people.visibility.shape)), people)
    for name, expected in HOURGLASS.items():
        assert round(values[name], 3) == expected, name
    assert primary_metric(people) == "pckh@0.5" and errors.shape == (2958, 16)


def test_box_and_head_segment_metrics_equal_plain_loops(drawn):
    people = read_mpii(drawn, "valid")
    predicted = people.keypoints_image + np.random.default_rng(0).normal(
        0, 20, people.keypoints_image.shape
    )
    values, _ = evaluate(Predictions(predicted, np.ones(people.visibility.shape)), people)
    distance = np.hypot(*(predicted - people.keypoints_image).transpose(2, 0, 1))
    labelled = people.visibility > 0
    neck, top = people.keypoints_image[:, 1], people.keypoints_image[:, 0]
    both = labelled[:, 0] & labelled[:, 1]
    expected = {
        "pck_box@0.2": [
            distance[n, k] <= 0.2 * people.boxes[n, 2:].max()
            for n in range(len(people))
            for k in np.flatnonzero(labelled[n])
        ],
        "pck_head_segment@0.5": [
            distance[n, k] <= 0.5 * np.hypot(*(neck[n] - top[n]))
            for n in np.flatnonzero(both)
            for k in np.flatnonzero(labelled[n])
        ],
    }
    for name, hits in expected.items():
        assert 5 < values[name] < 95 and values[name] == pytest.approx(100 * np.mean(hits)), name
    assert (
        metric_title("pck_head_segment@0.5") == "PCK@0.5 (head segment)"
        and metric_title("pckh@0.11") == "PCKh@0.11"
    )


def test_primary_metric_of_people_without_head_sizes(drawn):
    people = read_coco(drawn, "valid")
    values, errors = evaluate(
        Predictions(people.keypoints_image, np.ones(people.visibility.shape)), people
    )
    assert primary_metric(people) == "ap" and primary_distance_metric(people) == ("pck_torso", 0.2)
    assert {name.partition("@")[0].partition("/")[0] for name in values} == {
        "pck_torso",
        "pck_box",
        "ap",
    }
    assert values["ap"] == 100 and metric_title("ap") == "OKS-AP"
    assert values["pck_torso@0.2"] == values["pck_box@0.2"] == values["pck_box@0.2/head"] == 100
    torso = COCO.index("left_shoulder"), COCO.index("right_hip")
    measured = (people.visibility[:, torso] > 0).all(1)
    assert (
        np.isfinite(errors) == (people.visibility > 0) & measured[:, None]
    ).all() and measured.sum() > 0
    faces = replace(people, visibility=people.visibility * (np.arange(17) < 5).astype(np.uint8))
    assert primary_distance_metric(faces) == ("pck_box", 0.2)
    assert primary_metric(replace(people, coco=None)) == "pck_torso@0.2"


def test_unlabelled_keypoints_do_not_count(drawn):
    people = read_mpii(drawn, "valid")
    garbage = np.where(people.visibility[..., None] > 0, people.keypoints_image, -1e6)
    predictions = Predictions(people.keypoints_image + 3.0, np.ones(people.visibility.shape))
    expected, _ = evaluate(predictions, people)
    metrics, errors = evaluate(predictions, replace(people, keypoints_image=garbage))
    assert metrics == expected and np.nanmax(errors) < 10

"""What a finished search found, and how that was measured: the content of metrics.json."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict

import numpy as np

from posenfs.data.sample import People
from posenfs.evaluation.metrics import (
    REPORTED,
    counted_keypoints,
    distance_headline,
    headline,
    metric_name,
    without_nan,
)
from posenfs.evaluation.predict import evaluate, mean_pose
from posenfs.evaluation.stats import pck_interval
from posenfs.model.cost import honest_cost
from posenfs.model.network import PoseNetwork

FLIP, DECODING = True, "quarter offset"  # how the poses are found that a search is judged by


def result(
    metrics: Mapping[str, float | None],
    errors: Callable[[str], np.ndarray],
    train: People,
    valid: People,
    model: PoseNetwork,
    image_size: tuple[int, int],
) -> dict:
    """The metrics on the validation people beside those of the mean pose of the training people, intervals, and cost;
    `errors`: those by a measure, [N, K]."""
    trivial, _ = evaluate(mean_pose(train, valid), valid)
    cost = honest_cost(model, *image_size)
    intervals = {
        name: without_nan(asdict(pck_interval(own, t))) | {"people": int(np.isfinite(own).any(1).sum())}
        for m, t in REPORTED
        if (name := metric_name(m, t)) in metrics
        for own in (errors(m)[:, counted_keypoints(valid.skeleton, m)],)
    }
    distance = metric_name(*distance_headline(valid))
    return {
        "headline": headline(valid),
        "metrics": dict(metrics),
        "people": len(valid),
        "left_out": {people.name: dict(people.left_out) for people in (train, valid) if people.left_out},
        "boxes": valid.box_source,
        "head_size": valid.head_source,
        "flip": FLIP,
        "decoding": DECODING,
        "interval": {"metric": distance, "over": "people", **intervals[distance]},
        # of every mean but AP's, over people: those with a size and a labelled keypoint, who alone are judged
        "intervals": intervals,
        "mean_pose": {name: value for name, value in trivial.items() if not math.isnan(value)},
        "params": cost.params,
        "multiply_adds": cost.multiply_adds,
    }

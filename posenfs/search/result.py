"""The result of a finished search, and how it was measured: the content of metrics.json."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict

import numpy as np

from posenfs.data.geometry import ImageSize
from posenfs.data.sample import Annotations
from posenfs.evaluation.metrics import (
    REPORTED_PCK,
    evaluate,
    nan_to_none,
    primary_distance_metric,
    primary_metric,
)
from posenfs.evaluation.pck import counted_keypoints, metric_name
from posenfs.evaluation.prediction import mean_pose
from posenfs.evaluation.stats import pck_interval
from posenfs.model.cost import measured_cost
from posenfs.model.network import PoseNetwork

# How keypoints are predicted in the evaluations of a search.
FLIP, DECODING = True, "quarter offset"


def result(
    metrics: Mapping[str, float | None],
    errors: Callable[[str], np.ndarray],
    train: Annotations | None,
    valid: Annotations,
    model: PoseNetwork,
    image_size: ImageSize,
    flip: bool = FLIP,
    decoding: str = DECODING,
) -> dict:
    """Collect metrics with their intervals, the metrics of the mean pose, how all were measured, and the cost.

    Args:
        metrics: Of the model on the people evaluated, by name, in percent.
        errors: The errors [N, K] in a measure, by the measure's name.
        train: The training people, whose mean pose is evaluated too; None: it is not.
        valid: The people evaluated.
        model: The network whose cost is counted.
        image_size: Size of a crop, px.
        flip: Whether score maps were averaged with those of the mirror image.
        decoding: How keypoints were taken from score maps.
    """
    baseline = {} if train is None else evaluate(mean_pose(train, valid), valid)[0]
    cost = measured_cost(model, *image_size)
    intervals = {}
    for measure, threshold in REPORTED_PCK:
        name = metric_name(measure, threshold)
        if name in metrics:
            counted = errors(measure)[:, counted_keypoints(valid.skeleton, measure)]
            interval = nan_to_none(asdict(pck_interval(counted, threshold)))
            intervals[name] = interval | {"people": int(np.isfinite(counted).any(1).sum())}
    distance = metric_name(*primary_distance_metric(valid))
    return {
        "primary_metric": primary_metric(valid),
        "metrics": dict(metrics),
        "people": len(valid),
        "left_out": {
            people.name: dict(people.excluded)
            for people in (train, valid)
            if people and people.excluded
        },
        "boxes": valid.box_source,
        "head_size": valid.head_source,
        "flip": flip,
        "decoding": decoding,
        "interval": {"metric": distance, "over": "people", **intervals[distance]},
        # Bootstrap over the people with a size and a labelled keypoint; AP has no interval.
        "intervals": intervals,
        "mean_pose": {name: value for name, value in baseline.items() if not math.isnan(value)},
        "params": cost.params,
        "multiply_adds": cost.multiply_adds,
    }

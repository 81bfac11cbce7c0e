"""What a finished search found, and how that was measured: the content of metrics.json."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict

import numpy as np

from posenfs.data.geometry import ImageSize
from posenfs.data.sample import Annotations
from posenfs.evaluation.metrics import (
    REPORTED,
    counted_keypoints,
    metric_name,
    primary_distance_metric,
    primary_metric,
    without_nan,
)
from posenfs.evaluation.predict import evaluate, mean_pose
from posenfs.evaluation.stats import pck_interval
from posenfs.model.cost import measured_cost
from posenfs.model.network import PoseNetwork

FLIP, DECODING = True, "quarter offset"  # how the poses are found that a search is judged by


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
    trivial = {} if train is None else evaluate(mean_pose(train, valid), valid)[0]
    cost = measured_cost(model, *image_size)
    intervals = {
        name: without_nan(asdict(pck_interval(own, t)))
        | {"people": int(np.isfinite(own).any(1).sum())}
        for m, t in REPORTED
        if (name := metric_name(m, t)) in metrics
        for own in (errors(m)[:, counted_keypoints(valid.skeleton, m)],)
    }
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
        # of every mean but AP's, over people: those with a size and a labelled keypoint, who alone are judged
        "intervals": intervals,
        "mean_pose": {name: value for name, value in trivial.items() if not math.isnan(value)},
        "params": cost.params,
        "multiply_adds": cost.multiply_adds,
    }

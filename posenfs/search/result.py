"""The result of a search: the selected epoch and the content of metrics.json."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict

import numpy as np

from posenfs.data.geometry import ImageSize
from posenfs.data.sample import Annotations
from posenfs.evaluation.metrics import (
    REPORTED_PCK,
    ap_notes,
    evaluate,
    metric_title,
    nan_to_none,
    primary_distance_metric,
    primary_metric,
)
from posenfs.evaluation.pck import counted_keypoints, metric_name
from posenfs.evaluation.prediction import mean_pose
from posenfs.evaluation.stats import pck_interval
from posenfs.messages import describe_doubts, many
from posenfs.model.cost import measured_cost
from posenfs.model.network import PoseNetwork

# How keypoints are predicted in the evaluations of a search.
FLIP, DECODING = True, "quarter offset"


class EarlyStopping:
    """Scores of the epochs, by training step.

    Args:
        patience: Epochs without a better score before the search ends; None: it never ends early.
        steps_per_epoch: Training steps in an epoch.
        scores: The primary metric of each evaluation so far, by step.
    """

    def __init__(self, patience: int | None, steps_per_epoch: int, scores: dict[int, float]):
        self.patience, self._steps_per_epoch = patience, steps_per_epoch
        self.scores = scores

    @property
    def best_step(self) -> int | None:
        """The step of the best score, the first of equal ones; None before the first evaluation."""
        return max(self.scores, key=lambda step: self.scores[step], default=None)

    @property
    def chosen_step(self) -> int | None:
        """The step whose network is the result; None: that of the last step."""
        return None if self.patience is None else self.best_step

    def ends_at(self, step: int) -> bool:
        """Whether the search ends at a step."""
        chosen = self.chosen_step
        if self.patience is None or chosen is None:
            return False
        return step >= chosen + self.patience * self._steps_per_epoch

    def choice(self, epochs: int, selected_on: str, is_reported: bool) -> dict:
        """Return how the best epoch was chosen, for metrics.json; {} without early stopping.

        Args:
            epochs: The number of epochs done.
            selected_on: The name of the split on which the scores are computed.
            is_reported: Whether the result is reported on the same split.
        """
        step = self.chosen_step
        if step is None:
            return {}
        chosen = {
            "epoch": step // self._steps_per_epoch,
            "epochs": epochs,
            "score": self.scores[step],
            "selected_on": selected_on,
            "selected_on_reported": is_reported,
        }
        return {"chosen": chosen}


def result_doubts(metrics: Mapping) -> list[str]:
    """Return sentences about the people that a result leaves out, and about what is doubtful.

    Args:
        metrics: The content of metrics.json, or of an evaluation; older versions wrote no doubts.
    """
    left_out, doubtful = metrics.get("left_out", {}), metrics.get("doubtful", {})
    return [
        f"{name}: {sentence}"
        for name in dict.fromkeys([*left_out, *doubtful])
        for sentence in describe_doubts(left_out.get(name, {}), doubtful.get(name, {}))
    ]


def describe_score(metrics: Mapping) -> str:
    """Return the primary metric beside that of the mean pose, and their ratio.

    Args:
        metrics: The content of metrics.json, or of an evaluation.
    """
    name, title = metrics["primary_metric"], metric_title(metrics["primary_metric"])
    score, mean_pose = metrics["metrics"].get(name), metrics["mean_pose"].get(name)
    people = many(metrics["people"], "person", "people")
    if score is None:
        return f"{title}: no value on {people}"
    text = f"{title} {score:.1f} on {people}; mean pose "
    if mean_pose is None:
        return f"{text}not evaluated"
    if mean_pose == 0:
        return f"{text}0.0, so that there is no ratio"
    return f"{text}{mean_pose:.1f}; ratio {score / mean_pose:.1f}"


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
    """Return metrics with intervals, those of the mean pose, the evaluation settings and the cost.

    Args:
        metrics: The metrics of the model on `valid`, by name, in percent.
        errors: Returns the normalised errors [N, K] of a distance measure, by its name.
        train: The training annotations, whose mean pose is evaluated too; None: it is not.
        valid: The evaluated annotations.
        model: The network whose cost is counted.
        image_size: Size of a crop, px.
        flip: Whether heatmaps were averaged with those of the mirror image.
        decoding: How keypoints were decoded from heatmaps.
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
    notes = ap_notes(valid, metrics)
    return {
        "primary_metric": primary_metric(valid),
        "metrics": dict(metrics),
        "people": len(valid),
        "left_out": {
            split.name: dict(split.excluded) for split in (train, valid) if split and split.excluded
        },
        **({"ap_notes": notes} if notes else {}),  # what AP completed, ignores or cannot define
        "doubtful": {
            split.name: dict(split.doubtful) for split in (train, valid) if split and split.doubtful
        },
        "boxes": valid.box_source,
        "head_size": valid.head_source,
        "flip": flip,
        "decoding": decoding,
        "interval": {"metric": distance, "over": "people", **intervals[distance]},
        # Bootstrap over annotations with a size and a labelled keypoint; AP has no interval.
        "intervals": intervals,
        "mean_pose": {name: value for name, value in baseline.items() if not math.isnan(value)},
        "params": cost.params,
        "multiply_adds": cost.multiply_adds,
    }

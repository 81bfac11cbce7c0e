"""Scoring of others' predictions by the protocols of MPII (PCKh) and PCK."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from posenfs.body.skeleton import MPII
from posenfs.data.datasets.mpii import FILE_ORDER, mpii_truth
from posenfs.data.sample import Annotations, DataError
from posenfs.evaluation.pck import (
    COLUMNS,
    TORSO,
    box_sizes,
    head_segment_sizes,
    head_sizes,
    metric_name,
    normalised_distances,
    normalised_errors,
    pck_metrics,
    reported_columns,
)


def score_mpii(
    predictions: np.ndarray,
    truth: Path,
    one_based: bool = False,
    thresholds: Sequence[float] = (0.5, 0.1, 0.11),
    source: str | Path = "the predictions",
) -> tuple[dict[str, dict[str, float]], dict[str, int]]:
    """Score predictions on MPII by PCKh.

    Args:
        predictions: Keypoints [N, 16, 2] px in MPII's file order.
        truth: MPII's gt_*.mat.
        one_based: Whether the first pixel has the coordinate 1, not 0.
        thresholds: Thresholds of PCKh.
        source: What error messages call the predictions.

    Returns:
        {"pckh@0.5": {"head": …, …, "mean": …}, …} in percent, and the number of skipped persons
        by reason.

    Raises:
        ValueError: A threshold is not a positive number.
        DataError: The ground truth is broken or has another number of persons.
    """
    for threshold in thresholds:
        _check_threshold(threshold, "head")
    joints, missing, heads = mpii_truth(truth)
    if len(predictions) != len(joints):
        raise DataError(
            f"{source}: predictions of {len(predictions)} people, but {truth} has {len(joints)}; "
            "give one for each, in its order"
        )
    differences = predictions + (0 if one_based else 1) - joints
    errors = normalised_distances(differences, ~missing, heads)[:, FILE_ORDER]
    metrics = {}
    for threshold in thresholds:
        name = metric_name("pckh", threshold)
        values = pck_metrics(errors, MPII, "pckh", threshold)
        columns = {column: values[f"{name}/{column}"] for column in COLUMNS}
        metrics[name] = columns | {"mean": values[name]}
    return metrics, _skipped(heads, ~missing, "head")


def score_pck(
    predictions: np.ndarray,
    truth: Annotations,
    normalise: str,
    threshold: float,
    torso: tuple[str, str] = TORSO,
) -> tuple[dict[str, dict[str, float]], dict[str, int]]:
    """Score predictions by PCK.

    Args:
        predictions: Keypoints [N, K, 2] in image px, 0-based, in the order of the ground truth.
        truth: Annotated persons.
        normalise: Body size that divides errors: "torso" (distance of the two keypoints `torso`),
            "box" (its longer side), or "head" (its size, or neck to head top).
        threshold: Largest error of a correct keypoint.
        torso: The two keypoints of the torso size.

    Returns:
        {"pck_torso@0.2": {column: …, "mean": …}} in percent, and the number of skipped persons
        by reason.

    Raises:
        ValueError: The body size, the threshold or a keypoint of the torso is unknown.
        DataError: The predictions belong to other persons, or no person has such a size.
    """
    if normalise not in ("torso", "box", "head"):
        raise ValueError(f"errors are normalised by torso, box or head; not by {normalise!r}")
    _check_threshold(threshold, normalise)
    if predictions.shape != truth.keypoints_image.shape:
        raise DataError(
            f"predictions of shape {list(predictions.shape)} for {truth.name}, which has "
            f"{len(truth)} people with {len(truth.skeleton)} keypoints"
        )
    sizes = _body_sizes(truth, normalise, torso)
    errors = normalised_errors(predictions, truth, sizes)
    measure = f"pck_{normalise}"
    name = metric_name(measure, threshold)
    values = pck_metrics(errors, truth.skeleton, measure, threshold)
    columns = {column: values[f"{name}/{column}"] for column in reported_columns(truth.skeleton)}
    skipped = _skipped(sizes, truth.visibility > 0, normalise)
    return {name: columns | {"mean": values[name]}}, skipped


def _body_sizes(truth: Annotations, normalise: str, torso: tuple[str, str]) -> np.ndarray:
    """Return the body sizes [N] px that divide errors; not above 0 where a person has none."""
    if normalise == "torso":
        sizes = truth.lengths(*torso)
    elif normalise == "box":
        sizes = box_sizes(truth)
    elif (truth.head_sizes > 0).any():
        sizes = head_sizes(truth)
    else:
        sizes = head_segment_sizes(truth)
    if not (sizes > 0).any():
        raise DataError(
            f"no person in {truth.name} has a {normalise} with a size; normalise by another"
        )
    return sizes


def _check_threshold(threshold: float, measure: str) -> None:
    if not 0 < threshold < float("inf"):
        raise ValueError(f"a threshold is a share of the {measure}, above 0; got {threshold}")


def _skipped(sizes: np.ndarray, labelled: np.ndarray, measure: str) -> dict[str, int]:
    """Count the persons without a size [N], and those with a size but no labelled keypoint."""
    has_size = sizes > 0
    reasons = {
        f"without a {measure} size": ~has_size,
        "without a labelled keypoint": has_size & ~labelled.any(1),
    }
    return {reason: int(persons.sum()) for reason, persons in reasons.items() if persons.any()}

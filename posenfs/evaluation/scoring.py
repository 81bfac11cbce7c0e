"""Scoring of others' predictions by the protocols of MPII (PCKh), PCK and COCO."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from posenfs.body.skeleton import COCO, MPII
from posenfs.data.datasets.coco_categories import keypoint_category
from posenfs.data.datasets.coco_file import coco_content
from posenfs.data.datasets.mpii import FILE_ORDER, mpii_truth
from posenfs.data.sample import Annotations, DataError
from posenfs.evaluation.coco import average_precision
from posenfs.evaluation.oks import rescore_results
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
from posenfs.evaluation.prediction_files import read_results


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


def score_coco(
    results: Path,
    annotations: Path,
    rescoring: bool = False,
    nms: float | None = None,
    aspect: float = 0.75,
    sigmas: Sequence[float] | None = None,
) -> dict[str, float]:
    """Score a COCO results file by pycocotools.

    Args:
        results: JSON file of results.
        annotations: JSON file of annotations.
        rescoring: Turn box scores into pose scores (see `rescore_results`).
        nms: With rescoring: OKS above which a pose is a duplicate; None for no suppression.
        aspect: With `nms`: width / height of the crops.
        sigmas: Sigmas of the annotations' keypoints; required if these are not COCO's.

    Returns:
        The ten numbers of `average_precision`.

    Raises:
        FileNotFoundError: A file is missing.
        DataError: A file cannot be used.
        ValueError: An option has an impossible value.
    """
    if nms is not None and not rescoring:
        raise ValueError("suppression (--nms) works on rescored poses: give --rescore with it")
    if nms is not None and not 0 < nms <= 1:
        raise ValueError(f"suppression (--nms) is by a similarity in (0, 1]; got {nms}")
    if not 0 < aspect < float("inf"):
        raise ValueError(f"the aspect is width / height of the crops, above 0; got {aspect}")
    if not annotations.is_file():
        raise FileNotFoundError(f"no annotations at {annotations}")
    truth = coco_content(annotations)
    keypoint_sigmas = _keypoint_sigmas(annotations, truth, sigmas)
    rows = read_results(results, truth, len(keypoint_sigmas))
    if rescoring:
        rows = rescore_results(rows, keypoint_sigmas, nms, aspect, f"{results}, result")
    try:
        return average_precision(truth, rows, keypoint_sigmas)
    except Exception as error:  # pycocotools raises many types of errors for unusual annotations
        raise DataError(
            f"{annotations} is not in COCO's format: pycocotools raises {error!r:.120}"
        ) from None


def _keypoint_sigmas(path: Path, annotations: dict, sigmas: Sequence[float] | None) -> np.ndarray:
    """Return the sigmas of the annotated keypoints, by default COCO's."""
    names = tuple(keypoint_category(path, annotations)["keypoints"])
    if sigmas is None and names != COCO.keypoints:
        labels = ", ".join(map(str, names))
        raise DataError(
            f"{path} labels {len(names)} keypoints ({labels:.80}), not COCO's {len(COCO)}: give "
            "their --sigmas"
        )
    keypoint_sigmas = np.array(COCO.oks_sigmas if sigmas is None else sigmas)
    if (
        len(keypoint_sigmas) != len(names)
        or not ((keypoint_sigmas > 0) & (keypoint_sigmas < np.inf)).all()
    ):
        raise ValueError(
            f"sigmas are {len(names)} numbers above 0, one for each keypoint; got "
            f"{keypoint_sigmas.tolist()}"
        )
    return keypoint_sigmas

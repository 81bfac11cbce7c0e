"""PCK and PCKh: the share of keypoints whose error, relative to a body size, is small enough."""

from collections.abc import Callable

import numpy as np

from posenfs.body.skeleton import Skeleton
from posenfs.data.sample import Annotations

# Reported columns and their keypoints. In PCKh the upper neck counts in the mean only; thorax and
# pelvis do not count.
COLUMNS: dict[str, tuple[str, ...]] = {
    "head": ("head_top", "nose"),
    "shoulder": ("left_shoulder", "right_shoulder"),
    "elbow": ("left_elbow", "right_elbow"),
    "wrist": ("left_wrist", "right_wrist"),
    "hip": ("left_hip", "right_hip"),
    "knee": ("left_knee", "right_knee"),
    "ankle": ("left_ankle", "right_ankle"),
}
_NOT_IN_PCKH = ("thorax", "pelvis")
_HARD = ("ankle", "knee", "hip", "wrist", "elbow")  # ten hard keypoints of Table VI: left and right


def reported_columns(skeleton: Skeleton) -> dict[str, tuple[str, ...]]:
    """Return the reported columns of a skeleton and their keypoints.

    A skeleton that lacks all keypoints of a column has one column per keypoint instead.
    """
    for names in COLUMNS.values():
        if not any(name in skeleton.keypoints for name in names):
            return {name: (name,) for name in skeleton.keypoints}
    return COLUMNS


def metric_name(measure: str, threshold: float) -> str:
    """Return the name of a PCK metric, such as "pckh@0.5"."""
    return f"{measure}@{threshold:g}"


def head_sizes(annotations: Annotations) -> np.ndarray:
    """Return the head sizes [N] px of PCKh; `annotations.head_source` names their definition."""
    return annotations.head_sizes


TORSO = ("left_shoulder", "right_hip")  # the convention of LSP


def torso_sizes(annotations: Annotations) -> np.ndarray:
    """Return the distances [N] px from left shoulder to right hip, as used by PCK on LSP.

    A size is NaN unless both keypoints are labelled.
    """
    if not set(TORSO) <= set(annotations.skeleton.keypoints):
        return np.full(len(annotations), np.nan)
    return annotations.lengths(*TORSO)


def head_segment_sizes(annotations: Annotations) -> np.ndarray:
    """Return the distances [N] px from neck to head top; NaN unless both are labelled."""
    keypoints = annotations.skeleton.keypoints
    necks = [name for name in ("upper_neck", "neck") if name in keypoints]
    if not necks or "head_top" not in keypoints:
        return np.full(len(annotations), np.nan)
    return annotations.lengths(necks[0], "head_top")


def box_sizes(annotations: Annotations) -> np.ndarray:
    """Return the longer side [N] px of each person's box."""
    return annotations.boxes[:, 2:].max(1)


# The body size that divides an error, by the name of the measure.
BODY_SIZES: dict[str, Callable[[Annotations], np.ndarray]] = {
    "pckh": head_sizes,
    "pck_torso": torso_sizes,
    "pck_head_segment": head_segment_sizes,
    "pck_box": box_sizes,
}


def normalised_errors(
    keypoints_image: np.ndarray, annotations: Annotations, sizes: np.ndarray
) -> np.ndarray:
    """Return the distances from predicted to annotated keypoints, divided by a body size.

    Args:
        keypoints_image: Predicted keypoints [N, K, 2] in image px.
        annotations: The annotated persons.
        sizes: Body sizes [N] in px.

    Returns:
        Errors [N, K]; NaN where the keypoint is not labelled or the person has no size.

    Raises:
        ValueError: The predictions have another shape than the annotations.
    """
    if keypoints_image.shape != annotations.keypoints_image.shape:
        raise ValueError(
            f"predictions of shape {keypoints_image.shape} for annotations of shape "
            f"{annotations.keypoints_image.shape}"
        )
    differences = keypoints_image - annotations.keypoints_image
    return normalised_distances(differences, annotations.visibility > 0, sizes)


def normalised_distances(
    differences: np.ndarray, labelled: np.ndarray, sizes: np.ndarray
) -> np.ndarray:
    """Return the lengths of differences, divided by a body size.

    Args:
        differences: Predictions less ground truth [N, K, 2] in px.
        labelled: Whether a keypoint is labelled [N, K].
        sizes: Body sizes [N] in px.

    Returns:
        Errors [N, K]; NaN where the keypoint is not labelled or the person has no size.
    """
    usable = labelled & (sizes > 0)[:, None]
    divisors = np.where(sizes > 0, sizes, 1)[:, None]
    return np.where(usable, np.linalg.norm(differences, axis=-1) / divisors, np.nan)


def pck(errors: np.ndarray, threshold: float) -> float:
    """Return the percentage of labelled keypoints with an error of at most the threshold.

    Args:
        errors: Normalised errors of any shape; NaN where not labelled.
        threshold: Largest error of a correct keypoint.

    Returns:
        The percentage; NaN if nothing is labelled.
    """
    labelled = np.isfinite(errors)
    if not labelled.any():
        return float("nan")
    correct = np.where(labelled, errors, np.inf) <= threshold
    return 100 * float(correct.sum()) / int(labelled.sum())


def pck_metrics(
    errors: np.ndarray, skeleton: Skeleton, measure: str, threshold: float
) -> dict[str, float]:
    """Return PCK over all keypoints and by column.

    Args:
        errors: Normalised errors [N, K]; NaN where not labelled.
        skeleton: The skeleton of the K keypoints.
        measure: One of BODY_SIZES, which names the metric.
        threshold: Largest error of a correct keypoint.

    Returns:
        {"pckh@0.5": mean, "pckh@0.5/head": …, …, "pckh@0.5/hard": ten hard keypoints of Table VI},
        in percent. The mean runs over all labelled keypoints; that of PCKh excludes thorax and
        pelvis (HRNet's protocol). A value is NaN if none of its keypoints is labelled.
    """
    name = metric_name(measure, threshold)
    per_keypoint = {
        keypoint: pck(errors[:, k], threshold) for k, keypoint in enumerate(skeleton.keypoints)
    }
    metrics = {name: pck(errors[:, counted_keypoints(skeleton, measure)], threshold)}
    for column, keypoints in reported_columns(skeleton).items():
        # Left and right have equal weight (HRNet's protocol).
        values = [per_keypoint[keypoint] for keypoint in keypoints if keypoint in per_keypoint]
        metrics[f"{name}/{column}"] = float(np.mean(values)) if values else float("nan")
    hard = [k for k, label in enumerate(skeleton.keypoints) if label.partition("_")[2] in _HARD]
    if measure == "pckh" and len(hard) == 10:
        metrics[f"{name}/hard"] = pck(errors[:, hard], threshold)
    return metrics


def counted_keypoints(skeleton: Skeleton, measure: str) -> list[int]:
    """Return the indices of the keypoints that count in the mean of a metric."""
    excluded = _NOT_IN_PCKH if measure == "pckh" else ()
    return [k for k, keypoint in enumerate(skeleton.keypoints) if keypoint not in excluded]


def pck_curve(
    errors: np.ndarray, most: float = 0.5, steps: int = 51
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return PCK over a range of thresholds.

    Args:
        errors: Normalised errors [N, K]; NaN where not labelled.
        most: Largest threshold.
        steps: Number of thresholds, from 0 to `most`.

    Returns:
        Thresholds [steps], PCK [steps] in percent, and the area under the curve in percent of the
        area of perfect predictions.
    """
    thresholds = np.linspace(0, most, steps)
    shares = np.array([pck(errors, threshold) for threshold in thresholds])
    return thresholds, shares, float(np.trapezoid(shares, thresholds) / most)


def ranking(errors: np.ndarray) -> list[int]:
    """Return the people with a labelled keypoint, by increasing mean error.

    Args:
        errors: Normalised errors [N, K]; NaN where not labelled.
    """
    labelled = np.flatnonzero(np.isfinite(errors).any(1))
    return labelled[np.argsort(np.nanmean(errors[labelled], 1), kind="stable")].tolist()

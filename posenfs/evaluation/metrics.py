"""Distance metrics of keypoints in image pixels: PCKh, and PCK by several body sizes."""

from collections.abc import Callable, Mapping

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


def columns_of(skeleton: Skeleton) -> dict[str, tuple[str, ...]]:
    """Return the reported columns of a skeleton and their keypoints.

    A skeleton that lacks all keypoints of a column has one column per keypoint instead.
    """
    for names in COLUMNS.values():
        if not any(name in skeleton.keypoints for name in names):
            return {name: (name,) for name in skeleton.keypoints}
    return COLUMNS


def head_sizes(people: Annotations) -> np.ndarray:
    """Return the head sizes [N] px that PCKh uses; `people.head_source` names their definition."""
    return people.head_sizes


TORSO = ("left_shoulder", "right_hip")  # the convention of LSP


def torso_sizes(people: Annotations) -> np.ndarray:
    """Return the distances [N] px from left shoulder to right hip, as used by PCK on LSP.

    A size is NaN unless both keypoints are labelled.
    """
    if not set(TORSO) <= set(people.skeleton.keypoints):
        return np.full(len(people), np.nan)
    return people.lengths(*TORSO)


def head_segment_sizes(people: Annotations) -> np.ndarray:
    """Return the distances [N] px from neck to head top; NaN unless both are labelled."""
    necks = [name for name in ("upper_neck", "neck") if name in people.skeleton.keypoints]
    if not necks or "head_top" not in people.skeleton.keypoints:
        return np.full(len(people), np.nan)
    return people.lengths(necks[0], "head_top")


def box_sizes(people: Annotations) -> np.ndarray:
    """Return the longer side [N] px of each person's box."""
    return people.boxes[:, 2:].max(1)


# The body size that divides an error, by the name of the metric.
MEASURES: dict[str, Callable[[Annotations], np.ndarray]] = {
    "pckh": head_sizes,
    "pck_torso": torso_sizes,
    "pck_head_segment": head_segment_sizes,
    "pck_box": box_sizes,
}
# Metrics and thresholds of an evaluation. The PCKh@0.1 of the literature was computed at 0.11
# (index 11 of the thresholds in HRNet's code); both are reported, each under its threshold.
REPORTED = (
    ("pckh", 0.5),
    ("pckh", 0.1),
    ("pckh", 0.11),
    ("pck_torso", 0.2),
    ("pck_head_segment", 0.5),
    ("pck_box", 0.2),
)
_PRIMARY = (("pckh", 0.5), ("pck_torso", 0.2), ("pck_box", 0.2))


def primary_metric(people: Annotations) -> str:
    """Return the name of the primary metric for these people.

    It is OKS-AP if they come from a COCO file and their skeleton has sigmas; otherwise PCKh@0.5 if
    head sizes are known, else PCK@0.2 by the torso, else by the box.
    """
    return "ap" if uses_average_precision(people) else metric_name(*primary_distance_metric(people))


def uses_average_precision(people: Annotations) -> bool:
    """Return whether OKS-AP can be computed for these people."""
    return people.coco is not None and people.skeleton.oks_sigmas is not None


def primary_distance_metric(people: Annotations) -> tuple[str, float]:
    """Return the primary distance metric and its threshold, whose errors a run stores."""
    usable = [metric for metric in _PRIMARY if (MEASURES[metric[0]](people) > 0).any()]
    return usable[0]


def metric_name(measure: str, threshold: float) -> str:
    """Return the name of a metric, such as "pckh@0.5"."""
    return f"{measure}@{threshold:g}"


def metric_title(metric: str) -> str:
    """Return the title of a metric for text and plots.

    pckh@0.5 -> PCKh@0.5, pck_head_segment@0.5 -> PCK@0.5 (head segment), ap -> OKS-AP.
    """
    if metric == "ap":
        return "OKS-AP"
    name, _, threshold = metric.partition("@")
    kind, _, measure = name.partition("_")
    title = f"{kind.replace('pck', 'PCK')}@{threshold}"
    return f"{title} ({measure.replace('_', ' ')})" if measure else title


def normalised_errors(predicted: np.ndarray, people: Annotations, sizes: np.ndarray) -> np.ndarray:
    """Return the distances to the ground truth, divided by a body size.

    Args:
        predicted: Predictions [N, K, 2] in image px.
        people: The annotated people.
        sizes: Body sizes [N] in px.

    Returns:
        Errors [N, K]; NaN where the keypoint is not labelled or the person has no size.

    Raises:
        ValueError: The predictions have another shape than the annotations.
    """
    if predicted.shape != people.keypoints_image.shape:
        raise ValueError(
            f"predictions of shape {predicted.shape} for people of {people.keypoints_image.shape}"
        )
    return relative_errors(predicted - people.keypoints_image, people.visibility > 0, sizes)


def relative_errors(differences: np.ndarray, labelled: np.ndarray, sizes: np.ndarray) -> np.ndarray:
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


def correct_share(
    errors: np.ndarray, skeleton: Skeleton, measure: str, threshold: float
) -> dict[str, float]:
    """Return the percentage of labelled keypoints with an error of at most the threshold.

    Args:
        errors: Normalised errors [N, K]; NaN where not labelled.
        skeleton: The skeleton of the K keypoints.
        measure: One of MEASURES, which names the metric.
        threshold: Largest error of a correct keypoint.

    Returns:
        {"pckh@0.5": mean, "pckh@0.5/head": …, …, "pckh@0.5/hard": ten hard keypoints of Table VI}.
        The mean runs over all labelled keypoints; that of PCKh excludes thorax and pelvis (HRNet's
        protocol). A value is NaN if none of its keypoints is labelled.
    """
    name = metric_name(measure, threshold)
    per_keypoint = {
        keypoint: pck(errors[:, k], threshold) for k, keypoint in enumerate(skeleton.keypoints)
    }
    shares = {name: pck(errors[:, counted_keypoints(skeleton, measure)], threshold)}
    for column, keypoints in columns_of(skeleton).items():
        shares[f"{name}/{column}"] = _mean(per_keypoint, keypoints)
    hard = [k for k, label in enumerate(skeleton.keypoints) if label.partition("_")[2] in _HARD]
    if measure == "pckh" and len(hard) == 10:
        shares[f"{name}/hard"] = pck(errors[:, hard], threshold)
    return shares


def counted_keypoints(skeleton: Skeleton, measure: str) -> list[int]:
    """Return the indices of the keypoints that count in the mean of a metric."""
    excluded = _NOT_IN_PCKH if measure == "pckh" else ()
    return [k for k, keypoint in enumerate(skeleton.keypoints) if keypoint not in excluded]


def ranking(errors: np.ndarray) -> list[int]:
    """Return the people with a labelled keypoint, by increasing mean error.

    Args:
        errors: Normalised errors [N, K]; NaN where not labelled.
    """
    labelled = np.flatnonzero(np.isfinite(errors).any(1))
    return labelled[np.argsort(np.nanmean(errors[labelled], 1), kind="stable")].tolist()


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


def without_nan(values: Mapping[str, object]) -> dict[str, object]:
    """Replace NaN by None, because JSON has no NaN."""
    return {name: None if value != value else value for name, value in values.items()}


def _mean(values: Mapping[str, float], names: tuple[str, ...]) -> float:
    """Average over keypoints, so that left and right have equal weight (HRNet's protocol)."""
    present = [values[name] for name in names if name in values]
    return float(np.mean(present)) if present else float("nan")

"""Metrics from keypoints in image pixels."""

from collections.abc import Mapping

import numpy as np

from posenfs.body.skeleton import Skeleton
from posenfs.data.sample import People

# The columns in which PCKh is reported; upper neck counts in the mean alone, thorax and pelvis nowhere.
COLUMNS = {
    "head": ("head_top",),
    **{k: (f"left_{k}", f"right_{k}") for k in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")},
}
_NOT_IN_MEAN = ("thorax", "pelvis")


def normalised_errors(predicted: np.ndarray, people: People, sizes: np.ndarray) -> np.ndarray:
    """[N, K, 2] image px -> distance to the truth / size [N]; [N, K], NaN where not labelled or without a size."""
    if predicted.shape != people.keypoints_image.shape:
        raise ValueError(f"predictions of shape {predicted.shape} for people of {people.keypoints_image.shape}")
    distance = np.linalg.norm(predicted - people.keypoints_image, axis=-1)
    usable = (people.visibility > 0) & (sizes > 0)[:, None]
    return np.where(usable, distance / np.where(sizes > 0, sizes, np.nan)[:, None], np.nan)


def pckh(errors: np.ndarray, skeleton: Skeleton, thresholds: tuple[float, ...] = (0.5, 0.1, 0.11)) -> dict[str, float]:
    """Share of keypoints, in percent, whose error [N, K] in head sizes is at most the threshold.

    HRNet's protocol: {"pckh@0.5": mean, "pckh@0.5/head": …, …}; the mean runs over all labelled keypoints but thorax
    and pelvis. What the literature calls "@0.1" was computed at 0.11; both are here, each by its name. A value without
    any labelled keypoint is NaN.
    """
    counted = [k for k, name in enumerate(skeleton.keypoints) if name not in _NOT_IN_MEAN]
    values: dict[str, float] = {}
    for threshold in thresholds:
        values[f"pckh@{threshold:g}"] = pck(errors[:, counted], threshold)
        per_keypoint = {name: pck(errors[:, k], threshold) for k, name in enumerate(skeleton.keypoints)}
        for column, names in COLUMNS.items():
            values[f"pckh@{threshold:g}/{column}"] = _mean(per_keypoint, names)
    return values


def torso_sizes(people: People) -> np.ndarray:
    """[N] px: left shoulder to right hip, by which LSP's PCK measures; NaN unless both are labelled."""
    ends = [people.skeleton.index(name) for name in ("left_shoulder", "right_hip")]
    length = np.linalg.norm(np.diff(people.keypoints_image[:, ends], axis=1)[:, 0], axis=-1)
    return np.where((people.visibility[:, ends] > 0).all(1), length, np.nan)


def pck(errors: np.ndarray, threshold: float) -> float:
    """Share of all labelled keypoints, in percent, whose error [N, K] is at most the threshold; NaN without any."""
    labelled = np.isfinite(errors)
    correct = np.where(labelled, errors, np.inf) <= threshold
    return 100 * float(correct.sum()) / int(labelled.sum()) if labelled.any() else float("nan")


def _mean(values: Mapping[str, float], names: tuple[str, ...]) -> float:
    """Left and right weigh the same, however often each is labelled: the protocol's way."""
    present = [values[name] for name in names if name in values]
    return float(np.mean(present)) if present else float("nan")

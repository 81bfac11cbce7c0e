"""Metrics from keypoints in image pixels: PCKh and PCK by several measures of a person's size."""

from collections.abc import Callable, Mapping

import numpy as np

from posenfs.body.skeleton import Skeleton
from posenfs.data.sample import People

# The columns that are reported; of PCKh upper neck counts in the mean alone, thorax and pelvis nowhere.
COLUMNS: dict[str, tuple[str, ...]] = {
    "head": ("head_top", "nose"),
    **{k: (f"left_{k}", f"right_{k}") for k in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")},
}
_NOT_IN_PCKH = ("thorax", "pelvis")
_HARD = ("ankle", "knee", "hip", "wrist", "elbow")  # left and right: the ten hard keypoints of Table VI


def columns_of(skeleton: Skeleton) -> dict[str, tuple[str, ...]]:
    """The columns of a person's skeleton; of another one every keypoint is a column of its own."""
    whole = all(any(name in skeleton.keypoints for name in names) for names in COLUMNS.values())
    return COLUMNS if whole else {name: (name,) for name in skeleton.keypoints}


def head_sizes(people: People) -> np.ndarray:
    """[N] px: what PCKh measures by; `people.head_source` says what that is."""
    return people.head_sizes


TORSO = ("left_shoulder", "right_hip")  # LSP's custom


def torso_sizes(people: People) -> np.ndarray:
    """[N] px: left shoulder to right hip, by which LSP's PCK measures; NaN unless both are labelled, or where the
    skeleton lacks one."""
    if not set(TORSO) <= set(people.skeleton.keypoints):
        return np.full(len(people), np.nan)
    return people.lengths(*TORSO)


def head_segment_sizes(people: People) -> np.ndarray:
    """[N] px: neck to head top; NaN unless both are labelled, or where the skeleton has none."""
    neck = next((name for name in ("upper_neck", "neck") if name in people.skeleton.keypoints), None)
    if neck is None or "head_top" not in people.skeleton.keypoints:
        return np.full(len(people), np.nan)
    return people.lengths(neck, "head_top")


def box_sizes(people: People) -> np.ndarray:
    """[N] px: the longer side of a person's box."""
    return people.boxes[:, 2:].max(1)


# What an error is divided by, by the metric's name.
MEASURES: dict[str, Callable[[People], np.ndarray]] = {
    "pckh": head_sizes,
    "pck_torso": torso_sizes,
    "pck_head_segment": head_segment_sizes,
    "pck_box": box_sizes,
}
# What an evaluation reports. What the literature calls PCKh@0.1 was computed at 0.11 (index 11 of HRNet's list of
# thresholds); both are here, each by its name.
REPORTED = (
    ("pckh", 0.5), ("pckh", 0.1), ("pckh", 0.11), ("pck_torso", 0.2), ("pck_head_segment", 0.5), ("pck_box", 0.2),
)  # fmt: skip
_HEADLINES = (("pckh", 0.5), ("pck_torso", 0.2), ("pck_box", 0.2))


def headline(people: People) -> str:
    """The metric that stands for a result on these people: OKS-AP by a COCO file with sigmas, PCKh@0.5 where heads have
    a size, else PCK@0.2 by the torso, else by the box."""
    return "ap" if judged_by_ap(people) else metric_name(*distance_headline(people))


def judged_by_ap(people: People) -> bool:
    return people.coco is not None and people.skeleton.oks_sigmas is not None


def distance_headline(people: People) -> tuple[str, float]:
    """Of the measures of distance the one, and its threshold, that stands for a result; its errors are kept."""
    return next((measure, threshold) for measure, threshold in _HEADLINES if (MEASURES[measure](people) > 0).any())


def metric_name(measure: str, threshold: float) -> str:
    return f"{measure}@{threshold:g}"


def metric_title(metric: str) -> str:
    """pckh@0.5 -> PCKh@0.5, pck_head_segment@0.5 -> PCK@0.5 (head segment), ap -> OKS-AP"""
    if metric == "ap":
        return "OKS-AP"
    name, _, rest = metric.partition("@")
    kind, _, measure = name.partition("_")
    return f"{kind.replace('pck', 'PCK')}@{rest}" + (f" ({measure.replace('_', ' ')})" if measure else "")


def normalised_errors(predicted: np.ndarray, people: People, sizes: np.ndarray) -> np.ndarray:
    """[N, K, 2] image px -> distance to the truth / size [N]; [N, K], NaN where not labelled or without a size."""
    if predicted.shape != people.keypoints_image.shape:
        raise ValueError(f"predictions of shape {predicted.shape} for people of {people.keypoints_image.shape}")
    return relative_errors(predicted - people.keypoints_image, people.visibility > 0, sizes)


def relative_errors(differences: np.ndarray, labelled: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Differences [N, K, 2] px, labelled [N, K], sizes [N] px -> [N, K], NaN where not labelled or without a size."""
    usable = labelled & (sizes > 0)[:, None]
    return np.where(usable, np.linalg.norm(differences, axis=-1) / np.where(sizes > 0, sizes, 1)[:, None], np.nan)


def correct_share(errors: np.ndarray, skeleton: Skeleton, measure: str, threshold: float) -> dict[str, float]:
    """Share of labelled keypoints, in percent, whose error [N, K], in this measure, is at most the threshold.

    {"pckh@0.5": mean, "pckh@0.5/head": …, …, "pckh@0.5/hard": of Table VI's ten hard keypoints}; the mean runs over all
    labelled keypoints, PCKh's but thorax and pelvis (HRNet's protocol). A value without any labelled keypoint is NaN.
    """
    name, counted = metric_name(measure, threshold), counted_keypoints(skeleton, measure)
    per_keypoint = {keypoint: pck(errors[:, k], threshold) for k, keypoint in enumerate(skeleton.keypoints)}
    own = columns_of(skeleton).items()
    columns = {f"{name}/{column}": _mean(per_keypoint, keypoints) for column, keypoints in own}
    hard = [k for k, keypoint in enumerate(skeleton.keypoints) if keypoint.partition("_")[2] in _HARD]
    extra = {f"{name}/hard": pck(errors[:, hard], threshold)} if measure == "pckh" and len(hard) == 10 else {}
    return {name: pck(errors[:, counted], threshold)} | columns | extra


def counted_keypoints(skeleton: Skeleton, measure: str) -> list[int]:
    """Those over which a measure's mean runs."""
    left_out = _NOT_IN_PCKH if measure == "pckh" else ()
    return [k for k, keypoint in enumerate(skeleton.keypoints) if keypoint not in left_out]


def ranking(errors: np.ndarray) -> list[int]:
    """[N, K] errors, NaN where not labelled -> people with at least one labelled keypoint, the smallest mean first."""
    judged = np.flatnonzero(np.isfinite(errors).any(1))
    return judged[np.argsort(np.nanmean(errors[judged], 1), kind="stable")].tolist()


def pck(errors: np.ndarray, threshold: float) -> float:
    """Share of all labelled keypoints, in percent, whose error [N, K] is at most the threshold; NaN without any."""
    labelled = np.isfinite(errors)
    correct = np.where(labelled, errors, np.inf) <= threshold
    return 100 * float(correct.sum()) / int(labelled.sum()) if labelled.any() else float("nan")


def pck_curve(errors: np.ndarray, most: float = 0.5, steps: int = 51) -> tuple[np.ndarray, np.ndarray, float]:
    """PCK in percent of errors [N, K] over thresholds from 0 to `most`: thresholds [steps], PCK [steps], and the area
    below, in percent of what perfect predictions would have."""
    thresholds = np.linspace(0, most, steps)
    shares = np.array([pck(errors, threshold) for threshold in thresholds])
    return thresholds, shares, float(np.trapezoid(shares, thresholds) / most)


def without_nan(values: Mapping[str, object]) -> dict[str, object]:
    """With None for NaN, which JSON does not know."""
    return {name: None if value != value else value for name, value in values.items()}


def _mean(values: Mapping[str, float], names: tuple[str, ...]) -> float:
    """Left and right weigh the same, however often each is labelled: the protocol's way."""
    present = [values[name] for name in names if name in values]
    return float(np.mean(present)) if present else float("nan")

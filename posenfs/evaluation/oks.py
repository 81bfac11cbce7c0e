"""COCO metrics: object keypoint similarity (OKS), OKS-based suppression, rescoring and OKS-AP."""

import contextlib
import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np
from pycocotools import coco, cocoeval

from posenfs.data.geometry import PADDING

# The ten numbers of COCO's keypoint evaluation, in pycocotools' order.
AP_NAMES = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR", "AR50", "AR75", "AR_M", "AR_L")


def pose_similarity(
    pose: np.ndarray,
    others: np.ndarray,
    area: float,
    areas: np.ndarray,
    sigmas: Sequence[float] | np.ndarray,
) -> np.ndarray:
    """Return the OKS between one pose and N other poses.

    Args:
        pose: Keypoints [K, 2] px.
        others: Keypoints [N, K, 2] px.
        area: Area of the pose in px².
        areas: Areas [N] of the other poses in px²; each pair uses the mean of its two areas.
        sigmas: Sigmas [K] of the keypoints.

    Returns:
        OKS [N].
    """
    distances = ((others - pose) ** 2).sum(-1)
    spread = 2 * (2 * np.asarray(sigmas)) ** 2 * ((area + areas[:, None]) / 2 + np.spacing(1))
    return np.exp(-distances / spread).mean(-1)


def oks_nms(
    poses: np.ndarray,
    scores: np.ndarray,
    areas: np.ndarray,
    sigmas: Sequence[float] | np.ndarray,
    threshold: float = 0.9,
) -> list[int]:
    """Suppress duplicate poses of one image (non-maximum suppression by OKS).

    Args:
        poses: Keypoints [N, K, 2] px.
        scores: Pose scores [N].
        areas: Areas [N] of the poses in px².
        sigmas: Sigmas [K] of the keypoints.
        threshold: A pose is removed if its OKS with a remaining pose of higher score exceeds this.

    Returns:
        Indices of the remaining poses by decreasing score; the first of equal scores comes first.
    """
    order = np.argsort(-scores, kind="stable")
    remaining = []
    while len(order):
        best, rest = order[0], order[1:]
        remaining.append(int(best))
        similarities = pose_similarity(poses[best], poses[rest], areas[best], areas[rest], sigmas)
        order = rest[similarities <= threshold]
    return remaining


def rescore(
    box_scores: np.ndarray, keypoint_scores: np.ndarray, threshold: float = 0.2
) -> np.ndarray:
    """Return pose scores: box score times mean of the keypoint scores above a threshold.

    The sum runs in float32 over one keypoint after the other, as in HRNet's code, so that equal
    scores stay equal.

    Args:
        box_scores: Scores of the boxes [N].
        keypoint_scores: Scores of the keypoints [N, K].
        threshold: Keypoints with a score up to this are excluded.

    Returns:
        Pose scores [N]; 0 if no keypoint is above the threshold.
    """
    scores = keypoint_scores.astype(np.float32)
    counted = scores > threshold
    total = np.zeros(len(scores), np.float32)
    for k in range(scores.shape[1]):
        total += np.where(counted[:, k], scores[:, k], np.float32(0))
    counts = np.maximum(counted.sum(1), 1).astype(np.float32)
    return total / counts * box_scores.astype(np.float32)


def nms_areas(boxes: np.ndarray, aspect: float = 0.75) -> np.ndarray:
    """Return the areas that suppression uses for poses: those of the padded crops.

    The shorter side of a box is extended until width / height equals the aspect, then the box is
    padded. This follows HRNet; other implementations use width · height of the box.

    Args:
        boxes: Boxes [N, 4] as x, y, width, height in px.
        aspect: Width / height of the crops.

    Returns:
        Areas [N] in px².
    """
    width, height = boxes[:, 2], boxes[:, 3]
    return np.maximum(width, aspect * height) * np.maximum(height, width / aspect) * PADDING**2


def average_precision(
    annotations: Mapping,
    results: Sequence[Mapping],
    sigmas: Sequence[float] | np.ndarray | None = None,
    images: Iterable[int] | None = None,
) -> dict[str, float]:
    """Return the ten numbers of pycocotools' keypoint evaluation.

    Annotations without area get the area of their box; without num_keypoints, the number of their
    labelled keypoints; without keypoints, no labelled keypoint.

    Args:
        annotations: Content of a COCO annotation file; it is not modified.
        results: Results {image_id, category_id, keypoints [x, y, score, …], score}.
        sigmas: Sigmas of the keypoints; None for those of COCO.
        images: Ids of the images to evaluate; None for all.

    Returns:
        Each of AP_NAMES as a share in [0, 1]; -1 if the images have no annotated person, 0 if there
        are no results.
    """
    if not results:
        return dict.fromkeys(AP_NAMES, 0.0)
    with _silence():
        truth = coco.COCO()
        truth.dataset = copy.deepcopy(dict(annotations))  # pycocotools modifies annotations
        for annotation in truth.dataset["annotations"]:
            _complete(annotation)
        truth.createIndex()
        detections = truth.loadRes([dict(result) for result in results])
        evaluation = cocoeval.COCOeval(truth, detections, "keypoints")
        if sigmas is not None:
            evaluation.params.kpt_oks_sigmas = np.asarray(sigmas)
        if images is not None:
            evaluation.params.imgIds = sorted(map(int, images))
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(AP_NAMES, map(float, evaluation.stats), strict=True))


def _complete(annotation: dict) -> None:
    """Add the fields that pycocotools requires and a file may lack."""
    labelled = sum(visibility > 0 for visibility in (annotation.get("keypoints") or ())[2::3])
    defaults: dict[str, object] = {"iscrowd": 0, "num_keypoints": labelled}
    if not labelled:
        defaults |= {"keypoints": [], "bbox": [0, 0, 0, 0]}
    for name, value in defaults.items():
        if annotation.get(name) is None:
            annotation[name] = value
    if annotation.get("area") is None:
        annotation["area"] = annotation["bbox"][2] * annotation["bbox"][3]


# Whether pycocotools is silent in the current thread; other threads still print.
_SILENT = ContextVar("_SILENT", default=False)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Suppress the output of pycocotools in this thread."""
    token = _SILENT.set(True)
    try:
        yield
    finally:
        _SILENT.reset(token)


def _print(*values: Any, **options: Any) -> None:
    if not _SILENT.get():
        print(*values, **options)


coco.print = cocoeval.print = _print  # used by these modules in place of the built-in print

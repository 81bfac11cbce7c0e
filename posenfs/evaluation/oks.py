"""COCO's measure: object keypoint similarity, average precision by pycocotools, double poses removed, scores redone."""

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
    pose: np.ndarray, others: np.ndarray, area: float, areas: np.ndarray, sigmas: Sequence[float] | np.ndarray
) -> np.ndarray:
    """OKS [N] of a pose [K, 2] and others [N, K, 2] px, their areas [N] px²: each pair is measured by its mean area."""
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
    """The poses [N, K, 2] of one picture that stay, the highest score [N] first: one goes where a higher one that stays
    is more similar to it than the threshold. Of equal scores the first stays."""
    order, kept = np.argsort(-scores, kind="stable"), []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(int(best))
        similar = pose_similarity(poses[best], poses[rest], areas[best], areas[rest], sigmas)
        order = rest[similar <= threshold]
    return kept


def rescore(box_scores: np.ndarray, keypoint_scores: np.ndarray, threshold: float = 0.2) -> np.ndarray:
    """Box score [N] times the mean of the keypoint scores [N, K] above a threshold; 0 where none is above it.

    Summed in float32, one keypoint after another, as HRNet's code does: ties fall as they fall there.
    """
    scores = keypoint_scores.astype(np.float32)
    counted = scores > threshold
    total = np.zeros(len(scores), np.float32)
    for k in range(scores.shape[1]):
        total += np.where(counted[:, k], scores[:, k], np.float32(0))
    return total / np.maximum(counted.sum(1), 1).astype(np.float32) * box_scores.astype(np.float32)


def nms_areas(boxes: np.ndarray, aspect: float = 0.75) -> np.ndarray:
    """[N] px² by which suppression measures poses: that of the crop, a box [N, 4] (x, y, w, h) made as wide as `aspect`
    times its height by growing its shorter side, then padded. HRNet's choice; others take w * h."""
    width, height = boxes[:, 2], boxes[:, 3]
    return np.maximum(width, aspect * height) * np.maximum(height, width / aspect) * PADDING**2


def average_precision(
    annotations: Mapping,
    results: Sequence[Mapping],
    sigmas: Sequence[float] | np.ndarray | None = None,
    images: Iterable[int] | None = None,
) -> dict[str, float]:
    """pycocotools' ten numbers, as shares, of results {image_id, category_id, keypoints [x, y, score, …], score} by the
    content of an annotation file; other sigmas than COCO's where given, and some of its pictures alone, by their ids.
    -1 where there is nobody to find. No result: everything is 0, as it finds nobody. Annotations without area or
    num_keypoints have the area of their box, and as many as are labelled; without keypoints nothing is labelled.
    """
    if not results:
        return dict.fromkeys(AP_NAMES, 0.0)
    with _silence():
        truth = coco.COCO()
        truth.dataset = copy.deepcopy(dict(annotations))  # it writes into what it is given
        for annotation in truth.dataset["annotations"]:
            _complete(annotation)
        truth.createIndex()
        evaluation = cocoeval.COCOeval(truth, truth.loadRes([dict(result) for result in results]), "keypoints")
        if sigmas is not None:
            evaluation.params.kpt_oks_sigmas = np.asarray(sigmas)
        if images is not None:
            evaluation.params.imgIds = sorted(map(int, images))
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(AP_NAMES, map(float, evaluation.stats), strict=True))


def _complete(annotation: dict) -> None:
    """Add what pycocotools asks of an annotation and a file may lack."""
    labelled = sum(v > 0 for v in (annotation.get("keypoints") or ())[2::3])
    added = {"iscrowd": 0, "num_keypoints": labelled} | ({} if labelled else {"keypoints": [], "bbox": [0, 0, 0, 0]})
    annotation |= {name: value for name, value in added.items() if annotation.get(name) is None}
    if annotation.get("area") is None:
        annotation["area"] = annotation["bbox"][2] * annotation["bbox"][3]


_SILENT = ContextVar("_SILENT", default=False)  # of a thread: the others print as ever


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """pycocotools, which prints what it does, says nothing."""
    before = _SILENT.set(True)
    try:
        yield
    finally:
        _SILENT.reset(before)


def _print(*words: Any, **options: Any) -> None:
    if not _SILENT.get():
        print(*words, **options)


coco.print = cocoeval.print = _print  # what these modules call in the place of the built-in one

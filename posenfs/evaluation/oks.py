"""COCO's measure: object keypoint similarity, average precision by pycocotools, double poses removed, scores redone."""

import contextlib
import copy
import io
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from pycocotools.coco import COCO as CocoAnnotations
from pycocotools.cocoeval import COCOeval

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


def nms_areas(boxes: np.ndarray, aspect: float = 0.75, padding: float = 1.25) -> np.ndarray:
    """[N] px² by which suppression measures poses: that of the crop, a box [N, 4] (x, y, w, h) made as wide as `aspect`
    times its height by growing its shorter side, then padded. HRNet's choice; others take w * h."""
    width, height = boxes[:, 2], boxes[:, 3]
    return np.maximum(width, aspect * height) * np.maximum(height, width / aspect) * padding**2


def average_precision(
    annotations: Mapping,
    results: Sequence[Mapping],
    sigmas: Sequence[float] | np.ndarray | None = None,
    images: Iterable[int] | None = None,
) -> dict[str, float]:
    """pycocotools' ten numbers, as shares, of results {image_id, category_id, keypoints [x, y, score, …], score} by the
    content of an annotation file; other sigmas than COCO's where given, and some of its pictures alone, by their ids.
    -1 where there is nobody to find. No result: everything is 0, as it finds nobody. Annotations without area or
    num_keypoints have the area of their box, and as many as are labelled.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does
        truth = CocoAnnotations()
        truth.dataset = copy.deepcopy(dict(annotations))  # it writes into what it is given
        for annotation in truth.dataset["annotations"]:
            if annotation.get("area") is None:
                annotation["area"] = annotation["bbox"][2] * annotation["bbox"][3]
            if annotation.get("num_keypoints") is None:
                annotation["num_keypoints"] = sum(v > 0 for v in annotation["keypoints"][2::3])
        truth.createIndex()
        if not results:
            return dict.fromkeys(AP_NAMES, 0.0)
        evaluation = COCOeval(truth, truth.loadRes([dict(result) for result in results]), "keypoints")
        if sigmas is not None:
            evaluation.params.kpt_oks_sigmas = np.asarray(sigmas)
        if images is not None:
            evaluation.params.imgIds = sorted(map(int, images))
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(AP_NAMES, map(float, evaluation.stats), strict=True))

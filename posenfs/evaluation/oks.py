"""Object keypoint similarity (OKS): suppression of duplicate poses and rescoring of results."""

from collections.abc import Mapping, Sequence

import numpy as np

from posenfs.data.geometry import PADDING
from posenfs.data.parsing import finite_numbers
from posenfs.data.sample import DataError


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
        Indices of the remaining poses in the order of `score_order`.
    """
    order = score_order(scores)
    remaining = []
    while len(order):
        best, rest = order[0], order[1:]
        remaining.append(int(best))
        similarities = pose_similarity(poses[best], poses[rest], areas[best], areas[rest], sigmas)
        order = rest[similarities <= threshold]
    return remaining


def score_order(scores: np.ndarray) -> np.ndarray:
    """Return the indices of pose scores [N] by decreasing score; the last of equal ones is first.

    HRNet and MMPose sort by `scores.argsort()[::-1]`. For the up to 16 poses of nearly every image
    numpy sorted by insertion, which is stable. Since 1.25 its default depends on the processor; the
    stable sort gives the same order everywhere.
    """
    return np.argsort(scores, kind="stable")[::-1]


def rescore(
    box_scores: np.ndarray, keypoint_scores: np.ndarray, threshold: float = 0.2
) -> np.ndarray:
    """Return pose scores: box score times mean of the keypoint scores above a threshold.

    The mean is computed in float32, the sum over one keypoint after the other, and multiplied by
    the box score in float64, as in HRNet's code (numpy 2), so that equal scores stay equal.

    Args:
        box_scores: Scores of the boxes [N].
        keypoint_scores: Scores of the keypoints [N, K].
        threshold: Keypoints with a score up to this are excluded.

    Returns:
        Pose scores [N] float64; 0 if no keypoint is above the threshold.
    """
    scores = keypoint_scores.astype(np.float32)
    counted = scores > threshold
    total = np.zeros(len(scores), np.float32)
    for k in range(scores.shape[1]):
        total += np.where(counted[:, k], scores[:, k], np.float32(0))
    counts = np.maximum(counted.sum(1), 1).astype(np.float32)
    return (total / counts).astype(np.float64) * box_scores


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


def rescore_results(
    results: Sequence[Mapping],
    sigmas: Sequence[float] | np.ndarray,
    nms: float | None = 0.9,
    aspect: float = 0.75,
    place: str = "result",
) -> list[dict]:
    """Turn box scores into pose scores and suppress duplicate poses of each image.

    The results of an image are returned in the order of `score_order`, with and without
    suppression: of equal scores pycocotools matches the first.

    Args:
        results: COCO results with `bbox` [x, y, w, h], the box score as `score`, and keypoints with
            raw scores.
        sigmas: Sigmas of the keypoints.
        nms: OKS above which a pose is a duplicate; None for no suppression.
        aspect: Width / height of the crops, whose areas suppression uses (see `nms_areas`).
        place: What error messages call a result, before its number.

    Raises:
        DataError: A result has no bbox with a size.
    """
    if not results:
        return []
    boxes = result_boxes(results, place)
    keypoints = np.array([result["keypoints"] for result in results], np.float64)
    poses = keypoints.reshape(len(results), -1, 3)  # [N, K, 3]: x, y, score
    box_scores = np.array([result["score"] for result in results], np.float64)
    scores, areas = rescore(box_scores, poses[..., 2]), nms_areas(boxes, aspect)
    rows: list[int] = []
    for image_rows in _rows_by_image(results):
        image_scores, image_poses = scores[image_rows], poses[image_rows, :, :2]
        chosen = (
            score_order(image_scores)
            if nms is None
            else oks_nms(image_poses, image_scores, areas[image_rows], sigmas, nms)
        )
        rows += image_rows[chosen].tolist()
    return [{**results[row], "score": float(scores[row])} for row in rows]


def result_boxes(results: Sequence[Mapping], place: str = "result") -> np.ndarray:
    """Return the boxes [N, 4] of results as x, y, width, height in px.

    Args:
        results: COCO results.
        place: What error messages call a result, before its number.

    Raises:
        DataError: A result has no bbox with a size.
    """
    boxes = np.stack(
        [
            finite_numbers(f"{place} {number}", "bbox", result.get("bbox"), (4,))
            for number, result in enumerate(results)
        ]
    )
    empty = np.flatnonzero((boxes[:, 2:] <= 0).any(1))
    if empty.size:
        raise DataError(f"{place} {empty[0]}: its bbox {boxes[empty[0]].tolist()} has no size")
    return boxes


def _rows_by_image(results: Sequence[Mapping]) -> list[np.ndarray]:
    """Return the indices of the results of each image, in the order of first appearance."""
    rows_of_image: dict[int, list[int]] = {}
    for row, result in enumerate(results):
        rows_of_image.setdefault(result["image_id"], []).append(row)
    return [np.array(rows) for rows in rows_of_image.values()]

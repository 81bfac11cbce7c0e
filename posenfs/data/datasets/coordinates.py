"""Coordinates of annotations: boxes made from keypoints, and coordinates that are no pixels."""

from typing import NamedTuple

import numpy as np

from posenfs.data.parsing import MAX_PX
from posenfs.data.sample import DataError

_MIN_BOX = 8.0  # px: the smallest side of a box, also around a single keypoint
_SHARE = 1.5  # coordinates up to here may be shares of an image: such labels reach out of it
_HUGE = 10  # a box with a side of more than ten times the image's is a mistake
_TINY = 4.0  # px: in an image of this side, shares and pixels look alike

OUTSIDE = "labelled keypoint outside the image"
_CORNER = f"all keypoints within {_SHARE} px of the image's corner, as if normalised"


def keypoint_boxes(keypoints: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """Return the boxes that enclose the labelled keypoints, with sides of at least 8 px.

    Args:
        keypoints: [N, K, 2] px.
        labelled: [N, K]; coordinates of unlabelled keypoints are not used.

    Returns:
        [N, 4] x, y, width, height; NaN for a person without a labelled keypoint.
    """
    low = np.where(labelled[..., None], keypoints, np.inf).min(1)
    high = np.where(labelled[..., None], keypoints, -np.inf).max(1)
    is_labelled = labelled.any(1, keepdims=True)
    low, high = np.where(is_labelled, low, np.nan), np.where(is_labelled, high, np.nan)
    size = np.maximum(high - low, _MIN_BOX)
    return np.concatenate([(low + high - size) / 2, size], -1)


class CompletedBoxes(NamedTuple):
    """Boxes of N people, those that cannot be used replaced by boxes of keypoints."""

    boxes: np.ndarray  # [N, 4]; NaN where nothing can be used
    is_made: np.ndarray  # [N] whether a box is made from keypoints
    made: dict[str, int]  # reason -> number of boxes made from keypoints
    excluded: dict[str, int]  # reason -> number of people without any usable box


def complete_boxes(
    boxes: np.ndarray, keypoints: np.ndarray, labelled: np.ndarray, image_sizes: np.ndarray
) -> CompletedBoxes:
    """Make boxes from labelled keypoints where they cannot be used.

    These are boxes that are missing, of no size, outside the image, or more than ten times as wide
    or high as the image. Keypoints outside the image are not used. A box that lies partly in the
    image is kept.

    Args:
        boxes: [N, 4] x, y, width, height in px; NaN where missing.
        keypoints: [N, K, 2] px.
        labelled: [N, K].
        image_sizes: [N, 2] width and height of each person's image in px; NaN where unknown.
    """
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    is_missing = np.isnan(boxes).any(1)
    is_flat = (boxes[:, 2:] <= 0).any(1)
    # comparisons with an unknown size are false
    is_outside = ((high <= 0) | (low >= image_sizes)).any(1) & ~is_flat
    is_huge = ((boxes[:, 2:] > _HUGE * image_sizes) | (boxes[:, 2:] > MAX_PX)).any(1)
    is_huge &= ~is_flat & ~is_outside
    is_made = is_missing | is_flat | is_outside | is_huge
    if not is_made.any():
        return CompletedBoxes(boxes, is_made, {}, {})
    inside = labelled & ~keypoints_outside(keypoints, labelled, image_sizes)
    boxes = np.where(is_made[:, None], keypoint_boxes(keypoints, inside), boxes)
    is_usable = ~np.isnan(boxes).any(1)
    reasons = {
        "box missing": is_missing,
        "box of no size": is_flat,
        "box outside the image": is_outside,
        f"box of more than {_HUGE} times the image": is_huge,
    }
    made = {
        f"{reason}: made from keypoints": int((people & is_usable).sum())
        for reason, people in reasons.items()
        if (people & is_usable).any()
    }
    excluded = {
        f"{reason}, and no labelled keypoint in the image": int((people & ~is_usable).sum())
        for reason, people in reasons.items()
        if (people & ~is_usable).any()
    }
    return CompletedBoxes(boxes, is_made & is_usable, made, excluded)


def keypoints_outside(
    keypoints: np.ndarray, labelled: np.ndarray, image_sizes: np.ndarray
) -> np.ndarray:
    """Return which labelled keypoints lie outside their image.

    Args:
        keypoints: [N, K, 2] px; an integer is the centre of a pixel.
        labelled: [N, K].
        image_sizes: [N, 2] width and height in px; nothing is outside where they are unknown.

    Returns:
        bool [N, K].
    """
    has_size = ~np.isnan(image_sizes).any(-1)[:, None]
    outside = (keypoints < -0.5) | (keypoints > image_sizes[:, None] - 0.5)
    return labelled & has_size & outside.any(-1)


def refuse_normalised(
    place: str,
    advice: str,
    keypoints: np.ndarray,
    labelled: np.ndarray,
    boxes: np.ndarray | None = None,
    image_sizes: np.ndarray | None = None,
) -> dict[str, int]:
    """Raise an error if the keypoints or the boxes of most people are shares of the image, not px.

    Keypoints look like shares if all labelled ones of a person lie within 1.5 px of the image's
    corner, and a coordinate is no whole number; a box, if no side is longer than 1.5 px. In an
    image with a side of at most 4 px nothing does.

    Args:
        place: The file, for messages.
        advice: What to do, the end of the message.
        keypoints: [N, K, 2].
        labelled: [N, K].
        boxes: [N, 4] x, y, width, height; NaN where missing.
        image_sizes: [N, 2] width and height in px; NaN where unknown.

    Returns:
        The number of people whose keypoints look like shares where most do not, by reason.

    Raises:
        DataError: Keypoints or boxes are shares.
    """
    is_rated = labelled.any(1)
    if image_sizes is not None:
        is_rated = is_rated & ~(image_sizes <= _TINY).any(1)
    points_are_shares = is_rated & shares_of_keypoints(keypoints, labelled)
    small = np.flatnonzero(points_are_shares)
    has_fraction = (np.where(labelled[small, :, None], keypoints[small], 0.0) % 1 != 0).any((1, 2))
    points_are_shares[small[~has_fraction]] = False
    has_box, boxes_are_shares = is_rated & False, is_rated & False
    if boxes is not None:
        has_box = is_rated & (boxes[:, 2:] > 0).all(1)
        boxes_are_shares = has_box & shares_of_boxes(boxes)
    are_points = bool(2 * points_are_shares.sum() > is_rated.sum())
    are_boxes = bool(2 * boxes_are_shares.sum() > has_box.sum())
    if not are_points and not are_boxes:
        count = int(points_are_shares.sum())
        return {_CORNER: count} if count else {}
    what = " and ".join(["keypoints"] * are_points + ["boxes"] * are_boxes)
    person = int((points_are_shares if are_points else boxes_are_shares).argmax())
    first = keypoints[person, labelled[person].argmax()] if are_points else boxes[person]
    other = ""
    if are_points != are_boxes and has_box.any():
        other = f", but the {'boxes' if are_points else 'keypoints'} are pixels"
    raise DataError(
        f"{place}: the {what} look like shares of the image (0 to 1), not like pixels, for example "
        f"({', '.join(f'{value:.4g}' for value in first)}){other}; {advice}"
    )


def shares_of_keypoints(keypoints: np.ndarray, labelled: np.ndarray) -> np.ndarray:
    """Return whose labelled keypoints [N, K, 2] may all be shares of the image: bool [N]."""
    is_large = (np.abs(keypoints) > _SHARE).any(-1)
    return ~(labelled & is_large).any(1)


def shares_of_boxes(boxes: np.ndarray) -> np.ndarray:
    """Return which boxes [N, 4] may be shares of the image: bool [N]. NaN is none."""
    return np.asarray((boxes[:, 2:] <= _SHARE).all(1))

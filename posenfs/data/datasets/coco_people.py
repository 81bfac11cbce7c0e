"""People of files in COCO's form: their keypoints and boxes in px, and who can be used."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from posenfs.data.datasets.coco_categories import Category
from posenfs.data.datasets.coco_rows import convert_boxes, convert_keypoints, convert_values
from posenfs.data.datasets.coordinates import (
    OUTSIDE,
    complete_boxes,
    keypoints_outside,
    refuse_normalised,
    shares_of_boxes,
    shares_of_keypoints,
)
from posenfs.data.parsing import MAX_PX, number
from posenfs.data.sample import DataError

_ADVICE = (
    "multiply x by the width and y by the height of the image; for your own data, the line "
    'coordinates = "normalised" in the TOML file does it, and coordinates = "pixels" says that '
    "they are pixels"
)


class People(NamedTuple):
    """The annotations of some categories, R rows, and the N of them that can be used."""

    rows: list[dict]  # [R] rows of the list of annotations, with the converted values
    keypoints: np.ndarray  # [R, K, 3] x, y, visibility
    boxes: np.ndarray  # [R, 4] x, y, width, height; NaN where there is none
    is_labelled: np.ndarray  # [R] whether a row has a labelled keypoint, and is no crowd
    is_usable: np.ndarray  # [R] whether it is labelled and has a box
    boxes_made: int  # number of boxes made from keypoints
    excluded: dict[str, int]  # reason -> number of rows that cannot be used
    doubtful: dict[str, int]  # reason -> number of rows


def read_people(
    path: Path,
    content: dict,
    images: Mapping[int, dict],
    categories: Sequence[Category],
    names: Sequence[str],
    coordinates: str | None = None,
) -> People:
    """Read the annotations of categories, and write their converted values into their rows.

    Afterwards the keypoints of a row are in the order of the names and in px, `num_keypoints` is
    the number of the labelled ones, and a box that was missing, of no size or outside the image is
    that of the labelled keypoints.

    Args:
        path: The file, for messages.
        content: The content of the file, with whole numbers as ids.
        images: The rows of the images by their ids.
        categories: The categories, which label these keypoints in any order.
        names: The names of the K keypoints.
        coordinates: "pixels", "normalised" (shares of the image's width and height), or None: px,
            and an error if they look normalised.

    Raises:
        DataError: A value cannot be read, or coordinates are in another unit.
    """
    rows, keypoints = _keypoints(path, content, categories, names)
    boxes = convert_boxes(path, rows)
    convert_values(path, rows, ("area",))
    counts = (keypoints[..., 2] > 0).sum(1).tolist()
    for row, count in zip(rows, counts, strict=True):
        if row.get("num_keypoints", count) != count:  # pycocotools ignores people by this number
            row["num_keypoints"] = count
    sizes = _image_sizes(path, rows, images)
    is_single = np.array([row["iscrowd"] == 0 for row in rows], bool)
    is_labelled = is_single & (keypoints[..., 2] > 0).any(1)
    labelled = (keypoints[..., 2] > 0) & is_labelled[:, None]
    doubtful: dict[str, int] = {}
    points = keypoints[..., :2]
    if coordinates == "normalised":
        _check_normalised(path, points, labelled, boxes)
        boxes = _to_pixels(path, rows, keypoints, boxes, sizes)
    elif coordinates is None:
        doubtful = refuse_normalised(str(path), _ADVICE, points, labelled, boxes, sizes)
    completed = complete_boxes(
        boxes[is_labelled], points[is_labelled], labelled[is_labelled], sizes[is_labelled]
    )
    boxes[is_labelled] = completed.boxes
    for row in np.flatnonzero(is_labelled)[completed.is_made]:
        rows[row]["bbox"] = boxes[row].tolist()
    is_usable = is_labelled & ~np.isnan(boxes).any(1)
    outside = keypoints_outside(points, labelled, sizes).any(1) & is_usable
    if outside.any():
        doubtful[OUTSIDE] = int(outside.sum())
    excluded = {
        "crowd": int((~is_single).sum()),
        "no labelled keypoint": int((is_single & ~is_labelled).sum()),
    }
    return People(
        rows,
        keypoints,
        boxes,
        is_labelled,
        is_usable,
        int(completed.is_made.sum()),
        {reason: count for reason, count in excluded.items() if count} | completed.excluded,
        completed.made | doubtful,
    )


def _keypoints(
    path: Path, content: dict, categories: Sequence[Category], names: Sequence[str]
) -> tuple[list[dict], np.ndarray]:
    """The rows [R] of the categories in the file's order, and their keypoints [R, K, 3]."""
    by_id = {category.id: category for category in categories}
    rows = [row for row in content["annotations"] if row["category_id"] in by_id]
    keypoints = np.zeros((len(rows), len(names), 3))
    ids = np.array([row["category_id"] for row in rows], np.int64)
    for category in by_id.values():
        index = np.flatnonzero(ids == category.id)
        of_category = [rows[n] for n in index]
        points = convert_keypoints(path, of_category, category.keypoints)
        if category.keypoints != tuple(names):
            points = points[:, [category.keypoints.index(name) for name in names]]
            for row, values in zip(of_category, points.reshape(len(points), -1), strict=True):
                row["keypoints"] = values.tolist()
        keypoints[index] = points
    return rows, keypoints


def _image_sizes(path: Path, rows: Sequence[dict], images: Mapping[int, dict]) -> np.ndarray:
    """[R, 2]: width and height of each row's image; NaN where they are unknown."""
    unknown = (np.nan, np.nan)
    sizes = {image: image_size(path, images[image]) for image in images}
    pairs = [sizes.get(row["image_id"], unknown) for row in rows]
    return np.array(pairs, np.float64).reshape(len(rows), 2)


def image_size(path: Path, image: dict) -> tuple[float, float]:
    """Return the annotated width and height of an image in px; NaN where they are missing.

    Args:
        path: The file, for messages.
        image: The row of the image, with its id.

    Raises:
        DataError: A value is no number.
    """
    width, height = (_side(path, image, side) for side in ("width", "height"))
    return width, height


def _side(path: Path, image: dict, side: str) -> float:
    value = image.get(side)
    if type(value) is not int:
        value = number(value)
    if value is None:
        raise DataError(
            f"{path}: image {image['id']} has {side} {image.get(side)!r:.40}, not a number; "
            f"correct it, or drop {side}"
        )
    return value if 0 < value <= MAX_PX else float("nan")


def _check_normalised(
    path: Path, points: np.ndarray, labelled: np.ndarray, boxes: np.ndarray
) -> None:
    """Raise DataError unless most keypoints, and most boxes, can be shares of the image."""
    people = labelled.any(1)
    has_box = people & (boxes[:, 2:] > 0).all(1)
    points_in_px = people & ~shares_of_keypoints(points, labelled)
    boxes_in_px = has_box & ~shares_of_boxes(boxes)
    for what, in_px, rated in (
        ("keypoints", points_in_px, people),
        ("boxes", boxes_in_px, has_box),
    ):
        if 2 * in_px.sum() > rated.sum():
            raise DataError(
                f'{path}: coordinates = "normalised" (0 to 1), but the {what} of {in_px.sum()} of '
                f"{rated.sum()} people reach beyond; are they pixels? Then drop that line; if only "
                f"the {what} are, write both in one unit"
            )


def _to_pixels(
    path: Path, rows: Sequence[dict], keypoints: np.ndarray, boxes: np.ndarray, sizes: np.ndarray
) -> np.ndarray:
    """Convert shares of the image to px, in place and in the rows; return the boxes [R, 4]."""
    unknown = np.isnan(sizes).any(1)
    if unknown.any():
        row = rows[int(np.flatnonzero(unknown)[0])]
        raise DataError(
            f'{path}: coordinates = "normalised" needs width and height of each image; image '
            f"{row['image_id']} of annotation {row['id']} lacks them"
        )
    keypoints[..., :2] *= sizes[:, None]
    boxes = boxes * np.tile(sizes, 2)
    for row, points, box, size in zip(rows, keypoints, boxes, sizes, strict=True):
        row["keypoints"] = points.ravel().tolist()
        if "bbox" in row:
            row["bbox"] = box.tolist()
        if row.get("area", 2) <= 1:
            row["area"] = float(row["area"] * size.prod())
    return boxes

"""Content of JSON files in COCO's form, checked: categories, images, keypoints and boxes."""

from pathlib import Path

import numpy as np

from posenfs.body.skeleton import Skeleton
from posenfs.data.parsing import image_name, read_json
from posenfs.data.sample import DataError


def coco_content(path: Path) -> dict:
    """Read a file in COCO's form.

    Raises:
        DataError: The file has no lists of images and annotations.
    """
    content = read_json(path)
    keys = ("images", "annotations")
    if not isinstance(content, dict) or not all(isinstance(content.get(k), list) for k in keys):
        raise DataError(f"{path} must hold lists `images` and `annotations`, as COCO's files do")
    return content


def keypoint_category(path: Path, content: dict, name: str | None = None) -> dict:
    """Return the category that labels keypoints.

    Args:
        path: The file, for messages.
        content: The content of the file.
        name: The name of the category; None takes the first that labels keypoints.

    Raises:
        DataError: There is no such category.
    """
    categories = content.get("categories")
    for category in categories if isinstance(categories, list) else []:
        keypoints = category.get("keypoints") if isinstance(category, dict) else None
        if not isinstance(keypoints, list) or not keypoints:
            continue
        if isinstance(category.get("name"), str) and name in (None, category["name"]):
            return category
    category_name = f"`{name}` " if name else ""
    raise DataError(
        f"{path} has no category {category_name}with keypoints; give person_keypoints_*.json, not "
        "instances_*.json"
    )


def category_id_of(path: Path, content: dict, name: str, skeleton: Skeleton) -> int:
    """Return the id of a category.

    Args:
        path: The file, for messages.
        content: The content of the file.
        name: The name of the category.
        skeleton: The skeleton, whose keypoints the category must label.

    Raises:
        DataError: There is no such category, or it labels other keypoints.
    """
    category = keypoint_category(path, content, name)
    names = tuple(category["keypoints"])
    if names != skeleton.keypoints:
        raise DataError(
            f"{path} labels {len(names)} keypoints ({', '.join(map(str, names)):.100}), not "
            f"{skeleton.name}'s {len(skeleton)} ({', '.join(skeleton.keypoints):.100})"
        )
    category_id = category.get("id")
    if not isinstance(category_id, int):
        raise DataError(
            f"{path}: the category `{name}` needs a whole number as its id: {category_id!r:.80}"
        )
    return category_id


def rows_by_id(path: Path, kind: str, rows: list) -> dict[int, dict]:
    """Return the rows of a list by their ids.

    Args:
        path: The file, for messages.
        kind: What the rows are, for messages: image or annotation.
        rows: The list.

    Raises:
        DataError: A row has no id, or the id of another row.
    """
    by_id: dict[int, dict] = {}
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or not isinstance(row.get("id"), int):
            raise DataError(
                f"{path}: {kind} number {number} needs a whole number as its id: {row!r:.80}"
            )
        if row["id"] in by_id:
            raise DataError(f"{path}: two {kind}s have the id {row['id']}; ids must be unique")
        by_id[row["id"]] = row
    return by_id


def images_of_ids(
    path: Path, files: dict[int, dict], ids: list[int]
) -> tuple[list[int], tuple[str, ...], np.ndarray]:
    """Return the images of people: sorted ids [M], names [M] and each person's index [N] into them.

    Args:
        path: The file, for messages.
        files: The rows of the list of images by their ids.
        ids: The image id of each person [N].
    """
    image_ids = sorted(set(ids))
    names = tuple(
        image_name(f"{path}, image {image}", files[image].get("file_name")) for image in image_ids
    )
    position = {image: number for number, image in enumerate(image_ids)}
    return image_ids, names, np.array([position[image] for image in ids])


def keypoint_array(path: Path, annotations: list[dict], skeleton: Skeleton) -> np.ndarray:
    """Return the keypoints of annotations.

    Args:
        path: The file, for messages.
        annotations: Rows of the list of annotations.
        skeleton: The skeleton of the keypoints.

    Returns:
        [N, K, 3] x, y, visibility; labelled keypoints are finite.

    Raises:
        DataError: An annotation has other keypoints than the skeleton, or one that is no number.
    """
    rows = [annotation.get("keypoints") for annotation in annotations]
    count = len(skeleton)
    try:
        points = np.array(rows, np.float64).reshape(len(rows), count, 3)
    except (TypeError, ValueError, OverflowError):
        invalid_rows = [
            n for n, values in enumerate(rows) if len(number_array(values)) != 3 * count
        ]
        annotation = annotations[invalid_rows[0]]
        raise DataError(
            f"{path}: annotation {annotation['id']} must have {3 * count} numbers as keypoints, x, "
            f"y, visibility for each of {count}; it has {_length(annotation.get('keypoints'))}; "
            "correct or drop it"
        ) from None
    is_known = np.isin(points[..., 2], (0, 1, 2))
    if not is_known.all():
        person, k = np.argwhere(~is_known)[0]
        raise DataError(
            f"{path}: annotation {annotations[person]['id']} has visibility "
            f"{points[person, k, 2]:g} at {skeleton.keypoints[k]}; it must be 0 (not labelled), 1 "
            "(not visible) or 2"
        )
    invalid = (points[..., 2] > 0) & ~np.isfinite(points[..., :2]).all(-1)
    if invalid.any():
        person, k = np.argwhere(invalid)[0]
        raise DataError(
            f"{path}: annotation {annotations[person]['id']} has no number at its labelled "
            f"{skeleton.keypoints[k]}"
        )
    return points


def box_array(path: Path, annotations: list[dict]) -> np.ndarray:
    """Return the boxes of annotations, [N, 4] x, y, width, height in px.

    Args:
        path: The file, for messages.
        annotations: Rows of the list of annotations.

    Raises:
        DataError: An annotation has no box.
    """
    try:
        boxes = np.array([annotation.get("bbox") for annotation in annotations], np.float64)
    except (TypeError, ValueError, OverflowError):
        boxes = np.zeros(0)
    if boxes.shape == (len(annotations), 4) and np.isfinite(boxes).all():
        return boxes
    for annotation in annotations:
        box = number_array(annotation.get("bbox"))
        if box.shape != (4,) or not np.isfinite(box).all():
            raise DataError(
                f"{path}: annotation {annotation['id']} has bbox "
                f"{annotation.get('bbox')!r:.80}, not x, y, w, h"
            )
    return np.zeros((0, 4))


def number_array(values: object) -> np.ndarray:
    """Return a list of numbers as an array [n]; the array is empty for anything else."""
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        return np.zeros(0)
    return array if array.ndim == 1 else np.zeros(0)


def _length(values: object) -> str:
    return f"{len(values)}" if isinstance(values, list) else f"{values!r:.40}"

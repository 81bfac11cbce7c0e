"""Content of JSON files in COCO's form: lists of images and annotations with numbers and ids."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from posenfs.data.datasets.coco_categories import keypoint_categories
from posenfs.data.datasets.coco_people import read_people
from posenfs.data.datasets.coco_rows import convert_flags, convert_ids
from posenfs.data.parsing import image_name, read_json, without_collection
from posenfs.data.sample import DataError


@without_collection()
def coco_content(path: Path) -> dict:
    """Read a file in COCO's form, with all numbers of annotations with keypoints converted.

    Ids are whole numbers, `iscrowd` is 0 or 1, and keypoints, boxes and areas are finite numbers.
    Boxes that are missing, of no size or outside the image are made from labelled keypoints, and
    `num_keypoints`, where it is there, is their number.
    Images stay as in the file but for their ids, and so do annotations of categories without
    keypoints but for their ids and `iscrowd`.

    Args:
        path: The file.

    Raises:
        DataError: The file has no lists of images and annotations, or a value that has no such
            meaning.
    """
    content = coco_lists(path)
    images = rows_by_id(path, "image", content["images"])
    for category in keypoint_categories(content):
        read_people(path, content, images, [category], category.keypoints)
    return content


def coco_lists(path: Path) -> dict:
    """Read a file in COCO's form, with the ids and the `iscrowd` of annotations converted.

    Args:
        path: The file.

    Raises:
        DataError: The file has no lists of images and annotations, or an id is no whole number.
    """
    content = read_json(path)
    keys = ("images", "annotations")
    if not isinstance(content, dict) or not all(isinstance(content.get(k), list) for k in keys):
        raise DataError(f"{path} must hold lists `images` and `annotations`, as COCO's files do")
    convert_ids(path, "image", content["images"], ("id",))
    convert_ids(path, "annotation", content["annotations"], ("id", "image_id", "category_id"))
    convert_flags(path, content["annotations"])
    return content


def coco_images(path: Path) -> dict[int, dict]:
    """Read the images of a file in COCO's form, which may have no annotations: rows by their ids.

    Args:
        path: The file.

    Raises:
        DataError: The file has no list of images, or an id is no whole number, or not unique.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise DataError(f"{path} must hold a list `images`, as COCO's image_info files do")
    convert_ids(path, "image", content["images"], ("id",))
    return rows_by_id(path, "image", content["images"])


def rows_by_id(path: Path, kind: str, rows: Sequence[dict]) -> dict[int, dict]:
    """Return the rows of a list by their ids.

    Args:
        path: The file, for messages.
        kind: What the rows are, for messages: image or annotation.
        rows: The list, with whole numbers as ids.

    Raises:
        DataError: Rows have the same id.
    """
    by_id = {row["id"]: row for row in rows}
    if len(by_id) < len(rows):
        repeated = {
            n: count for n, count in Counter(row["id"] for row in rows).items() if count > 1
        }
        first = next(iter(repeated))
        count = "two" if repeated[first] == 2 else str(repeated[first])
        more = f", and so do {kind}s of {len(repeated) - 1} other ids" if len(repeated) > 1 else ""
        raise DataError(f"{path}: {count} {kind}s have the id {first}{more}; ids must be unique")
    return by_id


def images_of_ids(
    path: Path, files: Mapping[int, dict], ids: Sequence[int]
) -> tuple[list[int], tuple[str, ...], np.ndarray]:
    """Return the images of people: sorted ids [M], names [M] and each person's index [N] into them.

    Args:
        path: The file, for messages.
        files: The rows of the list of images by their ids.
        ids: The image id of each person [N].

    Raises:
        DataError: An image has no name.
    """
    image_ids = sorted(set(ids))
    names = tuple(
        image_name(f"{path}, image {image}", files[image].get("file_name")) for image in image_ids
    )
    position = {image: place for place, image in enumerate(image_ids)}
    return image_ids, names, np.array([position[image] for image in ids])

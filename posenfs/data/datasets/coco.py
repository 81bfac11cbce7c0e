"""Reader of COCO's person keypoints and of files in COCO's form.

COCO's folder holds annotations/person_keypoints_{train,val}2017.json, train2017/ and val2017/.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from posenfs.body.skeleton import COCO, Skeleton
from posenfs.data.datasets.coco_file import (
    box_array,
    category_id_of,
    coco_content,
    images_of_ids,
    keypoint_array,
    rows_by_id,
)
from posenfs.data.sample import ROOT, Annotations, CocoFile, DataError

# Names of the splits in COCO, and in small copies of it.
_SPLITS = {"train": ("train2017", "train"), "valid": ("val2017", "val")}


def find_coco(root: Path, split: str) -> Path | None:
    """Return the annotation file of a split, or None where it is missing.

    Args:
        root: The data folder; the file is in its annotations/ or in the folder itself.
        split: train or valid.
    """
    for folder in ("annotations", "."):
        for name in _SPLITS[split]:
            path = root / folder / f"person_keypoints_{name}.json"
            if path.is_file():
                return path
    return None


def read_coco(root: Path, split: str) -> Annotations:
    """Read the people of COCO's protocol: no crowds, at least one labelled keypoint.

    Keypoints of visibility 1 (labelled, not visible) and 2 are labelled. Boxes are the annotated
    ones; head sizes are unknown.

    Args:
        root: The data folder.
        split: train or valid.

    Raises:
        DataError: The annotation file is missing or invalid.
    """
    path = find_coco(root, split)
    if path is None:
        expected = f"{root / 'annotations'}/person_keypoints_{_SPLITS[split][0]}.json"
        raise DataError(
            f"no COCO annotation at {expected}; {ROOT} must hold annotations/ and the images (see "
            "data/README.md)"
        )
    return annotations_of_file(
        path, COCO, f"coco {split}", "person", lambda names: _image_folder(root, split, names)
    )


def annotations_of_file(
    path: Path,
    skeleton: Skeleton,
    name: str,
    category: str,
    image_folder: Callable[[tuple[str, ...]], Path],
) -> Annotations:
    """Read the people of a file in COCO's form.

    Args:
        path: The annotation file.
        skeleton: The skeleton, whose keypoints the category must label.
        name: The name of the annotations.
        category: The name of the category.
        image_folder: A function from image names to the folder of the images.

    Raises:
        DataError: The file is invalid, or holds no person with a labelled keypoint and a box.
    """
    content = coco_content(path)
    category_id = category_id_of(path, content, category, skeleton)
    files = rows_by_id(path, "image", content["images"])
    rows = [
        annotation
        for annotation in rows_by_id(path, "annotation", content["annotations"]).values()
        if annotation.get("category_id") == category_id
    ]
    people = _usable_people(path, rows, skeleton)
    if not people.rows:
        raise DataError(
            f"{path}: no person with a labelled keypoint and a box among {len(rows)} "
            f"annotations of category {category_id}"
        )
    for row in people.rows:
        _check_image_id(path, row, files)
    image_ids, names, image_index = images_of_ids(
        path, files, [row["image_id"] for row in people.rows]
    )
    sizes = [[_side(files[image], side) for side in ("width", "height")] for image in image_ids]
    person_ids = np.array([row["id"] for row in people.rows])
    is_labelled = people.keypoints[..., 2:] > 0
    return Annotations(
        name=name,
        skeleton=skeleton,
        root=image_folder(names),
        images=names,
        image_index=image_index,
        keypoints_image=np.where(is_labelled, people.keypoints[..., :2], 0.0),
        visibility=people.keypoints[..., 2].astype(np.uint8),
        boxes=people.boxes,
        head_sizes=np.full(len(people.rows), np.nan),
        person_ids=person_ids,
        head_source="none",
        image_sizes=np.array(sizes),
        excluded={reason: count for reason, count in people.excluded.items() if count},
        coco=CocoFile(path, np.array(image_ids), category_id, person_ids),
    )


class _People(NamedTuple):
    rows: list[dict]  # [N] rows of the list of annotations
    boxes: np.ndarray  # [N, 4]
    keypoints: np.ndarray  # [N, K, 3] x, y, visibility
    excluded: dict[str, int]  # reason -> number of excluded people


def _usable_people(path: Path, rows: list[dict], skeleton: Skeleton) -> _People:
    """The people with a labelled keypoint and a box, without crowds."""
    singles = [row for row in rows if not row.get("iscrowd")]
    keypoints = keypoint_array(path, singles, skeleton)
    is_labelled = (keypoints[..., 2] > 0).any(1)
    labelled = [singles[n] for n in np.flatnonzero(is_labelled)]
    boxes, keypoints = box_array(path, labelled), keypoints[is_labelled]
    usable = np.flatnonzero((boxes[:, 2:] > 0).all(1))
    excluded = {
        "crowd": len(rows) - len(singles),
        "no labelled keypoint": len(singles) - len(labelled),
        "box of no size": len(labelled) - len(usable),
    }
    return _People([labelled[n] for n in usable], boxes[usable], keypoints[usable], excluded)


def _check_image_id(path: Path, row: dict, files: dict[int, dict]) -> None:
    image = row.get("image_id")
    if not isinstance(image, int) or image not in files:
        raise DataError(
            f"{path}: annotation {row['id']} names image {image!r:.80}, which the file lacks"
        )


def _image_folder(root: Path, split: str, names: tuple[str, ...]) -> Path:
    """The first folder that holds any of the images, or else COCO's own folder."""
    candidates = [
        *(root / parent / name for name in _SPLITS[split] for parent in (".", "images")),
        root / "images",
        root,
    ]
    for folder in candidates:
        if folder.is_dir() and any((folder / name).is_file() for name in names):
            return folder
    return candidates[0]


def _side(image: dict, side: str) -> float:
    """The annotated width or height of an image; NaN where it is missing."""
    value = image.get(side)
    return float(value) if isinstance(value, int) and 0 < value < 10**6 else float("nan")

"""Detected boxes instead of annotated people, in COCO's form."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from posenfs.body.skeleton import COCO
from posenfs.data.datasets.coco_file import images_of_ids, number_array, rows_by_id
from posenfs.data.parsing import read_json
from posenfs.data.sample import Annotations, CocoFile, DataError

_PERSON = 1  # the id of COCO's category of people


def with_detections(annotations: Annotations, path: Path) -> Annotations:
    """Replace the annotated people of a COCO file by detected boxes, which have no keypoints.

    Args:
        annotations: The annotations of a file in COCO's form.
        path: A JSON file of detections [{image_id, category_id, bbox, score}].

    Raises:
        DataError: The file is invalid or names an unknown image, or the people are not of a file
            in COCO's form.
    """
    if annotations.coco is None:
        raise DataError(
            f"{annotations.name} is not in COCO's form: detected boxes go with files that are"
        )
    if not path.is_file():
        raise DataError(
            f"no detections at {path}; give a JSON file [{{image_id, category_id, bbox, score}}]"
        )
    rows = read_json(path)
    if not isinstance(rows, list) or not rows:
        raise DataError(
            f"{path} must be a list with at least one detection {{image_id, category_id, bbox, "
            "score}"
        )
    annotation_path = annotations.coco.path
    files = rows_by_id(annotation_path, "image", read_json(annotation_path)["images"])
    ids, boxes = [], []
    for number, row in enumerate(rows):
        box = _detected_box(f"{path}, detection {number}", row, files, annotation_path)
        if row.get("category_id") == annotations.coco.category and (box[2:4] > 0).all():
            ids.append(row["image_id"])
            boxes.append(box)
    if not ids:
        raise DataError(
            f"{path} has no box of category {annotations.coco.category} among {len(rows)} "
            "detections"
        )
    image_ids, names, image_index = images_of_ids(annotation_path, files, ids)
    values, count, keypoints = np.stack(boxes), len(ids), len(annotations.skeleton)
    skipped = len(rows) - count
    return replace(
        annotations,
        images=names,
        image_index=image_index,
        keypoints_image=np.zeros((count, keypoints, 2)),
        visibility=np.zeros((count, keypoints), np.uint8),
        boxes=values[:, :4],
        head_sizes=np.full(count, np.nan),
        person_ids=np.arange(count),
        box_source=f"detected ({path.name})",
        image_sizes=None,
        excluded={"of another category, or of no size": skipped} if skipped else {},
        box_scores=values[:, 4],
        coco=replace(annotations.coco, image_ids=np.array(image_ids), every_image=True),
    )


def _detected_box(
    place: str, row: object, files: dict[int, dict], annotation_path: Path
) -> np.ndarray:
    """The box and score [5] of a detection, checked."""
    image = row.get("image_id") if isinstance(row, dict) else None
    if not isinstance(row, dict) or not isinstance(image, int) or image not in files:
        raise DataError(f"{place} is of image {image!r:.40}, which {annotation_path} does not have")
    box, score = row.get("bbox"), row.get("score")
    values = number_array([*box, score] if isinstance(box, list) else None)
    if values.shape != (5,) or not np.isfinite(values).all():
        raise DataError(f"{place} has bbox {box!r:.60} and score {score!r:.20}, not numbers")
    return values


def annotations_of_images(info: Path, image_folder: Path, detections: Path) -> Annotations:
    """Read detected boxes of images without annotations, such as COCO's test sets.

    Args:
        info: The list of images, such as image_info_test-dev2017.json.
        image_folder: The folder of the images.
        detections: A JSON file of detections, see `with_detections`.

    Raises:
        DataError: A file is invalid.
    """
    content = read_json(info)
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise DataError(f"{info} must hold a list `images`, as COCO's image_info files do")
    no_ids = np.zeros(0, int)
    no_people = Annotations(
        name=info.stem,
        skeleton=COCO,
        root=image_folder,
        images=(),
        image_index=no_ids,
        keypoints_image=np.zeros((0, len(COCO), 2)),
        visibility=np.zeros((0, len(COCO)), np.uint8),
        boxes=np.zeros((0, 4)),
        head_sizes=np.zeros(0),
        person_ids=no_ids,
        head_source="none",
        coco=CocoFile(info, no_ids, _PERSON, no_ids, every_image=True),
    )
    return with_detections(no_people, detections)

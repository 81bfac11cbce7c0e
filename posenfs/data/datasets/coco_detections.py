"""Detected boxes instead of annotated people, in COCO's form."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from posenfs.body.skeleton import COCO
from posenfs.data.datasets.coco_file import coco_images, images_of_ids
from posenfs.data.datasets.coco_people import image_size
from posenfs.data.datasets.coordinates import shares_of_boxes
from posenfs.data.image_paths import find_images
from posenfs.data.parsing import MAX_PX, number, read_json, whole_number
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
    source = annotations.coco
    files = coco_images(source.path)
    known = {source.category} if source.categories is None else set(source.categories.tolist())
    ids, categories, boxes = [], [], []
    for place, row in enumerate(rows):
        image, category, box = _detection(f"{path}, detection {place}", row, files, source.path)
        if category in known and (box[2:4] > 0).all():
            ids.append(image)
            categories.append(category)
            boxes.append(box)
    if not ids:
        raise DataError(
            f"{path} has no box of category {', '.join(map(str, sorted(known)))} among {len(rows)} "
            "detections"
        )
    values, count, keypoints = np.stack(boxes), len(ids), len(annotations.skeleton)
    if 2 * shares_of_boxes(values[:, :4]).sum() > count:
        raise DataError(
            f"{path}: the boxes look like shares of the image (0 to 1), not like pixels, for "
            f"example {values[0, :4].tolist()}; multiply them by the images' sizes"
        )
    image_ids, names, image_index = images_of_ids(source.path, files, ids)
    skipped = len(rows) - count
    detected = replace(
        annotations,
        images=names,
        image_index=image_index,
        keypoints_image=np.zeros((count, keypoints, 2)),
        visibility=np.zeros((count, keypoints), np.uint8),
        boxes=values[:, :4],
        head_sizes=np.full(count, np.nan),
        person_ids=np.arange(count),
        box_source=f"detected ({path.name})",
        image_sizes=np.array([image_size(source.path, files[image]) for image in image_ids]),
        excluded={"of another category, or of no size": skipped} if skipped else {},
        doubtful={},
        box_scores=values[:, 4],
        coco=replace(
            source,
            image_ids=np.array(image_ids),
            people=np.arange(count),
            categories=np.array(categories),
            every_image=True,
        ),
    )
    return find_images(detected, [annotations.root, source.path.parent])


def _detection(
    place: str, row: object, files: Mapping[int, dict], annotation_path: Path
) -> tuple[int, int | None, np.ndarray]:
    """The image id, the category id, and the box and score [5] of a detection, checked."""
    image = whole_number(row.get("image_id")) if isinstance(row, dict) else None
    if not isinstance(row, dict) or image is None or image not in files:
        name = row.get("image_id") if isinstance(row, dict) else None
        raise DataError(f"{place} is of image {name!r:.40}, which {annotation_path} does not have")
    box, score = row.get("bbox"), row.get("score")
    numbers = [number(value) for value in [*box, score]] if isinstance(box, list) else []
    if len(numbers) != 5 or not all(v is not None and abs(v) <= MAX_PX for v in numbers):
        raise DataError(f"{place} has bbox {box!r:.60} and score {score!r:.20}, not numbers in px")
    return image, whole_number(row.get("category_id")), np.array(numbers, np.float64)


def annotations_of_images(info: Path, image_folder: Path, detections: Path) -> Annotations:
    """Read detected boxes of images without annotations, such as COCO's test sets.

    Args:
        info: The list of images, such as image_info_test-dev2017.json.
        image_folder: The folder of the images.
        detections: A JSON file of detections, see `with_detections`.

    Raises:
        DataError: A file is invalid.
    """
    coco_images(info)
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

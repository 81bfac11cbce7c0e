"""Reader of COCO's person keypoints and of files in COCO's form.

COCO's folder holds annotations/person_keypoints_{train,val}2017.json, train2017/ and val2017/.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from posenfs.body.skeleton import COCO, Skeleton
from posenfs.data.parsing import image_name, read_json
from posenfs.data.sample import ROOT, Annotations, CocoFile, DataError

_PERSON = 1  # the id of COCO's category of people
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
        name: The name of the people.
        category: The name of the category.
        image_folder: A function from image names to the folder of the images.

    Raises:
        DataError: The file is invalid, or holds nobody with a labelled keypoint and a box.
    """
    content = coco_content(path)
    category_id = _category_id(path, content, category, skeleton)
    files = _by_id(path, "image", content["images"])
    annotations = [
        annotation
        for annotation in _by_id(path, "annotation", content["annotations"]).values()
        if annotation.get("category_id") == category_id
    ]
    singles = [annotation for annotation in annotations if not annotation.get("iscrowd")]
    points = _keypoints(path, singles, skeleton)
    is_labelled = (points[..., 2] > 0).any(1)
    labelled = [singles[row] for row in np.flatnonzero(is_labelled)]
    boxes, points = _boxes(path, labelled), points[is_labelled]
    rows = np.flatnonzero((boxes[:, 2:] > 0).all(1))
    if not len(rows):
        raise DataError(
            f"{path}: no person with a labelled keypoint and a box among {len(annotations)} "
            f"annotations of category {category_id}"
        )
    used, boxes, points = [labelled[row] for row in rows], boxes[rows], points[rows]
    for annotation in used:
        _check_image_id(path, annotation, files)
    image_ids, names, image_index = _images(
        path, files, [annotation["image_id"] for annotation in used]
    )
    left_out = {
        "crowd": len(annotations) - len(singles),
        "no labelled keypoint": len(singles) - len(labelled),
        "box of no size": len(labelled) - len(rows),
    }
    person_ids = np.array([annotation["id"] for annotation in used])
    return Annotations(
        name=name,
        skeleton=skeleton,
        root=image_folder(names),
        images=names,
        image_index=image_index,
        keypoints_image=np.where(points[..., 2:] > 0, points[..., :2], 0.0),
        visibility=points[..., 2].astype(np.uint8),
        boxes=boxes,
        head_sizes=np.full(len(used), np.nan),
        person_ids=person_ids,
        head_source="none",
        image_sizes=np.array(
            [[_side(files[image], side) for side in ("width", "height")] for image in image_ids]
        ),
        left_out={reason: count for reason, count in left_out.items() if count},
        coco=CocoFile(path, np.array(image_ids), category_id, person_ids),
    )


def _check_image_id(path: Path, annotation: dict, files: dict[int, dict]) -> None:
    image = annotation.get("image_id")
    if not isinstance(image, int) or image not in files:
        raise DataError(
            f"{path}: annotation {annotation['id']} is of image {image!r:.80}, which is not there"
        )


def _images(
    path: Path, files: dict[int, dict], ids: list[int]
) -> tuple[list[int], tuple[str, ...], np.ndarray]:
    """The images of people: sorted ids [M], names [M] and each person's index [N] into them."""
    image_ids = sorted(set(ids))
    names = tuple(
        image_name(f"{path}, image {image}", files[image].get("file_name")) for image in image_ids
    )
    position = {image: number for number, image in enumerate(image_ids)}
    return image_ids, names, np.array([position[image] for image in ids])


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
        f"{path} has no category {category_name}with keypoints; person_keypoints_*.json has, "
        "instances_*.json not"
    )


def with_detections(people: Annotations, path: Path) -> Annotations:
    """Replace the annotated people of a COCO file by detected boxes, which have no keypoints.

    Args:
        people: People of a file in COCO's form.
        path: A JSON file of detections [{image_id, category_id, bbox, score}].

    Raises:
        DataError: The file is invalid or names an unknown image, or the people are not of a file
            in COCO's form.
    """
    if people.coco is None:
        raise DataError(
            f"{people.name} is not in COCO's form: detected boxes go with files that are"
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
    annotation_path = people.coco.path
    files = _by_id(annotation_path, "image", read_json(annotation_path)["images"])
    ids, boxes = [], []
    for number, row in enumerate(rows):
        box = _detected_box(f"{path}, detection {number}", row, files, annotation_path)
        if row.get("category_id") == people.coco.category and (box[2:4] > 0).all():
            ids.append(row["image_id"])
            boxes.append(box)
    if not ids:
        raise DataError(
            f"{path} has no box of category {people.coco.category} among {len(rows)} detections"
        )
    image_ids, names, image_index = _images(annotation_path, files, ids)
    values, count, keypoints = np.stack(boxes), len(ids), len(people.skeleton)
    skipped = len(rows) - count
    return replace(
        people,
        images=names,
        image_index=image_index,
        keypoints_image=np.zeros((count, keypoints, 2)),
        visibility=np.zeros((count, keypoints), np.uint8),
        boxes=values[:, :4],
        head_sizes=np.full(count, np.nan),
        person_ids=np.arange(count),
        box_source=f"detected ({path.name})",
        image_sizes=None,
        left_out={"of another category, or of no size": skipped} if skipped else {},
        box_scores=values[:, 4],
        coco=replace(people.coco, image_ids=np.array(image_ids), every_image=True),
    )


def _detected_box(
    place: str, row: object, files: dict[int, dict], annotation_path: Path
) -> np.ndarray:
    """The box and score [5] of a detection, checked."""
    image = row.get("image_id") if isinstance(row, dict) else None
    if not isinstance(row, dict) or not isinstance(image, int) or image not in files:
        raise DataError(f"{place} is of image {image!r:.40}, which {annotation_path} does not have")
    box, score = row.get("bbox"), row.get("score")
    values = _numbers([*box, score] if isinstance(box, list) else None)
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


def _category_id(path: Path, content: dict, name: str, skeleton: Skeleton) -> int:
    """The id of a category, whose keypoints must be those of the skeleton."""
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


def _by_id(path: Path, kind: str, rows: list) -> dict[int, dict]:
    """The rows of a list of images or annotations by their ids."""
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


def _keypoints(path: Path, annotations: list[dict], skeleton: Skeleton) -> np.ndarray:
    """[N, K, 3] x, y, visibility, checked; labelled keypoints are finite."""
    rows = [annotation.get("keypoints") for annotation in annotations]
    count = len(skeleton)
    try:
        points = np.array(rows, np.float64).reshape(len(rows), count, 3)
    except (TypeError, ValueError, OverflowError):
        invalid_rows = [n for n, values in enumerate(rows) if len(_numbers(values)) != 3 * count]
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


def _boxes(path: Path, annotations: list[dict]) -> np.ndarray:
    """[N, 4] x, y, width, height, checked."""
    try:
        boxes = np.array([annotation.get("bbox") for annotation in annotations], np.float64)
    except (TypeError, ValueError, OverflowError):
        boxes = np.zeros(0)
    if boxes.shape == (len(annotations), 4) and np.isfinite(boxes).all():
        return boxes
    for annotation in annotations:
        box = _numbers(annotation.get("bbox"))
        if box.shape != (4,) or not np.isfinite(box).all():
            raise DataError(
                f"{path}: annotation {annotation['id']} has bbox "
                f"{annotation.get('bbox')!r:.80}, not x, y, w, h"
            )
    return np.zeros((0, 4))


def _numbers(values: object) -> np.ndarray:
    """A list of numbers as an array [n]; empty for anything else."""
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        return np.zeros(0)
    return array if array.ndim == 1 else np.zeros(0)


def _length(values: object) -> str:
    return f"{len(values)}" if isinstance(values, list) else f"{values!r:.40}"

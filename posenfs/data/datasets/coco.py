"""COCO's person keypoints: annotations/person_keypoints_{train,val}2017.json beside train2017/ and val2017/."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from posenfs.body.skeleton import COCO, Skeleton
from posenfs.data.parsing import image_name, read_json
from posenfs.data.sample import ROOT, CocoFile, DataError, People

_PERSON = 1  # the id of COCO's category of people
_SPLITS = {"train": ("train2017", "train"), "valid": ("val2017", "val")}  # what COCO calls them, and small copies of it


def find_coco(root: Path, split: str) -> Path | None:
    """The annotation file of a split, in annotations/ or in the folder itself; None where there is none."""
    names = [f"person_keypoints_{name}.json" for name in _SPLITS[split]]
    places = (root / folder / name for folder in ("annotations", ".") for name in names)
    return next((path for path in places if path.is_file()), None)


def read_coco(root: Path, split: str) -> People:
    """The people that COCO's protocol trains and judges: no crowds, nobody without a labelled keypoint.

    Visibility 1 (labelled, not visible) and 2 both count as labelled; boxes are the annotated ones, and there are no
    head sizes. Raises DataError for a missing or unsound file.
    """
    path = find_coco(root, split)
    if path is None:
        raise DataError(
            f"no COCO annotation at {root / 'annotations'}/person_keypoints_{_SPLITS[split][0]}.json; {ROOT} must hold "
            "annotations/ and the pictures (see data/README.md)"
        )
    return people_of_file(path, COCO, f"coco {split}", "person", lambda names: _pictures(root, split, names))


def people_of_file(
    path: Path, skeleton: Skeleton, name: str, category: str, pictures: Callable[[tuple[str, ...]], Path]
) -> People:
    """The people of a file in COCO's form whose category of this name labels the keypoints of this skeleton.

    `pictures` gives the folder of the named pictures. Raises DataError for an unsound file.
    """
    content = coco_content(path)
    person = _category(path, content, category, skeleton)
    files = _by_id(path, "image", content["images"])
    annotations = _by_id(path, "annotation", content["annotations"])
    people = [a for a in annotations.values() if a.get("category_id") == person]
    single = [a for a in people if not a.get("iscrowd")]
    points = _keypoints(path, single, skeleton)
    seen = (points[..., 2] > 0).any(1)
    labelled_people = [single[i] for i in np.flatnonzero(seen)]
    boxes, points = _boxes(path, labelled_people), points[seen]
    labelled = points[..., 2] > 0
    kept = np.flatnonzero((boxes[:, 2:] > 0).all(1))
    if not len(kept):
        raise DataError(
            f"{path}: no person with a labelled keypoint and a box among {len(people)} annotations of category {person}"
        )
    used = [labelled_people[i] for i in kept]
    for annotation in used:
        image = annotation.get("image_id")
        if not isinstance(image, int) or image not in files:
            raise DataError(f"{path}: annotation {annotation['id']} is of image {image!r:.80}, which is not there")
    shown = sorted({annotation["image_id"] for annotation in used})
    position = {image: number for number, image in enumerate(shown)}
    names = tuple(image_name(f"{path}, image {image}", files[image].get("file_name")) for image in shown)
    reasons = {
        "crowd": len(people) - len(single),
        "no labelled keypoint": int((~seen).sum()),
        "box of no size": len(labelled_people) - len(kept),
    }
    return People(
        name=name,
        skeleton=skeleton,
        root=pictures(names),
        images=names,
        image_index=np.array([position[annotation["image_id"]] for annotation in used]),
        keypoints_image=np.where(labelled[..., None], points[..., :2], 0.0)[kept],
        visibility=points[..., 2].astype(np.uint8)[kept],
        boxes=boxes[kept],
        head_sizes=np.full(len(kept), np.nan),
        person_ids=np.array([annotation["id"] for annotation in used]),
        head_source="none",
        image_sizes=np.array([[_size(files[image], side) for side in ("width", "height")] for image in shown]),
        left_out={reason: count for reason, count in reasons.items() if count},
        coco=CocoFile(path, np.array(shown), person, np.array([annotation["id"] for annotation in used])),
    )


def coco_content(path: Path) -> dict:
    """A file in COCO's form; raises DataError unless it has its lists."""
    content = read_json(path)
    if not isinstance(content, dict) or not all(isinstance(content.get(k), list) for k in ("images", "annotations")):
        raise DataError(f"{path} must hold lists `images` and `annotations`, as COCO's files do")
    return content


def keypoint_category(path: Path, content: dict, name: str | None = None) -> dict:
    """The category of this name, or the first, that labels keypoints; raises DataError where there is none."""
    rows = content["categories"] if isinstance(content.get("categories"), list) else []
    for row in rows:
        own = row.get("keypoints") if isinstance(row, dict) else None
        if isinstance(own, list) and own and isinstance(row.get("name"), str) and name in (None, row["name"]):
            return row
    raise DataError(
        f"{path} has no category {f'`{name}` ' if name else ''}with keypoints; person_keypoints_*.json has, "
        "instances_*.json not"
    )


def with_detections(people: People, path: Path) -> People:
    """The detected boxes of a file [{image_id, category_id, bbox, score}] in the place of the annotated people of a
    COCO file: no keypoints, the boxes' scores. Raises DataError for an unsound file, or an unknown picture."""
    if people.coco is None:
        raise DataError(f"{people.name} is not in COCO's form: detected boxes go with files that are")
    if not path.is_file():
        raise DataError(f"no detections at {path}; give a JSON file [{{image_id, category_id, bbox, score}}]")
    rows, content = read_json(path), read_json(people.coco.path)
    if not isinstance(rows, list) or not rows:
        raise DataError(f"{path} must be a list with at least one detection {{image_id, category_id, bbox, score}}")
    files = _by_id(people.coco.path, "image", content["images"])
    found = []
    for number, row in enumerate(rows):
        place = f"{path}, detection {number}"
        image = row.get("image_id") if isinstance(row, dict) else None
        if not isinstance(image, int) or image not in files:
            raise DataError(f"{place} is of image {image!r:.40}, which {people.coco.path} does not have")
        values = _numbers([*row["bbox"], row.get("score")] if isinstance(row.get("bbox"), list) else None)
        if values.shape != (5,) or not np.isfinite(values).all():
            raise DataError(f"{place} has bbox {row.get('bbox')!r:.60} and score {row.get('score')!r:.20}, not numbers")
        if row.get("category_id") == people.coco.category and (values[2:4] > 0).all():
            found.append((row["image_id"], values))
    if not found:
        raise DataError(f"{path} has no box of category {people.coco.category} among {len(rows)} detections")
    shown = sorted({image for image, _ in found})
    position, values = {image: n for n, image in enumerate(shown)}, np.stack([own for _, own in found])
    names = tuple(image_name(f"{people.coco.path}, image {image}", files[image].get("file_name")) for image in shown)
    count, keypoints = len(found), len(people.skeleton)
    return replace(
        people,
        images=names,
        image_index=np.array([position[image] for image, _ in found]),
        keypoints_image=np.zeros((count, keypoints, 2)),
        visibility=np.zeros((count, keypoints), np.uint8),
        boxes=values[:, :4],
        head_sizes=np.full(count, np.nan),
        person_ids=np.arange(count),
        box_source=f"detected ({path.name})",
        image_sizes=None,
        left_out={"of another category, or of no size": len(rows) - count} if len(rows) > count else {},
        box_scores=values[:, 4],
        coco=replace(people.coco, image_ids=np.array(shown), every_image=True),
    )


def people_of_pictures(info: Path, pictures: Path, detections: Path) -> People:
    """The detected boxes of pictures without annotations, as COCO lists its test sets (image_info_test-dev2017.json);
    `pictures` is their folder. Raises DataError for unsound files."""
    content, none = read_json(info), np.zeros(0, int)
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise DataError(f"{info} must hold a list `images`, as COCO's image_info files do")
    nobody = People(
        name=info.stem,
        skeleton=COCO,
        root=pictures,
        images=(),
        image_index=none,
        keypoints_image=np.zeros((0, len(COCO), 2)),
        visibility=np.zeros((0, len(COCO)), np.uint8),
        boxes=np.zeros((0, 4)),
        head_sizes=np.zeros(0),
        person_ids=none,
        head_source="none",
        coco=CocoFile(info, none, _PERSON, none, every_image=True),
    )
    return with_detections(nobody, detections)


def _pictures(root: Path, split: str, names: tuple[str, ...]) -> Path:
    """The first folder that holds any of the pictures; where none does, the one in which COCO has them."""
    folders = [root / inside / part for part in _SPLITS[split] for inside in (".", "images")] + [root / "images", root]
    there = (folder for folder in folders if folder.is_dir())
    return next((folder for folder in there if any((folder / name).is_file() for name in names)), folders[0])


def _size(image: dict, side: str) -> float:
    """A picture's width or height as annotated; NaN where the file does not say."""
    value = image.get(side)
    return float(value) if isinstance(value, int) and 0 < value < 10**6 else float("nan")


def _category(path: Path, content: dict, name: str, skeleton: Skeleton) -> int:
    """The id of the category of that name, whose keypoints must be the skeleton's."""
    category = keypoint_category(path, content, name)
    names = tuple(category["keypoints"])
    if names != skeleton.keypoints:
        raise DataError(
            f"{path} labels {len(names)} keypoints ({', '.join(map(str, names)):.100}), not {skeleton.name}'s "
            f"{len(skeleton)} ({', '.join(skeleton.keypoints):.100})"
        )
    if not isinstance(category.get("id"), int):
        raise DataError(f"{path}: the category `{name}` needs a whole number as its id: {category.get('id')!r:.80}")
    return category["id"]


def _by_id(path: Path, kind: str, rows: list) -> dict[int, dict]:
    found: dict[int, dict] = {}
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or not isinstance(row.get("id"), int):
            raise DataError(f"{path}: {kind} number {number} needs a whole number as its id: {row!r:.80}")
        if row["id"] in found:
            raise DataError(f"{path}: two {kind}s have the id {row['id']}; each needs one of its own")
        found[row["id"]] = row
    return found


def _keypoints(path: Path, people: list[dict], skeleton: Skeleton) -> np.ndarray:
    """[N, K, 3] x, y, visibility; what is labelled is a number."""
    rows, count = [annotation.get("keypoints") for annotation in people], len(skeleton)
    try:
        points = np.array(rows, np.float64).reshape(len(rows), count, 3)
    except (TypeError, ValueError, OverflowError):
        bad = next(a for a, row in zip(people, rows, strict=True) if len(_numbers(row)) != 3 * count)
        raise DataError(
            f"{path}: annotation {bad['id']} must have {3 * count} numbers as keypoints, x, y, visibility for each "
            f"of {count}; it has {_count(bad.get('keypoints'))}; correct or drop it"
        ) from None
    known, finite = np.isin(points[..., 2], (0, 1, 2)), np.isfinite(points[..., :2]).all(-1)
    if not known.all():
        person, k = np.argwhere(~known)[0]
        raise DataError(
            f"{path}: annotation {people[person]['id']} has visibility {points[person, k, 2]:g} at "
            f"{skeleton.keypoints[k]}; it must be 0 (not labelled), 1 (not visible) or 2"
        )
    if not (unsound := (points[..., 2] > 0) & ~finite).any():
        return points
    person, k = np.argwhere(unsound)[0]
    raise DataError(f"{path}: annotation {people[person]['id']} has no number at its labelled {skeleton.keypoints[k]}")


def _boxes(path: Path, people: list[dict]) -> np.ndarray:
    """[N, 4] x, y, w, h."""
    rows = [annotation.get("bbox") for annotation in people]
    try:
        boxes = np.array(rows, np.float64)
        sound = boxes.shape == (len(rows), 4) and bool(np.isfinite(boxes).all())
    except (TypeError, ValueError, OverflowError):
        sound = False
    if sound or not rows:
        return boxes.reshape(-1, 4)
    numbers = map(_numbers, rows)
    bad = next(n for n, box in enumerate(numbers) if box.shape != (4,) or not np.isfinite(box).all())
    raise DataError(f"{path}: annotation {people[bad]['id']} has bbox {rows[bad]!r:.80}, not x, y, w, h")


def _numbers(values: object) -> np.ndarray:
    """A list of numbers as an array [n]; an empty one for anything else."""
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        return np.zeros(0)
    return array if array.ndim == 1 else np.zeros(0)


def _count(values: object) -> str:
    return f"{len(values)}" if isinstance(values, list) else f"{values!r:.40}"

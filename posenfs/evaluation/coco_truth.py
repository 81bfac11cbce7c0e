"""Annotations of a COCO file as pycocotools needs them: completed, corrected, and counted."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from posenfs.data.parsing import whole_number
from posenfs.data.sample import DataError
from posenfs.messages import many

MAX_RESULTS = 20  # of an image, by decreasing score: pycocotools' maxDets for keypoints

_NEW_IDS = "with an id that pycocotools reads as unmatched (0 and below, or none): numbered anew"
_BOX_AREA = "without an area above 0: the area of the box is used"
_EXTENT_AREA = "without an area above 0 or a box with a size: the keypoints' extent is used"
_COUNTED = "with a missing or wrong num_keypoints: counted from the visibilities"
_CROWD_FLAG = "with an iscrowd other than 0 and 1: converted"
_NO_IMAGE = "of an image that the file lacks: ignored"
_NO_CATEGORY = "without category_id: ignored"


@dataclass(frozen=True)
class Truth:
    """The annotations of one category for pycocotools.

    Attributes:
        dataset: The content of an annotation file {info, licenses, images, categories,
            annotations}: only what the evaluation reads. Ids of annotations count from 1.
        completed: What was completed or corrected -> number of annotations.
    """

    dataset: dict
    completed: Mapping[str, int]

    def notes(self) -> list[str]:
        """Return a sentence for each kind of completion."""
        return [f"{many(count, 'annotation')} {reason}" for reason, count in self.completed.items()]


def complete_truth(content: Mapping, category: int, keypoints: int, place: str) -> Truth:
    """Copy the annotations of a category and complete what pycocotools requires.

    pycocotools reads the annotation id 0 as unmatched, ignores annotations whose num_keypoints is
    0, and divides by the area. In the copy, ids count from 1; num_keypoints is the number of
    visibilities above 0; an area that is missing or not above 0 becomes that of the box, or else of
    the extent of the labelled keypoints, whose sides are at least 1 px.

    Args:
        content: Content of a COCO annotation file; it is not modified.
        category: Id of the category.
        keypoints: Number of keypoints of the category.
        place: The file, for messages.

    Raises:
        DataError: Two annotations have one id, or an annotation has other keypoints or no number
            where one is needed.
    """
    images = [_whole_id(place, "image", image) for image in content["images"]]
    known_images = set(images)
    _check_unique(place, content["annotations"])
    counts: Counter[str] = Counter()
    annotations: list[dict] = []
    for number, row in enumerate(content["annotations"]):
        if not isinstance(row, Mapping):
            raise DataError(f"{place}: annotation number {number} is {row!r:.80}, not an object")
        label = whole_number(row.get("category_id"))
        if label is None:
            counts[_NO_CATEGORY] += 1
        if label != category:
            continue
        image = whole_number(row.get("image_id"))
        if image not in known_images:
            counts[_NO_IMAGE] += 1
            continue
        name = f"{place}: annotation {row.get('id', f'number {number}')}"
        annotation, reasons = _complete(name, row, keypoints)
        counts.update(reasons)
        ids = {"id": len(annotations) + 1, "image_id": image, "category_id": category}
        annotations.append(annotation | ids)
    dataset = {
        "info": {},  # pycocotools up to 2.0.7 requires it
        "licenses": [],
        "images": [{"id": image} for image in images],
        "categories": [{"id": category}],
        "annotations": annotations,
    }
    return Truth(dataset, dict(counts))


def undefined_numbers(values: Mapping[str, float | None]) -> list[str]:
    """Say which of the ten numbers of an evaluation are not defined (NaN or None), and why.

    Args:
        values: The numbers by name: AP, AP_M, AP_L, AR_M and AR_L count.
    """
    if _is_undefined(values.get("AP", 0)):
        return ["all numbers are n/a: no annotation has a labelled keypoint and is no crowd"]
    return [
        f"AP_{size} and AR_{size} are n/a: no annotated person has this size ({limits})"
        for size, limits in (("M", "32² to 96² px²"), ("L", "above 96² px²"))
        if _is_undefined(values.get(f"AP_{size}", 0))
    ]


def ignored_results(images: Iterable[int]) -> list[str]:
    """Say how many results lie beyond pycocotools' greatest number for an image.

    Args:
        images: The image of each result.
    """
    surplus = [count - MAX_RESULTS for count in Counter(images).values() if count > MAX_RESULTS]
    if not surplus:
        return []
    return [
        f"maxDets {MAX_RESULTS}: {many(sum(surplus), 'result')} of {many(len(surplus), 'image')} "
        "ignored, those with the lowest scores: pycocotools and COCO's server judge "
        f"{MAX_RESULTS} of an image"
    ]


def _is_undefined(value: float | None) -> bool:
    return value is None or math.isnan(value)


def _whole_id(place: str, kind: str, row: object) -> int:
    number = whole_number(row.get("id")) if isinstance(row, Mapping) else None
    if number is None:
        raise DataError(f"{place}: an {kind} needs a whole number as its id: {row!r:.80}")
    return number


def _check_unique(place: str, rows: list) -> None:
    """Raise DataError if two annotations have the same id; annotations without id do not count."""
    ids = [row.get("id") for row in rows if isinstance(row, Mapping)]
    numbers = [whole_number(value) for value in ids]
    keys = [
        repr(value) if number is None else number
        for value, number in zip(ids, numbers, strict=True)
        if value is not None
    ]
    repeated = [key for key, count in Counter(keys).items() if count > 1]
    if repeated:
        raise DataError(
            f"{place}: two annotations have the id {repeated[0]}; ids must be unique: correct or "
            "drop one"
        )


def _complete(name: str, row: Mapping, count: int) -> tuple[dict, list[str]]:
    """Return the fields of an annotation that pycocotools reads, and why they are not the file's.

    Args:
        name: File and annotation, for messages.
        row: The annotation.
        count: Number of keypoints.
    """
    reasons = []
    if (whole_number(row.get("id")) or 0) <= 0:
        reasons.append(_NEW_IDS)
    points = _keypoints(name, row.get("keypoints"), count)
    labelled = points[points[:, 2] > 0]
    if (whole_number(row.get("num_keypoints")) or 0) != len(labelled):
        reasons.append(_COUNTED)
    crowd = _crowd_flag(name, row.get("iscrowd"))
    if row.get("iscrowd") not in (None, crowd):
        reasons.append(_CROWD_FLAG)
    box, extent = _box(row.get("bbox")), _extent(labelled)
    area = _number(row.get("area"))
    if area is None or area <= 0:
        has_size = box is not None and min(box[2:]) > 0
        reasons.append(_BOX_AREA if has_size else _EXTENT_AREA)
        area = box[2] * box[3] if has_size else max(extent[2], 1.0) * max(extent[3], 1.0)
    annotation = {
        "keypoints": points.ravel().tolist(),
        "num_keypoints": len(labelled),
        "iscrowd": crowd,
        "bbox": extent if box is None else box,
        "area": area,
    }
    return annotation, reasons


def _keypoints(name: str, values: object, count: int) -> np.ndarray:
    """Return keypoints [K, 3] x, y, visibility; zeros if there are none."""
    if values is None or values == []:
        return np.zeros((count, 3))
    try:
        points = np.array(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        points = np.zeros(0)
    if points.size != 3 * count:
        size = len(values) if isinstance(values, list) else f"{values!r:.40}"
        raise DataError(
            f"{name} must have {3 * count} numbers as keypoints, x, y, visibility for each of "
            f"{count}; it has {size}; correct or drop it"
        )
    points = points.reshape(count, 3)
    visible = points[:, 2] > 0
    if np.isnan(points[:, 2]).any() or not np.isfinite(points[visible]).all():
        raise DataError(
            f"{name} has a labelled keypoint without a number, or a visibility that is none; "
            "correct or drop it"
        )
    points[~visible] = 0
    return points


def _crowd_flag(name: str, value: object) -> int:
    if value is None:
        return 0
    number = _number(value)
    if number is None:
        raise DataError(f"{name} has iscrowd {value!r:.40}; it must be 0 or 1")
    return int(number != 0)


def _box(values: object) -> list[float] | None:
    """Return x, y, width, height; None if these are not four numbers."""
    numbers = [_number(value) for value in values] if isinstance(values, list) else []
    box = [number for number in numbers if number is not None]
    return box if len(numbers) == len(box) == 4 else None


def _extent(points: np.ndarray) -> list[float]:
    """Return the box x, y, width, height round labelled keypoints [n, 3]; zeros for none."""
    if not len(points):
        return [0.0] * 4
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    return [*low.tolist(), *(high - low).tolist()]


def _number(value: object) -> float | None:
    """Return a finite number, also of a text such as "7.5"; None for anything else."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None

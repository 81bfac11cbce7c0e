"""Rows of files in COCO's form: ids, flags and numbers, converted where they have one meaning."""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from posenfs.data.parsing import MAX_PX, number, whole_number
from posenfs.data.sample import DataError

_FLAGS = {"0": 0, "1": 1, "false": 0, "true": 1}
_NUMBERS = {int, float}


def convert_ids(path: Path, kind: str, rows: Sequence[dict], keys: Sequence[str]) -> None:
    """Convert the ids of rows to whole numbers, in place: 3.0 and "3" are 3.

    Args:
        path: The file, for messages.
        kind: What the rows are, for messages: image or annotation.
        rows: The rows.
        keys: The keys of the ids.

    Raises:
        DataError: A row is no object, or an id is no whole number.
    """
    for place, row in enumerate(rows):
        if not isinstance(row, dict):
            raise DataError(f"{path}: {kind} number {place} is {row!r:.80}, not an object")
    for key in keys:
        for place, row in enumerate(rows):
            value = row.get(key)
            if type(value) is int and -(2**63) <= value < 2**63:
                continue
            if (row_id := whole_number(value)) is None:
                raise DataError(
                    f"{path}: {kind} number {place} needs a whole number as its {key}: "
                    f"{row.get(key)!r:.80}"
                )
            row[key] = row_id


def convert_flags(path: Path, rows: Sequence[dict]) -> None:
    """Convert `iscrowd` of annotations to 0 or 1, in place; it is 0 where it is missing or null.

    Args:
        path: The file, for messages.
        rows: The annotations, with ids.

    Raises:
        DataError: A value is neither 0, 1, false, true, nor the text of one of these.
    """
    for row in rows:
        value = row.get("iscrowd")
        if type(value) is int and value in (0, 1):
            continue
        if value is None or value == "":
            row["iscrowd"] = 0
            continue
        text = str(int(value) if isinstance(value, float) and value in (0, 1) else value)
        flag = None if isinstance(value, (list, dict)) else _FLAGS.get(text.strip().lower())
        if flag is None:
            raise DataError(
                f"{path}: annotation {row['id']} has iscrowd {value!r:.40}; it must be 0 or 1"
            )
        row["iscrowd"] = flag


def convert_keypoints(path: Path, rows: Sequence[dict], names: Sequence[str]) -> np.ndarray:
    """Convert the keypoints of annotations to lists of numbers, in place.

    An annotation without `keypoints` has no labelled one. Texts that spell numbers are numbers;
    lists [x, y, visibility] of each keypoint are joined. Where the visibility is 0, coordinates
    that are null or NaN become 0; a keypoint of three nulls is not labelled.

    Args:
        path: The file, for messages.
        rows: The annotations, with ids.
        names: The names of the K keypoints.

    Returns:
        [N, K, 3] x, y, visibility (0, 1 or 2); all finite.

    Raises:
        DataError: An annotation has another number of values, or one with no such meaning.
    """
    width = 3 * len(names)
    lists = [row.get("keypoints") for row in rows]
    try:
        if not _are_numbers(lists, width):
            raise TypeError
        points = np.array(lists, np.float64).reshape(len(rows), len(names), 3)
    except (TypeError, OverflowError):
        lists = [_keypoint_values(path, row, names) for row in rows]
        points = np.array(lists, np.float64).reshape(len(rows), len(names), 3)
        for row, values in zip(rows, lists, strict=True):
            row["keypoints"] = values
    is_number = ~np.isnan(points)
    points[~is_number.any(-1)] = 0.0
    visibility = points[..., 2]
    is_labelled = visibility > 0
    is_finite = np.isfinite(points[..., :2]).all(-1)
    with np.errstate(invalid="ignore"):
        is_pixel = (np.abs(points[..., :2]) <= MAX_PX).all(-1)

    def refuse(faults: np.ndarray, what: Callable[[int, int], str]) -> None:
        if faults.any():
            person, k = map(int, np.argwhere(faults)[0])
            raise DataError(f"{path}: annotation {rows[person]['id']} has {what(person, k)}")

    refuse(
        ~np.isin(visibility, (0, 1, 2)),
        lambda person, k: (
            f"visibility {visibility[person, k]:g} at {names[k]}; it must be 0 (not labelled), 1 "
            "(not visible) or 2 (visible), not a score"
        ),
    )
    refuse(
        is_labelled & ~is_finite,
        lambda person, k: f"no number at its labelled {names[k]}; correct or drop it",
    )
    refuse(
        is_labelled & ~is_pixel,
        lambda person, k: (
            f"({points[person, k, 0]:g}, {points[person, k, 1]:g}) at its labelled {names[k]}, "
            "which is no pixel of any image; correct or drop it"
        ),
    )
    points[..., :2][~is_finite] = 0.0
    for person in np.flatnonzero(~(is_number.all((1, 2)) & is_finite.all(1))):
        rows[person]["keypoints"] = points[person].ravel().tolist()
    return points


def _are_numbers(lists: Sequence[object], width: int) -> bool:
    """Whether all lists have this length and hold numbers alone; quick for millions of numbers."""
    return (
        set(map(type, lists)) <= {list}
        and set(map(len, lists)) <= {width}  # type: ignore[arg-type]
        and set(map(type, itertools.chain.from_iterable(lists))) <= _NUMBERS  # type: ignore[arg-type]
    )


def _keypoint_values(path: Path, row: dict, names: Sequence[str]) -> list[float]:
    width = 3 * len(names)
    values = row.get("keypoints")
    if values is None or values == []:
        return [0.0] * width
    if isinstance(values, list) and all(isinstance(v, list) and len(v) == 3 for v in values):
        values = list(itertools.chain.from_iterable(values))
    numbers = [number(value) for value in values] if isinstance(values, list) else []
    if len(numbers) == width and None not in numbers:
        return numbers  # type: ignore[return-value]
    if len(numbers) == width:
        place = numbers.index(None)
        actual = f"{values[place]!r:.40} at {names[place // 3]}"
    else:
        actual = f"{len(values)}" if isinstance(values, list) else f"{values!r:.40}"
    raise DataError(
        f"{path}: annotation {row['id']} must have {width} numbers as keypoints, x, y, visibility "
        f"for each of {len(names)}; it has {actual}; correct or drop it"
    )


def convert_boxes(path: Path, rows: Sequence[dict]) -> np.ndarray:
    """Convert `bbox` of annotations to four numbers, in place; null or no numbers drop it.

    Args:
        path: The file, for messages.
        rows: The annotations, with ids.

    Returns:
        [N, 4] x, y, width, height; NaN where it is missing.

    Raises:
        DataError: A box has another number of values, or one that is no finite number.
    """
    lists = [row.get("bbox") for row in rows]
    try:
        boxes = np.array(lists, np.float64) if _are_numbers(lists, 4) else None
    except OverflowError:
        boxes = None
    if boxes is not None and np.isfinite(boxes).all():
        return boxes.reshape(len(rows), 4)
    boxes = np.full((len(rows), 4), np.nan)
    for place, row in enumerate(rows):
        box = row.get("bbox")
        values = [number(value) for value in box] if isinstance(box, list) else [None]
        if box is None or box == [] or (box and all(map(_is_nan, values))):
            row.pop("bbox", None)
        elif len(values) == 4 and all(v is not None and np.isfinite(v) for v in values):
            boxes[place] = values
            row["bbox"] = values
        else:
            raise DataError(
                f"{path}: annotation {row['id']} has bbox {box!r:.80}, not x, y, w, h; correct it, "
                "or drop bbox to have it made from the keypoints"
            )
    return boxes


def _is_nan(value: float | None) -> bool:
    return value is not None and np.isnan(value)


def convert_values(path: Path, rows: Iterable[dict], keys: Sequence[str]) -> None:
    """Convert single numbers of rows, such as `area`, in place; null and NaN drop the key.

    Args:
        path: The file, for messages.
        rows: Annotations, with ids.
        keys: The keys of the numbers.

    Raises:
        DataError: A value is no finite number.
    """
    for key in keys:
        for row in rows:
            value = row.get(key)
            if type(value) is float and math.isfinite(value):
                continue
            result = number(value)
            if result is None or np.isinf(result):
                raise DataError(
                    f"{path}: annotation {row['id']} has {key} {value!r:.40}, not a number; "
                    f"correct it, or drop {key}"
                )
            if np.isnan(result):
                row.pop(key, None)
            elif type(value) is not int:
                row[key] = result

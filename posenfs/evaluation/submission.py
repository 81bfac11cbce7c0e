"""Predictions as the benchmarks take them: COCO's JSON in a zip file, MPII's annotation list with our points."""

import io
import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.io import savemat

from posenfs.body.skeleton import COCO
from posenfs.data.datasets.mpii import FILE_ORDER
from posenfs.data.datasets.mpii_release import (
    Release,
    load_release,
    people_of_release,
    person_id,
)
from posenfs.data.files import beside, write_whole
from posenfs.data.sample import DataError, People
from posenfs.evaluation.scoring import checked_result

_PERSON = 1  # COCO's category
_DECIMALS = 2  # of a coordinate, px
_SCORE_DIGITS = 9  # significant ones: all of a float32, so that no two scores become one
_COCO_NAME = re.compile(r"person_keypoints_(val2017|test-dev2017|test-challenge2017)_.+_results")


def write_coco_submission(path: Path, results: Sequence[Mapping]) -> None:
    """COCO results {image_id, category_id, keypoints (17 times x, y, score), score} to a .json file, or to a .zip file
    that holds it, as the evaluation server takes it.

    x and y are rounded to 0.01 px, scores to nine digits; other fields are left out. The third number of each keypoint
    is 1: the server does not use it and asks for that (cocodataset.org, format-results). A zip file must have the
    server's name, person_keypoints_<set>_<algorithm>_results.zip with set val2017, test-dev2017 or test-challenge2017;
    the JSON file in it has the same name and no folder (cocodataset.org, upload). Raises DataError for unsound results
    or none, ValueError for another name.
    """
    check_coco_name(path)
    if not results:
        raise DataError(f"no results to write to {path}: the server takes at least one pose")
    rows = [_written(f"result {number}", result) for number, result in enumerate(results)]
    content = json.dumps(rows, separators=(",", ":")).encode()
    if path.suffix == ".zip":
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
            # a ZipInfo carries no time of its own: the same results are the same bytes
            file.writestr(zipfile.ZipInfo(f"{path.stem}.json"), content, zipfile.ZIP_DEFLATED)
        content = packed.getvalue()
    write_whole(path, content)


def check_coco_name(path: Path) -> None:
    """Raise ValueError for a name that the server would not take."""
    if path.suffix not in (".json", ".zip"):
        raise ValueError(f"{path}: COCO results are written to a .json or a .zip file")
    if path.suffix == ".zip" and not _COCO_NAME.fullmatch(path.stem):
        raise ValueError(
            f"{path.name}: the server takes person_keypoints_<set>_<algorithm>_results.zip with set val2017, "
            "test-dev2017 or test-challenge2017, such as person_keypoints_test-dev2017_posenfs_results.zip"
        )


def _written(place: str, result: Mapping) -> dict:
    """The four fields that the server reads."""
    row = checked_result(place, result, len(COCO))
    if row["category_id"] != _PERSON:
        raise DataError(f"{place}: category_id is {row['category_id']}; the server judges people, {_PERSON}")
    points = np.array(row["keypoints"]).reshape(-1, 3)
    points = np.concatenate([points[:, :2].round(_DECIMALS), np.ones((len(points), 1))], 1)
    # whole numbers without their .0: a third of the file
    keypoints = [int(value) if value.is_integer() else value for value in points.ravel().tolist()]
    score = float(f"{row['score']:.{_SCORE_DIGITS}g}")
    return {"image_id": row["image_id"], "category_id": _PERSON, "keypoints": keypoints, "score": score}


def write_mpii_submission(path: Path, release: Path, people: People, keypoints_image: np.ndarray) -> None:
    """Predictions [N, 16, 2] (image px, 0-based, in MPII's order of the paper) for the test people of the release, as
    the benchmark takes them: pred_keypoints_mpii.mat.

    It holds `pred`, which is the release's annolist of all test pictures, in order, with the predictions as
    annorect(ridx).annopoints.point(1 … 16): x and y in 1-based px, and id, 0 … 15 in the file's order. So ask MPII's
    page on evaluation ("Preparing predictions", single person) and evaluatePCKh.m of its toolkit, which asserts that
    `pred` is as long as the list of test pictures, pairs people by counting rectangles with an objpos, and looks up
    points by their id; that a rectangle of nobody judged stays in place therefore matters.

    `people` are all of the release's split test, in any order. Raises DataError for other people, and for predictions
    that are no finite numbers.
    """
    source = load_release(release)
    predicted = _by_rectangle(source, people, keypoints_image)
    pred = source.pictures[~source.training].copy()
    for entry, number in zip(pred, np.flatnonzero(~source.training) + 1, strict=True):
        if entry["annorect"].size:  # no struct otherwise, and no field
            entry["annorect"] = _with_points(entry["annorect"], int(number), predicted)
    with beside(path) as written:
        savemat(written, {"pred": pred.reshape(1, -1)}, do_compression=True)


def _by_rectangle(source: Release, people: People, keypoints: np.ndarray) -> dict[int, np.ndarray]:
    """Keypoints [16, 2] 1-based px in the file's order by person id."""
    if not len(people):
        raise DataError(f"no predictions: {people.name} is empty")
    if keypoints.shape != (len(people), 16, 2):
        raise DataError(f"predictions of shape {list(keypoints.shape)} for {len(people)} people of {people.name}")
    if not np.isfinite(keypoints).all():
        person = int(np.argwhere(~np.isfinite(keypoints))[0, 0])
        raise DataError(f"the prediction of person {people.person_ids[person]} of {people.name} holds no finite number")
    known, given = people_of_release(source, "test").person_ids, people.person_ids
    if (other := np.setdiff1d(given, known)).size:
        raise DataError(f"person {other[0]} of {people.name} is none of the {len(known)} test people of {source.path}")
    ids, times = np.unique(given, return_counts=True)
    if (times > 1).any():
        raise DataError(f"person {ids[times.argmax()]} of {people.name} has {times.max()} predictions; give one")
    if (missing := np.setdiff1d(known, given)).size:
        raise DataError(
            f"{len(missing)} of the {len(known)} test people of {source.path} have no prediction, first {missing[0]}; "
            "they would count as wrong: predict all of them"
        )
    ordered = np.empty_like(keypoints, np.float64)
    ordered[:, FILE_ORDER] = keypoints + 1
    return dict(zip(given.tolist(), ordered, strict=True))


def _with_points(rectangles: np.ndarray, picture: int, predicted: Mapping[int, np.ndarray]) -> np.ndarray:
    """A copy of annorect whose annopoints are the predictions, empty where there is none."""
    fields: tuple[str, ...] = rectangles.dtype.names  # people_of_release has seen that it is a struct
    names = dict.fromkeys((*fields, "annopoints"))
    whole = np.empty(rectangles.shape, [(name, object) for name in names])
    for name in fields:
        whole[name] = rectangles[name]
    for number, rectangle in enumerate(whole.ravel(), 1):
        own = predicted.get(person_id(picture, number))
        rectangle["annopoints"] = np.zeros((0, 0)) if own is None else _annopoints(own)
    return whole


def _annopoints(keypoints: np.ndarray) -> np.ndarray:
    rows = [(x, y, float(keypoint)) for keypoint, (x, y) in enumerate(keypoints.tolist())]
    found = np.empty((1, 1), [("point", object)])
    found["point"][0, 0] = np.array([rows], [(name, object) for name in ("x", "y", "id")])
    return found

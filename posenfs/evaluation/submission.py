"""Submission files of the benchmarks: COCO's JSON in a zip file, MPII's annotation list as .mat."""

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
from posenfs.data.datasets.mpii_release import annotations_of_release, person_id
from posenfs.data.datasets.mpii_release_file import Release, load_release
from posenfs.data.files import atomic_path, write_atomic
from posenfs.data.sample import Annotations, DataError
from posenfs.evaluation.prediction_files import parse_result

_PERSON = 1  # category of COCO
_DECIMALS = 2  # of coordinates in px
_COCO_NAME = re.compile(r"person_keypoints_(val2017|test-dev2017|test-challenge2017)_.+_results")


def write_coco_submission(path: Path, results: Sequence[Mapping]) -> None:
    """Write COCO results for the evaluation server, as .json or as .json in a .zip file.

    Coordinates are rounded to 0.01 px. Scores are not rounded, so that equal and different ones
    stay so. Other fields, such as bbox, are omitted. The third number of each keypoint is 1, as the
    server requires (cocodataset.org, format-results).

    Args:
        path: The file. A zip file must be named person_keypoints_<set>_<algorithm>_results.zip with
            set val2017, test-dev2017 or test-challenge2017; it contains one JSON file of the same
            name (cocodataset.org, upload).
        results: Results {image_id, category_id, keypoints (17 times x, y, score), score}.

    Raises:
        DataError: There are no results, or one is invalid.
        ValueError: The server does not accept the name of the file.
    """
    check_coco_name(path)
    if not results:
        raise DataError(f"no results to write to {path}: the server takes at least one pose")
    rows = [_coco_row(f"result {number}", result) for number, result in enumerate(results)]
    content = json.dumps(rows, separators=(",", ":")).encode()
    if path.suffix == ".zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
            # A ZipInfo has a fixed time, so that equal results give equal bytes.
            file.writestr(zipfile.ZipInfo(f"{path.stem}.json"), content, zipfile.ZIP_DEFLATED)
        content = buffer.getvalue()
    write_atomic(path, content)


def check_coco_name(path: Path) -> None:
    """Check that the evaluation server accepts the name of a file.

    Args:
        path: The file to write.

    Raises:
        ValueError: The server does not accept the name.
    """
    if path.suffix not in (".json", ".zip"):
        raise ValueError(f"{path}: COCO results are written to a .json or a .zip file")
    if path.suffix == ".zip" and not _COCO_NAME.fullmatch(path.stem):
        raise ValueError(
            f"{path.name}: the server takes person_keypoints_<set>_<algorithm>_results.zip with "
            "set val2017, test-dev2017 or test-challenge2017, such as "
            "person_keypoints_test-dev2017_posenfs_results.zip"
        )


def _coco_row(place: str, result: Mapping) -> dict:
    """Return the four fields that the server reads."""
    row = parse_result(place, result, len(COCO))
    if row["category_id"] != _PERSON:
        raise DataError(
            f"{place}: category_id is {row['category_id']}; the server judges people, {_PERSON}"
        )
    points = np.array(row["keypoints"]).reshape(-1, 3)
    points = np.concatenate([points[:, :2].round(_DECIMALS), np.ones((len(points), 1))], 1)
    # Integers are written without ".0", which makes the file a third smaller.
    keypoints = [int(value) if value.is_integer() else value for value in points.ravel().tolist()]
    return {
        "image_id": row["image_id"],
        "category_id": _PERSON,
        "keypoints": keypoints,
        "score": row["score"],
    }


def write_mpii_submission(
    path: Path, release: Path, annotations: Annotations, keypoints_image: np.ndarray
) -> None:
    """Write predictions of MPII's test people for the benchmark (pred_keypoints_mpii.mat).

    The file holds `pred`: the release's annolist of all test images, in order, with the predictions
    as annorect(ridx).annopoints.point(1 … 16), x and y in 1-based px and id 0 … 15 in file order.
    This follows MPII's instructions ("Preparing predictions", single person) and its toolkit:
    evaluatePCKh.m asserts that `pred` is as long as the list of test images, pairs people by
    counting rectangles with an objpos, and finds points by their id. Rectangles without a
    prediction therefore stay in place.

    Args:
        path: The file to write.
        release: The annotation file of the MPII release.
        annotations: All persons of the release's test split, in any order.
        keypoints_image: Predictions [N, 16, 2] in image px, 0-based, in the paper's order.

    Raises:
        DataError: The people are not those of the test split, or a prediction is not finite.
    """
    source = load_release(release)
    predictions = _keypoints_by_person(source, annotations, keypoints_image)
    pred = source.images[~source.training].copy()
    for entry, number in zip(pred, np.flatnonzero(~source.training) + 1, strict=True):
        if entry["annorect"].size:  # an empty annorect is not a struct and has no fields
            entry["annorect"] = _with_points(entry["annorect"], int(number), predictions)
    with atomic_path(path) as file:
        savemat(file, {"pred": pred.reshape(1, -1)}, do_compression=True)


def _keypoints_by_person(
    source: Release, annotations: Annotations, keypoints: np.ndarray
) -> dict[int, np.ndarray]:
    """Return the keypoints [16, 2], in 1-based px and file order, by person id."""
    if not len(annotations):
        raise DataError(f"no predictions: {annotations.name} is empty")
    if keypoints.shape != (len(annotations), 16, 2):
        raise DataError(
            f"predictions of shape {list(keypoints.shape)} for {len(annotations)} people of "
            f"{annotations.name}"
        )
    if not np.isfinite(keypoints).all():
        person = int(np.argwhere(~np.isfinite(keypoints))[0, 0])
        raise DataError(
            f"the prediction of person {annotations.person_ids[person]} of {annotations.name} "
            "holds no finite number"
        )
    _check_test_persons(source, annotations)
    in_file_order = np.empty_like(keypoints, np.float64)
    in_file_order[:, FILE_ORDER] = keypoints + 1
    return dict(zip(annotations.person_ids.tolist(), in_file_order, strict=True))


def _check_test_persons(source: Release, annotations: Annotations) -> None:
    """Raise DataError unless these are the test people of the release, each once."""
    test_ids = annotations_of_release(source, "test").person_ids
    unknown = np.setdiff1d(annotations.person_ids, test_ids)
    if unknown.size:
        raise DataError(
            f"person {unknown[0]} of {annotations.name} is none of the {len(test_ids)} test people "
            f"of {source.path}"
        )
    ids, counts = np.unique(annotations.person_ids, return_counts=True)
    if (counts > 1).any():
        raise DataError(
            f"person {ids[counts.argmax()]} of {annotations.name} has {counts.max()} predictions; "
            "give one"
        )
    missing = np.setdiff1d(test_ids, annotations.person_ids)
    if missing.size:
        raise DataError(
            f"{len(missing)} of the {len(test_ids)} test people of {source.path} have no "
            f"prediction, first {missing[0]}; they would count as wrong: predict all of them"
        )


def _with_points(
    rectangles: np.ndarray, image_number: int, predictions: Mapping[int, np.ndarray]
) -> np.ndarray:
    """Return a copy of annorect whose annopoints are the predictions, empty if there is none."""
    fields: tuple[str, ...] = rectangles.dtype.names or ()
    names = dict.fromkeys((*fields, "annopoints"))
    copy = np.empty(rectangles.shape, [(name, object) for name in names])
    for name in fields:
        copy[name] = rectangles[name]
    for number, rectangle in enumerate(copy.ravel(), 1):
        keypoints = predictions.get(person_id(image_number, number))
        empty = np.zeros((0, 0))
        rectangle["annopoints"] = empty if keypoints is None else _annopoints(keypoints)
    return copy


def _annopoints(keypoints: np.ndarray) -> np.ndarray:
    points = [(x, y, float(number)) for number, (x, y) in enumerate(keypoints.tolist())]
    annopoints = np.empty((1, 1), [("point", object)])
    annopoints["point"][0, 0] = np.array([points], [(name, object) for name in ("x", "y", "id")])
    return annopoints

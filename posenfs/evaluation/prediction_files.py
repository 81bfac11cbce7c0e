"""Readers of others' predictions: arrays of keypoints, and results in COCO's format."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from posenfs.data.parsing import finite_numbers, read_json, read_mat, whole_number
from posenfs.data.sample import DataError


def read_predictions(path: Path, keypoints: Sequence[str]) -> np.ndarray:
    """Read predicted keypoints from a .npy, .mat, .h5 or .json file.

    The array has the axes [N, K, 2] or [N, K, 3]: persons, keypoints, and x, y, score; the score is
    ignored. It is the array named "preds", or the only one of that shape. Files of MATLAB 7.3 are
    HDF5 with reversed axes, which is undone.

    Args:
        path: The file.
        keypoints: Names of the K keypoints.

    Returns:
        Keypoints [N, K, 2] as in the file.

    Raises:
        FileNotFoundError: There is no such file.
        DataError: The file is broken, has no such array, or holds numbers that are not finite.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no predictions at {path}")
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise DataError(f"{path}: predictions are read from {', '.join(_READERS)}")
    try:
        arrays = read(path)
    except DataError:
        raise
    except Exception as error:  # the parsers raise many types of errors for a broken file
        raise DataError(f"{path} cannot be read ({error}); copy it again") from None
    predictions = _select_predictions(path, arrays, len(keypoints))
    if not np.isfinite(predictions).all():
        person, keypoint = np.argwhere(~np.isfinite(predictions))[0, :2]
        values = predictions[person, keypoint].tolist()
        raise DataError(f"{path}: person {person}'s {keypoints[keypoint]} is {values}")
    return predictions


def _select_predictions(
    path: Path, arrays: Mapping[str, object], keypoint_count: int
) -> np.ndarray:
    """Return the only array of shape [N, K, 2] or [N, K, 3], without scores."""
    candidates = {name: _to_array(value) for name, value in arrays.items()}
    named = {name: a for name, a in candidates.items() if name.rpartition("/")[2] == "preds"}
    candidates = named or candidates
    usable = {
        name: array[..., :2]
        for name, array in candidates.items()
        if array is not None and _has_shape_of_predictions(array, keypoint_count)
    }
    if len(usable) == 1:
        (predictions,) = usable.values()
        return predictions
    if usable:
        raise DataError(
            f"{path}: {', '.join(usable)} may each be the predictions; name them `preds`"
        )
    contents = [
        f"{name}, no numbers" if array is None else f"{name} of shape {list(array.shape)}"
        for name, array in candidates.items()
    ]
    raise DataError(
        f"{path} holds {', '.join(contents) or 'nothing'}; expected numbers of shape "
        f"[N, {keypoint_count}, 2] or [N, {keypoint_count}, 3] (persons, keypoints, and x, y and a "
        "score); transpose an array whose axes have another order before writing it"
    )


def _to_array(value: object) -> np.ndarray | None:
    try:
        return np.asarray(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        return None


def _has_shape_of_predictions(array: np.ndarray, keypoint_count: int) -> bool:
    if array.ndim != 3:
        return False
    persons, keypoints, coordinates = array.shape
    return persons > 0 and keypoints == keypoint_count and coordinates in (2, 3)


def _read_npy(path: Path) -> dict[str, object]:
    return {"its array": np.load(path, allow_pickle=False)}


def _read_mat(path: Path) -> dict[str, object]:
    if _is_matlab_73(path):
        return _read_hdf5(path)
    return {name: value for name, value in read_mat(path).items() if not name.startswith("__")}


def _read_hdf5(path: Path) -> dict[str, object]:
    try:
        import h5py
    except ImportError:
        raise DataError(f'{path}: reading HDF5 needs h5py; pip install "posenfs[h5]"') from None
    axes_are_reversed = _is_matlab_73(path)  # MATLAB writes its column-major arrays that way
    arrays: dict[str, object] = {}

    def add(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[str(name)] = np.asarray(item[()]).T if axes_are_reversed else item[()]

    with h5py.File(path) as file:
        file.visititems(add)
    return arrays


def _is_matlab_73(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(10) == b"MATLAB 7.3"


def _read_json(path: Path) -> dict[str, object]:
    content = read_json(path)
    return content if isinstance(content, dict) else {"its list": content}


_READERS: dict[str, Callable[[Path], dict[str, object]]] = {
    ".npy": _read_npy,
    ".mat": _read_mat,
    ".h5": _read_hdf5,
    ".json": _read_json,
}


def read_results(
    path: Path, images: Sequence[Mapping], keypoint_counts: Mapping[int, int]
) -> list[dict]:
    """Read COCO results and check them against annotations.

    Ids that are written as 7.0 or "7" become whole numbers.

    Args:
        path: JSON file [{image_id, category_id, keypoints, score}].
        images: Rows {id} of the annotated images.
        keypoint_counts: Number of keypoints by category id.

    Raises:
        FileNotFoundError: There is no such file.
        DataError: The file is empty, or a result has an unknown image or category, another number
            of keypoints, or a number that is not finite.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no results at {path}")
    content = read_json(path)
    if not isinstance(content, list) or not content:
        raise DataError(
            f"{path} must be a list with at least one result "
            "{image_id, category_id, keypoints, score}"
        )
    image_ids = {whole_number(image.get("id")) for image in images if isinstance(image, Mapping)}
    results = []
    for number, row in enumerate(content):
        place = f"{path}, result {number}"
        row = _with_whole_ids(place, row)
        if row["image_id"] not in image_ids:
            raise DataError(
                f"{place} is of image {row['image_id']}, which the annotations do not have"
            )
        if row["category_id"] not in keypoint_counts:
            raise DataError(
                f"{place} is of category {row['category_id']}, which the annotations do not have "
                f"with keypoints; their ids are {', '.join(map(str, keypoint_counts))}"
            )
        results.append(parse_result(place, row, keypoint_counts[row["category_id"]]))
    return results


def _with_whole_ids(place: str, row: object) -> dict:
    """Return a result whose ids are whole numbers."""
    if not isinstance(row, Mapping):
        raise DataError(f"{place} is {row!r:.80}, not {{image_id, category_id, keypoints, score}}")
    ids = {}
    for key in ("image_id", "category_id"):
        number = whole_number(row.get(key))
        if number is None:
            raise DataError(f"{place}: {key} is {row.get(key)!r:.40}; COCO's are whole numbers")
        ids[key] = number
    return {**row, **ids}


def parse_result(place: str, row: object, keypoint_count: int) -> dict:
    """Check one COCO result and convert its numbers.

    Args:
        place: File and number of the result, for error messages.
        row: {image_id, category_id, keypoints [x, y, score, …], score, …}.
        keypoint_count: Number of keypoints.

    Returns:
        The result with keypoints and score as floats.

    Raises:
        DataError: A field is missing or has another type, length or a number that is not finite.
    """
    if not isinstance(row, Mapping):
        raise DataError(f"{place} is {row!r:.80}, not {{image_id, category_id, keypoints, score}}")
    for key in ("image_id", "category_id"):
        if not isinstance(row.get(key), int) or isinstance(row[key], bool):
            raise DataError(f"{place}: {key} is {row.get(key)!r:.40}; COCO's are whole numbers")
    keypoints = finite_numbers(place, "keypoints", row.get("keypoints"), (3 * keypoint_count,))
    score = finite_numbers(place, "score", row.get("score"), ())
    return {**row, "keypoints": keypoints.tolist(), "score": float(score)}

"""Scoring of prediction files of any method by the protocols of MPII (PCKh), PCK and COCO."""

from collections.abc import Callable, Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import NoReturn

import numpy as np

from posenfs.body.skeleton import COCO, MPII
from posenfs.data.datasets.coco_file import coco_content, keypoint_category
from posenfs.data.datasets.mpii import FILE_ORDER, mpii_truth
from posenfs.data.parsing import finite_numbers, read_json, read_mat
from posenfs.data.sample import Annotations, DataError
from posenfs.evaluation.metrics import (
    COLUMNS,
    TORSO,
    box_sizes,
    columns_of,
    correct_share,
    head_segment_sizes,
    head_sizes,
    metric_name,
    normalised_errors,
    relative_errors,
)
from posenfs.evaluation.oks import average_precision, nms_areas, oks_nms, rescore


def read_predictions(path: Path, keypoints: Sequence[str]) -> np.ndarray:
    """Read predicted keypoints from a .npy, .mat, .h5 or .json file.

    The array is the one named "preds", or the only one of a suitable shape. A third number per
    keypoint, its score, is ignored. Axes in another order, such as MPII's [K, 2, N], are permuted
    if the order is unambiguous.

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
    try:
        arrays = _READERS.get(path.suffix.lower(), _unknown)(path)
    except DataError:
        raise
    except Exception as error:  # the parsers raise many types of errors for a broken file
        raise DataError(f"{path} cannot be read ({error}); copy it again") from None
    array = _select_predictions(path, arrays, len(keypoints))
    if not np.isfinite(array).all():
        person, keypoint = np.argwhere(~np.isfinite(array))[0, :2]
        values = array[person, keypoint].tolist()
        raise DataError(f"{path}: person {person}'s {keypoints[keypoint]} is {values}")
    return array


def score_mpii(
    predictions: np.ndarray,
    truth: Path,
    one_based: bool = False,
    thresholds: Sequence[float] = (0.5, 0.1, 0.11),
    source: str | Path = "the predictions",
) -> tuple[dict[str, dict[str, float]], dict[str, int]]:
    """Score predictions on MPII by PCKh.

    Args:
        predictions: Keypoints [N, 16, 2] px in MPII's file order.
        truth: MPII's gt_*.mat.
        one_based: Whether the first pixel has the coordinate 1, not 0.
        thresholds: Thresholds of PCKh.
        source: What error messages call the predictions.

    Returns:
        {"pckh@0.5": {"head": …, …, "mean": …}, …} in percent, and the number of skipped people by
        the reason.

    Raises:
        ValueError: A threshold is not a positive number.
        DataError: The ground truth is broken or has another number of people.
    """
    for threshold in thresholds:
        _check_threshold(threshold, "head")
    joints, missing, heads = mpii_truth(truth)
    if len(predictions) != len(joints):
        raise DataError(
            f"{source}: predictions of {len(predictions)} people, but {truth} has {len(joints)}; "
            "give one for each, in its order"
        )
    differences = predictions + (0 if one_based else 1) - joints
    errors = relative_errors(differences, ~missing, heads)[:, FILE_ORDER]
    metrics = {}
    for threshold in thresholds:
        name = metric_name("pckh", threshold)
        shares = correct_share(errors, MPII, "pckh", threshold)
        columns = {column: shares[f"{name}/{column}"] for column in COLUMNS}
        metrics[name] = columns | {"mean": shares[name]}
    return metrics, _skipped(heads, ~missing, "head")


def score_pck(
    predictions: np.ndarray,
    truth: Annotations,
    normalise: str,
    threshold: float,
    torso: tuple[str, str] = TORSO,
) -> tuple[dict[str, dict[str, float]], dict[str, int]]:
    """Score predictions by PCK.

    Args:
        predictions: Keypoints [N, K, 2] in image px, 0-based, in the order of the ground truth.
        truth: Annotated people.
        normalise: Body size that divides errors: "torso" (distance of the two keypoints `torso`),
            "box" (its longer side), or "head" (its size, or neck to head top).
        threshold: Largest error of a correct keypoint.
        torso: The two keypoints of the torso size.

    Returns:
        {"pck_torso@0.2": {column: …, "mean": …}} in percent, and the number of skipped people by
        the reason.

    Raises:
        ValueError: The body size, the threshold or a keypoint of the torso is unknown.
        DataError: The predictions belong to other people, or no person has such a size.
    """
    if normalise not in ("torso", "box", "head"):
        raise ValueError(f"errors are normalised by torso, box or head; not by {normalise!r}")
    _check_threshold(threshold, normalise)
    if predictions.shape != truth.keypoints_image.shape:
        raise DataError(
            f"predictions of shape {list(predictions.shape)} for {truth.name}, which has "
            f"{len(truth)} people with {len(truth.skeleton)} keypoints"
        )
    if normalise == "torso":
        sizes = truth.lengths(*torso)
    elif normalise == "box":
        sizes = box_sizes(truth)
    elif (truth.head_sizes > 0).any():
        sizes = head_sizes(truth)
    else:
        sizes = head_segment_sizes(truth)
    if not (sizes > 0).any():
        raise DataError(
            f"no person in {truth.name} has a {normalise} with a size; normalise by another"
        )
    errors = normalised_errors(predictions, truth, sizes)
    measure = f"pck_{normalise}"
    name = metric_name(measure, threshold)
    shares = correct_share(errors, truth.skeleton, measure, threshold)
    columns = {column: shares[f"{name}/{column}"] for column in columns_of(truth.skeleton)}
    skipped = _skipped(sizes, truth.visibility > 0, normalise)
    return {name: columns | {"mean": shares[name]}}, skipped


def _check_threshold(threshold: float, measure: str) -> None:
    if not 0 < threshold < float("inf"):
        raise ValueError(f"a threshold is a share of the {measure}, above 0; got {threshold}")


def _skipped(sizes: np.ndarray, labelled: np.ndarray, measure: str) -> dict[str, int]:
    """Count the people without a size [N], and those with a size but no labelled keypoint."""
    has_size = sizes > 0
    reasons = {
        f"without a {measure} size": ~has_size,
        "without a labelled keypoint": has_size & ~labelled.any(1),
    }
    return {reason: int(people.sum()) for reason, people in reasons.items() if people.any()}


def read_results(path: Path, annotations: Mapping, keypoints: int) -> list[dict]:
    """Read COCO results and check them against annotations.

    Args:
        path: JSON file [{image_id, category_id, keypoints, score}].
        annotations: Content of the annotation file.
        keypoints: Number of keypoints.

    Raises:
        FileNotFoundError: There is no such file.
        DataError: The file is empty, or a result has an unknown image or category, another number
            of keypoints, or a number that is not finite.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no results at {path}")
    results = read_json(path)
    if not isinstance(results, list) or not results:
        raise DataError(
            f"{path} must be a list with at least one result "
            "{image_id, category_id, keypoints, score}"
        )
    rows = [
        checked_result(f"{path}, result {number}", result, keypoints)
        for number, result in enumerate(results)
    ]
    images = _ids(annotations["images"])
    categories = _ids(annotations["categories"])
    for number, row in enumerate(rows):
        for kind, known in (("image", images), ("category", categories)):
            if row[f"{kind}_id"] not in known:
                raise DataError(
                    f"{path}, result {number} is of {kind} {row[f'{kind}_id']}, which the "
                    "annotations do not have"
                )
    return rows


def _ids(rows: Sequence[object]) -> set[int]:
    """Return the ids of the rows that have one."""
    ids = (row.get("id") for row in rows if isinstance(row, dict))
    return {number for number in ids if isinstance(number, int)}


def checked_result(place: str, row: object, keypoints: int) -> dict:
    """Check one COCO result.

    Args:
        place: File and number of the result, for error messages.
        row: {image_id, category_id, keypoints [x, y, score, …], score, …}.
        keypoints: Number of keypoints.

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
    points = finite_numbers(place, "keypoints", row.get("keypoints"), (3 * keypoints,))
    score = finite_numbers(place, "score", row.get("score"), ())
    return {**row, "keypoints": points.tolist(), "score": float(score)}


def rescored(
    results: Sequence[Mapping],
    sigmas: Sequence[float] | np.ndarray,
    nms: float | None = 0.9,
    aspect: float = 0.75,
    place: str = "result",
) -> list[dict]:
    """Turn box scores into pose scores and suppress duplicate poses of each image.

    Args:
        results: COCO results with `bbox` [x, y, w, h], the box score as `score`, and keypoints with
            raw scores.
        sigmas: Sigmas of the keypoints.
        nms: OKS above which a pose is a duplicate; None for no suppression.
        aspect: Width / height of the crops, whose areas suppression uses (see `nms_areas`).
        place: What error messages call a result, before its number.

    Raises:
        DataError: A result has no bbox with a size.
    """
    if not results:
        return []
    boxes = np.stack(
        [
            finite_numbers(f"{place} {number}", "bbox", result.get("bbox"), (4,))
            for number, result in enumerate(results)
        ]
    )
    empty = np.flatnonzero((boxes[:, 2:] <= 0).any(1))
    if empty.size:
        raise DataError(f"{place} {empty[0]}: its bbox {boxes[empty[0]].tolist()} has no size")
    keypoints = np.array([result["keypoints"] for result in results], np.float64)
    points = keypoints.reshape(len(results), -1, 3)
    box_scores = np.array([result["score"] for result in results], np.float64)
    scores = rescore(box_scores, points[..., 2])
    remaining = list(range(len(results)))
    if nms is not None:
        areas = nms_areas(boxes, aspect)
        indices_of_image: dict[int, list[int]] = {}
        for number, result in enumerate(results):
            indices_of_image.setdefault(result["image_id"], []).append(number)
        remaining = []
        for indices in map(np.array, indices_of_image.values()):
            poses = points[indices, :, :2]
            chosen = oks_nms(poses, scores[indices], areas[indices], sigmas, nms)
            remaining += indices[chosen].tolist()
    return [{**results[number], "score": float(scores[number])} for number in remaining]


def score_coco(
    results: Path,
    annotations: Path,
    rescoring: bool = False,
    nms: float | None = None,
    aspect: float = 0.75,
    sigmas: Sequence[float] | None = None,
) -> dict[str, float]:
    """Score a COCO results file by pycocotools.

    Args:
        results: JSON file of results.
        annotations: JSON file of annotations.
        rescoring: Turn box scores into pose scores (see `rescored`).
        nms: With rescoring: OKS above which a pose is a duplicate; None for no suppression.
        aspect: With `nms`: width / height of the crops.
        sigmas: Sigmas of the annotations' keypoints; required if these are not COCO's.

    Returns:
        The ten numbers of `average_precision`.

    Raises:
        FileNotFoundError: A file is missing.
        DataError: A file cannot be used.
        ValueError: An option has an impossible value.
    """
    if nms is not None and not rescoring:
        raise ValueError("suppression (--nms) works on rescored poses: give --rescore with it")
    if nms is not None and not 0 < nms <= 1:
        raise ValueError(f"suppression (--nms) is by a similarity in (0, 1]; got {nms}")
    if not 0 < aspect < float("inf"):
        raise ValueError(f"the aspect is width / height of the crops, above 0; got {aspect}")
    if not annotations.is_file():
        raise FileNotFoundError(f"no annotations at {annotations}")
    truth = coco_content(annotations)
    spreads = _sigmas_of(annotations, truth, sigmas)
    rows = read_results(results, truth, len(spreads))
    if rescoring:
        rows = rescored(rows, spreads, nms, aspect=aspect, place=f"{results}, result")
    try:
        return average_precision(truth, rows, spreads)
    except Exception as error:  # pycocotools raises many types of errors for unusual annotations
        raise DataError(
            f"{annotations} is not in COCO's format: pycocotools raises {error!r:.120}"
        ) from None


def _sigmas_of(path: Path, annotations: dict, sigmas: Sequence[float] | None) -> np.ndarray:
    """Return the sigmas of the annotated keypoints, by default COCO's."""
    names = tuple(keypoint_category(path, annotations)["keypoints"])
    if sigmas is None and names != COCO.keypoints:
        labels = ", ".join(map(str, names))
        raise DataError(
            f"{path} labels {len(names)} keypoints ({labels:.80}), not COCO's {len(COCO)}: give "
            "their --sigmas"
        )
    spreads = np.array(COCO.oks_sigmas if sigmas is None else sigmas)
    if len(spreads) != len(names) or not ((spreads > 0) & (spreads < np.inf)).all():
        raise ValueError(
            f"sigmas are {len(names)} numbers above 0, one for each keypoint; got "
            f"{spreads.tolist()}"
        )
    return spreads


def _npy(path: Path) -> dict[str, object]:
    return {"its array": np.load(path, allow_pickle=False)}


def _mat(path: Path) -> dict[str, object]:
    with open(path, "rb") as file:
        is_hdf5 = file.read(10) == b"MATLAB 7.3"
    if is_hdf5:  # MATLAB stores the axes in reverse order
        return {name: np.asarray(value).T for name, value in _h5(path).items()}
    return {name: value for name, value in read_mat(path).items() if not name.startswith("__")}


def _h5(path: Path) -> dict[str, object]:
    try:
        import h5py
    except ImportError:
        raise DataError(f'{path}: reading HDF5 needs h5py; pip install "posenfs[h5]"') from None
    arrays: dict[str, object] = {}

    def add(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            arrays[str(name)] = item[()]

    with h5py.File(path) as file:
        file.visititems(add)
    return arrays


def _json(path: Path) -> dict[str, object]:
    content = read_json(path)
    return content if isinstance(content, dict) else {"its list": content}


def _unknown(path: Path) -> NoReturn:
    raise DataError(f"{path}: predictions are read from {', '.join(_READERS)}")


def _select_predictions(path: Path, arrays: Mapping[str, object], keypoints: int) -> np.ndarray:
    """Return the only array that can be predictions, as [N, K, 2]."""
    candidates = {name: _array(value) for name, value in arrays.items()}
    named = {name: a for name, a in candidates.items() if name.rpartition("/")[2] == "preds"}
    candidates = named or candidates
    usable = {}
    for name, array in candidates.items():
        predictions = _people_first(array, keypoints)
        if predictions is not None:
            usable[name] = predictions
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
        f"[N, {keypoints}, 2]: x, y"
    )


def _array(value: object) -> np.ndarray | None:
    try:
        return np.asarray(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        return None


def _people_first(array: np.ndarray | None, keypoints: int) -> np.ndarray | None:
    """Return an array as [N, K, 2] without scores; None if its axes do not fit or are ambiguous."""
    if array is None or array.ndim != 3:
        return None
    fitting = []
    for order in permutations(range(3)):
        permuted = array.transpose(order)
        people, points, coordinates = permuted.shape
        if people > 0 and points == keypoints and coordinates in (2, 3):
            if order == (0, 1, 2):
                return array[..., :2]
            fitting.append(permuted[..., :2])
    return fitting[0] if len(fitting) == 1 else None


_READERS: dict[str, Callable[[Path], dict[str, object]]] = {
    ".npy": _npy,
    ".mat": _mat,
    ".h5": _h5,
    ".json": _json,
}

"""Anyone's predictions, from a file, scored by the protocols of MPII and COCO."""

from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path
from typing import NoReturn

import numpy as np

from posenfs.body.skeleton import COCO, MPII
from posenfs.data.datasets.coco import coco_content, keypoint_category
from posenfs.data.datasets.mpii import FILE_ORDER, mpii_truth
from posenfs.data.parsing import finite_numbers, read_json, read_mat
from posenfs.data.sample import DataError, People
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
    """[N, K, 2] image px of a .npy, .mat, .h5 or .json file: the array named preds, or the only one of that shape.

    A third number of a keypoint, its score, is left aside. Axes in another order are put in this one where there is no
    doubt which is which, as in MPII's own [K, 2, N]. Raises FileNotFoundError, and DataError for another shape or for
    what is no finite number.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no predictions at {path}")
    try:
        arrays = _READERS.get(path.suffix.lower(), _unknown)(path)
    except DataError:
        raise
    except Exception as error:  # of a broken file the parsers raise nearly anything
        raise DataError(f"{path} cannot be read ({error}); copy it again") from None
    array = _chosen(path, arrays, len(keypoints))
    if not np.isfinite(array).all():
        person, keypoint = np.argwhere(~np.isfinite(array))[0, :2]
        raise DataError(f"{path}: person {person}'s {keypoints[keypoint]} is {array[person, keypoint].tolist()}")
    return array


def score_mpii(
    predictions: np.ndarray,
    truth: Path,
    one_based: bool = False,
    thresholds: Sequence[float] = (0.5, 0.1, 0.11),
    source: str | Path = "the predictions",
) -> tuple[dict[str, dict[str, float]], dict[str, int]]:
    """PCKh of predictions [N, 16, 2] in MPII's file order, 0-based px unless `one_based`, by gt_*.mat; `source`: what
    a message calls them.

    Returns {"pckh@0.5": {"head": …, …, "mean": …}, …} in percent, and how many people were skipped, by the reason.
    Raises ValueError for a threshold that is none, DataError where the file is unsound or of other people.
    """
    for threshold in thresholds:
        _check_threshold(threshold, "head")
    joints, missing, heads = mpii_truth(truth)
    if len(predictions) != len(joints):
        raise DataError(
            f"{source}: predictions of {len(predictions)} people, but {truth} has {len(joints)}; give one for each, in "
            "its order"
        )
    differences = predictions + (0 if one_based else 1) - joints
    errors = relative_errors(differences, ~missing, heads)[:, FILE_ORDER]
    found = {}
    for threshold in thresholds:
        name = metric_name("pckh", threshold)
        shares = correct_share(errors, MPII, "pckh", threshold)
        found[name] = {column: shares[f"{name}/{column}"] for column in COLUMNS} | {"mean": shares[name]}
    return found, _skipped(heads, ~missing, "head")


def score_pck(
    predictions: np.ndarray, truth: People, normalise: str, threshold: float, torso: tuple[str, str] = TORSO
) -> tuple[dict[str, dict[str, float]], dict[str, int]]:
    """PCK of predictions [N, K, 2] image px, 0-based, in the truth's order of people and keypoints.

    `normalise`: torso (from one to the other of the two named keypoints), box (its longer side), or head (its size, or
    neck to head top). Returns {"pck_torso@0.2": {column: …, "mean": …}} in percent, and how many people were skipped,
    by the reason. Raises ValueError for another measure or an unknown keypoint, DataError where the
    predictions are of other people.
    """
    if normalise not in ("torso", "box", "head"):
        raise ValueError(f"errors are normalised by torso, box or head; not by {normalise!r}")
    _check_threshold(threshold, normalise)
    if predictions.shape != truth.keypoints_image.shape:
        raise DataError(
            f"predictions of shape {list(predictions.shape)} for {truth.name}, which has {len(truth)} people with "
            f"{len(truth.skeleton)} keypoints"
        )
    if normalise == "torso":
        sizes = truth.lengths(*torso)
    elif normalise == "box":
        sizes = box_sizes(truth)
    else:
        known = (truth.head_sizes > 0).any()
        sizes = head_sizes(truth) if known else head_segment_sizes(truth)
    if not (sizes > 0).any():
        raise DataError(f"nobody in {truth.name} has a {normalise} with a size; normalise by another")
    errors, measure = normalised_errors(predictions, truth, sizes), f"pck_{normalise}"
    name, shares = metric_name(measure, threshold), correct_share(errors, truth.skeleton, measure, threshold)
    columns = {column: shares[f"{name}/{column}"] for column in columns_of(truth.skeleton)}
    return {name: columns | {"mean": shares[name]}}, _skipped(sizes, truth.visibility > 0, normalise)


def _check_threshold(threshold: float, of: str) -> None:
    if not 0 < threshold < float("inf"):
        raise ValueError(f"a threshold is a share of the {of}, above 0; got {threshold}")


def _skipped(sizes: np.ndarray, labelled: np.ndarray, of: str) -> dict[str, int]:
    """How many of N people have no size [N], and how many others no labelled keypoint [N, K]."""
    sized = sizes > 0
    reasons = {f"without a {of} size": ~sized, "without a labelled keypoint": sized & ~labelled.any(1)}
    return {reason: int(people.sum()) for reason, people in reasons.items() if people.any()}


def read_results(path: Path, annotations: Mapping, keypoints: int) -> list[dict]:
    """COCO results {image_id, category_id, keypoints, score}, checked against the annotations they are for.

    Raises DataError for an empty file, an unknown picture, another number of keypoints, or what is no finite number.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no results at {path}")
    results = read_json(path)
    if not isinstance(results, list) or not results:
        raise DataError(f"{path} must be a list with at least one result {{image_id, category_id, keypoints, score}}")
    images, categories = (
        {row.get("id") for row in annotations[key] if isinstance(row, dict) and isinstance(row.get("id"), int)}
        for key in ("images", "categories")
    )
    rows = [checked_result(f"{path}, result {number}", result, keypoints) for number, result in enumerate(results)]
    for number, row in enumerate(rows):
        for key, known, of in (("image_id", images, "image"), ("category_id", categories, "category")):
            if row[key] not in known:
                raise DataError(f"{path}, result {number} is of {of} {row[key]}, which the annotations do not have")
    return rows


def checked_result(place: str, row: object, keypoints: int) -> dict:
    """A COCO result {image_id, category_id, keypoints (so many times x, y, score), score, …}, its numbers as floats;
    raises DataError, naming the place, for another."""
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
    """Results with box scores turned into pose scores, and of each picture's the poses that suppression leaves.

    Each carries `bbox` [x, y, w, h], its box `score`, and keypoints with raw scores. Suppression measures poses by the
    padded crop of aspect width / height (`nms_areas`); nms=None leaves it out. Raises DataError, naming the
    place, without a bbox.
    """
    if not results:
        return []
    boxes = np.stack([finite_numbers(f"{place} {n}", "bbox", row.get("bbox"), (4,)) for n, row in enumerate(results)])
    points = np.array([result["keypoints"] for result in results], np.float64).reshape(len(results), -1, 3)
    if (small := (boxes[:, 2:] <= 0).any(1)).any():
        raise DataError(f"{place} {small.argmax()}: its bbox {boxes[small.argmax()].tolist()} has no size")
    scores = rescore(np.array([result["score"] for result in results], np.float64), points[..., 2])
    areas, kept = nms_areas(boxes, aspect), range(len(results))
    if nms is not None:
        of_image: dict[int, list[int]] = {}
        for number, result in enumerate(results):
            of_image.setdefault(result["image_id"], []).append(number)
        kept = []
        for own in map(np.array, of_image.values()):
            kept += own[oks_nms(points[own, :, :2], scores[own], areas[own], sigmas, nms)].tolist()
    return [{**results[n], "score": float(scores[n])} for n in kept]


def score_coco(
    results: Path,
    annotations: Path,
    rescoring: bool = False,
    nms: float | None = None,
    aspect: float = 0.75,
    sigmas: Sequence[float] | None = None,
) -> dict[str, float]:
    """pycocotools' ten numbers of a results file; with `rescoring` (and suppression above `nms`) as `rescored` does.

    `sigmas`: of the annotations' own keypoints, where these are not COCO's. Raises FileNotFoundError or DataError for
    files that cannot be used, ValueError for numbers that are no choice.
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
    names = tuple(keypoint_category(annotations, truth)["keypoints"])
    if sigmas is None and names != COCO.keypoints:
        labels = ", ".join(map(str, names))
        raise DataError(
            f"{annotations} labels {len(names)} keypoints ({labels:.80}), not COCO's {len(COCO)}: give their --sigmas"
        )
    spreads = np.array(COCO.oks_sigmas if sigmas is None else sigmas)
    if len(spreads) != len(names) or not ((spreads > 0) & (spreads < np.inf)).all():
        raise ValueError(f"sigmas are {len(names)} numbers above 0, one for each keypoint; got {spreads.tolist()}")
    found = read_results(results, truth, len(names))
    if rescoring:
        found = rescored(found, spreads, nms, aspect=aspect, place=f"{results}, result")
    try:
        return average_precision(truth, found, spreads)
    except Exception as error:  # of an annotation it cannot use pycocotools raises nearly anything
        raise DataError(f"{annotations} is not as COCO's files are: pycocotools says {error!r:.120}") from None


def _npy(path: Path) -> dict[str, object]:
    return {"its array": np.load(path, allow_pickle=False)}


def _mat(path: Path) -> dict[str, object]:
    with open(path, "rb") as file:
        if file.read(10) == b"MATLAB 7.3":  # HDF5, where MATLAB's axes are the other way round
            return {name: np.asarray(value).T for name, value in _h5(path).items()}
    return {name: value for name, value in read_mat(path).items() if not name.startswith("__")}


def _h5(path: Path) -> dict[str, object]:
    try:
        import h5py
    except ImportError:
        raise DataError(f'{path}: reading HDF5 needs h5py; pip install "posenfs[h5]"') from None
    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.update({str(name): item[()]}) if isinstance(item, h5py.Dataset) else None
        )
    return found


def _json(path: Path) -> dict[str, object]:
    content = read_json(path)
    return content if isinstance(content, dict) else {"its list": content}


def _unknown(path: Path) -> NoReturn:
    raise DataError(f"{path}: predictions are read from {', '.join(_READERS)}")


def _chosen(path: Path, arrays: Mapping[str, object], keypoints: int) -> np.ndarray:
    """[N, K, 2] of the one array that can be predictions."""
    numbers = {name: _array(value) for name, value in arrays.items()}
    named = {name: array for name, array in numbers.items() if name.rpartition("/")[2] == "preds"} or numbers
    usable = {name: found for name, array in named.items() if (found := _people_first(array, keypoints)) is not None}
    if len(usable) == 1:
        return next(iter(usable.values()))
    if usable:
        raise DataError(f"{path}: {', '.join(usable)} may each be the predictions; name them `preds`")
    held = (f"{name} of shape {list(a.shape)}" if a is not None else f"{name}, no numbers" for name, a in named.items())
    raise DataError(f"{path} holds {', '.join(held) or 'nothing'}; expected numbers of shape [N, {keypoints}, 2]: x, y")


def _array(value: object) -> np.ndarray | None:
    try:
        return np.asarray(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        return None


def _people_first(array: np.ndarray | None, keypoints: int) -> np.ndarray | None:
    """[N, K, 2] of an array that is this or, without doubt, its axes in another order, with or without scores."""
    if array is None or array.ndim != 3:
        return None
    first, *others = [
        order
        if array.shape[order[1]] == keypoints and array.shape[order[2]] in (2, 3) and array.shape[order[0]]
        else None
        for order in permutations(range(3))
    ]
    fitting = [first] if first else [order for order in others if order]
    return array.transpose(fitting[0])[..., :2] if len(fitting) == 1 else None


_READERS = {".npy": _npy, ".mat": _mat, ".h5": _h5, ".json": _json}

"""Anyone's predictions, from a file, scored by the protocols of MPII and COCO."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from posenfs.body.skeleton import COCO, MPII
from posenfs.data.datasets.coco import coco_content, keypoint_category
from posenfs.data.datasets.mpii import FILE_ORDER, mpii_truth
from posenfs.data.files import read_mat
from posenfs.data.sample import DataError, People, read_json
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
    """[N, K, 2] image px of a .npy, .mat, .h5 or .json file: its only array, or the one named preds.

    Raises FileNotFoundError, and DataError for another shape or for what is no finite number.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no predictions at {path}")
    try:
        found = _READERS.get(path.suffix.lower(), _unknown)(path)
    except DataError:
        raise
    except Exception as error:  # of a broken file the parsers raise nearly anything
        raise DataError(f"{path} cannot be read ({error}); copy it again") from None
    try:
        array = np.asarray(found, np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{path} does not hold numbers of shape [N, {len(keypoints)}, 2]") from None
    if array.ndim != 3 or array.shape[1] != len(keypoints) or array.shape[2] not in (2, 3) or not len(array):
        raise DataError(f"{path} holds an array of shape {list(array.shape)}; expected [N, {len(keypoints)}, 2]: x, y")
    array = array[..., :2]
    if not np.isfinite(array).all():
        person, keypoint = np.argwhere(~np.isfinite(array))[0, :2]
        raise DataError(f"{path}: person {person}'s {keypoints[keypoint]} is {array[person, keypoint].tolist()}")
    return array


def score_mpii(
    predictions: np.ndarray, truth: Path, one_based: bool = False, thresholds: Sequence[float] = (0.5, 0.1, 0.11)
) -> tuple[dict[str, dict[str, float]], int]:
    """PCKh of predictions [N, 16, 2] in MPII's file order, 0-based px unless `one_based`, by gt_*.mat.

    Returns {"pckh@0.5": {"head": …, …, "mean": …}, …} in percent, and how many people were skipped because they have no
    head size. Raises DataError where the file is unsound or of other people.
    """
    joints, missing, heads = mpii_truth(truth, len(predictions))
    differences = predictions + (0 if one_based else 1) - joints
    errors = relative_errors(differences, ~missing, heads)[:, FILE_ORDER]
    found = {}
    for threshold in thresholds:
        name = metric_name("pckh", threshold)
        shares = correct_share(errors, MPII, "pckh", threshold)
        found[name] = {column: shares[f"{name}/{column}"] for column in COLUMNS} | {"mean": shares[name]}
    return found, int((heads <= 0).sum())


def score_pck(
    predictions: np.ndarray, truth: People, normalise: str, threshold: float, torso: tuple[str, str] = TORSO
) -> tuple[dict[str, dict[str, float]], int]:
    """PCK of predictions [N, K, 2] image px, 0-based, in the truth's order of people and keypoints.

    `normalise`: torso (from one to the other of the two named keypoints), box (its longer side), or head (its size, or
    neck to head top). Returns {"pck_torso@0.2": {column: …, "mean": …}} in percent, and how many people were skipped
    because they have no such size. Raises ValueError for another measure or an unknown keypoint, DataError where the
    predictions are of other people.
    """
    if normalise not in ("torso", "box", "head"):
        raise ValueError(f"errors are normalised by torso, box or head; not by {normalise!r}")
    if not threshold > 0:
        raise ValueError(f"the threshold is a share of the {normalise}, above 0; got {threshold}")
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
    return {name: columns | {"mean": shares[name]}}, int((~(sizes > 0)).sum())


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
    for number, result in enumerate(results):
        place = f"{path}, result {number}"
        if not isinstance(result, dict):
            raise DataError(f"{place} is {result!r:.80}, not {{image_id, category_id, keypoints, score}}")
        for key, known, of in (("image_id", images, "image"), ("category_id", categories, "category")):
            if not isinstance(result.get(key), int) or result[key] not in known:
                raise DataError(f"{place} is of {of} {result.get(key)!r:.40}, which the annotations do not have")
        _check(place, "keypoints", result.get("keypoints"), 3 * keypoints)
        _check(place, "score", [result.get("score")], 1)
    return results


def rescored(
    results: Sequence[Mapping], sigmas, nms: float | None = 0.9, keypoint_threshold: float = 0.2, aspect: float = 0.75
) -> list[dict]:
    """Results with box scores turned into pose scores, and of each picture's the poses that suppression leaves.

    Each carries `bbox` [x, y, w, h], its box `score`, and keypoints with raw scores. Suppression measures poses by the
    padded crop of aspect width / height (`nms_areas`); nms=None leaves it out. Raises DataError without a bbox.
    """
    if not results:
        return []
    for number, result in enumerate(results):
        _check(f"result {number}", "bbox", result.get("bbox"), 4)
    points = np.array([result["keypoints"] for result in results], np.float64).reshape(len(results), -1, 3)
    boxes = np.array([result["bbox"] for result in results], np.float64)
    if (small := (boxes[:, 2:] <= 0).any(1)).any():
        raise DataError(f"result {small.argmax()}: its bbox {boxes[small.argmax()].tolist()} has no size")
    scores = rescore(np.array([result["score"] for result in results], np.float64), points[..., 2], keypoint_threshold)
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
    results: Path, annotations: Path, rescoring: bool = False, nms: float | None = None, aspect: float = 0.75
) -> dict[str, float]:
    """pycocotools' ten numbers of a results file; with `rescoring` (and suppression above `nms`) as `rescored` does.

    Raises FileNotFoundError or DataError for files that cannot be used.
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
    if names != COCO.keypoints:
        labels = ", ".join(map(str, names))
        raise DataError(f"{annotations} labels {len(names)} keypoints ({labels:.80}), not COCO's {len(COCO)}")
    found, sigmas = read_results(results, truth, len(COCO)), np.array(COCO.oks_sigmas)
    if rescoring:
        found = rescored(found, sigmas, nms, aspect=aspect)
    try:
        return average_precision(truth, found, sigmas)
    except Exception as error:  # of an annotation it cannot use pycocotools raises nearly anything
        raise DataError(f"{annotations} is not as COCO's files are: pycocotools says {error!r:.120}") from None


def _check(place: str, name: str, values, count: int) -> None:
    """Raise DataError unless these are so many finite numbers."""
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        array = np.zeros(0)
    if array.shape != (count,) or None in values:
        needed = f"{count} numbers" if count > 1 else "a number"
        raise DataError(f"{place}: {name} must be {needed}; got {values!r:.60}")
    if not np.isfinite(array).all():
        raise DataError(f"{place}: {name} holds {array[~np.isfinite(array)][0]}")


def _npy(path: Path):
    return np.load(path, allow_pickle=False)


def _mat(path: Path):
    return _only(path, {name: value for name, value in read_mat(path).items() if not name.startswith("__")})


def _h5(path: Path):
    try:
        import h5py
    except ImportError:
        raise DataError(f'{path}: reading .h5 needs h5py; pip install "posenfs[h5]"') from None
    with h5py.File(path) as file:
        return _only(path, {name: file[name][()] for name in file})


def _unknown(path: Path):
    raise DataError(f"{path}: predictions are read from {', '.join(_READERS)}")


def _only(path: Path, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    if "preds" in arrays:
        return arrays["preds"]
    if len(arrays) != 1:
        raise DataError(f"{path} holds {', '.join(arrays) or 'nothing'}; name the predictions `preds`")
    return next(iter(arrays.values()))


_READERS = {".npy": _npy, ".mat": _mat, ".h5": _h5, ".json": read_json}

"""Scoring of others' COCO results: a row of numbers for each category that they name."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from posenfs.body.skeleton import COCO
from posenfs.data.datasets.coco_categories import keypoint_category
from posenfs.data.datasets.coco_file import coco_content
from posenfs.data.parsing import whole_number
from posenfs.data.sample import DataError
from posenfs.evaluation.coco import average_precision
from posenfs.evaluation.coco_truth import (
    complete_truth,
    ignored_results,
    undefined_numbers,
)
from posenfs.evaluation.oks import rescore_results, result_boxes
from posenfs.evaluation.prediction_files import read_results
from posenfs.messages import many


def score_coco(
    results: Path,
    annotations: Path,
    rescoring: bool = False,
    nms: float | None = None,
    aspect: float = 0.75,
    sigmas: Sequence[float] | None = None,
    category: str | None = None,
) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Score a COCO results file by pycocotools, each category for itself.

    Args:
        results: JSON file of results.
        annotations: JSON file of annotations.
        rescoring: Turn box scores into pose scores (see `rescore_results`).
        nms: With rescoring: OKS above which a pose is a duplicate; None for no suppression.
        aspect: With `nms`: width / height of the crops.
        sigmas: Sigmas of the annotations' keypoints; required if these are not COCO's.
        category: Name or id of the category to judge; None for those that the results name.

    Returns:
        The ten numbers of `average_precision` by the name of the category, and notes: what is
        judged, ignored, completed or not defined.

    Raises:
        FileNotFoundError: A file is missing.
        DataError: A file cannot be used.
        ValueError: An option has an impossible value.
    """
    _check_options(rescoring, nms, aspect)
    if not annotations.is_file():
        raise FileNotFoundError(f"no annotations at {annotations}")
    content = coco_content(annotations)
    categories = _keypoint_categories(annotations, content)
    keypoint_counts = {number: len(row["keypoints"]) for number, row in categories.items()}
    rows = read_results(results, content["images"], keypoint_counts)
    judged = _judged_categories(results, categories, rows, category)
    sigmas_of = _sigmas_by_category(annotations, judged, sigmas)
    place = f"{results}, result"
    if rescoring:
        result_boxes(rows, place)  # before the results are split, for their number in the file
    notes = _category_notes(categories, judged, rows)
    scores = {}
    for number, row in judged.items():
        category_rows: list[dict] = [result for result in rows if result["category_id"] == number]
        if rescoring:
            category_rows = rescore_results(category_rows, sigmas_of[number], nms, aspect, place)
        truth = complete_truth(content, number, keypoint_counts[number], str(annotations))
        name = _title(number, row, categories)
        scores[name] = average_precision(truth, category_rows, sigmas_of[number])
        prefix = f"{name}: " if len(judged) > 1 else ""
        notes += [
            f"{prefix}{note}"
            for note in (
                *truth.notes(),
                *ignored_results(result["image_id"] for result in category_rows),
                *undefined_numbers(scores[name]),
            )
        ]
    return scores, notes


def _check_options(rescoring: bool, nms: float | None, aspect: float) -> None:
    if nms is not None and not rescoring:
        raise ValueError(
            "suppression (--nms) works on rescored poses: give --rescore with it, for results "
            "with box scores, raw keypoint scores and a bbox; results whose scores are pose scores "
            "already need neither option"
        )
    if nms is not None and not 0 < nms <= 1:
        raise ValueError(f"suppression (--nms) is by a similarity in (0, 1]; got {nms}")
    if not 0 < aspect < math.inf:
        raise ValueError(f"the aspect is width / height of the crops, above 0; got {aspect}")


def _keypoint_categories(path: Path, content: dict) -> dict[int, dict]:
    """Return the categories that label keypoints, by their ids."""
    keypoint_category(path, content)  # raises DataError if there is none
    categories: dict[int, dict] = {}
    for row in content["categories"]:
        if not isinstance(row, dict) or not isinstance(row.get("keypoints"), list):
            continue
        number = whole_number(row.get("id"))
        if number is None or number in categories:
            kind = "a whole number" if number is None else "another id than other categories"
            raise DataError(f"{path}: the category {row.get('name')!r:.80} needs {kind} as its id")
        if row["keypoints"]:
            categories[number] = row
    return categories


def _title(number: int, row: dict, categories: Mapping[int, dict]) -> str:
    """Return the name of a category, with its id if the name is not unique."""
    names = Counter(str(other.get("name")) for other in categories.values())
    name = str(row.get("name"))
    return name if names[name] == 1 else f"{name} ({number})"


def _judged_categories(
    path: Path, categories: Mapping[int, dict], results: Sequence[Mapping], name: str | None
) -> dict[int, dict]:
    """Return the category of this name or id, or those that the results name."""
    named = {result["category_id"] for result in results}
    if name is None:
        return {number: row for number, row in categories.items() if number in named}
    titles = {number: _title(number, row, categories) for number, row in categories.items()}
    chosen = [number for number, title in titles.items() if name in (title, str(number))]
    if not chosen:
        listed = ", ".join(f"{title} (id {number})" for number, title in titles.items())
        raise DataError(
            f"no category {name!r} with keypoints (--category): the annotations have {listed}"
        )
    if chosen[0] not in named:
        raise DataError(f"{path} has no result of category {name} (id {chosen[0]})")
    return {chosen[0]: categories[chosen[0]]}


def _sigmas_by_category(
    path: Path, judged: Mapping[int, dict], sigmas: Sequence[float] | None
) -> dict[int, np.ndarray]:
    """Return the sigmas of each judged category: COCO's for its keypoints, else those given."""
    others = [n for n, row in judged.items() if tuple(row["keypoints"]) != COCO.keypoints]
    if len(judged) > 1 and len(others) > 1:
        names = ", ".join(str(judged[number].get("name")) for number in others)
        raise DataError(
            f"{path}: {names} each have other keypoints than COCO, so other sigmas: score one "
            "category at a time (--category NAME), with its --sigmas"
        )
    takes_sigmas = others if len(judged) > 1 else list(judged)
    if sigmas is not None and not takes_sigmas:
        raise ValueError("--sigmas are for one category: choose it (--category NAME)")
    return {
        number: _checked_sigmas(path, row["keypoints"], sigmas if number in takes_sigmas else None)
        for number, row in judged.items()
    }


def _checked_sigmas(
    path: Path, names: Sequence[object], sigmas: Sequence[float] | None
) -> np.ndarray:
    """Return the sigmas of keypoints, by default COCO's."""
    if sigmas is None and tuple(names) != COCO.keypoints:
        labels = ", ".join(map(str, names))
        raise DataError(
            f"{path} labels {len(names)} keypoints ({labels:.80}), not COCO's {len(COCO)}: give "
            "their --sigmas"
        )
    values = np.array(COCO.oks_sigmas if sigmas is None else sigmas)
    if len(values) != len(names) or not ((values > 0) & (values < np.inf)).all():
        raise ValueError(
            f"sigmas are {len(names)} numbers above 0, one for each keypoint; got {values.tolist()}"
        )
    return values


def _category_notes(
    categories: Mapping[int, dict], judged: Mapping[int, dict], results: Sequence[Mapping]
) -> list[str]:
    """Say which categories are judged where the annotations have several, and what is ignored."""
    if len(categories) == 1:
        return []
    counts = Counter(result["category_id"] for result in results)
    titles = {number: _title(number, row, categories) for number, row in categories.items()}
    chosen = ", ".join(f"{titles[number]} (id {number})" for number in judged)
    left_out = [
        f"{titles[number]} ({many(counts[number], 'result')})"
        for number in categories
        if number not in judged
    ]
    separately = ", each for itself" if len(judged) > 1 else ""
    ignored = f"; not judged: {', '.join(left_out)}" if left_out else ""
    return [f"judged: {chosen}{separately}{ignored}"]

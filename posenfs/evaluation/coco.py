"""COCO's keypoint metrics (OKS-AP) by pycocotools, and results in COCO's format."""

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np
from pycocotools import coco, cocoeval

from posenfs.body.skeleton import COCO
from posenfs.data.datasets.coco import judged_content
from posenfs.data.sample import Annotations
from posenfs.evaluation.coco_truth import Truth, complete_truth
from posenfs.evaluation.oks import rescore_results
from posenfs.evaluation.prediction import Predictions

# The ten numbers of COCO's keypoint evaluation, in pycocotools' order.
AP_NAMES = ("AP", "AP50", "AP75", "AP_M", "AP_L", "AR", "AR50", "AR75", "AR_M", "AR_L")


def coco_metrics(predictions: Predictions, annotations: Annotations) -> dict[str, float]:
    """Compute OKS-AP in percent by pycocotools.

    Duplicate poses of detected boxes are suppressed (OKS above 0.9). Only annotations of the
    category of persons count. The images are those of the annotations; for detected boxes, all
    images of the file, without the annotations that the reader excluded as broken.

    Args:
        predictions: Predictions for these persons.
        annotations: Annotations of a COCO file.

    Returns:
        {"ap": …, "ap/AP50": …, …, "ap/AR_L": …}; NaN if no person (of that size) is annotated.
    """
    source, sigmas = annotations.coco, annotations.skeleton.oks_sigmas
    if source is None or sigmas is None:
        raise ValueError(f"{annotations.name}: OKS-AP needs a COCO file and a skeleton with sigmas")
    nms = None if annotations.box_scores is None else 0.9
    # Categories of the same keypoints are judged as one.
    results = [
        row | {"category_id": source.category} for row in coco_results(predictions, annotations)
    ]
    results = rescore_results(results, sigmas, nms, aspect=predictions.aspect)
    images = None
    if not source.every_image:
        images = source.image_ids[np.unique(annotations.image_index)]
    shares = average_precision(truth_of(annotations), results, sigmas, images)
    values = {name: 100 * share for name, share in shares.items()}
    return {"ap": values.pop("AP")} | {f"ap/{name}": value for name, value in values.items()}


def truth_of(annotations: Annotations) -> Truth:
    """Return the annotations for pycocotools, without those that were excluded as broken.

    Args:
        annotations: Annotations of a COCO file.
    """
    source = annotations.coco
    if source is None:
        raise ValueError(f"{annotations.name}: OKS-AP needs a COCO file")
    content = judged_content(source, annotations.skeleton)
    if not source.every_image:
        excluded = set(source.people.tolist()) - set(annotations.person_ids.tolist())
        rows = [row for row in content["annotations"] if row["id"] not in excluded]
        content = {**content, "annotations": rows}
    return complete_truth(
        content, source.category, len(annotations.skeleton), place=str(source.path)
    )


def coco_results(predictions: Predictions, annotations: Annotations) -> list[dict]:
    """Return results in COCO's format, with raw keypoint scores and with boxes.

    The score is that of the detected box, and 1 for annotated boxes.

    Args:
        predictions: Predictions for these persons.
        annotations: Annotations of a COCO file.
    """
    source = annotations.coco
    if source is None:
        raise ValueError(f"{annotations.name}: COCO results need annotations of a COCO file")
    box_scores = annotations.box_scores
    scores = np.ones(len(annotations)) if box_scores is None else box_scores
    poses = np.concatenate([predictions.keypoints_image, predictions.scores[..., None]], -1)
    return [
        {
            "image_id": int(source.image_ids[image]),
            "category_id": int(category),
            "keypoints": pose.ravel().tolist(),
            "score": float(score),
            "bbox": box.tolist(),
        }
        for image, category, pose, score, box in zip(
            annotations.image_index,
            source.categories_of(annotations.person_ids),
            poses,
            scores,
            annotations.boxes,
            strict=True,
        )
    ]


def average_precision(
    truth: Truth,
    results: Sequence[Mapping],
    sigmas: Sequence[float] | np.ndarray = COCO.oks_sigmas,
    images: Iterable[int] | None = None,
) -> dict[str, float]:
    """Return the ten numbers of pycocotools' keypoint evaluation of one category.

    Of results, only image_id, category_id, keypoints and score count: pycocotools would read the
    size of a pose from `bbox` or `area`, which COCO's server does not get.

    Args:
        truth: Annotations of one category.
        results: Results {image_id, category_id, keypoints [x, y, score, …], score}; those of other
            categories are ignored. Of equal scores in an image, the first is matched first.
        sigmas: Sigmas of the keypoints.
        images: Ids of the images to evaluate; None for all.

    Returns:
        Each of AP_NAMES as a share in [0, 1]; NaN if the images have no annotated person (of that
        size), 0 if there are no results.
    """
    (category,) = (category["id"] for category in truth.dataset["categories"])
    fields = ("image_id", "category_id", "keypoints", "score")
    rows = [
        {field: result[field] for field in fields}
        for result in results
        if result["category_id"] == category
    ]
    with _silence():
        annotated = coco.COCO()
        annotated.dataset = truth.dataset
        annotated.createIndex()
        detected = annotated.loadRes(rows) if rows else coco.COCO()
        evaluation = cocoeval.COCOeval(annotated, detected, "keypoints")
        evaluation.params.kpt_oks_sigmas = np.asarray(sigmas)
        if images is not None:
            evaluation.params.imgIds = sorted(map(int, images))
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    shares = [float(share) if share >= 0 else math.nan for share in evaluation.stats]
    return dict(zip(AP_NAMES, shares, strict=True))


# Whether pycocotools is silent in the current thread; other threads still print.
_SILENT = ContextVar("_SILENT", default=False)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Suppress the output of pycocotools in this thread."""
    token = _SILENT.set(True)
    try:
        yield
    finally:
        _SILENT.reset(token)


def _print(*values: Any, **options: Any) -> None:
    if not _SILENT.get():
        print(*values, **options)


coco.print = cocoeval.print = _print  # used by these modules in place of the built-in print

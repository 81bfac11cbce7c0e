"""COCO's keypoint metrics (OKS-AP) by pycocotools, and results in COCO's format."""

import contextlib
import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np
from pycocotools import coco, cocoeval

from posenfs.data.datasets.coco import judged_content
from posenfs.data.sample import Annotations
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
        {"ap": …, "ap/AP50": …, …, "ap/AR_L": …}; NaN if no person is annotated.
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
    excluded: set[int] = set()
    images = None
    if not source.every_image:
        excluded = set(source.people.tolist()) - set(annotations.person_ids.tolist())
        images = source.image_ids[np.unique(annotations.image_index)]
    truth = judged_content(source, annotations.skeleton)
    truth["annotations"] = [row for row in truth["annotations"] if row["id"] not in excluded]
    shares = average_precision(truth, results, sigmas, images)
    values = {name: 100 * share if share >= 0 else float("nan") for name, share in shares.items()}
    return {"ap": values.pop("AP")} | {f"ap/{name}": value for name, value in values.items()}


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
    annotations: Mapping,
    results: Sequence[Mapping],
    sigmas: Sequence[float] | np.ndarray | None = None,
    images: Iterable[int] | None = None,
) -> dict[str, float]:
    """Return the ten numbers of pycocotools' keypoint evaluation.

    Annotations without area get the area of their box; without num_keypoints, the number of their
    labelled keypoints; without keypoints, no labelled keypoint.

    Args:
        annotations: Content of a COCO annotation file; it is not modified.
        results: Results {image_id, category_id, keypoints [x, y, score, …], score}.
        sigmas: Sigmas of the keypoints; None for those of COCO.
        images: Ids of the images to evaluate; None for all.

    Returns:
        Each of AP_NAMES as a share in [0, 1]; -1 if the images have no annotated person, 0 if there
        are no results.
    """
    if not results:
        return dict.fromkeys(AP_NAMES, 0.0)
    with _silence():
        truth = coco.COCO()
        truth.dataset = copy.deepcopy(dict(annotations))  # pycocotools modifies annotations
        for annotation in truth.dataset["annotations"]:
            _complete(annotation)
        truth.createIndex()
        detections = truth.loadRes([dict(result) for result in results])
        evaluation = cocoeval.COCOeval(truth, detections, "keypoints")
        if sigmas is not None:
            evaluation.params.kpt_oks_sigmas = np.asarray(sigmas)
        if images is not None:
            evaluation.params.imgIds = sorted(map(int, images))
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(AP_NAMES, map(float, evaluation.stats), strict=True))


def _complete(annotation: dict) -> None:
    """Add the fields that pycocotools requires and a file may lack."""
    labelled = sum(visibility > 0 for visibility in (annotation.get("keypoints") or ())[2::3])
    defaults: dict[str, object] = {"iscrowd": 0, "num_keypoints": labelled}
    if not labelled:
        defaults |= {"keypoints": [], "bbox": [0, 0, 0, 0]}
    for name, value in defaults.items():
        if annotation.get(name) is None:
            annotation[name] = value
    if annotation.get("area") is None:
        annotation["area"] = annotation["bbox"][2] * annotation["bbox"][3]


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

"""Which metrics are reported for which data, their names, and their evaluation."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from posenfs.data.sample import Annotations
from posenfs.evaluation.coco_truth import ignored_results, undefined_numbers
from posenfs.evaluation.pck import BODY_SIZES, metric_name, normalised_errors, pck_metrics

if TYPE_CHECKING:
    from posenfs.evaluation.prediction import Predictions

# Measures and thresholds of an evaluation; a measure is reported if any person has its body size.
# The PCKh@0.1 of the literature was computed at 0.11 (index 11 of the thresholds in HRNet's code);
# both are reported, each under its threshold.
REPORTED_PCK = (
    ("pckh", 0.5),
    ("pckh", 0.1),
    ("pckh", 0.11),
    ("pck_torso", 0.2),
    ("pck_head_segment", 0.5),
    ("pck_box", 0.2),
)
_PRIMARY_PCK = (("pckh", 0.5), ("pck_torso", 0.2), ("pck_box", 0.2))  # the first with body sizes


def primary_metric(annotations: Annotations) -> str:
    """Return the name of the primary metric of these annotations.

    It is OKS-AP if they come from a COCO file and their skeleton has sigmas; otherwise PCKh@0.5 if
    head sizes are known, else PCK@0.2 by the torso, else by the box.
    """
    if allows_average_precision(annotations):
        return "ap"
    return metric_name(*primary_distance_metric(annotations))


def allows_average_precision(annotations: Annotations) -> bool:
    """Return whether OKS-AP can be computed for these annotations."""
    return annotations.coco is not None and annotations.skeleton.oks_sigmas is not None


def primary_distance_metric(annotations: Annotations) -> tuple[str, float]:
    """Return the primary measure of PCK and its threshold; a run stores the errors in it."""
    usable = [
        (measure, threshold)
        for measure, threshold in _PRIMARY_PCK
        if (BODY_SIZES[measure](annotations) > 0).any()
    ]
    return usable[0]


def metric_title(metric: str) -> str:
    """Return the title of a metric for text and plots.

    pckh@0.5 -> PCKh@0.5, pck_head_segment@0.5 -> PCK@0.5 (head segment), ap -> OKS-AP.
    """
    if metric == "ap":
        return "OKS-AP"
    name, _, threshold = metric.partition("@")
    kind, _, measure = name.partition("_")
    title = f"{kind.replace('pck', 'PCK')}@{threshold}"
    return f"{title} ({measure.replace('_', ' ')})" if measure else title


def evaluate(
    predictions: "Predictions", annotations: Annotations
) -> tuple[dict[str, float], np.ndarray]:
    """Compute all metrics that these annotations allow.

    Args:
        predictions: Predictions for these persons.
        annotations: Annotated persons.

    Returns:
        The metrics by name, in percent, and the errors [N, K] in the primary distance metric, NaN
        where nothing is labelled.
    """
    errors = errors_by_measure(predictions, annotations)
    metrics: dict[str, float] = {}
    if allows_average_precision(annotations):
        from posenfs.evaluation.coco import coco_metrics  # pycocotools takes long to import

        metrics |= coco_metrics(predictions, annotations)
    for measure, threshold in REPORTED_PCK:
        if measure in errors:
            metrics |= pck_metrics(errors[measure], annotations.skeleton, measure, threshold)
    return metrics, errors[primary_distance_metric(annotations)[0]]


def ap_notes(annotations: Annotations, metrics: Mapping[str, float | None]) -> list[str]:
    """Return what was completed, is ignored or is not defined in the OKS-AP of annotations.

    Args:
        annotations: Annotated persons.
        metrics: Their metrics by name, see `evaluate`; a number that is not defined is NaN or None.

    Returns:
        Sentences; none if OKS-AP is not computed.
    """
    if not allows_average_precision(annotations):
        return []
    from posenfs.evaluation.coco import AP_NAMES, truth_of

    names = {name: "ap" if name == "AP" else f"ap/{name}" for name in AP_NAMES}
    values = {name: metrics[metric] for name, metric in names.items() if metric in metrics}
    notes = [*truth_of(annotations).notes(), *undefined_numbers(values)]
    if annotations.box_scores is None:  # of detected boxes, suppression removes some
        notes += ignored_results(annotations.image_index.tolist())
    return notes


def errors_by_measure(
    predictions: "Predictions", annotations: Annotations
) -> dict[str, np.ndarray]:
    """Return the errors in each measure for which any person has a size.

    Args:
        predictions: Predictions for these persons.
        annotations: Annotated persons.

    Returns:
        Errors [N, K] by measure (see BODY_SIZES); NaN where nothing is labelled.
    """
    errors = {}
    for measure, body_sizes in BODY_SIZES.items():
        sizes = body_sizes(annotations)
        if (sizes > 0).any():
            errors[measure] = normalised_errors(predictions.keypoints_image, annotations, sizes)
    return errors


def nan_to_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """Replace NaN by None, because JSON has no NaN."""
    return {name: None if value != value else value for name, value in values.items()}

"""Evaluation of a saved model on a data set: metrics as in metrics.json, and errors by keypoint."""

import copy
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from posenfs.data.datasets.catalogue import (
    DataSpec,
    definition_changes,
    read_split,
    skeleton_of,
)
from posenfs.data.images import exclude_broken_images
from posenfs.data.sample import Annotations, DataError
from posenfs.evaluation.metrics import (
    errors_by_measure,
    evaluate,
    metric_title,
    nan_to_none,
    primary_distance_metric,
)
from posenfs.evaluation.pck import metric_name, pck
from posenfs.evaluation.prediction import Predictions, predict
from posenfs.messages import note
from posenfs.model.network import PoseNetwork
from posenfs.search.experiment import Experiment
from posenfs.search.forward import Forward
from posenfs.search.provenance import find_device
from posenfs.search.result import DECODING, FLIP, result, result_doubts
from posenfs.search.run_dir import find_run
from posenfs.search.saved_models import load_model


def evaluate_model(
    model: str | Path,
    data: DataSpec | None = None,
    split: str = "valid",
    device: str = "auto",
    workers: int = 0,
    batch_size: int = 32,
    flip: bool = FLIP,
    decoding: str = DECODING,
    progress: bool = True,
) -> dict:
    """Evaluate a saved model on a data set, in the precision in which its run evaluated it.

    Args:
        model: A run (its name or folder), or a model's folder.
        data: The data set; by default that of the model's own experiment.
        split: valid or train.
        device: auto, cpu, cuda or cuda:N.
        workers: Processes that read and crop images.
        batch_size: Crops in a batch.
        flip: Whether heatmaps are averaged with those of the mirror image.
        decoding: argmax, quarter offset or dark.
        progress: Whether to show progress bars.

    Returns:
        The content of a run's metrics.json (see `result`), and also `model`, `data`, `split`,
        `image_size` (height and width of a crop, px), and `keypoints` (see `keypoint_errors`). The
        mean pose is that of the training data; it is left out if these are not on disk.

    Raises:
        RunError: There is no such model.
        ValueError: The model predicts other keypoints than the data have, or an option is invalid.
        DataError: The data cannot be used.
    """
    if batch_size < 1 or workers < 0:
        raise ValueError(
            f"--batch-size is at least 1, --workers at least 0; got {batch_size}, {workers}"
        )
    saved, torch_device = load_model(model), find_device(device)
    trained_on = saved.experiment.data
    data = data or trained_on
    if data.name == trained_on.name:  # custom data: their keypoints are checked when they are read
        data = replace(data, definition=trained_on.definition)
    _check_skeleton(model, trained_on, data)
    for change in definition_changes(data):
        note(f"note: {change}")
    state = find_run(model).status().get("state", "finished")
    if state != "finished":
        note(f"note: {model} is not finished ({state}): its last checkpoint is evaluated")
    people = exclude_broken_images(read_split(data, split, progress), progress=progress)
    predictions = predict_as_run(
        saved.model,
        saved.experiment,
        people,
        torch_device,
        batch_size,
        flip,
        workers,
        progress,
        decoding,
    )
    metrics, _ = evaluate(predictions, people)
    errors = errors_by_measure(predictions, people)
    train = people if split == "train" else _training_people(data, progress)
    measured = result(
        nan_to_none(metrics),
        errors.__getitem__,
        train,
        people,
        saved.model,
        saved.experiment.image_size,
        flip,
        decoding,
    )
    return {
        "model": str(model),
        "data": {name: value for name, value in asdict(data).items() if name != "definition"},
        "split": split,
        "image_size": list(saved.experiment.image_size),
        **measured,
        "keypoints": keypoint_errors(errors, people),
    }


def predict_as_run(
    model: PoseNetwork,
    experiment: Experiment,
    people: Annotations,
    device: torch.device,
    batch_size: int = 32,
    flip: bool = FLIP,
    workers: int = 0,
    progress: bool = True,
    decoding: str = DECODING,
) -> Predictions:
    """Predict keypoints as a run does in its evaluations, in its precision.

    Args:
        model: The network; a copy is moved to the device.
        experiment: The experiment of the run.
        people: The annotations.
        device: The device.
        batch_size: Crops in a batch.
        flip: Whether heatmaps are averaged with those of the mirror image.
        workers: Processes that read and crop images.
        progress: Whether to show a progress bar.
        decoding: argmax, quarter offset or dark.
    """
    network = copy.deepcopy(model).to(device, torch.float32, memory_format=torch.channels_last)
    size = experiment.image_size
    with Forward(network, replace(experiment.training, compile="no"), device).autocast():
        return predict(network, people, size, batch_size, flip, workers, progress, decoding)


def _check_skeleton(model: str | Path, trained_on: DataSpec, data: DataSpec) -> None:
    """Raise ValueError unless both data sets have the same keypoints in the same order."""
    predicted, annotated = skeleton_of(trained_on), skeleton_of(data)
    if predicted.keypoints != annotated.keypoints:
        raise ValueError(
            f"{model} predicts the {len(predicted)} keypoints of {predicted.name}, but data "
            f"{data.name!r} have the {len(annotated)} of {annotated.name}; choose data with the "
            "model's keypoints (--data.name)"
        )


def _training_people(data: DataSpec, progress: bool) -> Annotations | None:
    try:
        return read_split(data, "train", progress)
    except (DataError, OSError):  # an evaluation needs no training people
        return None


def keypoint_errors(errors: dict[str, np.ndarray], people: Annotations) -> list[dict]:
    """Summarise the errors of each keypoint.

    Args:
        errors: Errors [N, K] by distance measure; not finite where a keypoint is not annotated.
        people: The annotations.

    Returns:
        A row for each keypoint: the number of people in whom it is `labelled`, the share `correct`
        (percent) by the metric `by`, and the `median` and `mean` error in its distance measure.
    """
    measure, threshold = primary_distance_metric(people)
    rows: list[dict] = []
    for number, keypoint in enumerate(people.skeleton.keypoints):
        column = errors[measure][:, number]
        labelled = column[np.isfinite(column)]
        summary: dict[str, float | None] = {"correct": None, "median": None, "mean": None}
        if len(labelled):
            summary = {
                "correct": pck(labelled, threshold),
                "median": float(np.median(labelled)),
                "mean": float(labelled.mean()),
            }
        by = metric_name(measure, threshold)
        rows.append({"keypoint": keypoint, "labelled": len(labelled), "by": by, **summary})
    return rows


def describe_evaluation(evaluation: dict) -> str:
    """Format an evaluation as text: metrics, errors by keypoint, and how they were computed.

    Args:
        evaluation: What `evaluate_model` returns.
    """
    height, width = evaluation["image_size"]
    conditions = [
        f"boxes: {evaluation['boxes']}",
        f"head size: {evaluation['head_size']}",
        "mirror image averaged" if evaluation["flip"] else "no mirror image",
        evaluation["decoding"],
    ]
    params, multiply_adds = evaluation["params"] / 1e6, evaluation["multiply_adds"] / 1e9
    keypoint_metric = metric_title(evaluation["keypoints"][0]["by"])
    return "\n".join(
        [
            f"{evaluation['model']} on {evaluation['people']} people of "
            f"{evaluation['data']['name']} ({evaluation['split']}); {'; '.join(conditions)}",
            *result_doubts(evaluation),
            *evaluation.get("ap_notes", []),
            "",
            f"{'%':24}{'model':>7}  {'95 % over people':18}{'people':>7}{'mean pose':>11}",
            *(_metric_line(evaluation, name) for name in evaluation["metrics"] if "/" not in name),
            "",
            f"{'keypoint':24}{'labelled':>9}{keypoint_metric:>20}{'median error':>14}"
            f"{'mean error':>12}",
            *(_keypoint_line(row) for row in evaluation["keypoints"]),
            "",
            f"{params:.3f}M parameters, {multiply_adds:.3f} GMAC for a crop of "
            f"{height} x {width} px",
        ]
    )


def _metric_line(evaluation: dict, name: str) -> str:
    interval = evaluation["intervals"].get(name, {})
    low, high = interval.get("low"), interval.get("high")
    span = "" if low is None or high is None else f"[{low:.1f}, {high:.1f}]"
    people = interval.get("people", "")
    mean_pose = _number(evaluation["mean_pose"].get(name), 1)
    value = _number(evaluation["metrics"][name], 1)
    return f"{metric_title(name):24}{value:>7}  {span:18}{people:>7}{mean_pose:>11}"


def _keypoint_line(row: dict) -> str:
    correct = _number(row["correct"], 1)
    median = _number(row["median"], 3)
    mean = _number(row["mean"], 3)
    return f"{row['keypoint']:24}{row['labelled']:>9}{correct:>20}{median:>14}{mean:>12}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"

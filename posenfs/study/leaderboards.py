"""Prediction of the test sets of MPII and COCO, written as submission files."""

from pathlib import Path

import torch

from posenfs.body.skeleton import COCO, MPII, Skeleton
from posenfs.data.datasets.catalogue import skeleton_of
from posenfs.data.datasets.coco_detections import annotations_of_images
from posenfs.data.datasets.mpii_release import find_release, read_release
from posenfs.data.files import check_output_file
from posenfs.data.images import describe_faults, image_doubts, image_paths, inspect_images
from posenfs.data.sample import Annotations, DataError
from posenfs.evaluation.coco import coco_results
from posenfs.evaluation.oks import rescore_results
from posenfs.evaluation.prediction import Predictions, predict
from posenfs.evaluation.submission import (
    check_coco_name,
    write_coco_submission,
    write_mpii_submission,
)
from posenfs.messages import describe_doubts, note
from posenfs.search.provenance import find_device
from posenfs.search.saved_models import Saved, load_model


def submit_mpii(
    model: str,
    root: Path,
    output: Path,
    device: str = "auto",
    workers: int = 0,
    progress: bool = True,
) -> int:
    """Write pred_keypoints_mpii.mat for the sufficiently separated people of MPII's test images.

    Args:
        model: A run (its name or folder), or a model's folder.
        root: A folder with the authors' annotation file and images/.
        output: The file to write.
        device: auto, cpu, cuda or cuda:N.
        workers: Processes that read and crop images.
        progress: Whether to show a progress bar.

    Returns:
        The number of people.

    Raises:
        RunError: There is no such model.
        ValueError: The model predicts other keypoints.
        DataError: The files cannot be used.
    """
    saved = _load(model, MPII)
    people = read_release(root, "test")
    predictions = _predict(saved, people, output, device, workers, progress)
    write_mpii_submission(output, find_release(root), people, predictions.keypoints_image)
    return len(people)


def submit_coco(
    model: str,
    info: Path,
    images: Path,
    detections: Path,
    output: Path,
    device: str = "auto",
    workers: int = 0,
    progress: bool = True,
) -> int:
    """Write COCO results at detected boxes.

    A score is the box score multiplied by the mean of the keypoint scores above 0.2. Of poses with
    a similarity (OKS) above 0.9, only the best is kept.

    Args:
        model: A run (its name or folder), or a model's folder.
        info: The list of images (image_info_test-dev2017.json).
        images: The folder of the images.
        detections: The detected boxes.
        output: The file to write.
        device: auto, cpu, cuda or cuda:N.
        workers: Processes that read and crop images.
        progress: Whether to show a progress bar.

    Returns:
        The number of poses.

    Raises:
        RunError: There is no such model.
        ValueError: The model predicts other keypoints, or the file name is not in COCO's form.
        DataError: The files cannot be used.
    """
    check_coco_name(output)
    saved = _load(model, COCO)
    people = annotations_of_images(info, images, detections)
    predictions = _predict(saved, people, output, device, workers, progress)
    poses = coco_results(predictions, people)
    results = rescore_results(poses, COCO.oks_sigmas, aspect=predictions.aspect)
    write_coco_submission(output, results)
    return len(results)


def _load(model: str, benchmark: Skeleton) -> Saved:
    saved = load_model(model)
    skeleton = skeleton_of(saved.experiment.data)
    if skeleton.keypoints != benchmark.keypoints:
        raise ValueError(
            f"{model} predicts the keypoints of {skeleton.name}; the benchmark needs those of "
            f"{benchmark.name}"
        )
    return saved


def _predict(
    saved: Saved, people: Annotations, output: Path, device: str, workers: int, progress: bool
) -> Predictions:
    states = inspect_images(image_paths(people), progress=progress)
    faults = {path: state.fault for path, state in states.items() if state.fault is not None}
    if faults:
        raise DataError(
            f"{len(faults)} of {len(states)} images in {people.root} cannot be used: "
            f"{describe_faults(faults)}; the data set is incomplete"
        )
    doubtful = {**people.doubtful, **image_doubts(people, states)}
    for sentence in describe_doubts(people.excluded, doubtful):
        note(f"note: {people.label}: {sentence}")
    check_output_file(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    model = saved.model.to(find_device(device), memory_format=torch.channels_last)
    size = saved.experiment.image_size
    return predict(model, people, size, workers=workers, progress=progress)

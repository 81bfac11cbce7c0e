"""A model's predictions for the test sets of MPII and COCO, in the files their benchmarks take."""

from pathlib import Path

import torch

from posenfs.body.skeleton import COCO, MPII, Skeleton
from posenfs.data.datasets.catalogue import skeleton_of
from posenfs.data.datasets.coco import people_of_pictures
from posenfs.data.datasets.mpii_release import find_release, read_release
from posenfs.data.files import check_writable
from posenfs.data.sample import DataError, People
from posenfs.evaluation.predict import Predictions, coco_results, predict
from posenfs.evaluation.scoring import rescored
from posenfs.evaluation.submission import check_coco_name, write_coco_submission, write_mpii_submission
from posenfs.search.provenance import find_device
from posenfs.search.saved import Saved, load_model


def submit_mpii(
    model: str, root: Path, output: Path, device: str = "auto", workers: int = 0, progress: bool = True
) -> int:
    """Write pred_keypoints_mpii.mat for the people of MPII's test pictures who stand apart; `root` holds the authors'
    annotation file and images/. Returns how many people there are.

    Raises RunError or ValueError for the model, DataError for files that cannot be used.
    """
    saved = _model_of(model, MPII)
    people = read_release(root, "test")
    found = _predict(saved, people, output, device, workers, progress)
    write_mpii_submission(output, find_release(root), people, found.keypoints_image)
    return len(people)


def submit_coco(
    model: str,
    info: Path,
    pictures: Path,
    detections: Path,
    output: Path,
    device: str = "auto",
    workers: int = 0,
    progress: bool = True,
) -> int:
    """Write COCO results for the pictures that `info` lists (image_info_test-dev2017.json), at detected boxes: scores
    are the boxes' times the mean of keypoint scores above 0.2, and of poses more similar than 0.9 the best stays.
    Returns how many poses that are.

    Raises RunError or ValueError for the model or the output's name, DataError for files that cannot be used.
    """
    check_coco_name(output)
    saved = _model_of(model, COCO)
    people = people_of_pictures(info, pictures, detections)
    found = _predict(saved, people, output, device, workers, progress)
    results = rescored(coco_results(found, people), COCO.oks_sigmas, aspect=found.aspect)
    write_coco_submission(output, results)
    return len(results)


def _model_of(model: str, skeleton: Skeleton) -> Saved:
    saved = load_model(model)
    if (found := skeleton_of(saved.experiment.data)).keypoints != skeleton.keypoints:
        raise ValueError(f"{model} finds the keypoints of {found.name}; the benchmark wants those of {skeleton.name}")
    return saved


def _predict(saved: Saved, people: People, output: Path, device: str, workers: int, progress: bool) -> Predictions:
    missing = [people.image_path(n) for n in range(len(people)) if not people.image_path(n).is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} people are in pictures that are not there, first {missing[0]}; the set is not whole"
        )
    check_writable(output)
    model = saved.model.to(find_device(device), memory_format=torch.channels_last)
    height, width = saved.experiment.image_size
    return predict(model, people, (width, height), workers=workers, progress=progress)

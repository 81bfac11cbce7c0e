"""Scores of anyone's predictions, and the files that benchmarks take."""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg


def mpii(
    predictions: Path,
    ground_truth: Path,
    one_based: bool = False,
    thresholds: tuple[float, ...] = (0.5, 0.1, 0.11),
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """PCKh of predictions [N, 16, 2] in MPII's file order, as the literature reports it.

    Args:
        predictions: A .npy, .mat, .h5 or .json file.
        ground_truth: gt_valid.mat.
        one_based: The predictions count pixels from 1, as MPII's files do; otherwise from 0.
        thresholds: Shares of the head size up to which a keypoint is right.
        as_json: Print JSON.
    """
    from posenfs.body.skeleton import MPII_FILE_KEYPOINTS
    from posenfs.evaluation.scoring import read_predictions, score_mpii

    points = read_predictions(predictions, MPII_FILE_KEYPOINTS)
    found, skipped = score_mpii(points, ground_truth, one_based, thresholds, predictions)
    _note_skipped(skipped)
    _print_scores(found, as_json)


def pck(
    predictions: Path,
    ground_truth: Path,
    normalise: Literal["torso", "box", "head"] = "torso",
    threshold: float = 0.2,
    torso: tuple[str, str] = ("left_shoulder", "right_hip"),
    one_based: bool = False,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """PCK of predictions [N, K, 2], in the ground truth's own order of people and keypoints.

    Args:
        predictions: A .npy, .mat, .h5 or .json file.
        ground_truth: MPII's gt_*.mat or JSON, LSP's joints.mat, or a JSON file in COCO's form.
        normalise: By what an error is divided: the torso, the longer side of the box, or the head.
        threshold: Up to which a keypoint is right.
        torso: The two keypoints from which to which the torso is measured.
        one_based: The predictions count pixels from 1; otherwise from 0.
        as_json: Print JSON.
    """
    from posenfs.evaluation.scoring import read_predictions, score_pck
    from posenfs.evaluation.truth import read_truth

    truth = read_truth(ground_truth)
    found, skipped = score_pck(
        read_predictions(predictions, truth.skeleton.keypoints) - one_based, truth, normalise, threshold, torso
    )
    _note_skipped(skipped)
    _print_scores(found, as_json)


def coco(
    predictions: Path,
    annotations: Path,
    rescore: bool = False,
    nms: float | None = None,
    aspect: float = 0.75,
    sigmas: tuple[float, ...] | None = None,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Average precision of COCO results, by pycocotools.

    Args:
        predictions: A results file: a list of {image_id, category_id, keypoints, score}.
        annotations: person_keypoints_*.json.
        rescore: Scores are box scores: multiply them by the mean of the keypoint scores above 0.2. Each result carries
            its bbox [x, y, w, h], and keypoints carry raw scores.
        nms: With --rescore: of poses more similar (OKS) than this the lower one goes; 0.9 is customary.
        aspect: With --nms: width / height of the crops, by which suppression measures poses.
        sigmas: Of object keypoint similarity, one for each of the annotations' keypoints; none: COCO's.
        as_json: Print JSON.
    """
    from posenfs.evaluation.scoring import score_coco

    found = score_coco(predictions, annotations, rescore, nms, aspect, sigmas)
    print(
        json.dumps(found, indent=2) if as_json else "\n".join(f"{name:5} {100 * v:6.2f}" for name, v in found.items())
    )


def submit_mpii(
    model: str, root: Path, output: Path, device: str = "auto", workers: int = 0, quiet: bool = False
) -> None:
    """Predict MPII's test people and write pred_keypoints_mpii.mat for its benchmark.

    Args:
        model: A run (its name or folder), or a model's folder.
        root: The folder with MPII's own annotation file and images/.
        output: The file to write, pred_keypoints_mpii.mat.
        device: auto, cpu, cuda or cuda:N.
        workers: Processes that read and cut pictures.
        quiet: No progress bar.
    """
    from posenfs.model.memory import keep_freed_memory
    from posenfs.study.submitting import submit_mpii

    keep_freed_memory()
    people = submit_mpii(model, root, output, device, workers, progress=not quiet)
    print(f"{people} people written to {output}")


def submit_coco(
    model: str,
    info: Path,
    pictures: Path,
    detections: Path,
    output: Path,
    device: str = "auto",
    workers: int = 0,
    quiet: bool = False,
) -> None:
    """Predict the people detected in COCO's test-dev pictures and write the file for its evaluation server.

    Args:
        model: A run (its name or folder), or a model's folder.
        info: image_info_test-dev2017.json.
        pictures: The folder of the pictures, test2017/.
        detections: A JSON file of detected boxes [{image_id, category_id, bbox, score}].
        output: The file to write, person_keypoints_test-dev2017_<algorithm>_results.zip.
        device: auto, cpu, cuda or cuda:N.
        workers: Processes that read and cut pictures.
        quiet: No progress bar.
    """
    from posenfs.model.memory import keep_freed_memory
    from posenfs.study.submitting import submit_coco

    keep_freed_memory()
    poses = submit_coco(model, info, pictures, detections, output, device, workers, progress=not quiet)
    print(f"{poses} poses written to {output}")


def _note_skipped(skipped: dict[str, int]) -> None:
    if skipped:
        counts = ", ".join(f"{count} {reason}" for reason, count in skipped.items())
        print(f"note: people skipped: {counts}", file=sys.stderr)


def _print_scores(found: dict[str, dict[str, float]], as_json: bool) -> None:
    """A row for each metric, a column for each kind of keypoint."""
    from posenfs.evaluation.metrics import metric_title, without_nan

    if as_json:
        print(json.dumps({metric: without_nan(values) for metric, values in found.items()}, indent=2))
        return
    columns = next(iter(found.values()))
    print(f"{'%':16}" + "".join(f"{column:>10}" for column in columns))
    for metric, values in found.items():
        print(f"{metric_title(metric):16}" + "".join(f"{value:10.3f}" for value in values.values()))

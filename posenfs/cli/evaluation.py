"""Commands that evaluate models, score predictions and write benchmark submissions."""

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from posenfs.cli.options import DataOptions

if TYPE_CHECKING:
    from posenfs.data.datasets.catalogue import DataSpec


def test(
    model: Positional[str],
    data: Annotated[DataOptions, arg(name="data")] = DataOptions(),
    split: Literal["valid", "train"] = "valid",
    output: Path | None = None,
    flip: bool = True,
    decoding: Literal["argmax", "quarter offset", "dark"] = "quarter offset",
    device: str = "auto",
    workers: int = 0,
    batch_size: int = 32,
    quiet: bool = False,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Evaluate a model on a data set: metrics with intervals, errors by keypoint, cost.

    The model is a run or a model's folder, for example of a pruned or an imported model.

    Args:
        model: A run (its name or folder), or a model's folder.
        data: The data set; by default the one that the model was trained on.
        split: The split to evaluate on.
        output: The JSON file to write the evaluation to.
        flip: Average the heatmaps with those of the flipped image.
        decoding: How keypoint positions are decoded from heatmaps.
        device: The device to compute on: auto, cpu, cuda or cuda:N.
        workers: The number of processes that read and crop images.
        batch_size: The number of crops in a batch.
        quiet: Show no progress bar.
        as_json: Print the evaluation as JSON.
    """
    from posenfs.data.files import check_output_file, write_atomic
    from posenfs.model.memory import keep_freed_memory
    from posenfs.study.model_evaluation import describe_evaluation, evaluate_model

    if output is not None:
        check_output_file(output)
    keep_freed_memory()
    evaluation = evaluate_model(
        model,
        _data_spec(data, model),
        split,
        device,
        workers,
        batch_size,
        flip,
        decoding,
        progress=not quiet,
    )
    text = json.dumps(evaluation, indent=2)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(output, text + "\n")
    print(text if as_json else describe_evaluation(evaluation))


def _data_spec(options: DataOptions, model: str) -> "DataSpec":
    """Return the data set that the options select for a model."""
    from posenfs.data.datasets.catalogue import DataSpec
    from posenfs.search.run_dir import find_run

    base = find_run(model).experiment().data if options.name is None else DataSpec()
    changes = {name: value for name, value in asdict(options).items() if value is not None}
    return replace(base, **changes)


def mpii(
    predictions: Path,
    ground_truth: Path,
    one_based: bool = False,
    thresholds: tuple[float, ...] = (0.5, 0.1, 0.11),
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Compute the PCKh of predictions [N, 16, 2] in MPII's file order, as in the literature.

    Args:
        predictions: The predictions: a .npy, .mat, .h5 or .json file.
        ground_truth: The ground truth, gt_valid.mat.
        one_based: Whether the predictions count pixels from 1, as MPII's files do, and not from 0.
        thresholds: The largest errors of a correct keypoint, as fractions of the head size.
        as_json: Print the scores as JSON.
    """
    from posenfs.body.skeleton import MPII_FILE_KEYPOINTS
    from posenfs.evaluation.prediction_files import read_predictions
    from posenfs.evaluation.scoring import score_mpii

    points = read_predictions(predictions, MPII_FILE_KEYPOINTS)
    scores, skipped = score_mpii(points, ground_truth, one_based, thresholds, predictions)
    _note_skipped(skipped)
    _print_scores(scores, as_json)


def pck(
    predictions: Path,
    ground_truth: Path,
    normalise: Literal["torso", "box", "head"] = "torso",
    threshold: float = 0.2,
    torso: tuple[str, str] = ("left_shoulder", "right_hip"),
    one_based: bool = False,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Compute the PCK of predictions [N, K, 2] in the ground truth's order.

    The order of people and of keypoints is the one in the ground truth's file.

    Args:
        predictions: The predictions: a .npy, .mat, .h5 or .json file.
        ground_truth: MPII's gt_*.mat or JSON, LSP's joints.mat, or a JSON file in COCO's format.
        normalise: The length that divides errors: the torso, the box's longer side, or the head.
        threshold: The largest normalised error of a correct keypoint.
        torso: The two keypoints whose distance is the size of the torso.
        one_based: Whether the predictions count pixels from 1 and not from 0.
        as_json: Print the scores as JSON.
    """
    from posenfs.evaluation.ground_truth import read_truth
    from posenfs.evaluation.prediction_files import read_predictions
    from posenfs.evaluation.scoring import score_pck

    truth = read_truth(ground_truth)
    points = read_predictions(predictions, truth.skeleton.keypoints) - one_based
    scores, skipped = score_pck(points, truth, normalise, threshold, torso)
    _note_skipped(skipped)
    _print_scores(scores, as_json)


def coco(
    predictions: Path,
    annotations: Path,
    rescore: bool = False,
    nms: float | None = None,
    aspect: float = 0.75,
    sigmas: tuple[float, ...] | None = None,
    category: str | None = None,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Compute the average precision of COCO results with pycocotools.

    Each category that the results name is judged for itself. Numbers without an annotated person
    are n/a, in JSON null.

    Args:
        predictions: A results file: a list of {image_id, category_id, keypoints, score}.
        annotations: The annotations, person_keypoints_*.json.
        rescore: Multiply the scores, which are box scores, by the mean of the keypoint scores above
            0.2. Each result needs its bbox [x, y, w, h], and keypoints need their raw scores.
        nms: With --rescore, the similarity (OKS) above which the pose with the lower score is
            removed; 0.9 is customary.
        aspect: With --nms, the width / height of the crops, from which the size of a pose follows.
        sigmas: The sigmas of object keypoint similarity, one per keypoint; by default COCO's.
        category: The name or id of the category to judge; by default those of the results.
        as_json: Print the scores as JSON.
    """
    from posenfs.evaluation.coco_scoring import score_coco

    scores, notes = score_coco(predictions, annotations, rescore, nms, aspect, sigmas, category)
    for text in notes:
        print(f"note: {text}", file=sys.stderr)
    _print_average_precision(scores, as_json)


def submit_mpii(
    model: str,
    root: Path,
    output: Path,
    device: str = "auto",
    workers: int = 0,
    quiet: bool = False,
) -> None:
    """Predict MPII's test split and write pred_keypoints_mpii.mat for its benchmark.

    Args:
        model: A run (its name or folder), or a model's folder.
        root: The folder with MPII's annotation file and images/.
        output: The file to write, pred_keypoints_mpii.mat.
        device: The device to compute on: auto, cpu, cuda or cuda:N.
        workers: The number of processes that read and crop images.
        quiet: Show no progress bar.
    """
    from posenfs.model.memory import keep_freed_memory
    from posenfs.study.leaderboards import submit_mpii

    keep_freed_memory()
    people = submit_mpii(model, root, output, device, workers, progress=not quiet)
    print(f"{people} people written to {output}")


def submit_coco(
    model: str,
    info: Path,
    images: Path,
    detections: Path,
    output: Path,
    device: str = "auto",
    workers: int = 0,
    quiet: bool = False,
) -> None:
    """Predict COCO's test-dev images and write the file for its evaluation server.

    Args:
        model: A run (its name or folder), or a model's folder.
        info: The list of images, image_info_test-dev2017.json.
        images: The folder of the images, test2017/.
        detections: The detected people: a JSON file [{image_id, category_id, bbox, score}].
        output: The file to write, person_keypoints_test-dev2017_<algorithm>_results.zip.
        device: The device to compute on: auto, cpu, cuda or cuda:N.
        workers: The number of processes that read and crop images.
        quiet: Show no progress bar.
    """
    from posenfs.model.memory import keep_freed_memory
    from posenfs.study.leaderboards import submit_coco

    keep_freed_memory()
    poses = submit_coco(
        model, info, images, detections, output, device, workers, progress=not quiet
    )
    print(f"{poses} poses written to {output}")


def _note_skipped(skipped: dict[str, int]) -> None:
    """Print how many people are not scored, by reason."""
    if skipped:
        counts = ", ".join(f"{count} {reason}" for reason, count in skipped.items())
        print(f"note: people skipped: {counts}", file=sys.stderr)


def _print_scores(scores: dict[str, dict[str, float]], as_json: bool) -> None:
    """Print a row for each metric, with a column for each kind of keypoint."""
    from posenfs.evaluation.metrics import metric_title, nan_to_none

    if as_json:
        rows = {metric: nan_to_none(values) for metric, values in scores.items()}
        print(json.dumps(rows, indent=2))
        return
    columns = next(iter(scores.values()))
    print(f"{'%':16}" + "".join(f"{column:>10}" for column in columns))
    for metric, values in scores.items():
        cells = "".join(f"{value:10.3f}" for value in values.values())
        print(f"{metric_title(metric):16}{cells}")


def _print_average_precision(scores: dict[str, dict[str, float]], as_json: bool) -> None:
    """Print a line for each number, or a row for each category if there are several."""
    from posenfs.evaluation.metrics import nan_to_none

    if as_json:
        rows = {category: nan_to_none(values) for category, values in scores.items()}
        print(json.dumps(rows if len(rows) > 1 else next(iter(rows.values())), indent=2))
        return
    if len(scores) == 1:
        (values,) = scores.values()
        print("\n".join(f"{name:5} {_percent(value)}" for name, value in values.items()))
        return
    width = max(map(len, scores))
    names = next(iter(scores.values()))
    print(f"{'%':{width}}" + "".join(f" {name:>6}" for name in names))
    for category, values in scores.items():
        cells = "".join(f" {_percent(value)}" for value in values.values())
        print(f"{category:{width}}{cells}")


def _percent(share: float) -> str:
    """Return a share in percent; n/a for NaN."""
    return f"{'n/a':>6}" if share != share else f"{100 * share:6.2f}"

"""Scores of a model and of anyone's predictions, and the files that benchmarks take."""

import json
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from posenfs.data.datasets.catalogue import DataSpec


@dataclass(frozen=True)
class DataOptions:
    """The data set to evaluate on. With a name these are the options of `posenfs search`, with their defaults there;
    without one they change those of the data that the model was trained on."""

    # synthetic, synthetic_coco, synthetic_lsp, mpii, mpii_release, coco, lsp, or own
    name: str | None = None
    root: str | None = None  # the data set's folder, of own data the TOML file
    pictures: tuple[int, int] | None = None  # drawn for training and for validation
    difficulty: str | None = None  # of drawn people: plain, default or hard
    seed: int | None = None  # of drawn people
    detections: str | None = None  # a file of detected boxes to validate on, for COCO's form


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
    """Evaluate a run or a model's folder (pruned and imported ones, too) on a data set: metrics with intervals, errors
    by keypoint, cost.

    Args:
        model: A run (its name or folder), or a model's folder.
        data: The data set; without any of its options the one that the model was trained on.
        split: The validation split, or the training split.
        output: A file to write the evaluation to, as JSON.
        flip: Average score maps with those of the mirror image.
        decoding: How keypoints are taken from score maps.
        device: auto, cpu, cuda or cuda:N.
        workers: Processes that read and cut images.
        batch_size: Crops in a batch.
        quiet: No progress bar.
        as_json: Print the evaluation as JSON.
    """
    from posenfs.data.files import check_output_file, write_whole
    from posenfs.model.memory import keep_freed_memory
    from posenfs.study.testing import describe_evaluation, evaluate_model

    if output is not None:
        check_output_file(output)
    keep_freed_memory()
    chosen = _data_spec(data, model)
    evaluation = evaluate_model(model, chosen, split, device, workers, batch_size, flip, decoding, progress=not quiet)
    text = json.dumps(evaluation, indent=2)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_whole(output, text + "\n")
    print(text if as_json else describe_evaluation(evaluation))


def _data_spec(options: DataOptions, model: str) -> "DataSpec":
    """The data set that these options name for a model."""
    from posenfs.data.datasets.catalogue import DataSpec
    from posenfs.search.run import find_run

    base = DataSpec() if options.name is not None else find_run(model).experiment().data
    return replace(base, **{name: value for name, value in asdict(options).items() if value is not None})


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

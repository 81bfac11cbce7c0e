"""Commands that apply, import, prune and discretise models."""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg


def predict(
    images: Positional[tuple[Path, ...]],
    model: str | None = None,
    output: Path = Path("predictions"),
    boxes: str = "whole",
    detector_weights: str = "coco",
    box_threshold: float = 0.5,
    decoding: str = "quarter offset",
    threshold: float = 0.3,
    least_share: float = 0.4,
    device: str = "auto",
    quiet: bool = False,
) -> None:
    """Predict the keypoints of people in images.

    Writes predictions.json, in COCO's format, and the images with drawn skeletons. Images that
    cannot be read are reported and skipped; it is an error if none can be read.

    Args:
        images: Image files, and folders of image files (subfolders are not searched).
        model: A run (its name or folder), or a model's folder; by default the bundled model.
        output: The folder to write.
        boxes: The boxes of people: whole (each image shows one person), detector (torchvision's
            Faster R-CNN), or a JSON file [{file_name, bbox [x, y, w, h], score}].
        detector_weights: The detector's weights: coco (torchvision downloads them), or a file with
            its state dict.
        box_threshold: The score above which a detected box is used.
        decoding: The decoding of keypoint positions: argmax, quarter offset or dark.
        threshold: The score above which a keypoint is drawn; predictions.json has all keypoints.
        least_share: The smallest fraction of keypoints above the threshold for which a person is
            drawn.
        device: The device to compute on: auto, cpu, cuda or cuda:N.
        quiet: Show no progress bar.
    """
    from posenfs.evaluation.detections import BoxSource
    from posenfs.model.memory import keep_freed_memory
    from posenfs.search.bundled import BUNDLED_MODEL
    from posenfs.viz.predictions import DrawingRule, predict_images

    keep_freed_memory()
    source = BoxSource(boxes, detector_weights, box_threshold)
    rule = DrawingRule(threshold, least_share)
    if boxes == "whole":
        print(
            "note: each whole image is taken for one person. Where people fill only a part of an "
            "image, give their boxes: --boxes FILE (JSON), or --boxes detector",
            file=sys.stderr,
        )
    print(
        predict_images(
            images,
            model or BUNDLED_MODEL,
            output,
            source,
            rule,
            decoding,
            device,
            progress=not quiet,
        )
    )


def import_(
    checkpoint: Positional[Path],
    output: Path,
    operations: tuple[str, ...] = ("zero", "skip", "dilated_3x3", "separable_3x3"),
    backbone_operations: tuple[str, ...] | None = None,
    skeleton: Literal["mpii", "coco"] | None = None,
) -> None:
    """Convert a checkpoint of the authors' released code into a model's folder.

    Parts, width, hidden nodes, layers, vectors and backbone are inferred from the file.

    Args:
        checkpoint: The checkpoint of the released code.
        output: The folder to write: config.json and model.safetensors.
        operations: The candidate operations, in the order of the configuration used in training.
        backbone_operations: The candidate operations of a fabric backbone; by default the same.
        skeleton: The skeleton; needed only where the number of keypoints is ambiguous.
    """
    from posenfs.body.skeleton import COCO, MPII
    from posenfs.model.cost import measured_cost
    from posenfs.model.released import load_released
    from posenfs.search.saved_models import experiment_of_model, save_model

    selected = {"mpii": MPII, "coco": COCO, None: None}[skeleton]
    model = load_released(checkpoint, operations, backbone_operations, selected)
    model_skeleton = MPII if model.keypoints == len(MPII) else COCO
    experiment = experiment_of_model(model, output.resolve().name.lstrip("."), model_skeleton)
    save_model(output, model, experiment)
    spec, (height, width) = model.spec, experiment.image_size
    backbone = "a fabric" if experiment.backbone_fabric else experiment.backbone
    print(
        f"{model_skeleton.name}, {len(model.parts)} parts; fabrics of {spec.layers} layers from "
        f"layer {spec.first}, width {spec.width}, {spec.hidden_nodes} hidden nodes; vectors of "
        f"{experiment.vector_dim}; backbone {backbone}\n"
        f"{measured_cost(model, height, width)} at {height} x {width} px\n"
        f"written to {output}"
    )


def prune(
    source: Positional[str],
    output: Path,
    mode: Literal["exact", "threshold", "one-hot"] = "exact",
    threshold: float = 0.0,
    accuracy: bool = True,
    device: str = "auto",
    quiet: bool = False,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Prune operations and sources of small weight, and measure what that changes.

    Where the model's validation split is on disk, its accuracy is measured before and after.

    Args:
        source: A run (its name or folder), or a model's folder.
        output: The folder to write: config.json, model.safetensors, proof.json.
        mode: What is removed: exact (weights of 0.0), threshold (weights below the threshold), or
            one-hot (all weights but the greatest).
        threshold: The threshold of softmax weights, for mode threshold.
        accuracy: Measure the accuracy before and after, which takes as long as two evaluations.
        device: The device to evaluate on: auto, cpu, cuda or cuda:N.
        quiet: Show no progress bar.
        as_json: Print the proof as JSON.
    """
    from posenfs.study.pruning_proof import prune_saved

    pruning = prune_saved(source, output, mode, threshold, accuracy, device, progress=not quiet)
    if as_json:
        print(json.dumps(pruning.json(), indent=2))
    else:
        print(f"{pruning}\nwritten to {output}")


def child(
    run: Positional[str],
    start: tuple[Literal["weights", "scratch"], ...] = ("weights", "scratch"),
    epochs: int | None = None,
    zero: bool = False,
    device: str = "auto",
    workers: int = 0,
    quiet: bool = False,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Derive the discrete network (the child) of a finished run by argmax, evaluate and train it.

    Each training is a run beside the parent's. Repeat the command to continue interrupted runs.

    Args:
        run: The run of the supernet, the parent (its name or folder).
        start: The initialisations of the trained networks: the parent's weights, from scratch, or
            both; without a value the child is only derived and evaluated.
        epochs: The number of training epochs; by default the parent's.
        zero: Let an edge select the operation zero where it has the greatest weight; DARTS excludes
            it.
        device: The device to compute on: auto, cpu, cuda or cuda:N.
        workers: The number of processes that read and crop images.
        quiet: Show no progress bar.
        as_json: Print the rows as JSON.
    """
    from posenfs.study.children import parent_and_child

    rows = parent_and_child(run, start, epochs, device, workers, progress=not quiet, zero=zero)
    print(rows.to_json(orient="records", indent=2) if as_json else rows.to_string(index=False))

"""Models: predictions on images, imported checkpoints, pruned and discrete ones."""

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
    """Find the keypoints of people in images: predictions.json, in COCO's form, and the images with skeletons.

    Images that cannot be read are named and skipped; it is an error where none can be read.

    Args:
        images: Image files, and folders: of a folder all images in it, not those in folders inside it.
        model: A run (its name or folder), or a model's folder; none: the bundled pretrained model.
        output: The folder to write.
        boxes: whole (each whole image is taken for one person), detector (torchvision's Faster R-CNN finds people), or
            a JSON file [{file_name, bbox [x, y, w, h], score}].
        detector_weights: coco (torchvision downloads them), or a file with the detector's state dict.
        box_threshold: Boxes that the detector gives a score above this are people.
        decoding: argmax, quarter offset or dark.
        threshold: Keypoints with scores above this are drawn; predictions.json has them all.
        least_share: A person is drawn who has at least this share of the keypoints above the threshold.
        device: auto, cpu, cuda or cuda:N.
        quiet: No progress bar.
    """
    from posenfs.evaluation.pictures import BoxSource
    from posenfs.model.memory import keep_freed_memory
    from posenfs.search.shipped import SHIPPED
    from posenfs.show.predictions import DrawingRule, predict_pictures

    keep_freed_memory()
    source = BoxSource(boxes, detector_weights, box_threshold)
    rule = DrawingRule(threshold, least_share)
    if boxes == "whole":
        print(
            "note: each whole image is taken for one person. Where people fill only a part of an image, give their "
            "boxes: --boxes FILE (JSON), or --boxes detector",
            file=sys.stderr,
        )
    print(predict_pictures(images, model or SHIPPED, output, source, rule, decoding, device, progress=not quiet))


def import_(
    checkpoint: Positional[Path],
    output: Path,
    operations: tuple[str, ...] = ("zero", "skip", "dilated_3x3", "separable_3x3"),
    backbone_operations: tuple[str, ...] | None = None,
    skeleton: Literal["mpii", "coco"] | None = None,
) -> None:
    """Turn a checkpoint of the authors' released code into a model folder: config.json and model.safetensors.

    Parts, width, hidden nodes, layers, vectors and backbone follow from the file.

    Args:
        checkpoint: The file, as their code saved it.
        output: The folder to write.
        operations: The candidate operations in the order of the configuration that trained it.
        backbone_operations: Those of a fabric backbone, where they are others.
        skeleton: Needed where the number of keypoints leaves a doubt.
    """
    from posenfs.body.skeleton import COCO, MPII
    from posenfs.model.cost import honest_cost
    from posenfs.model.released import load_released
    from posenfs.search.saved import describe, save_model

    known = {"mpii": MPII, "coco": COCO}
    model = load_released(checkpoint, operations, backbone_operations, known.get(skeleton))
    found = next(own for own in known.values() if len(own) == model.keypoints)
    experiment = describe(model, output.resolve().name.lstrip("."), found)
    save_model(output, model, experiment)
    spec = model.spec
    print(
        f"{found.name}, {len(model.parts)} parts; fabrics of {spec.layers} layers from layer {spec.first}, width "
        f"{spec.width}, {spec.hidden_nodes} hidden nodes; vectors of {experiment.vector_dim}; backbone "
        f"{'a fabric' if experiment.backbone_fabric else experiment.backbone}\n"
        f"{honest_cost(model, *experiment.image_size)} at {experiment.image_size[0]} x {experiment.image_size[1]} px\n"
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
    """Remove from a run's or a saved model what its alpha and beta make useless, and prove what that changes.

    Where the model's validation data are on disk, its accuracy is measured before and after.

    Args:
        source: A run (its name or folder), or a model's folder.
        output: The folder to write: config.json, model.safetensors, proof.json.
        mode: exact removes weights of 0.0 alone; threshold those below it; one-hot all but the greatest.
        threshold: Of softmax weights, in mode threshold.
        accuracy: Measure the accuracy before and after, which takes as long as two evaluations.
        device: On which that is done: auto, cpu, cuda or cuda:N.
        quiet: No progress bar.
        as_json: Print the proof as JSON.
    """
    from posenfs.study.pruning import prune_saved

    pruning = prune_saved(source, output, mode, threshold, accuracy, device, progress=not quiet)
    print(json.dumps(pruning.json(), indent=2) if as_json else f"{pruning}\nwritten to {output}")


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
    """Derive the discrete child of a finished run by argmax, evaluate it as it is, and train it: from the parent's
    weights and from scratch, in runs of their own beside the parent's. Repeat the command to go on.

    Args:
        run: The parent (its name or folder).
        start: From where the child is trained; none: it is only derived and evaluated.
        epochs: Of each training; by default as many as the parent had.
        zero: Let an edge choose the operation zero where it has the greatest weight; DARTS leaves it out.
        device: auto, cpu, cuda or cuda:N.
        workers: Processes that read and cut pictures.
        quiet: No progress bar.
        as_json: Print the rows as JSON.
    """
    from posenfs.study.children import parent_and_child

    rows = parent_and_child(run, start, epochs, device, workers, progress=not quiet, zero=zero)
    print(rows.to_json(orient="records", indent=2) if as_json else rows.to_string(index=False))

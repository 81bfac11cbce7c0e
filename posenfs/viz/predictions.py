"""Predictions of a saved model for a user's images: COCO results and drawn images."""

import json
import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from posenfs.data.datasets.catalogue import skeleton_of
from posenfs.data.files import atomic_path, check_output_folder, write_atomic
from posenfs.data.own_images import list_images, readable_images
from posenfs.data.pixels import load_image
from posenfs.data.sample import Annotations, DataError
from posenfs.evaluation.detections import BoxSource
from posenfs.evaluation.oks import rescore
from posenfs.evaluation.prediction import Predictions, predict
from posenfs.search.provenance import find_device
from posenfs.search.run_dir import RunDir
from posenfs.search.saved_models import load_model
from posenfs.viz.poses import draw_on_image

_LISTED_IMAGES = 10  # in a summary; further images are counted


@dataclass(frozen=True)
class DrawingRule:
    """Which keypoints and which people are drawn; predictions.json holds all of them.

    Attributes:
        threshold: Keypoints with scores above this are drawn.
        least_share: A person is drawn if at least this share of the keypoints has scores above
            the threshold.

    Raises:
        ValueError: The threshold is negative, or the share is not in [0, 1].
    """

    threshold: float = 0.3
    least_share: float = 0.4

    def __post_init__(self):
        if not 0 <= self.threshold < math.inf:
            raise ValueError(
                "the score above which keypoints are drawn must not be negative (--threshold); "
                f"got {self.threshold}"
            )
        if not 0 <= self.least_share <= 1:
            raise ValueError(
                "the share of confident keypoints of a drawn person must lie in [0, 1] "
                f"(--least-share); got {self.least_share}"
            )

    def apply(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return which people [N] bool, and which of their keypoints [N, K] bool, are drawn.

        Args:
            scores: Scores [N, K].
        """
        confident = scores > self.threshold
        people = confident.mean(1) >= self.least_share
        return people, confident & people[:, None]


@dataclass(frozen=True)
class PredictionSummary:
    """What `predict_images` wrote: counts of people, names of images.

    Attributes:
        output: The folder written.
        images: Number of images read.
        people: Number of people in predictions.json.
        drawn: Number of people drawn.
        rule: The rule by which they are drawn.
        empty: Images in which no person is drawn.
        broken: What is wrong with each image that was skipped.
    """

    output: Path
    images: int
    people: int
    drawn: int
    rule: DrawingRule
    empty: tuple[str, ...]
    broken: dict[Path, str]

    def __str__(self) -> str:
        lines = [f"{self.people} people in {self.images} images; all files are in {self.output}"]
        if undrawn := self.people - self.drawn:
            share, threshold = self.rule.least_share, self.rule.threshold
            lines.append(
                f"{self.drawn} drawn; {undrawn} with too few confident keypoints "
                f"(fewer than {share:.0%} with scores above {threshold:g}) not drawn"
            )
        if self.empty:
            further = len(self.empty) - _LISTED_IMAGES
            ending = f" and {further} more" if further > 0 else ""
            lines.append(f"no person is drawn in {', '.join(self.empty[:_LISTED_IMAGES])}{ending}")
        if self.broken:
            total = self.images + len(self.broken)
            lines.append(f"{len(self.broken)} of {total} images could not be read: skipped")
        return "\n".join(lines)


def predict_images(
    paths: Sequence[Path],
    model: str | Path | RunDir,
    output: Path,
    boxes: BoxSource | None = None,
    rule: DrawingRule | None = None,
    decoding: str = "quarter offset",
    device: str = "auto",
    progress: bool = True,
) -> PredictionSummary:
    """Write predictions.json, and a drawn PNG of each image in the size of the image.

    A result in predictions.json is {image_id (the number of the image), file_name, category_id 1,
    keypoints [x, y, score, …] in px of the upright image, score (box score times the mean of the
    keypoint scores above 0.2), bbox}. Images that cannot be read are named on stderr and skipped.

    Args:
        paths: Image files, and folders whose images are all used (see `list_images`).
        model: A run (its name or folder), or a model's folder.
        output: The folder to write.
        boxes: The boxes of people; by default each whole image is the box of one person.
        rule: Which keypoints and people are drawn.
        decoding: argmax, quarter offset or dark.
        device: auto, cpu, cuda or cuda:N.
        progress: Whether to show progress bars.

    Returns:
        A summary of the files written.

    Raises:
        DataError: No image can be read, or the boxes cannot be used, or a drawing would replace an
            image or another drawing. No file has been written then.
        ValueError: The output cannot be written, or the decoding or device is unknown.
    """
    boxes, rule = boxes or BoxSource(), rule or DrawingRule()
    check_output_folder(output)
    images = list_images(paths)
    drawings = _drawing_paths(images, output)
    saved, torch_device = load_model(model), find_device(device)
    images, broken = readable_images(images, progress)
    for fault in broken.values():
        tqdm.write(f"note: skipped: {fault}", file=sys.stderr)
    skeleton = skeleton_of(saved.experiment.data)
    people = boxes.find_people(images, skeleton, torch_device, progress)
    network = saved.model.to(torch_device, memory_format=torch.channels_last)
    size = saved.experiment.image_size
    predictions = predict(network, people, size, progress=progress, decoding=decoding)
    output.mkdir(parents=True, exist_ok=True)
    results = json.dumps(_coco_results(people, predictions), indent=1)
    write_atomic(output / "predictions.json", results + "\n")
    drawn, shown = rule.apply(predictions.scores)
    for index, image in enumerate(tqdm(images, "drawing", unit="image", disable=not progress)):
        rows = drawn & (people.image_index == index)
        keypoints = predictions.keypoints_image[rows]
        figure = draw_on_image(load_image(image), people.skeleton, keypoints, shown[rows])
        with atomic_path(drawings[image]) as temporary_path:
            figure.savefig(temporary_path, dpi="figure")
    drawn_images = people.image_index[drawn]
    empty = tuple(image.name for index, image in enumerate(images) if index not in drawn_images)
    return PredictionSummary(
        output, len(images), len(people), int(drawn.sum()), rule, empty, broken
    )


def _drawing_paths(images: Sequence[Path], output: Path) -> dict[Path, Path]:
    """Return the PNG of each image: a.png for a.jpg, or a.jpg.png if another image is named a.

    Raises:
        DataError: Two drawings have one name, or one would replace an image.
    """
    stems = Counter(image.stem for image in images)
    names = Counter(image.name for image in images)
    sources = {image.resolve() for image in images}
    drawings = {}
    for image in images:
        if names[image.name] > 1:
            raise DataError(
                f"two images are named {image.name!r}; their drawings would replace each other: "
                "predict them separately"
            )
        name = image.name if stems[image.stem] > 1 else image.stem
        drawings[image] = output / f"{name}.png"
    for drawing in drawings.values():
        if drawing.resolve() in sources:
            raise DataError(
                f"the drawing would replace the image {drawing}; choose another folder (--output)"
            )
    return drawings


def _coco_results(people: Annotations, predictions: Predictions) -> list[dict]:
    """Return the predictions as COCO results."""
    rows = zip(
        people.image_index,
        predictions.keypoints_image,
        predictions.scores,
        people.boxes,
        rescore(people.box_scores, predictions.scores),
        strict=True,
    )
    return [
        {
            "image_id": int(image) + 1,
            "file_name": Path(people.images[image]).name,
            "category_id": 1,
            "keypoints": np.column_stack([keypoints, scores]).astype(float).ravel().tolist(),
            "score": float(score),
            "bbox": box.tolist(),
        }
        for image, keypoints, scores, box, score in rows
    ]

"""A saved model's predictions for one's own images, as COCO results and as drawn images in a folder."""

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
from posenfs.data.files import beside, check_output_folder, write_whole
from posenfs.data.pictures import list_images, readable_images
from posenfs.data.sample import DataError, People, load_image
from posenfs.evaluation.oks import rescore
from posenfs.evaluation.pictures import BoxSource
from posenfs.evaluation.predict import Predictions, predict
from posenfs.search.provenance import find_device
from posenfs.search.run import Run
from posenfs.search.saved import load_model
from posenfs.show.poses import draw_on_picture

_NAMED = 10  # images that a summary names; the rest are counted


@dataclass(frozen=True)
class DrawingRule:
    """Which keypoints and which people are drawn; predictions.json holds all of them.

    Attributes:
        threshold: Keypoints with scores above this are drawn.
        least_share: A person is drawn where at least this share of the keypoints has scores above the threshold.
    """

    threshold: float = 0.3
    least_share: float = 0.4

    def __post_init__(self):
        if not 0 <= self.threshold < math.inf:
            raise ValueError(
                f"the score above which keypoints are drawn is not negative (--threshold); got {self.threshold}"
            )
        if not 0 <= self.least_share <= 1:
            raise ValueError(
                f"the share of keypoints that a drawn person has lies in [0, 1] (--least-share); got {self.least_share}"
            )

    def apply(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores [N, K] -> which people are drawn [N] bool, and which of their keypoints [N, K] bool."""
        confident = scores > self.threshold
        people = confident.mean(1) >= self.least_share
        return people, confident & people[:, None]


@dataclass(frozen=True)
class PredictionSummary:
    """What `predict_pictures` wrote: counts of people, names of images.

    Attributes:
        output: The folder written.
        images: How many images were read.
        people: How many people predictions.json holds.
        drawn: How many of them are drawn.
        rule: By which they are drawn.
        empty: Images in which nobody is drawn.
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
        lines = [f"{self.people} people in {self.images} images; everything is in {self.output}"]
        if unsure := self.people - self.drawn:
            few = (
                f"fewer than {self.rule.least_share:.0%} with scores above {self.rule.threshold:g}"
            )
            lines.append(
                f"{self.drawn} drawn; {unsure} with too few confident keypoints ({few}) not drawn"
            )
        if self.empty:
            further = f" and {len(self.empty) - _NAMED} more" if len(self.empty) > _NAMED else ""
            lines.append(f"nobody is drawn in {', '.join(self.empty[:_NAMED])}{further}")
        if self.broken:
            lines.append(
                f"{len(self.broken)} of {self.images + len(self.broken)} images could not be read: skipped"
            )
        return "\n".join(lines)


def predict_pictures(
    paths: Sequence[Path],
    model: str | Path | Run,
    output: Path,
    boxes: BoxSource | None = None,
    rule: DrawingRule | None = None,
    decoding: str = "quarter offset",
    device: str = "auto",
    progress: bool = True,
) -> PredictionSummary:
    """Write predictions.json and a drawn PNG of each image, in the image's own size, into a folder.

    A result in predictions.json is {image_id (the number of the image), file_name, category_id 1, keypoints
    [x, y, score, …] in px of the upright image, score (box score times the mean of the keypoint scores above 0.2),
    bbox}. Images that cannot be read are named on stderr and skipped.

    Args:
        paths: Image files, and folders whose images are all taken (`list_images`).
        model: A run (its name or folder), or a model's folder.
        output: The folder to write.
        boxes: Where people are; by default each whole image is taken for one person.
        rule: Which keypoints and people are drawn.
        decoding: argmax, quarter offset or dark.
        device: auto, cpu, cuda or cuda:N.
        progress: Whether to show progress bars.

    Raises:
        DataError: No image can be read, or the boxes cannot be used, or a drawing would replace an image or another
            drawing. Nothing has been written then.
        ValueError: The output cannot be written, or the decoding or device is unknown.
    """
    boxes, rule = boxes or BoxSource(), rule or DrawingRule()
    check_output_folder(output)
    images = list_images(paths)
    drawings = _drawings(images, output)
    saved, where = load_model(model), find_device(device)
    images, broken = readable_images(images, progress)
    for fault in broken.values():
        tqdm.write(f"note: skipped: {fault}", file=sys.stderr)
    people = boxes.find_people(images, skeleton_of(saved.experiment.data), where, progress)
    network, (height, width) = (
        saved.model.to(where, memory_format=torch.channels_last),
        saved.experiment.image_size,
    )
    predictions = predict(network, people, (width, height), progress=progress, decoding=decoding)
    output.mkdir(parents=True, exist_ok=True)
    write_whole(
        output / "predictions.json", json.dumps(_results(people, predictions), indent=1) + "\n"
    )
    drawn, shown = rule.apply(predictions.scores)
    for number, image in enumerate(tqdm(images, "drawing", unit="image", disable=not progress)):
        rows = drawn & (people.image_index == number)
        figure = draw_on_picture(
            load_image(image), people.skeleton, predictions.keypoints_image[rows], shown[rows]
        )
        with beside(drawings[image]) as written:
            figure.savefig(written, dpi="figure")
    empty = tuple(
        image.name for n, image in enumerate(images) if n not in people.image_index[drawn]
    )
    return PredictionSummary(
        output, len(images), len(people), int(drawn.sum()), rule, empty, broken
    )


def _drawings(images: Sequence[Path], output: Path) -> dict[Path, Path]:
    """The PNG to write for each image: a.png for a.jpg, and a.jpg.png where another image is called a, too.

    Raises:
        DataError: Two drawings have one name, or one would replace an image.
    """
    stems, names = Counter(image.stem for image in images), Counter(image.name for image in images)
    if (twice := next((name for name, count in names.items() if count > 1), None)) is not None:
        raise DataError(
            f"two images are named {twice!r}; their drawings would replace each other: predict them apart"
        )
    drawings = {
        image: output / f"{image.name if stems[image.stem] > 1 else image.stem}.png"
        for image in images
    }
    given = {image.resolve() for image in images}
    if (
        lost := next((path for path in drawings.values() if path.resolve() in given), None)
    ) is not None:
        raise DataError(
            f"the drawing would take the place of the picture {lost}; choose another folder (--output)"
        )
    return drawings


def _results(people: People, predictions: Predictions) -> list[dict]:
    return [
        {
            "image_id": int(image) + 1,
            "file_name": Path(people.images[image]).name,
            "category_id": 1,
            "keypoints": [
                float(v) for point, s in zip(keypoints, scores, strict=True) for v in (*point, s)
            ],
            "score": float(score),
            "bbox": box.tolist(),
        }
        for image, keypoints, scores, box, score in zip(
            people.image_index,
            predictions.keypoints_image,
            predictions.scores,
            people.boxes,
            rescore(people.box_scores, predictions.scores),
            strict=True,
        )
    ]

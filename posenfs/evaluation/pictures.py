"""People in pictures of one's own: whole pictures, boxes from a file, or those that a detector finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_V2_Weights, fasterrcnn_resnet50_fpn_v2
from tqdm import tqdm

from posenfs.body.skeleton import Skeleton
from posenfs.body.words import reason_of
from posenfs.data.parsing import read_json
from posenfs.data.sample import DataError, People, load_image
from posenfs.model.backbones.pretrained import download, read_state

_PERSON = 1  # of the detector's classes, COCO's


@dataclass(frozen=True)
class BoxSource:
    """Where the boxes of people in images come from.

    Attributes:
        source: `whole` (each whole image is taken for one person), `detector`, or a JSON file (`boxes_from_file`).
        weights: Of the detector: `coco` (torchvision downloads them), or a file with its state dict.
        threshold: Boxes that the detector gives a score above this are people.
    """

    source: str = "whole"
    weights: str = "coco"
    threshold: float = 0.5

    def __post_init__(self):
        if not 0 <= self.threshold < 1:
            raise ValueError(
                f"the score above which boxes are people lies in [0, 1) (--box-threshold); got {self.threshold}"
            )
        if self.source not in ("whole", "detector") and not Path(self.source).is_file():
            raise DataError(f"boxes are `whole`, `detector`, or a JSON file; there is no file {self.source} (--boxes)")

    def find_people(
        self, images: Sequence[Path], skeleton: Skeleton, device: str | torch.device = "cpu", progress: bool = True
    ) -> People:
        """Return the people in these images, with the skeleton whose keypoints are to be found.

        Raises:
            DataError: An image or the file of boxes cannot be used, or the images have no box.
        """
        if self.source == "whole":
            return whole_pictures(images, skeleton)
        if self.source == "detector":
            return detected_people(images, skeleton, self.weights, self.threshold, device, progress)
        return boxes_from_file(images, skeleton, Path(self.source))


def whole_pictures(pictures: Sequence[Path], skeleton: Skeleton) -> People:
    """One person a picture, whose box is the whole of it. Raises DataError for what is no picture."""
    boxes = [[0, 0, *load_image(path).shape[:0:-1]] for path in pictures]
    return _people(pictures, skeleton, range(len(pictures)), boxes, np.ones(len(pictures)), "whole pictures")


def boxes_from_file(pictures: Sequence[Path], skeleton: Skeleton, path: Path) -> People:
    """The boxes of a file [{file_name, bbox [x, y, w, h], score}] for these pictures, by the pictures' names; those of
    other pictures are left aside. Raises DataError for an unsound file, or where no box is of one of the pictures."""
    rows = read_json(path)
    if not isinstance(rows, list):
        raise DataError(f"{path} must be a list of {{file_name, bbox, score}}")
    places, found = {picture.name: number for number, picture in enumerate(pictures)}, []
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or not isinstance(row.get("file_name"), str):
            raise DataError(f"{path}, box {number} names no file: {row!r:.80}")
        try:
            values = np.array([*row["bbox"], row.get("score", 1.0)], np.float64)
        except (KeyError, TypeError, ValueError):
            values = np.zeros(0)
        if values.shape != (5,) or not np.isfinite(values).all() or (values[2:4] <= 0).any():
            raise DataError(f"{path}, box {number} ({row['file_name']}): bbox must be x, y, w, h: {row!r:.100}")
        if (place := places.get(Path(row["file_name"]).name)) is not None:
            found.append((place, values))
    if not found:
        raise DataError(f"{path} has {len(rows)} boxes, none of {', '.join(places)}")
    index, values = [place for place, _ in found], np.stack([values for _, values in found])
    return _people(pictures, skeleton, index, values[:, :4], values[:, 4], path.name)


@torch.inference_mode()
def detected_people(
    pictures: Sequence[Path],
    skeleton: Skeleton,
    weights: str | Path = "coco",
    threshold: float = 0.5,
    device: str | torch.device = "cpu",
    progress: bool = True,
) -> People:
    """People that torchvision's Faster R-CNN (ResNet-50 FPN v2) finds with a score above the threshold.

    `weights`: "coco" (torchvision downloads them) or a file with its state dict. Raises DataError where nobody is
    found, FileNotFoundError or ValueError for the weights.
    """
    model = _detector(weights).to(device).eval()
    index, boxes, scores = [], [], []
    for number, path in enumerate(tqdm(pictures, "finding people", unit="picture", disable=not progress)):
        found = model([load_image(path).to(device).float() / 255])[0]
        kept = (found["labels"] == _PERSON) & (found["scores"] > threshold)
        index += [number] * int(kept.sum())
        boxes += found["boxes"][kept].tolist()
        scores += found["scores"][kept].tolist()
    if not boxes:
        raise DataError(
            f"no person found in {len(pictures)} pictures with a score above {threshold}; lower it (--box-threshold)"
        )
    corners = np.array(boxes)
    boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1)
    return _people(pictures, skeleton, index, boxes, np.array(scores), "detected (Faster R-CNN)")


def _detector(weights: str | Path) -> torch.nn.Module:
    if weights == "coco":
        own = FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1
        return download(fasterrcnn_resnet50_fpn_v2, own, "--detector-weights FILE")
    model, path = fasterrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None), Path(weights)
    if not path.is_file():
        raise FileNotFoundError(f"no detector weights at {path}; give torchvision's file, or coco to download them")
    state = read_state(path)
    try:
        model.load_state_dict(state)
    except Exception as error:  # of a foreign one torch raises nearly anything
        raise ValueError(f"{path} does not fit torchvision's fasterrcnn_resnet50_fpn_v2: {reason_of(error)}") from None
    return model


def _people(
    pictures: Sequence[Path],
    skeleton: Skeleton,
    index: Sequence[int],
    boxes: Sequence[Sequence[float]] | np.ndarray,
    scores: np.ndarray,
    source: str,
) -> People:
    count = len(boxes)
    return People(
        name="pictures",
        skeleton=skeleton,
        root=Path(),
        images=tuple(map(str, pictures)),
        image_index=np.array(index, int),
        keypoints_image=np.zeros((count, len(skeleton), 2)),
        visibility=np.zeros((count, len(skeleton)), np.uint8),
        boxes=np.array(boxes, np.float64),
        head_sizes=np.full(count, np.nan),
        person_ids=np.arange(count),
        box_source=source,
        head_source="none",
        box_scores=scores,
    )

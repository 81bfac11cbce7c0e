"""People in a user's own images: whole images, boxes from a file, or boxes of a detector."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torchvision.models.detection import (
    FasterRCNN_ResNet50_FPN_V2_Weights,
    fasterrcnn_resnet50_fpn_v2,
)
from tqdm import tqdm

from posenfs.body.skeleton import Skeleton
from posenfs.data.parsing import read_json
from posenfs.data.pixels import load_image
from posenfs.data.sample import Annotations, DataError
from posenfs.model.backbones.pretrained import download, load_weights

_PERSON = 1  # class of the detector, as in COCO


@dataclass(frozen=True)
class BoxSource:
    """Where the boxes of people in images come from.

    Attributes:
        source: `whole` (one person per image, with the whole image as box), `detector`, or a JSON
            file (see `boxes_from_file`).
        weights: Weights of the detector: `coco` (downloaded by torchvision) or a file with its
            state dict.
        threshold: The detector's boxes with a score above this are people.
    """

    source: str = "whole"
    weights: str = "coco"
    threshold: float = 0.5

    def __post_init__(self):
        if not 0 <= self.threshold < 1:
            raise ValueError(
                "the score above which boxes are people lies in [0, 1) (--box-threshold); got "
                f"{self.threshold}"
            )
        if self.source not in ("whole", "detector") and not Path(self.source).is_file():
            raise DataError(
                "boxes are `whole`, `detector`, or a JSON file; there is no file "
                f"{self.source} (--boxes)"
            )

    def find_people(
        self,
        images: Sequence[Path],
        skeleton: Skeleton,
        device: str | torch.device = "cpu",
        progress: bool = True,
    ) -> Annotations:
        """Return the people in images, without keypoints.

        Args:
            images: Image files.
            skeleton: Skeleton of the keypoints to predict.
            device: Device of the detector.
            progress: Show a progress bar of the detector.

        Raises:
            DataError: An image or the file of boxes cannot be used, or the images have no box.
        """
        if self.source == "whole":
            return whole_images(images, skeleton)
        if self.source == "detector":
            return detected_people(images, skeleton, self.weights, self.threshold, device, progress)
        return boxes_from_file(images, skeleton, Path(self.source))


def whole_images(images: Sequence[Path], skeleton: Skeleton) -> Annotations:
    """Return one person per image, whose box is the whole image.

    Args:
        images: Image files.
        skeleton: Skeleton of the keypoints to predict.

    Raises:
        DataError: A file is not an image.
    """
    boxes = [[0, 0, *load_image(path).shape[:0:-1]] for path in images]
    scores = np.ones(len(images))
    return _annotations(images, skeleton, range(len(images)), boxes, scores, "whole images")


def boxes_from_file(images: Sequence[Path], skeleton: Skeleton, path: Path) -> Annotations:
    """Return the people of a file of boxes, matched to images by file name.

    Args:
        images: Image files; boxes of other images are ignored.
        skeleton: Skeleton of the keypoints to predict.
        path: JSON file [{file_name, bbox [x, y, w, h], score}].

    Raises:
        DataError: The file is broken, or none of its boxes belongs to these images.
    """
    rows = read_json(path)
    if not isinstance(rows, list):
        raise DataError(f"{path} must be a list of {{file_name, bbox, score}}")
    image_index = {image.name: number for number, image in enumerate(images)}
    index, boxes = [], []
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or not isinstance(row.get("file_name"), str):
            raise DataError(f"{path}, box {number} names no file: {row!r:.80}")
        try:
            values = np.array([*row["bbox"], row.get("score", 1.0)], np.float64)
        except (KeyError, TypeError, ValueError):
            values = np.zeros(0)
        if values.shape != (5,) or not np.isfinite(values).all() or (values[2:4] <= 0).any():
            raise DataError(
                f"{path}, box {number} ({row['file_name']}): bbox must be x, y, w, h: {row!r:.100}"
            )
        name = Path(row["file_name"]).name
        if name in image_index:
            index.append(image_index[name])
            boxes.append(values)
    if not boxes:
        raise DataError(f"{path} has {len(rows)} boxes, none of {', '.join(image_index)}")
    values = np.stack(boxes)
    return _annotations(images, skeleton, index, values[:, :4], values[:, 4], path.name)


@torch.inference_mode()
def detected_people(
    images: Sequence[Path],
    skeleton: Skeleton,
    weights: str | Path = "coco",
    threshold: float = 0.5,
    device: str | torch.device = "cpu",
    progress: bool = True,
) -> Annotations:
    """Detect people by torchvision's Faster R-CNN (ResNet-50 FPN v2).

    Args:
        images: Image files.
        skeleton: Skeleton of the keypoints to predict.
        weights: "coco" (downloaded by torchvision) or a file with the detector's state dict.
        threshold: Boxes with a score above this are people.
        device: Device of the detector.
        progress: Show a progress bar.

    Raises:
        DataError: No person is found.
        FileNotFoundError: There is no file of weights.
        ValueError: The weights do not fit the detector.
    """
    model = _detector(weights).to(device).eval()
    index, boxes, scores = [], [], []
    bar = tqdm(images, "finding people", unit="image", disable=not progress)
    for number, path in enumerate(bar):
        detections = model([load_image(path).to(device).float() / 255])[0]
        is_person = (detections["labels"] == _PERSON) & (detections["scores"] > threshold)
        index += [number] * int(is_person.sum())
        boxes += detections["boxes"][is_person].tolist()
        scores += detections["scores"][is_person].tolist()
    if not boxes:
        raise DataError(
            f"no person found in {len(images)} images with a score above {threshold}; lower it "
            "(--box-threshold)"
        )
    corners = np.array(boxes)  # [N, 4]: x0, y0, x1, y1
    xywh = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1)
    return _annotations(images, skeleton, index, xywh, np.array(scores), "detected (Faster R-CNN)")


def _detector(weights: str | Path) -> torch.nn.Module:
    if weights == "coco":
        released = FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1
        return download(fasterrcnn_resnet50_fpn_v2, released, "--detector-weights FILE")
    path = Path(weights)
    if not path.is_file():
        raise FileNotFoundError(
            f"no detector weights at {path}; give torchvision's file, or coco to download them"
        )
    model = fasterrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None)
    load_weights(model, path, "fasterrcnn_resnet50_fpn_v2")
    return model


def _annotations(
    images: Sequence[Path],
    skeleton: Skeleton,
    index: Sequence[int],
    boxes: Sequence[Sequence[float]] | np.ndarray,
    scores: np.ndarray,
    source: str,
) -> Annotations:
    """Return annotations with boxes and without labelled keypoints."""
    count = len(boxes)
    return Annotations(
        name="images",
        skeleton=skeleton,
        root=Path(),
        images=tuple(map(str, images)),
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

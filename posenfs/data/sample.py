"""People as arrays (what every reader returns), some of them cropped as a batch, and their pictures."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from posenfs.body.skeleton import HEAD_SOURCE, Skeleton
from posenfs.data.geometry import Crop

ROOT = "--data.root (of `ablate` and `submit` --root; in Python DataSpec(root=…))"  # in messages


class DataError(Exception):
    """Data that cannot be used. The message names the file, the value and the next step."""


@dataclass(frozen=True)
class CocoFile:
    """The file in COCO's form that people come from: what AP is computed against."""

    path: Path
    image_ids: np.ndarray  # [M] of the people's pictures
    category: int
    people: np.ndarray  # ids of everybody read from it: of a selection, those not chosen are not judged
    every_image: bool = False  # whether all pictures of the file are judged, or those of these people alone


@dataclass(frozen=True)
class People:
    """N annotated people in M images, in compact arrays.

    Coordinates are image px, 0-based, an integer being a pixel's centre. Unlabelled keypoints (visibility 0) hold
    zeros. A box (x, y, w, h) is the person's own, before any padding. head_sizes are NaN where unknown. left_out counts
    the people of the files that are not here, by the reason.
    """

    name: str
    skeleton: Skeleton
    root: Path  # of the image paths
    images: tuple[str, ...]  # [M]
    image_index: np.ndarray  # [N] int
    keypoints_image: np.ndarray  # [N, K, 2] float64
    visibility: np.ndarray  # [N, K] uint8: 0 not labelled, 1 occluded, 2 visible
    boxes: np.ndarray  # [N, 4] float64
    head_sizes: np.ndarray  # [N] float64, px
    person_ids: np.ndarray  # [N] int
    box_source: str = "annotated"  # where the boxes come from: every result says so
    head_source: str = HEAD_SOURCE  # what a head size is
    image_sizes: np.ndarray | None = None  # [M, 2] width, height px as annotated, NaN where not; none: not annotated
    left_out: Mapping[str, int] = field(default_factory=dict)
    box_scores: np.ndarray | None = None  # [N] of detected boxes; none: the boxes are given
    coco: CocoFile | None = None
    title: str | None = None  # what messages call it; None: its name, which results and runs store

    @property
    def label(self) -> str:
        """The name for messages."""
        return self.title or self.name

    def __len__(self) -> int:
        return len(self.image_index)

    def select(self, index: np.ndarray | slice | Sequence[int]) -> "People":
        """Some of these people, in the given order."""
        rows = ["image_index", "keypoints_image", "visibility", "boxes", "head_sizes", "person_ids"]
        rows += ["box_scores"] if self.box_scores is not None else []
        return replace(self, **{row: getattr(self, row)[index] for row in rows})

    def with_skeleton(self, skeleton: Skeleton, called: Mapping[str, str] | None = None) -> "People":
        """The same people by another skeleton, whose keypoints bear the same names here, or those that `called` gives
        them. Raises ValueError where one is not labelled here."""
        chosen = [self.skeleton.index((called or {}).get(name, name)) for name in skeleton.keypoints]
        points, seen = self.keypoints_image[:, chosen], self.visibility[:, chosen]
        return replace(self, skeleton=skeleton, keypoints_image=points, visibility=seen, coco=None)

    def of_drawn_pictures(self, share: float, seed: int, after: float = 0.0) -> np.ndarray:
        """[N]: whose picture is one of a share of the pictures, drawn at random `after` those of another share."""
        pictures = np.unique(self.image_index)
        drawn = np.random.Generator(np.random.Philox(key=seed)).permutation(pictures)
        first, last = (round(end * len(pictures)) for end in (after, after + share))
        return np.isin(self.image_index, drawn[first:last])

    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that change with any annotation or image name."""
        digest = hashlib.sha256("\n".join(self.images).encode())
        for array in (self.image_index, self.keypoints_image, self.visibility, self.boxes, self.head_sizes):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:12]

    def lengths(self, start: str, end: str) -> np.ndarray:
        """[N] px from one keypoint to another; NaN unless both are labelled."""
        ends = [self.skeleton.index(name) for name in (start, end)]
        length = np.linalg.norm(np.diff(self.keypoints_image[:, ends], axis=1)[:, 0], axis=-1)
        return np.where((self.visibility[:, ends] > 0).all(1), length, np.nan)

    def image_path(self, person: int) -> Path:
        return self.root / self.images[self.image_index[person]]


@dataclass(frozen=True)
class Batch:
    """B people cropped: images uint8 [B, 3, H, W], keypoints_crop [B, K, 2] crop px, visibility [B, K], the index of
    each in its People, the crops (fields with a leading [B]), and what colours are multiplied by [B, 3]."""

    images: Tensor
    keypoints_crop: Tensor
    visibility: Tensor
    index: np.ndarray
    crop: Crop
    gains: Tensor

    def to(self, device: torch.device) -> "Batch":
        tensors = ("images", "keypoints_crop", "visibility", "gains")
        return replace(self, **{name: send(getattr(self, name), device) for name in tensors})


def load_image(path: Path) -> Tensor:
    """uint8 RGB [3, H, W], upright by its EXIF tag; raises DataError naming a missing or broken file.

    Transparent pixels become white, as a page shows them; of sixteen bits of grey the upper eight are kept.
    """
    if not path.is_file():
        raise DataError(f"no image at {path}; check its name and its folder")
    try:
        with Image.open(path) as image:
            pixels = np.array(_rgb(ImageOps.exif_transpose(image)))
    except PICTURE_ERRORS as error:
        size = path.stat().st_size
        raise DataError(f"{path} ({size} bytes) is not a whole image: {error}; copy it again or drop it") from None
    return torch.from_numpy(pixels).permute(2, 0, 1)


# What Pillow raises for a file that is no picture, or is not whole.
PICTURE_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def _rgb(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    return image.convert("RGB")


_COLOURS = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]  # ImageNet's mean and deviation


def send(tensor: Tensor, device: torch.device | str) -> Tensor:
    """To a device; to a GPU without waiting for what it is doing."""
    if torch.device(device).type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def normalise(images: Tensor, gains: Tensor | None = None) -> Tensor:
    """uint8 [B, 3, H, W] -> float32, ImageNet's mean 0 and deviation 1 per channel, channels last in memory; colours
    multiplied by gains [B, 3] before, and cut off at white."""
    mean, deviation = send(torch.tensor(_COLOURS), images.device)[..., None, None] * 255
    images = images.to(memory_format=torch.channels_last).float()
    if gains is not None:
        images = images.mul_(gains[..., None, None]).clamp_(max=255)
    return images.sub_(mean).div_(deviation)

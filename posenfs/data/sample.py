"""Annotated people as arrays, and batches of their crops."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from posenfs.body.skeleton import HEAD_SOURCE, Skeleton
from posenfs.data.geometry import Crop, ImageSize, crop_to_heatmap
from posenfs.data.heatmaps import encode
from posenfs.errors import PosenfsError

# The option for the data folder, as messages name it.
ROOT = "--data.root (of `resume`, `ablate` and `submit` --root; in Python DataSpec(root=…))"


class DataError(PosenfsError):
    """Data that cannot be used. The message names the file, the value and the next step."""


@dataclass(frozen=True)
class CocoFile:
    """The COCO file that the annotations were read from, against which AP is computed."""

    path: Path
    image_ids: np.ndarray  # [M] ids of the people's images
    category: int  # id of the category; of several the first, under which AP judges all of them
    people: np.ndarray  # [P] ids of all labelled people of the file; AP ignores those not selected
    every_image: bool = False  # whether AP covers all images of the file, or only the people's
    categories: np.ndarray | None = None  # [P] category ids of `people`; None: all `category`
    category_names: tuple[str, ...] = ("person",)
    coordinates: str | None = None  # unit of the file: "pixels", "normalised"; None: px, checked

    def categories_of(self, person_ids: np.ndarray) -> np.ndarray:
        """Return the category ids [N] of people, for results in COCO's format.

        Args:
            person_ids: [N] ids; those that are not in `people` have the category `category`.
        """
        if self.categories is None:
            return np.full(len(person_ids), self.category)
        by_person = dict(zip(self.people.tolist(), self.categories.tolist(), strict=True))
        return np.array([by_person.get(person, self.category) for person in person_ids.tolist()])


@dataclass(frozen=True)
class Annotations:
    """N annotated people in M images.

    Coordinates are image px, 0-based; an integer is the centre of a pixel. Unlabelled keypoints
    (visibility 0) are zero.
    """

    name: str
    skeleton: Skeleton
    root: Path  # folder of the image paths
    images: tuple[str, ...]  # [M] paths
    image_index: np.ndarray  # [N] int
    keypoints_image: np.ndarray  # [N, K, 2] float64
    visibility: np.ndarray  # [N, K] uint8: 0 not labelled, 1 occluded, 2 visible
    boxes: np.ndarray  # [N, 4] float64: x, y, width, height, without padding
    head_sizes: np.ndarray  # [N] float64, px; NaN where unknown
    person_ids: np.ndarray  # [N] int
    box_source: str = "annotated"  # origin of the boxes, stored in every result
    head_source: str = HEAD_SOURCE  # definition of the head size
    image_sizes: np.ndarray | None = None  # [M, 2] annotated width, height px; NaN where missing
    excluded: Mapping[str, int] = field(default_factory=dict)  # reason -> number of people
    # Reason in plain words -> number of people or images that are kept, but possibly wrong, or
    # completed by a rule (a box made from keypoints).
    doubtful: Mapping[str, int] = field(default_factory=dict)
    box_scores: np.ndarray | None = None  # [N] scores of detected boxes
    coco: CocoFile | None = None
    title: str | None = None  # name in messages; None: `name`, which results and runs store

    @property
    def label(self) -> str:
        """The name in messages."""
        return self.title or self.name

    def __len__(self) -> int:
        return len(self.image_index)

    def select(self, index: np.ndarray | slice | Sequence[int]) -> "Annotations":
        """Return the annotations at these indices, in the order of the indices."""
        names = [
            "image_index",
            "keypoints_image",
            "visibility",
            "boxes",
            "head_sizes",
            "person_ids",
        ]
        if self.box_scores is not None:
            names.append("box_scores")
        return replace(self, **{name: getattr(self, name)[index] for name in names})

    def with_skeleton(
        self, skeleton: Skeleton, source_names: Mapping[str, str] | None = None
    ) -> "Annotations":
        """Return the same annotations with the keypoints of another skeleton.

        Args:
            skeleton: The other skeleton.
            source_names: Names in this skeleton of keypoints that the other one names differently.

        Raises:
            ValueError: This skeleton lacks one of the keypoints.
        """
        source_names = source_names or {}
        index = [self.skeleton.index(source_names.get(name, name)) for name in skeleton.keypoints]
        return replace(
            self,
            skeleton=skeleton,
            keypoints_image=self.keypoints_image[:, index],
            visibility=self.visibility[:, index],
            coco=None,
        )

    def sample_images(self, share: float, seed: int, after: float = 0.0) -> np.ndarray:
        """Select the people of randomly drawn images.

        Args:
            share: Share of the images to draw.
            seed: Seed of the random order of the images.
            after: Share of the images to skip first, such as that of a disjoint earlier draw.

        Returns:
            bool [N]: whether a person's image is drawn.
        """
        images = np.unique(self.image_index)
        shuffled = np.random.Generator(np.random.Philox(key=seed)).permutation(images)
        first = round(after * len(images))
        last = round((after + share) * len(images))
        return np.isin(self.image_index, shuffled[first:last])

    def fingerprint(self) -> str:
        """Return twelve hexadecimal digits that change with any annotation or image name."""
        digest = hashlib.sha256("\n".join(self.images).encode())
        arrays = (self.image_index, self.keypoints_image, self.visibility)
        for array in (*arrays, self.boxes, self.head_sizes):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:12]

    def lengths(self, start: str, end: str) -> np.ndarray:
        """Return the distance between two keypoints, [N] px; NaN unless both are labelled."""
        ends = [self.skeleton.index(start), self.skeleton.index(end)]
        offset = np.diff(self.keypoints_image[:, ends], axis=1)[:, 0]
        labelled = (self.visibility[:, ends] > 0).all(1)
        return np.where(labelled, np.linalg.norm(offset, axis=-1), np.nan)

    def image_path(self, person: int) -> Path:
        """Return the path of a person's image."""
        return self.root / self.images[self.image_index[person]]

    def annotated_size(self, image: int) -> ImageSize | None:
        """Return the annotated size of an image in px, or None where it is missing."""
        if self.image_sizes is None or not np.isfinite(self.image_sizes[image]).all():
            return None
        width, height = self.image_sizes[image]
        return ImageSize(int(height), int(width))


@dataclass(frozen=True)
class Batch:
    """The crops of B people."""

    images: Tensor  # uint8 [B, 3, H, W]
    keypoints_crop: Tensor  # [B, K, 2] crop px
    visibility: Tensor  # [B, K]
    index: np.ndarray  # [B] indices into the annotations
    crop: Crop  # fields with a leading [B]
    gains: Tensor  # [B, 3] factors for red, green and blue

    def __len__(self) -> int:
        return len(self.images)

    def targets(self, stride: int) -> Tensor:
        """Return the target heatmaps [B, K, H / stride, W / stride]."""
        height, width = self.images.shape[-2:]
        size = ImageSize(height // stride, width // stride)
        return encode(crop_to_heatmap(self.keypoints_crop, stride), size)

    def chunk(self, chunks: int) -> list["Batch"]:
        """Split the batch into at most `chunks` batches, all but the last of one size."""
        if chunks == 1:
            return [self]
        size = -(-len(self) // chunks)
        return [self._rows(slice(start, start + size)) for start in range(0, len(self), size)]

    def _rows(self, rows: slice) -> "Batch":
        return Batch(
            self.images[rows],
            self.keypoints_crop[rows],
            self.visibility[rows],
            self.index[rows],
            self.crop[rows],
            self.gains[rows],
        )

    def to(self, device: torch.device) -> "Batch":
        """Return the batch with its tensors on a device."""
        return replace(
            self,
            images=send(self.images, device),
            keypoints_crop=send(self.keypoints_crop, device),
            visibility=send(self.visibility, device),
            gains=send(self.gains, device),
        )


_IMAGENET = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]  # mean, standard deviation (RGB)


def send(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Copy a tensor to a device; a copy to a GPU does not wait for the GPU's work.

    Args:
        tensor: The tensor.
        device: The device to copy to.
    """
    if torch.device(device).type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def normalise(images: Tensor, gains: Tensor | None = None) -> Tensor:
    """Normalise images to ImageNet's mean 0 and standard deviation 1 per channel.

    Args:
        images: uint8 [B, 3, H, W].
        gains: Factors [B, 3] to multiply the colours by first; values are clamped at white.

    Returns:
        float32 [B, 3, H, W], channels last in memory.
    """
    mean, deviation = send(torch.tensor(_IMAGENET), images.device)[..., None, None] * 255
    images = images.to(memory_format=torch.channels_last).float()
    if gains is not None:
        images = images.mul_(gains[..., None, None]).clamp_(max=255)
    return images.sub_(mean).div_(deviation)

"""LSP-extended in its original layout: images/im00001.jpg …, joints.mat."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.io import loadmat

from posenfs.body.skeleton import LSP
from posenfs.data.sample import DataError, People

_TRAIN = 5000  # images to train on; the rest validates. The set itself has no split.
_MIN_BOX = 8.0  # px: what is left of a person labelled in one point


def find_lsp(root: Path, split: str) -> Path | None:
    """The annotation file, which holds both splits; None where there is none."""
    path = root / "joints.mat"
    return path if path.is_file() else None


def read_lsp(root: Path, split: str) -> People:
    """One person an image; train: images 1-5000, valid: those after. Raises DataError for a missing or unsound file.

    Boxes are those of the labelled keypoints (the set has none of its own), and head sizes run from neck to head top.
    People without any labelled keypoint are left out.
    """
    path = find_lsp(root, split)
    if path is None:
        raise DataError(
            f"no LSP annotation at {root / 'joints.mat'}; `root` must hold images/ and joints.mat (see data/README.md)"
        )
    try:
        joints = loadmat(path)["joints"].astype(np.float64)
    except Exception as error:  # of a broken file the parser raises nearly anything
        raise DataError(f"{path} is not LSP's annotation: {error}; copy it again") from None
    if joints.ndim != 3 or joints.shape[:2] != (14, 3):
        raise DataError(f"{path} holds joints of shape {joints.shape}, expected (14, 3, images): x, y, label")
    numbers = np.arange(joints.shape[2])
    numbers = numbers[:_TRAIN] if split == "train" else numbers[_TRAIN:]
    labelled = joints[:, 2, numbers].T > 0
    empty = int((~labelled.any(1)).sum())
    numbers, labelled = numbers[labelled.any(1)], labelled[labelled.any(1)]
    if not len(numbers):
        raise DataError(
            f"{path}: no labelled person for {split}; it has {joints.shape[2]} images, {_TRAIN} to train on"
        )
    points = joints[:, :2, numbers].transpose(2, 0, 1)
    if not np.isfinite(points[labelled]).all():
        person = np.flatnonzero((labelled & ~np.isfinite(points).all(-1)).any(1))[0]
        raise DataError(f"{path}: image {numbers[person] + 1} has a labelled keypoint that is no number")
    # what is not labelled holds garbage, negative mostly: it must reach no box, target or metric
    low = np.where(labelled[..., None], points, np.inf).min(1)
    high = np.where(labelled[..., None], points, -np.inf).max(1)
    size = np.maximum(high - low, _MIN_BOX)
    people = People(
        name=f"lsp {split}",
        skeleton=LSP,
        root=root / "images",
        images=tuple(f"im{number + 1:05d}.jpg" for number in numbers),
        image_index=np.arange(len(numbers)),
        keypoints_image=np.where(labelled[..., None], points, 0.0),
        visibility=np.where(labelled, 2, 0).astype(np.uint8),
        boxes=np.concatenate([(low + high - size) / 2, size], -1),
        head_sizes=np.full(len(numbers), np.nan),
        person_ids=numbers + 1,
        box_source="labelled keypoints",
        head_source="neck to head top",
        left_out={"no labelled keypoint": empty} if empty else {},
    )
    return replace(people, head_sizes=people.lengths("neck", "head_top"))

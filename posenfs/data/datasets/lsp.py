"""LSP-extended in its original layout: images/im00001.jpg …, joints.mat."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from posenfs.body.skeleton import LSP
from posenfs.data.parsing import read_mat
from posenfs.data.sample import ROOT, DataError, People

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
            f"no LSP annotation at {root / 'joints.mat'}; {ROOT} must hold images/ and joints.mat (see data/README.md)"
        )
    points, labelled = read_joints(path)
    numbers = np.arange(len(points))
    numbers = numbers[:_TRAIN] if split == "train" else numbers[_TRAIN:]
    seen = labelled[numbers].any(1)
    empty, numbers = int((~seen).sum()), numbers[seen]
    if not len(numbers):
        raise DataError(
            f"{path}: no labelled person for {split}; it has {len(points)} images, {_TRAIN} to train on"
        )
    points, labelled = points[numbers], labelled[numbers]
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


def read_joints(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """joints.mat: keypoints [N, 14, 2] px and whether each is labelled [N, 14]; what is not labelled holds garbage.

    Raises DataError for an unsound file.
    """
    try:
        joints = read_mat(path)["joints"].astype(np.float64)
    except Exception as error:  # of a broken file the parser raises nearly anything
        raise DataError(f"{path} is not LSP's annotation: {error}; copy it again") from None
    if joints.ndim == 3 and joints.shape[:2] == (3, 14):
        raise DataError(
            f"{path} holds joints of shape {joints.shape}: this is the original LSP, which is not read; take "
            "lspet_dataset.zip (LSP-extended)"
        )
    if joints.ndim != 3 or joints.shape[:2] != (14, 3):
        raise DataError(
            f"{path} holds joints of shape {joints.shape}, expected (14, 3, images): x, y, label"
        )
    points, labelled = joints[:, :2].transpose(2, 0, 1), joints[:, 2].T > 0
    if (unsound := (labelled & ~np.isfinite(points).all(-1)).any(1)).any():
        image = np.flatnonzero(unsound)[0] + 1
        raise DataError(f"{path}: image {image} has a labelled keypoint that is no number")
    return points, labelled

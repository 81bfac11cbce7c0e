"""Reader of LSP-extended in its original layout: images/im00001.jpg …, joints.mat."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from posenfs.body.skeleton import LSP
from posenfs.data.parsing import read_mat
from posenfs.data.sample import ROOT, Annotations, DataError

_TRAIN_IMAGES = 5000  # the first images train, the others validate; the data set defines no split
_MIN_BOX = 8.0  # px: the smallest side of a box, also around a single keypoint


def find_lsp(root: Path, split: str) -> Path | None:
    """Return the annotation file, which holds both splits, or None where it is missing.

    Args:
        root: The data folder.
        split: train or valid.
    """
    path = root / "joints.mat"
    return path if path.is_file() else None


def read_lsp(root: Path, split: str) -> Annotations:
    """Read the people of a split, one per image: train is images 1-5000, valid the others.

    Boxes enclose the labelled keypoints, because the data set has no boxes. The head size is the
    distance from neck to head top. People without a labelled keypoint are left out.

    Args:
        root: The data folder.
        split: train or valid.

    Raises:
        DataError: The annotation file is missing or invalid.
    """
    path = find_lsp(root, split)
    if path is None:
        raise DataError(
            f"no LSP annotation at {root / 'joints.mat'}; {ROOT} must hold images/ and joints.mat "
            "(see data/README.md)"
        )
    points, labelled = read_joints(path)
    split_rows = slice(None, _TRAIN_IMAGES) if split == "train" else slice(_TRAIN_IMAGES, None)
    image_numbers = np.arange(1, len(points) + 1)[split_rows]
    has_label = labelled[split_rows].any(1)
    unlabelled = int((~has_label).sum())
    image_numbers = image_numbers[has_label]
    if not len(image_numbers):
        raise DataError(
            f"{path}: no labelled person for {split}; it has {len(points)} images, "
            f"{_TRAIN_IMAGES} to train on"
        )
    points, labelled = points[image_numbers - 1], labelled[image_numbers - 1]
    # Unlabelled coordinates are arbitrary, mostly negative; no box, target or metric may use them.
    low = np.where(labelled[..., None], points, np.inf).min(1)
    high = np.where(labelled[..., None], points, -np.inf).max(1)
    size = np.maximum(high - low, _MIN_BOX)
    annotations = Annotations(
        name=f"lsp {split}",
        skeleton=LSP,
        root=root / "images",
        images=tuple(f"im{number:05d}.jpg" for number in image_numbers),
        image_index=np.arange(len(image_numbers)),
        keypoints_image=np.where(labelled[..., None], points, 0.0),
        visibility=np.where(labelled, 2, 0).astype(np.uint8),
        boxes=np.concatenate([(low + high - size) / 2, size], -1),
        head_sizes=np.full(len(image_numbers), np.nan),
        person_ids=image_numbers,
        box_source="labelled keypoints",
        head_source="neck to head top",
        excluded={"no labelled keypoint": unlabelled} if unlabelled else {},
    )
    return replace(annotations, head_sizes=annotations.lengths("neck", "head_top"))


def read_joints(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read joints.mat.

    Args:
        path: The file.

    Returns:
        Keypoints [N, 14, 2] px, arbitrary where unlabelled, and whether each is labelled [N, 14].

    Raises:
        DataError: The file is invalid.
    """
    try:
        joints = read_mat(path)["joints"].astype(np.float64)
    except Exception as error:  # a broken file can raise nearly any exception
        raise DataError(f"{path} is not LSP's annotation: {error}; copy it again") from None
    if joints.ndim == 3 and joints.shape[:2] == (3, 14):
        raise DataError(
            f"{path} holds joints of shape {joints.shape}: this is the original LSP, which is not "
            "supported; take lspet_dataset.zip (LSP-extended)"
        )
    if joints.ndim != 3 or joints.shape[:2] != (14, 3):
        raise DataError(
            f"{path} holds joints of shape {joints.shape}, expected (14, 3, images): x, y, label"
        )
    points, labelled = joints[:, :2].transpose(2, 0, 1), joints[:, 2].T > 0
    invalid = (labelled & ~np.isfinite(points).all(-1)).any(1)
    if invalid.any():
        image = np.flatnonzero(invalid)[0] + 1
        raise DataError(f"{path}: image {image} has a labelled keypoint that is no number")
    return points, labelled

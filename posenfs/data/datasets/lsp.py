"""Reader of LSP-extended and of the original LSP, in their own layout: images/ and joints.mat.

LSP-extended (10,000 images, images/im00001.jpg …): joints is [14, 3, images] with x, y and a label,
1 where the keypoint is labelled. LSP (2,000 images, images/im0001.jpg …): joints is
[3, 14, images] with x, y and 1 where the keypoint is occluded; all keypoints are labelled.
"""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from posenfs.body.skeleton import LSP
from posenfs.data.datasets.coordinates import keypoint_boxes, refuse_normalised
from posenfs.data.parsing import read_mat
from posenfs.data.sample import ROOT, Annotations, DataError


class _Form(NamedTuple):
    """One of the two data sets."""

    name: str  # of the annotations
    image: str  # pattern of the image names
    train_images: int  # the first images train, the others validate


# LSP-extended defines no split; LSP's own is 1,000 images to train and 1,000 to test.
_EXTENDED = _Form("lsp", "im{:05d}.jpg", 5000)
_ORIGINAL = _Form("lsp_original", "im{:04d}.jpg", 1000)
_ORIGINAL_IMAGES = 2000


def find_lsp(root: Path, split: str) -> Path | None:
    """Return the annotation file, which holds both splits, or None where it is missing.

    Args:
        root: The data folder.
        split: train or valid.
    """
    path = root / "joints.mat"
    return path if path.is_file() else None


def read_lsp(root: Path, split: str) -> Annotations:
    """Read the people of a split, one per image.

    train is images 1-5000 of LSP-extended or 1-1000 of LSP, valid the others. Boxes enclose the
    labelled keypoints, because the data sets have no boxes. The head size is the
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
    form, points, visibility = _read_file(path)
    first = form.train_images
    split_rows = slice(None, first) if split == "train" else slice(first, None)
    image_numbers = np.arange(1, len(points) + 1)[split_rows]
    has_label = (visibility[split_rows] > 0).any(1)
    unlabelled = int((~has_label).sum())
    image_numbers = image_numbers[has_label]
    if not len(image_numbers):
        raise DataError(
            f"{path}: no labelled person for {split}; it has {len(points)} images, "
            f"{first} to train on"
        )
    points, visibility = points[image_numbers - 1], visibility[image_numbers - 1]
    labelled = visibility > 0
    doubtful = refuse_normalised(str(path), "multiply by the images' sizes", points, labelled)
    annotations = Annotations(
        name=f"{form.name} {split}",
        skeleton=LSP,
        root=root / "images",
        images=tuple(form.image.format(number) for number in image_numbers),
        image_index=np.arange(len(image_numbers)),
        # Unlabelled coordinates are arbitrary, mostly negative; no target or metric may use them.
        keypoints_image=np.where(labelled[..., None], points, 0.0),
        visibility=visibility,
        boxes=keypoint_boxes(points, labelled),
        head_sizes=np.full(len(image_numbers), np.nan),
        person_ids=image_numbers,
        box_source="labelled keypoints",
        head_source="neck to head top",
        excluded={"no labelled keypoint": unlabelled} if unlabelled else {},
        doubtful=doubtful,
    )
    return replace(annotations, head_sizes=annotations.lengths("neck", "head_top"))


def read_joints(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read joints.mat of LSP-extended or of the original LSP.

    Args:
        path: The file.

    Returns:
        Keypoints [N, 14, 2] px, arbitrary where unlabelled, and visibility [N, 14]: 0 not
        labelled, 1 occluded (marked in the original LSP alone), 2 labelled.

    Raises:
        DataError: The file is invalid.
    """
    return _read_file(path)[1:]


def _read_file(path: Path) -> tuple[_Form, np.ndarray, np.ndarray]:
    """Which data set it is, and what `read_joints` returns."""
    try:
        joints = read_mat(path)["joints"].astype(np.float64)
    except Exception as error:  # a broken file can raise nearly any exception
        raise DataError(f"{path} is not LSP's annotation: {error}; copy it again") from None
    if joints.ndim == 2:  # MATLAB drops the last axis of a single image
        joints = joints[..., None]
    if joints.ndim != 3 or joints.shape[:2] not in ((14, 3), (3, 14)):
        raise DataError(
            f"{path} holds joints of shape {joints.shape}, expected (14, 3, images): x, y, label "
            "(LSP-extended), or (3, 14, images): x, y, occluded (LSP); transpose them"
        )
    form = _EXTENDED if joints.shape[0] == 14 else _ORIGINAL
    if form is _ORIGINAL:
        if joints.shape[2] > _ORIGINAL_IMAGES:
            raise DataError(
                f"{path} holds joints of shape {joints.shape}, as the original LSP, which has "
                f"{_ORIGINAL_IMAGES} images; transpose LSP-extended to (14, 3, images)"
            )
        joints = joints.transpose(1, 0, 2)
    points, flags = joints[:, :2].transpose(2, 0, 1), joints[:, 2].T
    if not np.isin(flags, (0, 1)).all():
        image, k = np.argwhere(~np.isin(flags, (0, 1)))[0]
        what = "label" if form is _EXTENDED else "occluded"
        raise DataError(
            f"{path}: image {image + 1} has {what} {flags[image, k]:g} at {LSP.keypoints[k]}; it "
            "must be 0 or 1"
        )
    visibility = np.where(flags > 0, 2, 0) if form is _EXTENDED else np.where(flags > 0, 1, 2)
    invalid = ((visibility > 0) & ~np.isfinite(points).all(-1)).any(1)
    if invalid.any():
        image = np.flatnonzero(invalid)[0] + 1
        raise DataError(f"{path}: image {image} has a labelled keypoint that is no number")
    return form, points, visibility.astype(np.uint8)

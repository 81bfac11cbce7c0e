"""Readers of ground-truth files for scoring; persons and keypoints keep the order of the file."""

from pathlib import Path

import numpy as np

from posenfs.body.skeleton import LSP, MPII, MPII_FILE_KEYPOINTS, Skeleton
from posenfs.data.datasets.coco import annotations_of_file
from posenfs.data.datasets.coco_categories import keypoint_category
from posenfs.data.datasets.lsp import read_joints
from posenfs.data.datasets.mpii import annotations_of_json, mpii_truth
from posenfs.data.parsing import read_json, read_mat
from posenfs.data.sample import Annotations, DataError

_MPII = Skeleton("MPII-16 in file order", MPII_FILE_KEYPOINTS, (), ())


def read_truth(path: Path) -> Annotations:
    """Read the annotated persons of a ground-truth file, without images.

    Args:
        path: MPII's gt_*.mat or JSON file, LSP's joints.mat (one person per image), or a JSON file
            in COCO's format (persons that are no crowd and have a labelled keypoint).

    Raises:
        FileNotFoundError: There is no such file.
        DataError: The file has another format or is broken.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no ground truth at {path}")
    if path.suffix == ".json":
        content = read_json(path)
        return _coco(path, content) if isinstance(content, dict) else _mpii_json(path)
    if path.suffix != ".mat":
        raise DataError(
            f"{path}: ground truth is gt_*.mat, joints.mat, or a JSON file in MPII's or COCO's "
            "format"
        )
    try:
        names = set(read_mat(path, variable_names=["joints", "pos_gt_src"]))
    except Exception as error:  # the parser raises many types of errors for a broken file
        raise DataError(f"{path} cannot be read ({error}); copy it again") from None
    if "joints" in names:
        points, visibility = read_joints(path)
        return _annotations(path, LSP, points, visibility > 0)
    joints, missing, heads = mpii_truth(path)
    return _annotations(path, _MPII, joints - 1, ~missing, heads)


def _mpii_json(path: Path) -> Annotations:
    annotations = annotations_of_json(path, path.parent)
    order = [MPII.index(name) for name in MPII_FILE_KEYPOINTS]
    points = annotations.keypoints_image[:, order]
    return _annotations(
        path, _MPII, points, annotations.visibility[:, order] > 0, annotations.head_sizes
    )


def _coco(path: Path, content: dict) -> Annotations:
    category = keypoint_category(path, content)
    name = str(category.get("name"))
    skeleton = Skeleton(name, tuple(map(str, category["keypoints"])), (), ())
    return annotations_of_file(path, skeleton, path.name, name, path.parent)


def _annotations(
    path: Path,
    skeleton: Skeleton,
    points: np.ndarray,
    labelled: np.ndarray,
    heads: np.ndarray | None = None,
) -> Annotations:
    """Return annotations whose boxes enclose the labelled keypoints."""
    low = np.where(labelled[..., None], points, np.inf).min(1)
    high = np.where(labelled[..., None], points, -np.inf).max(1)
    has_label = labelled.any(1, keepdims=True)
    boxes = np.where(has_label, np.concatenate([low, high - low], 1), 0.0)
    return Annotations(
        name=path.name,
        skeleton=skeleton,
        root=path.parent,
        images=(path.name,),
        image_index=np.zeros(len(points), int),
        keypoints_image=np.where(labelled[..., None], points, 0.0),
        visibility=np.where(labelled, 2, 0).astype(np.uint8),
        boxes=boxes,
        head_sizes=np.full(len(points), np.nan) if heads is None else heads,
        person_ids=np.arange(len(points)),
        box_source="labelled keypoints",
    )

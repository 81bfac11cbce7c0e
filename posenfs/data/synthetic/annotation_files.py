"""Annotations of drawn people as the content of MPII's and COCO's files."""

import io
from dataclasses import dataclass

import numpy as np
import scipy.io

from posenfs.body.skeleton import COCO, MPII, MPII_FILE_KEYPOINTS
from posenfs.data.synthetic.labelling import DrawnPerson, mpii_scale

# The keypoint names of gt_valid.mat, in file order.
_FILE_NAMES = (
    *("rank", "rkne", "rhip", "lhip", "lkne", "lank", "pelv", "thor"),
    *("neck", "head", "rwri", "relb", "rsho", "lsho", "lelb", "lwri"),
)


@dataclass(frozen=True)
class LabelledImage:
    """A written image and its annotated people."""

    name: str  # file name
    shape: tuple[int, int]  # (height, width) px
    people: tuple[DrawnPerson, ...]  # the annotated people


def mpii_entries(images: list[LabelledImage]) -> list[dict]:
    """Return the entries of MPII's JSON files in HRNet's form.

    Coordinates are 1-based, keypoints in file order; an unlabelled keypoint is (0, 0).
    """
    return [_mpii_entry(image.name, person) for image in images for person in image.people]


def _mpii_entry(image: str, person: DrawnPerson) -> dict:
    order = [MPII.index(name) for name in MPII_FILE_KEYPOINTS]
    visibility = person.visibility[MPII.name][order]
    joints = np.where(visibility[:, None] > 0, person.keypoints[MPII.name][order] + 1, 0.0)
    return {
        "image": image,
        "center": [round(coordinate + 1, 3) for coordinate in person.center],
        "scale": round(mpii_scale(person.head_box), 6),
        "joints": joints.round(3).tolist(),
        "joints_vis": (visibility > 0).astype(int).tolist(),
        "joints_occluded": (visibility < 2).astype(int).tolist(),
    }


def coco_content(images: list[LabelledImage]) -> dict:
    """Return the content of person_keypoints_*.json.

    Coordinates are 0-based; an unlabelled keypoint is (0, 0, 0).
    """
    # Ids count from 1: to pycocotools a match with annotation 0 is no match.
    image_rows = [
        {"id": number, "file_name": image.name, "width": image.shape[1], "height": image.shape[0]}
        for number, image in enumerate(images, 1)
    ]
    people = [(number, person) for number, image in enumerate(images, 1) for person in image.people]
    annotations = [
        {"id": number, "image_id": image, "category_id": 1, "iscrowd": 0} | _coco_entry(person)
        for number, (image, person) in enumerate(people, 1)
    ]
    category = {
        "id": 1,
        "name": "person",
        "supercategory": "person",
        "keypoints": COCO.keypoints,
        "skeleton": [[start + 1, end + 1] for start, end in COCO.limbs],
    }
    return {
        "info": {"description": "people drawn by posenfs"},
        "licenses": [],
        "images": image_rows,
        "annotations": annotations,
        "categories": [category],
    }


def _coco_entry(person: DrawnPerson) -> dict:
    visibility = person.visibility[COCO.name]
    points = np.where(visibility[:, None] > 0, person.keypoints[COCO.name], 0.0)
    return {
        "keypoints": np.column_stack([points, visibility]).flatten().tolist(),
        "num_keypoints": int(np.count_nonzero(visibility)),
        "bbox": list(person.box),
        "area": person.area,
        "segmentation": [],
    }


def ground_truth(images: list[LabelledImage]) -> bytes:
    """Return the content of gt_valid.mat, the ground truth of PCKh.

    People are the last dimension of its arrays.
    """
    entries = mpii_entries(images)
    head_boxes = [person.head_box for image in images for person in image.people]
    joints = np.array([entry["joints"] for entry in entries]).reshape(-1, 16, 2)
    labelled = np.array([entry["joints_vis"] for entry in entries], dtype=np.uint8)
    missing = 1 - labelled.reshape(-1, 16)
    boxes = np.array([box + 1 for box in head_boxes]).reshape(-1, 2, 2)
    names = np.empty((1, 16), dtype=object)
    names[0] = _FILE_NAMES
    content = {
        "dataset_joints": names,
        "jnt_missing": missing.T,
        "pos_gt_src": joints.transpose(1, 2, 0),
        "headboxes_src": boxes.transpose(1, 2, 0),
    }
    data = io.BytesIO()
    scipy.io.savemat(data, content)
    # scipy writes the time into the first 116 bytes, which are free text. A constant text makes the
    # files of equal sets equal.
    return b"MATLAB 5.0 MAT-file, drawn people".ljust(116) + data.getvalue()[116:]

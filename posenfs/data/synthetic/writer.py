"""Drawn data sets: images of drawn people, annotated in MPII's and COCO's file formats.

This module does not import torch, so that drawing processes start fast.
"""

import io
import json
import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import scipy.io
from joblib import Parallel, delayed
from PIL import Image
from tqdm import tqdm

from posenfs.body.skeleton import COCO, MPII, MPII_FILE_KEYPOINTS
from posenfs.data.files import temporary_files, write_atomic
from posenfs.data.synthetic.drawing import DrawnPerson, draw_image, mpii_scale, settings_of
from posenfs.messages import error_message

_FORMAT = 2  # raised when the same arguments would write other files; older sets are redrawn
_FINISHED, _UNFINISHED = "synthetic.json", "synthetic.unfinished.json"
_ANNOTATIONS = (
    "annot/train.json",
    "annot/valid.json",
    "annot/gt_valid.mat",
    "annotations/person_keypoints_train.json",
    "annotations/person_keypoints_val.json",
)
# The keypoint names of gt_valid.mat, in file order.
_FILE_NAMES = (
    *("rank", "rkne", "rhip", "lhip", "lkne", "lank", "pelv", "thor"),
    *("neck", "head", "rwri", "relb", "rsho", "lsho", "lelb", "lwri"),
)


def write_synthetic(
    root: Path,
    train: int = 2000,
    valid: int = 400,
    seed: int = 0,
    difficulty: str = "default",
    processes: int | None = None,
    progress: bool = True,
) -> Path:
    """Draw a data set, unless it is complete already. An interrupted one is drawn again.

    The folder holds images/, the people as MPII files in HRNet's form (annot/{train,valid}.json,
    annot/gt_valid.mat) and as COCO files without outlines
    (annotations/person_keypoints_{train,val}.json), and synthetic.json with the arguments, which is
    written last.

    Args:
        root: The folder.
        train: Number of training images.
        valid: Number of validation images.
        seed: Seed of the drawing.
        difficulty: plain, default or hard.
        processes: Number of processes; None chooses it.
        progress: Whether to show a progress bar.

    Returns:
        `root`.

    Raises:
        FileExistsError: The folder holds another data set, or other files.
        ValueError: An argument is invalid.
    """
    root = Path(root)
    if root.exists() and not root.is_dir():
        raise FileExistsError(f"{root} is a file: people are drawn into a folder; choose another")
    settings_of(difficulty)
    if min(train, valid) < 1:
        raise ValueError(
            f"a set has at least 1 image to train and 1 to validate on; got {train} and {valid}"
        )
    if seed < 0:
        raise ValueError(f"the seed must not be negative; got {seed}")
    arguments = {
        "format": _FORMAT,
        "train": train,
        "valid": valid,
        "seed": seed,
        "difficulty": difficulty,
    }
    if not _is_finished(root, arguments):
        with _errors_name_folder(root):
            _write_set(root, arguments, processes, progress)
    return root


def _write_set(root: Path, arguments: dict, processes: int | None, progress: bool) -> None:
    for folder in ("images", "annot", "annotations"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    write_atomic(root / _UNFINISHED, _to_json(arguments))
    (root / _FINISHED).unlink(missing_ok=True)
    for torn in temporary_files(root / "images"):  # of an interrupted drawing
        torn.unlink(missing_ok=True)
    jobs = [(split, n) for split in ("train", "valid") for n in range(arguments[split])]
    images = _draw_all(root, jobs, arguments, processes, progress)
    _write_annotations(root, "train", "train", images[: arguments["train"]])
    _write_annotations(root, "valid", "val", images[arguments["train"] :])
    write_atomic(root / _FINISHED, _to_json(arguments))
    (root / _UNFINISHED).unlink(missing_ok=True)


def _write_annotations(root: Path, split: str, coco_split: str, images: list["_Labels"]) -> None:
    entries = [_entry(image.name, person) for image in images for person in image.people]
    write_atomic(root / "annot" / f"{split}.json", _to_json(entries))
    coco_path = root / "annotations" / f"person_keypoints_{coco_split}.json"
    write_atomic(coco_path, _to_json(_coco(images)))
    if split == "valid":
        head_boxes = [person.head_box for image in images for person in image.people]
        write_atomic(root / "annot" / "gt_valid.mat", _ground_truth(entries, head_boxes))


def drawn_title(root: Path, split: str) -> str | None:
    """Return the name in messages of a drawn split; None for other data.

    Args:
        root: The data folder.
        split: train or valid.
    """
    return f"drawn people (synthetic), {split}" if (root / _FINISHED).is_file() else None


def _is_finished(root: Path, arguments: dict) -> bool:
    """Whether the set is complete. Raise FileExistsError for files of another set or origin."""
    advice = "Choose another folder, or delete this one to draw the set anew."
    for name in (_FINISHED, _UNFINISHED):
        if not (root / name).exists():
            continue
        stored = _read_arguments(root / name)
        if stored.get("format", 0) < _FORMAT and stored | {"format": _FORMAT} == arguments:
            return False
        if stored != arguments:
            raise FileExistsError(
                f"{root} holds {_describe(stored)}; requested is {_describe(arguments)}. {advice}"
            )
        return name == _FINISHED and _has_all_files(root, arguments)
    if any((root / name).exists() for name in ("images", "annot", "annotations")):
        raise FileExistsError(
            f"{root} holds images or annotations that are no drawn set; requested is "
            f"{_describe(arguments)}. {advice}"
        )
    return False


def _read_arguments(path: Path) -> dict:
    """The arguments in a set's own file; a damaged file equals no arguments."""
    try:
        arguments = json.loads(path.read_text())
    except ValueError:
        arguments = None
    return arguments if isinstance(arguments, dict) else {"damaged": path.name}


def _describe(arguments: dict) -> str:
    if "damaged" in arguments:
        return f"a set whose {arguments['damaged']} is damaged"
    known = defaultdict(lambda: "unknown", arguments)
    template = (
        "{train} + {valid} drawn images, difficulty {difficulty}, seed {seed}, format {format}"
    )
    return template.format_map(known)


def _has_all_files(root: Path, arguments: dict) -> bool:
    images = list((root / "images").glob("[!.]*.jpg"))
    has_annotations = all((root / name).exists() for name in _ANNOTATIONS)
    return has_annotations and len(images) == arguments["train"] + arguments["valid"]


@contextmanager
def _errors_name_folder(root: Path) -> Iterator[None]:
    """Add the folder to the messages of operating-system errors."""
    try:
        yield
    except OSError as error:
        message = f"drawn people are not written to {root}: {error_message(error)}"
        raise type(error)(message) from error


@dataclass(frozen=True)
class _Labels:
    """A written image."""

    name: str  # file name
    shape: tuple[int, int]  # (height, width) px
    people: tuple[DrawnPerson, ...]  # the annotated people


def _draw_all(
    root: Path, jobs: list, arguments: dict, processes: int | None, progress: bool
) -> list[_Labels]:
    """Draw all images, in order. Small sets are drawn without starting processes."""
    processes = processes or max(1, min(os.cpu_count() or 1, len(jobs) // 64))
    draw = partial(_write_image, root / "images", arguments["seed"], arguments["difficulty"])
    bar = partial(tqdm, total=len(jobs), desc="drawing people", unit="image", disable=not progress)
    if processes == 1:
        return list(bar(map(draw, jobs)))
    # joblib starts clean processes. They are not forked, so they copy no thread of a notebook in an
    # unknown state, and do not import the caller's script, so a script needs no __main__ guard.
    pool = Parallel(processes, return_as="generator", batch_size=16)
    return list(bar(pool(delayed(draw)(job) for job in jobs)))


def _write_image(folder: Path, seed: int, difficulty: str, job: tuple[str, int]) -> _Labels:
    """Draw and write one image; annotated are people with three or more visible keypoints."""
    split, index = job
    name = f"{split}_{index:06d}.jpg"
    drawn = draw_image(index, split, seed, difficulty)
    data = io.BytesIO()
    Image.fromarray(drawn.image).save(data, "JPEG", quality=92)
    write_atomic(folder / name, data.getvalue(), sync=False)
    people = tuple(
        person
        for person in drawn.people
        if np.count_nonzero(person.visibility[MPII.name] == 2) >= 3
    )
    return _Labels(name, drawn.image.shape[:2], people)


def _entry(image: str, person: DrawnPerson) -> dict:
    """An entry of MPII's JSON files: 1-based, file order, (0, 0) for an unlabelled keypoint."""
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


def _coco(labels: list[_Labels]) -> dict:
    """The content of person_keypoints_*.json: 0-based, (0, 0, 0) for an unlabelled keypoint."""
    # Ids count from 1: to pycocotools a match with annotation 0 is no match.
    images = [
        {"id": number, "file_name": image.name, "width": image.shape[1], "height": image.shape[0]}
        for number, image in enumerate(labels, 1)
    ]
    people = [(number, person) for number, image in enumerate(labels, 1) for person in image.people]
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
        "images": images,
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


def _ground_truth(entries: list[dict], head_boxes: list[np.ndarray]) -> bytes:
    """The content of gt_valid.mat, the ground truth of PCKh; people are the last dimension."""
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


def _to_json(content: dict | list[dict]) -> bytes:
    return json.dumps(content).encode()

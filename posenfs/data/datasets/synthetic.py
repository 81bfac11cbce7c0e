"""Sets of drawn people, written as true MPII and COCO files.

This module does not import torch, so that the processes that draw start at once.
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
from posenfs.body.words import message_of
from posenfs.data.datasets.drawing import DrawnPerson, draw_picture, mpii_scale, settings_of
from posenfs.data.files import left_half, write_whole

_FORMAT = (
    2  # raised whenever the same arguments would write other files; an older set is drawn anew
)
_FINISHED, _UNFINISHED = "synthetic.json", "synthetic.unfinished.json"
_ANNOTATIONS = (
    "annot/train.json", "annot/valid.json", "annot/gt_valid.mat",
    "annotations/person_keypoints_train.json", "annotations/person_keypoints_val.json",
)  # fmt: skip
# what gt_valid.mat calls the keypoints, in the order of files
_FILE_NAMES = ("rank", "rkne", "rhip", "lhip", "lkne", "lank", "pelv", "thor",
               "neck", "head", "rwri", "relb", "rsho", "lsho", "lelb", "lwri")  # fmt: skip


def write_synthetic(
    root: Path,
    train: int = 2000,
    valid: int = 400,
    seed: int = 0,
    difficulty: str = "default",
    processes: int | None = None,
    progress: bool = True,
) -> Path:
    """Draw a set into `root`: images/, and its people twice, as MPII files in HRNet's form (annot/{train,valid}.json,
    annot/gt_valid.mat) and as COCO files (annotations/person_keypoints_{train,val}.json, without outlines).

    A set that is there already is left alone; an interrupted one is drawn again. synthetic.json says how a set was made
    and is written last. Another set, or files that are not ours, raise FileExistsError. Returns `root`.
    """
    root = Path(root)
    if root.exists() and not root.is_dir():
        raise FileExistsError(f"{root} is a file: people are drawn into a folder; choose another")
    asked = {
        "format": _FORMAT,
        "train": train,
        "valid": valid,
        "seed": seed,
        "difficulty": difficulty,
    }
    settings_of(difficulty)
    if min(train, valid) < 1:
        raise ValueError(
            f"a set has at least 1 picture to train and 1 to validate on; got {train} and {valid}"
        )
    if seed < 0:
        raise ValueError(f"the seed must not be negative; got {seed}")
    if _is_there(root, asked):
        return root
    with _naming_the_folder(root):
        (root / "images").mkdir(parents=True, exist_ok=True)
        for folder in ("annot", "annotations"):
            (root / folder).mkdir(exist_ok=True)
        write_whole(root / _UNFINISHED, _to_json(asked))
        (root / _FINISHED).unlink(missing_ok=True)
        for torn in left_half(root / "images"):  # of a drawing that was interrupted
            torn.unlink(missing_ok=True)
        jobs = [("train", n) for n in range(train)] + [("valid", n) for n in range(valid)]
        rows = _draw_all(root, jobs, asked, processes, progress)
        for split, coco_split in (("train", "train"), ("valid", "val")):
            pictures = [picture for (of, _), picture in zip(jobs, rows, strict=True) if of == split]
            entries = [
                _entry(picture.name, person) for picture in pictures for person in picture.people
            ]
            write_whole(root / "annot" / f"{split}.json", _to_json(entries))
            write_whole(
                root / "annotations" / f"person_keypoints_{coco_split}.json",
                _to_json(_coco(pictures)),
            )
            if split == "valid":
                heads = [person.head_box for picture in pictures for person in picture.people]
                write_whole(root / "annot" / "gt_valid.mat", _ground_truth(entries, heads))
        write_whole(root / _FINISHED, _to_json(asked))
        (root / _UNFINISHED).unlink(missing_ok=True)
    return root


def drawn_title(root: Path, split: str) -> str | None:
    """What messages call a split of drawn people, whose files are MPII's and COCO's; None for other data."""
    return f"drawn people (synthetic), {split}" if (root / _FINISHED).is_file() else None


def _is_there(root: Path, asked: dict) -> bool:
    """Whether the set is complete. Files that this call must not overwrite raise FileExistsError."""
    advice = "Choose another folder, or delete this one to draw the set anew."
    for name in (_FINISHED, _UNFINISHED):
        if (root / name).exists():
            held = _held(root / name)
            if held.get("format", 0) < _FORMAT and held | {"format": _FORMAT} == asked:
                return False
            if held != asked:
                raise FileExistsError(
                    f"{root} holds {_said(held)}; asked for is {_said(asked)}. {advice}"
                )
            return name == _FINISHED and _is_complete(root, asked)
    if any((root / name).exists() for name in ("images", "annot", "annotations")):
        raise FileExistsError(
            f"{root} holds images or annotations that are no drawn set; asked for is {_said(asked)}. {advice}"
        )
    return False


def _held(path: Path) -> dict:
    """What a set's own file says of it; a damaged one is of no set that could be asked for."""
    try:
        held = json.loads(path.read_text())
    except ValueError:
        held = None
    return held if isinstance(held, dict) else {"damaged": path.name}


def _said(made: dict) -> str:
    """How a set was made, in words."""
    if "damaged" in made:
        return f"a set whose {made['damaged']} is damaged"
    words = (
        "{train} + {valid} drawn pictures, difficulty {difficulty}, seed {seed}, format {format}"
    )
    return words.format_map(defaultdict(lambda: "unknown", made))


def _is_complete(root: Path, asked: dict) -> bool:
    return (
        all((root / name).exists() for name in _ANNOTATIONS)
        and len(list((root / "images").glob("[!.]*.jpg"))) == asked["train"] + asked["valid"]
    )


@contextmanager
def _naming_the_folder(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise type(error)(f"drawn people are not written to {root}: {message_of(error)}") from error


@dataclass(frozen=True)
class _Labels:
    """A written picture: its file's name, width and height in pixels, and the people whom the annotations list."""

    name: str
    size: tuple[int, int]
    people: tuple[DrawnPerson, ...]


def _draw_all(
    root: Path, jobs: list, asked: dict, processes: int | None, progress: bool
) -> list[_Labels]:
    """The labels of every picture, in order. Small sets are drawn here: starting processes would take longer."""
    processes = processes or max(1, min(os.cpu_count() or 1, len(jobs) // 64))
    work = partial(_write_picture, root / "images", asked["seed"], asked["difficulty"])
    bar = partial(
        tqdm, total=len(jobs), desc="drawing people", unit="picture", disable=not progress
    )
    if processes == 1:
        return list(bar(map(work, jobs)))
    # joblib starts clean processes: not forked, so that no thread of a notebook is copied in the middle of something,
    # and without importing the caller's script, so that a script needs no guard.
    pool = Parallel(processes, return_as="generator", batch_size=16)
    return list(bar(pool(delayed(work)(job) for job in jobs)))


def _write_picture(folder: Path, seed: int, difficulty: str, job: tuple[str, int]) -> _Labels:
    """Draw and write one picture; listed is who has at least three keypoints in sight."""
    split, index = job
    picture, name = draw_picture(index, split, seed, difficulty), f"{split}_{index:06d}.jpg"
    data = io.BytesIO()
    Image.fromarray(picture.image).save(data, "JPEG", quality=92)
    write_whole(folder / name, data.getvalue(), sync=False)
    kept = tuple(p for p in picture.people if np.count_nonzero(p.visibility[MPII.name] == 2) >= 3)
    return _Labels(name, (picture.image.shape[1], picture.image.shape[0]), kept)


def _entry(image: str, person: DrawnPerson) -> dict:
    """A person as MPII's JSON files have it: 1-based, MPII's own order, (0, 0) where a keypoint is not labelled."""
    order = [MPII.index(name) for name in MPII_FILE_KEYPOINTS]
    visibility = person.visibility[MPII.name][order]
    joints = np.where(visibility[:, None] > 0, person.keypoints[MPII.name][order] + 1, 0.0)
    return {
        "image": image,
        "center": [round(c + 1, 3) for c in person.center],
        "scale": round(mpii_scale(person.head_box), 6),
        "joints": joints.round(3).tolist(),
        "joints_vis": (visibility > 0).astype(int).tolist(),
        "joints_occluded": (visibility < 2).astype(int).tolist(),
    }


def _coco(pictures: list[_Labels]) -> dict:
    """The content of a person_keypoints_*.json file: 0-based, COCO's order, (0, 0, 0) where nothing is labelled."""
    # from 1: to pycocotools a match with annotation 0 is no match
    people = [
        (number, person) for number, picture in enumerate(pictures, 1) for person in picture.people
    ]
    images = [
        {
            "id": number,
            "file_name": picture.name,
            "width": picture.size[0],
            "height": picture.size[1],
        }
        for number, picture in enumerate(pictures, 1)
    ]
    annotations = [
        {"id": number, "image_id": image, "category_id": 1, "iscrowd": 0} | _coco_entry(person)
        for number, (image, person) in enumerate(people, 1)
    ]
    person = {
        "id": 1, "name": "person", "supercategory": "person",
        "keypoints": COCO.keypoints, "skeleton": [[a + 1, b + 1] for a, b in COCO.limbs],
    }  # fmt: skip
    info = {"description": "people drawn by posenfs"}
    return {
        "info": info,
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [person],
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
    """gt_valid.mat: what PCKh is measured against, people last."""
    joints = np.array([entry["joints"] for entry in entries]).reshape(-1, 16, 2)
    missing = 1 - np.array([entry["joints_vis"] for entry in entries], dtype=np.uint8).reshape(
        -1, 16
    )
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
    # The file's first 116 bytes are free text, where scipy writes the time: the same set is the same bytes.
    return b"MATLAB 5.0 MAT-file, drawn people".ljust(116) + data.getvalue()[116:]


def _to_json(content: dict | list[dict]) -> bytes:
    return json.dumps(content).encode()

"""Drawn data sets: images of drawn people, annotated in MPII's and COCO's file formats.

This module does not import torch, so that drawing processes start fast.
"""

import io
import json
import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from PIL import Image
from tqdm import tqdm

from posenfs.body.skeleton import MPII
from posenfs.data.files import temporary_files, write_atomic
from posenfs.data.synthetic.annotation_files import (
    LabelledImage,
    coco_content,
    ground_truth,
    mpii_entries,
)
from posenfs.data.synthetic.drawing import draw_image, settings_of
from posenfs.messages import error_message

_FORMAT = 2  # increase it when the same arguments write other files; older sets are redrawn
_FINISHED, _UNFINISHED = "synthetic.json", "synthetic.unfinished.json"
_ANNOTATIONS = (
    "annot/train.json",
    "annot/valid.json",
    "annot/gt_valid.mat",
    "annotations/person_keypoints_train.json",
    "annotations/person_keypoints_val.json",
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
        raise FileExistsError(f"{root} is a file; choose a folder for the drawn people")
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
    for file in temporary_files(root / "images"):  # of an interrupted drawing
        file.unlink(missing_ok=True)
    jobs = [(split, n) for split in ("train", "valid") for n in range(arguments[split])]
    images = _draw_all(root, jobs, arguments, processes, progress)
    _write_annotations(root, "train", "train", images[: arguments["train"]])
    _write_annotations(root, "valid", "val", images[arguments["train"] :])
    write_atomic(root / _FINISHED, _to_json(arguments))
    (root / _UNFINISHED).unlink(missing_ok=True)


def _write_annotations(
    root: Path, split: str, coco_split: str, images: list[LabelledImage]
) -> None:
    write_atomic(root / "annot" / f"{split}.json", _to_json(mpii_entries(images)))
    coco_path = root / "annotations" / f"person_keypoints_{coco_split}.json"
    write_atomic(coco_path, _to_json(coco_content(images)))
    if split == "valid":
        write_atomic(root / "annot" / "gt_valid.mat", ground_truth(images))


def drawn_title(root: Path, split: str) -> str | None:
    """Return the name in messages of a drawn split; None for other data.

    Args:
        root: The data folder.
        split: train or valid.
    """
    return f"drawn people (synthetic), {split}" if (root / _FINISHED).is_file() else None


def _is_finished(root: Path, arguments: dict) -> bool:
    """Whether the set is complete. Raise FileExistsError for files of another set or origin."""
    advice = "Choose another folder, or delete this one to draw the set again."
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
            f"{root} holds images or annotations of another origin; requested is "
            f"{_describe(arguments)}. {advice}"
        )
    return False


def _read_arguments(path: Path) -> dict:
    """Return the arguments in a set's file; those of a damaged file equal no others."""
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
        message = f"cannot write drawn people to {root}: {error_message(error)}"
        raise type(error)(message) from error


def _draw_all(
    root: Path, jobs: list, arguments: dict, processes: int | None, progress: bool
) -> list[LabelledImage]:
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


def _write_image(folder: Path, seed: int, difficulty: str, job: tuple[str, int]) -> LabelledImage:
    """Draw and write one image; people with three or more visible keypoints are annotated."""
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
    return LabelledImage(name, drawn.image.shape[:2], people)


def _to_json(content: dict | list[dict]) -> bytes:
    return json.dumps(content).encode()

"""Reader of custom data: annotations in COCO's form with any keypoints, described by a TOML file.

name = "hands"
category = "hand"            # of the annotations, or a list of several; the default is person
train = "train.json"         # files and folders are relative to this one
valid = "valid.json"
images = "images"            # optional; the default is images/, or the annotation file's folder
coordinates = "pixels"       # or "normalised": shares of width and height; optional
keypoints = ["wrist", "left_thumb", "right_thumb"]
limbs = [["wrist", "left_thumb"], ["wrist", "right_thumb"]]
mirrored = [["left_thumb", "right_thumb"]]        # pairs that swap in a mirrored image
sigmas = [0.08, 0.05, 0.05]  # of object keypoint similarity; optional

[parts]                      # optional; the default is one part with every keypoint
root = ["wrist"]
thumbs = ["left_thumb", "right_thumb"]
"""

import itertools
import json
import os
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from posenfs.body.parts import part_scheme
from posenfs.body.skeleton import Skeleton
from posenfs.data.datasets.coco import annotations_of_file
from posenfs.data.image_paths import find_images
from posenfs.data.parsing import read_utf8
from posenfs.data.sample import ROOT, Annotations, DataError
from posenfs.messages import suggestion

_Names = tuple[str, ...]
_Pair = tuple[str, str]


@dataclass(frozen=True)
class CustomData:
    """The content of the TOML file."""

    name: str
    train: str
    valid: str
    keypoints: Annotated[_Names, Field(min_length=1)]
    limbs: tuple[_Pair, ...] = ()
    mirrored: tuple[_Pair, ...] = ()
    sigmas: tuple[Annotated[float, Field(gt=0)], ...] | None = None
    category: str | Annotated[_Names, Field(min_length=1)] = "person"
    parts: dict[str, _Names] | None = None
    images: str | None = None  # None: images/ beside the TOML file, or the annotation file's folder
    coordinates: Literal["pixels", "normalised"] | None = None  # None: px, and checked to be so

    __pydantic_config__ = ConfigDict(extra="forbid")

    @property
    def skeleton(self) -> Skeleton:
        """The skeleton of the keypoints, pairs and limbs."""
        index = self.keypoints.index
        flip_pairs = tuple((index(left), index(right)) for left, right in self.mirrored)
        limbs = tuple((index(start), index(end)) for start, end in self.limbs)
        return Skeleton(self.name, self.keypoints, flip_pairs, limbs, self.sigmas)


_ADAPTER = TypeAdapter(CustomData)


def _check_keys(path: Path, content: dict) -> None:
    known = [field.name for field in fields(CustomData)]
    for key in content:
        if key not in known:
            raise DataError(
                f"{path}: unknown key {key!r}{suggestion(key, known)} The keys are "
                f"{', '.join(known)}"
            )


def read_description(path: Path) -> CustomData:
    """Read and check the TOML file.

    Args:
        path: The file.

    Raises:
        DataError: The file is missing or invalid; the message has the field and its value.
    """
    if not path.is_file():
        raise DataError(
            f"no description of data at {path}; {ROOT} is a TOML file (see data/README.md)"
        )
    try:
        content = tomllib.loads(read_utf8(path).decode())
        _check_keys(path, content)
        description = _ADAPTER.validate_python(content)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not TOML in UTF-8 ({error}); save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{path} is not TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        # of a field that may have several types, pydantic also names the type
        types = ("str", "constrained-tuple", "tuple[")
        field = ".".join(str(part) for part in first["loc"] if not str(part).startswith(types))
        raise DataError(f"{path}: {field}: {first['msg']} (got {first['input']!r:.80})") from None
    _check_keypoints(path, description)
    try:
        part_scheme(description.skeleton, description.parts or 1)
    except ValueError as error:
        raise DataError(f"{path}: parts: {error}") from None
    return description


def _check_keypoints(path: Path, description: CustomData) -> None:
    """Check that keypoints are unique, that limbs and pairs name them, and the number of sigmas."""
    names, sigmas = description.keypoints, description.sigmas
    if len(set(names)) < len(names):
        raise DataError(f"{path}: keypoints are named twice: {', '.join(names)}")
    for field, pairs in (("limbs", description.limbs), ("mirrored", description.mirrored)):
        for name in itertools.chain.from_iterable(pairs):
            if name not in names:
                raise DataError(
                    f"{path}: {field} name {name!r}, which is no keypoint; there are "
                    f"{', '.join(names)}"
                )
    mirrored = list(itertools.chain.from_iterable(description.mirrored))
    if len(set(mirrored)) < len(mirrored):
        raise DataError(f"{path}: mirrored pairs name a keypoint twice: {', '.join(mirrored)}")
    if sigmas is not None and len(sigmas) != len(names):
        raise DataError(f"{path}: {len(sigmas)} sigmas for {len(names)} keypoints")


def mirror_warning(skeleton: Skeleton) -> str | None:
    """Return a warning about left and right keypoints that are no mirrored pair.

    Args:
        skeleton: The skeleton to check.

    Returns:
        A sentence with the line to write into the TOML file, or None.
    """
    missing = skeleton.unmirrored_pairs()
    if not missing:
        return None
    names = list(itertools.chain.from_iterable(missing))
    mirrored = [[skeleton.keypoints[k] for k in pair] for pair in skeleton.flip_pairs]
    pairs = [pair for pair in mirrored if not set(pair) & set(names)]
    pairs += [list(pair) for pair in missing]
    return (
        f"{', '.join(names)} of {skeleton.name} are left and right by their names, but no mirrored "
        "pairs: mirrored images (in training, and in the evaluation) have wrong labels. If they "
        "swap in a mirrored image, the data's TOML file needs the line: mirrored = "
        f"{json.dumps(pairs, ensure_ascii=False)}"
    )


def find_custom(root: Path, split: str) -> Path | None:
    """Return the annotation file of a split, or None where the TOML file is missing.

    Args:
        root: The TOML file.
        split: train or valid.
    """
    return root.parent / getattr(read_description(root), split) if root.is_file() else None


def read_custom(root: Path, split: str) -> Annotations:
    """Read the people of a split.

    Args:
        root: The TOML file.
        split: train or valid.

    Raises:
        DataError: A file is missing or invalid.
    """
    description = read_description(root)
    file_name = getattr(description, split)
    path = root.parent / file_name
    if not path.is_file():
        raise DataError(f"{root}: {split} = {file_name!r}, but there is no {path}")
    folders = [root.parent / (description.images or "images"), path.parent, path.parent / "images"]
    annotations = annotations_of_file(
        path,
        description.skeleton,
        f"{description.name} {split}",
        description.category,
        folders[0],
        description.coordinates,
    )
    names = annotations.images
    annotations = find_images(annotations, folders)
    if not any(os.path.isfile(annotations.root / name) for name in annotations.images):
        searched = ", ".join(dict.fromkeys(map(str, folders)))
        raise DataError(
            f"{path}: none of its {len(names)} images is there, or several files fit; the first is "
            f"file_name = {names[0]!r:.200}; looked in {searched} and the folders in them; give "
            f'the folder of the images: images = "…" in {root}'
        )
    return annotations

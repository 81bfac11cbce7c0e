"""Data of one's own: annotations in COCO's form with any keypoints, described by one small TOML file.

name = "hands"
category = "hand"            # of the annotations; person where it is left out
train = "train.json"         # files and folders are relative to this one
valid = "valid.json"
images = "pictures"
keypoints = ["wrist", "left_thumb", "right_thumb"]
limbs = [["wrist", "left_thumb"], ["wrist", "right_thumb"]]
mirrored = [["left_thumb", "right_thumb"]]        # pairs that change places in a mirror
sigmas = [0.08, 0.05, 0.05]  # of object keypoint similarity; may be left out

[parts]                      # may be left out: one part with every keypoint
root = ["wrist"]
thumbs = ["left_thumb", "right_thumb"]
"""

import json
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from posenfs.body.parts import part_scheme
from posenfs.body.skeleton import Skeleton
from posenfs.body.words import suggestion
from posenfs.data.datasets.coco import people_of_file
from posenfs.data.sample import ROOT, DataError, People

_Names = tuple[str, ...]
_Pair = tuple[str, str]


@dataclass(frozen=True)
class OwnData:
    """What the TOML file says."""

    name: str
    train: str
    valid: str
    images: str
    keypoints: Annotated[_Names, Field(min_length=1)]
    limbs: tuple[_Pair, ...] = ()
    mirrored: tuple[_Pair, ...] = ()
    sigmas: tuple[Annotated[float, Field(gt=0)], ...] | None = None
    category: str = "person"
    parts: dict[str, _Names] | None = None

    __pydantic_config__ = ConfigDict(extra="forbid")

    @property
    def skeleton(self) -> Skeleton:
        index = {keypoint: number for number, keypoint in enumerate(self.keypoints)}
        pairs, limbs = (
            tuple((index[a], index[b]) for a, b in names) for names in (self.mirrored, self.limbs)
        )
        return Skeleton(self.name, self.keypoints, pairs, limbs, self.sigmas)


_ADAPTER = TypeAdapter(OwnData)


def _check_keys(path: Path, content: dict) -> None:
    known = [field.name for field in fields(OwnData)]
    for key in content:
        if key not in known:
            raise DataError(
                f"{path}: unknown key {key!r}{suggestion(key, known)} The keys are {', '.join(known)}"
            )


def read_description(path: Path) -> OwnData:
    """Raises DataError for a missing or unsound file: the field, its value, and what it should be."""
    if not path.is_file():
        raise DataError(
            f"no description of data at {path}; {ROOT} is a TOML file (see data/README.md)"
        )
    try:
        content = tomllib.loads(path.read_text())
        _check_keys(path, content)
        found = _ADAPTER.validate_python(content)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError(f"{path}: {place}: {first['msg']} (got {first['input']!r:.80})") from None
    names = set(found.keypoints)
    if len(names) < len(found.keypoints):
        raise DataError(f"{path}: keypoints are named twice: {', '.join(found.keypoints)}")
    for field in ("limbs", "mirrored"):
        for name in (name for pair in getattr(found, field) for name in pair):
            if name not in names:
                raise DataError(
                    f"{path}: {field} name {name!r}, which is no keypoint; there are {', '.join(names)}"
                )
    sides = [name for pair in found.mirrored for name in pair]
    if len(set(sides)) < len(sides):
        raise DataError(f"{path}: mirrored pairs name a keypoint twice: {', '.join(sides)}")
    if found.sigmas is not None and len(found.sigmas) != len(found.keypoints):
        raise DataError(f"{path}: {len(found.sigmas)} sigmas for {len(found.keypoints)} keypoints")
    try:
        part_scheme(found.skeleton, found.parts or 1)
    except ValueError as error:
        raise DataError(f"{path}: parts: {error}") from None
    return found


def mirror_warning(skeleton: Skeleton) -> str | None:
    """What is wrong where left and right keypoints, by their names, do not change places in a mirrored image.

    Returns:
        A sentence with the line to write into the description, or None.
    """
    missing = skeleton.unmirrored_pairs()
    if not missing:
        return None
    names = [name for pair in missing for name in pair]
    kept = [[skeleton.keypoints[k] for k in pair] for pair in skeleton.flip_pairs]
    pairs = [pair for pair in kept if not set(pair) & set(names)] + [list(pair) for pair in missing]
    return (
        f"{', '.join(names)} of {skeleton.name} are left and right by their names, but no mirrored pairs: mirrored "
        "images (in training, and in the evaluation) have wrong labels. If they change places in a mirror, the "
        f"data's TOML file needs the line: mirrored = {json.dumps(pairs, ensure_ascii=False)}"
    )


def find_own(root: Path, split: str) -> Path | None:
    """The annotation file of a split; None where the description is not there."""
    return root.parent / getattr(read_description(root), split) if root.is_file() else None


def read_own(root: Path, split: str) -> People:
    """The people of a split; `root` is the TOML file. Raises DataError for missing or unsound files."""
    description = read_description(root)
    path, images = root.parent / getattr(description, split), root.parent / description.images
    if not path.is_file():
        raise DataError(
            f"{root}: {split} = {getattr(description, split)!r}, but there is no {path}"
        )
    name = f"{description.name} {split}"
    return people_of_file(
        path, description.skeleton, name, description.category, lambda names: images
    )

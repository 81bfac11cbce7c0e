"""Reader of MPII's own file, mpii_human_pose_v1_u12_1.mat."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posenfs.body.skeleton import HEAD_SHARE, HEAD_SOURCE, MPII
from posenfs.data.datasets.mpii import FILE_ORDER, person_boxes
from posenfs.data.datasets.mpii_release_file import (
    Release,
    file_keypoints,
    image_file_name,
    load_release,
    matlab_number,
    matlab_numbers,
    struct_rows,
)
from posenfs.data.image_paths import find_images
from posenfs.data.parsing import MAX_PX
from posenfs.data.sample import ROOT, Annotations, DataError

_FILE = "mpii_human_pose_v1_u12_1.mat"
_VALID_EVERY = 10  # every tenth training image with usable people validates, in the file's order
_RECTANGLES = 1000  # more than any image has; see person_id
_SPLITS = {
    "train": f"all but every {_VALID_EVERY}th training image",
    "valid": f"every {_VALID_EVERY}th training image",
    "test": "sufficiently separated people",
}


def find_release(root: Path, split: str = "train") -> Path | None:
    """Return the annotation file, which holds all splits, or None where it is missing.

    Args:
        root: The data folder; the file is in its annot/ or in the folder itself.
        split: Not used.
    """
    for folder in ("annot", "."):
        path = root / folder / _FILE
        if path.is_file():
            return path
    return None


def read_release(root: Path, split: str) -> Annotations:
    """Read the people of a split.

    The file has no validation split. Every tenth training image with usable people is taken for it,
    so results on valid are not comparable with those on HRNet's valid.json.

    Args:
        root: The data folder.
        split: train, valid or test.

    Raises:
        DataError: The file is missing or invalid.
    """
    path = find_release(root)
    if path is None:
        raise DataError(
            f"no {_FILE} in {root} or its annot/; {ROOT} must hold it and images/ (see "
            "data/README.md)"
        )
    annotations = annotations_of_release(load_release(path), split)
    return find_images(annotations, [annotations.root])


def annotations_of_release(release: Release, split: str) -> Annotations:
    """Select the people of a split, in the file's order.

    train and valid are the people of training images who have a scale, a position and a labelled
    keypoint; those of every tenth image with such people are valid. test is the people of the test
    images who are listed in single_person (the benchmark scores only these) and have a scale and a
    position; their keypoints and head sizes are unknown. Boxes are those of `read_mpii`. Keypoints
    without a visibility (head top and upper neck never have one) count as visible. A person's id is
    that of `person_id`.

    Args:
        release: The loaded file.
        split: train, valid or test.

    Raises:
        ValueError: The split is unknown.
        DataError: A value is invalid, or the split is empty.
    """
    if split not in _SPLITS:
        raise ValueError(f"unknown split {split!r}; known: {', '.join(_SPLITS)}")
    people: list[_Person] = []
    excluded: list[_Excluded] = []
    for person in _all_people(release, training=split != "test"):
        if isinstance(person, _Person):
            people.append(person)
        else:
            excluded.append(person)
    if split != "test":
        # Images are compared by name, so an image that is listed twice is in one split.
        used_images = list(dict.fromkeys(person.image for person in people))
        valid_images = set(used_images[_VALID_EVERY - 1 :: _VALID_EVERY])
        is_valid = split == "valid"
        people = [person for person in people if (person.image in valid_images) == is_valid]
        excluded = [person for person in excluded if (person.image in valid_images) == is_valid]
    if not people:
        raise DataError(
            f"{release.path}: no usable person for {split} ({_SPLITS[split]}) in "
            f"{len(release.images)} images"
        )
    names = tuple(dict.fromkeys(person.image for person in people))
    position = {name: number for number, name in enumerate(names)}
    centers = np.array([person.center for person in people])
    scales = np.array([person.scale for person in people])
    folder = release.path.parent
    return Annotations(
        name=f"mpii_release {split}",
        skeleton=MPII,
        root=(folder.parent if folder.name == "annot" else folder) / "images",
        images=names,
        image_index=np.array([position[person.image] for person in people]),
        keypoints_image=np.stack([person.keypoints for person in people])[:, FILE_ORDER],
        visibility=np.stack([person.visibility for person in people])[:, FILE_ORDER],
        boxes=person_boxes(centers, scales),
        head_sizes=np.array([person.head_size for person in people]),
        person_ids=np.array([person.number for person in people]),
        box_source=f"annotated centre and scale, {_SPLITS[split]}",
        head_source="none" if split == "test" else HEAD_SOURCE,
        excluded=dict(Counter(person.reason for person in excluded)),
    )


def person_id(image: int, rectangle: int) -> int:
    """Return the id of a person: image * 1000 + rectangle.

    Args:
        image: The number of the image in annolist, from 1 as in MATLAB.
        rectangle: The number of the person in the image's annorect, from 1.
    """
    return image * _RECTANGLES + rectangle


@dataclass(frozen=True)
class _Person:
    image: str
    number: int
    center: tuple[float, float]  # as in the file
    scale: float
    keypoints: np.ndarray  # [16, 2] 0-based px, file order
    visibility: np.ndarray  # [16], file order
    head_size: float


@dataclass(frozen=True)
class _Excluded:
    image: str
    reason: str


def _all_people(release: Release, training: bool) -> Iterator[_Person | _Excluded]:
    """All people of the training or the test images."""
    for index in np.flatnonzero(release.training == training):
        place = f"{release.path}, image {index + 1}"
        image = image_file_name(place, release.images[index])
        place += f" ({image})"
        rectangles = struct_rows(place, "annorect", release.images[index]["annorect"])
        if len(rectangles) >= _RECTANGLES:
            raise DataError(
                f"{place}: {len(rectangles)} rectangles, but ids allow {_RECTANGLES - 1}; drop some"
            )
        singles: list[float] = []
        if not training:
            singles = matlab_numbers(place, "single_person", release.single_person[index])
        for number, rectangle in enumerate(rectangles, 1):
            if not training and number not in singles:
                yield _Excluded(image, "not in single_person")
                continue
            person = person_id(int(index) + 1, number)
            yield _read_person(f"{place}, rectangle {number}", image, person, rectangle, training)


def _read_person(
    place: str, image: str, number: int, rectangle: Mapping, training: bool
) -> _Person | _Excluded:
    scale = matlab_number(place, "scale", rectangle.get("scale"))
    positions = struct_rows(place, "objpos", rectangle.get("objpos"))
    position = positions[0] if positions else {}
    x = matlab_number(place, "objpos.x", position.get("x"))
    y = matlab_number(place, "objpos.y", position.get("y"))
    if scale is None or x is None or y is None:
        return _Excluded(image, "no scale or position")
    if scale <= 0:
        return _Excluded(image, "box of no size")
    if 200 * scale > MAX_PX:
        raise DataError(f"{place}: scale {scale:g} gives a box of {200 * scale:g} px; correct it")
    if not training:
        keypoints, visibility = np.zeros((16, 2)), np.zeros(16, np.uint8)
        return _Person(image, number, (x, y), scale, keypoints, visibility, np.nan)
    keypoints, visibility = file_keypoints(place, rectangle)
    if not visibility.any():
        return _Excluded(image, "no labelled keypoint")
    head_size = _head_size(place, rectangle)
    return _Person(image, number, (x, y), scale, keypoints, visibility, head_size)


def _head_size(place: str, rectangle: Mapping) -> float:
    """The head size of a rectangle in px; NaN where its head box is incomplete."""
    left = matlab_number(place, "x1", rectangle.get("x1"))
    top = matlab_number(place, "y1", rectangle.get("y1"))
    right = matlab_number(place, "x2", rectangle.get("x2"))
    bottom = matlab_number(place, "y2", rectangle.get("y2"))
    if left is None or top is None or right is None or bottom is None:
        return float("nan")
    return HEAD_SHARE * float(np.hypot(right - left, bottom - top))

"""MPII as its authors ship it: images/, and the MATLAB struct RELEASE of mpii_human_pose_v1_u12_1.mat."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posenfs.body.skeleton import HEAD_SHARE, HEAD_SOURCE, MPII, MPII_FILE_KEYPOINTS
from posenfs.data.datasets.mpii import FILE_ORDER, person_boxes
from posenfs.data.parsing import image_name, read_mat
from posenfs.data.sample import ROOT, DataError, People

_FILE = "mpii_human_pose_v1_u12_1.mat"
_VALID_EVERY = 10  # of the training pictures with people to use, in the file's order
_RECTANGLES = 1000  # a picture has fewer; see person_id
_SPLITS = {
    "train": f"all but every {_VALID_EVERY}th training picture",
    "valid": f"every {_VALID_EVERY}th training picture",
    "test": "people who stand apart",
}


@dataclass(frozen=True)
class Release:
    """RELEASE of M pictures. MATLAB's structs are arrays of objects with field names."""

    path: Path
    pictures: np.ndarray  # [M] struct image, annorect, …
    training: np.ndarray  # [M] bool
    single_person: (
        np.ndarray
    )  # [M] of the numbers, from 1, of rectangles of people who stand apart from others


def find_release(root: Path, split: str = "train") -> Path | None:
    """The annotation file, which holds all splits, in annot/ or in the folder itself; None where there is none."""
    return next(
        (path for folder in ("annot", ".") if (path := root / folder / _FILE).is_file()), None
    )


def read_release(root: Path, split: str) -> People:
    """The people of a split: train, valid or test. Raises DataError for a missing or unsound file.

    The file has no validation part: every tenth training picture with people to use is one, so valid is neither
    HRNet's valid.json nor comparable to it. See `people_of_release`.
    """
    path = find_release(root)
    if path is None:
        raise DataError(
            f"no {_FILE} in {root} or its annot/; {ROOT} must hold it and images/ (see data/README.md)"
        )
    return people_of_release(load_release(path), split)


def load_release(path: Path) -> Release:
    """About 5 s and 0.7 GB for the 24,987 pictures; raises DataError for an unsound file."""
    found = load_struct(path, "RELEASE")
    fields = ("annolist", "img_train", "single_person")
    if len(found) != 1 or not set(fields) <= set(found.dtype.names):
        names = ", ".join(found.dtype.names)
        raise DataError(
            f"{path}: RELEASE has the fields {names:.200}; expected {', '.join(fields)}; copy it again"
        )
    pictures, training, single = (np.ravel(found[0][name]) for name in fields)
    if not {"image", "annorect"} <= set(pictures.dtype.names or ()):
        raise DataError(
            f"{path}: annolist has the fields {pictures.dtype.names}; expected image and annorect"
        )
    if not len(pictures) == len(training) == len(single) or single.dtype != object:
        raise DataError(
            f"{path}: annolist is of {len(pictures)} pictures, img_train of {len(training)}, single_person of "
            f"{len(single)}; copy it again"
        )
    if training.dtype.kind not in "biuf" or not np.isin(training, (0, 1)).all():
        raise DataError(f"{path}: img_train must be 0 or 1 for each picture; copy it again")
    return Release(path, pictures, training == 1, single)


def load_struct(path: Path, variable: str) -> np.ndarray:
    """A struct of a MAT-file as a one-dimensional array of objects with field names; raises DataError otherwise."""
    try:
        found = read_mat(path, variable_names=[variable], mat_dtype=True).get(variable)
    except NotImplementedError:  # what scipy says to version 7.3, which is HDF5
        raise DataError(
            f"{path} is a MAT-file of version 7.3, which cannot be read; take the original, or in MATLAB load it and "
            f"save('{path.name}', '{variable}', '-v7')"
        ) from None
    except Exception as error:  # of a broken file the parser raises nearly anything
        raise DataError(
            f"{path} is no MAT-file that can be read ({error!s:.200}); copy it again"
        ) from None
    if not isinstance(found, np.ndarray) or found.dtype.names is None:
        raise DataError(f"{path} has no struct {variable}; is it the right file?")
    return found.ravel()


def people_of_release(release: Release, split: str) -> People:
    """The people of a split, in the file's order.

    train and valid: everybody of the training pictures who has a scale, a position and a labelled keypoint; those of
    every tenth picture with such people are valid. test: of the other pictures the people in single_person, whom the
    benchmark judges, with a scale and a position; keypoints and head sizes are unknown. Boxes are made as read_mpii
    makes them. Keypoints without a word on visibility (head top and upper neck have none) count as visible. A person's
    id names picture and rectangle (`person_id`). Raises DataError for unsound values.
    """
    if split not in _SPLITS:
        raise ValueError(f"unknown split {split!r}; known: {', '.join(_SPLITS)}")
    found: list[_Person] = []
    absent: list[_Absent] = []
    for person in _people(release, training=split != "test"):
        (found if isinstance(person, _Person) else absent).append(person)
    if split != "test":
        # by name, so that a picture which is listed twice is in one split
        held = set(
            list(dict.fromkeys(person.image for person in found))[_VALID_EVERY - 1 :: _VALID_EVERY]
        )
        found = [person for person in found if (person.image in held) == (split == "valid")]
        absent = [person for person in absent if (person.image in held) == (split == "valid")]
    if not found:
        raise DataError(
            f"{release.path}: nobody to use for {split} ({_SPLITS[split]}) in {len(release.pictures)} pictures"
        )
    names = tuple(dict.fromkeys(person.image for person in found))
    position = {name: number for number, name in enumerate(names)}
    centers, scales = (
        np.array([getattr(person, name) for person in found]) for name in ("center", "scale")
    )
    folder = release.path.parent
    return People(
        name=f"mpii_release {split}",
        skeleton=MPII,
        root=(folder.parent if folder.name == "annot" else folder) / "images",
        images=names,
        image_index=np.array([position[person.image] for person in found]),
        keypoints_image=np.stack([person.keypoints for person in found])[:, FILE_ORDER],
        visibility=np.stack([person.visibility for person in found])[:, FILE_ORDER],
        boxes=person_boxes(centers, scales),
        head_sizes=np.array([person.head_size for person in found]),
        person_ids=np.array([person.number for person in found]),
        box_source=f"annotated centre and scale, {_SPLITS[split]}",
        head_source="none" if split == "test" else HEAD_SOURCE,
        left_out=dict(Counter(person.reason for person in absent)),
    )


def person_id(picture: int, rectangle: int) -> int:
    """The id picture * 1000 + rectangle, of numbers in annolist and its annorect that count from 1, as MATLAB does."""
    return picture * _RECTANGLES + rectangle


@dataclass(frozen=True)
class _Person:
    """center [2] and scale as in the file, keypoints [16, 2] 0-based px and visibility [16] in the file's order."""

    image: str
    number: int
    center: tuple[float, float]
    scale: float
    keypoints: np.ndarray
    visibility: np.ndarray
    head_size: float


@dataclass(frozen=True)
class _Absent:
    image: str
    reason: str


def _people(release: Release, training: bool) -> Iterator[_Person | _Absent]:
    for picture in np.flatnonzero(release.training == training):
        place = f"{release.path}, image {picture + 1}"
        image = picture_name(place, release.pictures[picture])
        place += f" ({image})"
        rectangles = struct_rows(place, "annorect", release.pictures[picture]["annorect"])
        if len(rectangles) >= _RECTANGLES:
            raise DataError(
                f"{place}: {len(rectangles)} rectangles, but ids tell {_RECTANGLES - 1} apart; drop some"
            )
        apart = () if training else _numbers(place, "single_person", release.single_person[picture])
        for number, rectangle in enumerate(rectangles, 1):
            if not training and number not in apart:
                yield _Absent(image, "not in single_person")
            else:
                own = person_id(int(picture) + 1, number)
                yield _person(f"{place}, rectangle {number}", image, own, rectangle, training)


def _person(
    place: str, image: str, number: int, rectangle: Mapping, training: bool
) -> _Person | _Absent:
    scale = _number(place, "scale", rectangle.get("scale"))
    position = struct_rows(place, "objpos", rectangle.get("objpos"))
    x, y = (
        _number(place, f"objpos.{axis}", position[0].get(axis)) if position else None
        for axis in "xy"
    )
    if scale is None or x is None or y is None:
        return _Absent(image, "no scale or position")
    if scale <= 0:
        return _Absent(image, "box of no size")
    if not training:
        return _Person(
            image, number, (x, y), scale, np.zeros((16, 2)), np.zeros(16, np.uint8), np.nan
        )
    keypoints, visibility = file_keypoints(place, rectangle)
    if not visibility.any():
        return _Absent(image, "no labelled keypoint")
    left, top, right, bottom = (
        _number(place, side, rectangle.get(side)) for side in ("x1", "y1", "x2", "y2")
    )
    known = None not in (left, top, right, bottom)
    head_size = HEAD_SHARE * float(np.hypot(right - left, bottom - top)) if known else np.nan
    return _Person(image, number, (x, y), scale, keypoints, visibility, head_size)


def file_keypoints(place: str, rectangle: Mapping) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints [16, 2] 0-based px and visibility [16] of a rectangle's annopoints, in the file's order; zeros where
    there is none. Of two with one id the first counts, as in MPII's toolkit. Raises DataError for unsound values."""
    keypoints, visibility = np.zeros((len(MPII), 2)), np.zeros(len(MPII), np.uint8)
    for labels in struct_rows(place, "annopoints", rectangle.get("annopoints"))[:1]:
        for point in reversed(struct_rows(place, "point", labels.get("point"))):
            keypoint, x, y, seen = (
                _number(place, name, point.get(name)) for name in ("id", "x", "y", "is_visible")
            )
            if keypoint not in range(len(MPII)):
                raise DataError(
                    f"{place}: a point has the id {keypoint}; MPII's are 0 to 15; correct or drop it"
                )
            if x is None or y is None:
                raise DataError(
                    f"{place}: the {MPII_FILE_KEYPOINTS[int(keypoint)]} has no x or no y; drop the point"
                )
            if seen not in (None, 0, 1):
                raise DataError(
                    f"{place}: a point has is_visible {seen:g}; expected 0, 1 or nothing"
                )
            keypoints[int(keypoint)] = x - 1, y - 1
            visibility[int(keypoint)] = 1 if seen == 0 else 2
    return keypoints, visibility


def picture_name(place: str, picture: np.void) -> str:
    """The file name of an entry of annolist; raises DataError, naming the place, unless it is one."""
    rows = struct_rows(place, "image", picture["image"])
    name = rows[0].get("name") if rows else None
    return image_name(
        place, name.item() if isinstance(name, np.ndarray) and name.size == 1 else name
    )


def struct_rows(place: str, name: str, value: object) -> list[dict[str, object]]:
    """The elements of a MATLAB struct array by field; none where it is empty or not there."""
    if value is None or np.size(value) == 0:
        return []
    if not isinstance(value, np.ndarray) or value.dtype.names is None:
        raise DataError(f"{place}: {name} is {_shown(value)}, not a struct; copy the file again")
    return [dict(zip(value.dtype.names, row, strict=True)) for row in value.ravel().tolist()]


def _number(place: str, name: str, value: object) -> float | None:
    """A MATLAB scalar, or a string that spells one; None where it is empty or not there."""
    found = _numbers(place, name, value)
    if len(found) > 1:
        raise DataError(
            f"{place}: {name} is {_shown(value)}, not one number; correct or drop this person"
        )
    return found[0] if found else None


def _numbers(place: str, name: str, value: object) -> list[float]:
    if value is None or np.size(value) == 0:
        return []
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise DataError(
            f"{place}: {name} is {_shown(value)}, not a number; correct or drop this person"
        ) from None
    if not np.isfinite(array).all():
        raise DataError(
            f"{place}: {name} holds {array[~np.isfinite(array)][0]}; correct or drop this person"
        )
    return array.ravel().tolist()


def _shown(value: object) -> str:
    """A value in a message: of an array the first few elements."""
    return f"{value.ravel()[:4].tolist() if isinstance(value, np.ndarray) else value!r:.60}"

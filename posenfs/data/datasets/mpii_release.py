"""Reader of MPII's own file, the MATLAB struct RELEASE of mpii_human_pose_v1_u12_1.mat."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from posenfs.body.skeleton import HEAD_SHARE, HEAD_SOURCE, MPII, MPII_FILE_KEYPOINTS
from posenfs.data.datasets.mpii import FILE_ORDER, person_boxes
from posenfs.data.parsing import image_name, read_mat
from posenfs.data.sample import ROOT, Annotations, DataError

_FILE = "mpii_human_pose_v1_u12_1.mat"
_VALID_EVERY = 10  # every tenth training image with usable people validates, in the file's order
_RECTANGLES = 1000  # more than any image has; see person_id
_SPLITS = {
    "train": f"all but every {_VALID_EVERY}th training image",
    "valid": f"every {_VALID_EVERY}th training image",
    "test": "people who stand apart",
}


@dataclass(frozen=True)
class Release:
    """RELEASE of M images. MATLAB's structs are arrays of objects with field names."""

    path: Path
    images: np.ndarray  # [M] struct image, annorect, …
    training: np.ndarray  # [M] bool
    single_person: np.ndarray  # [M] numbers, from 1, of the rectangles of people who stand apart


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

    The file has no validation split. Every tenth training image with usable people is one, so
    results on valid do not compare with those on HRNet's valid.json. See `annotations_of_release`.

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
    return annotations_of_release(load_release(path), split)


def load_release(path: Path) -> Release:
    """Load the file, which takes about 5 s and 0.7 GB for its 24,987 images.

    Args:
        path: The MAT-file.

    Raises:
        DataError: The file is invalid.
    """
    struct = load_struct(path, "RELEASE")
    fields = ("annolist", "img_train", "single_person")
    names = struct.dtype.names or ()
    if len(struct) != 1 or not set(fields) <= set(names):
        raise DataError(
            f"{path}: RELEASE has the fields {', '.join(names):.200}; expected "
            f"{', '.join(fields)}; copy it again"
        )
    images, training, single_person = (np.ravel(struct[0][name]) for name in fields)
    if not {"image", "annorect"} <= set(images.dtype.names or ()):
        raise DataError(
            f"{path}: annolist has the fields {images.dtype.names}; expected image and annorect"
        )
    has_equal_lengths = len(images) == len(training) == len(single_person)
    if not has_equal_lengths or single_person.dtype != object:
        raise DataError(
            f"{path}: annolist is of {len(images)} images, img_train of {len(training)}, "
            f"single_person of {len(single_person)}; copy it again"
        )
    if training.dtype.kind not in "biuf" or not np.isin(training, (0, 1)).all():
        raise DataError(f"{path}: img_train must be 0 or 1 for each image; copy it again")
    return Release(path, images, training == 1, single_person)


def load_struct(path: Path, variable: str) -> np.ndarray:
    """Load a struct of a MAT-file.

    Args:
        path: The MAT-file.
        variable: The name of the struct.

    Returns:
        A one-dimensional array of objects with field names.

    Raises:
        DataError: The file is invalid or has no such struct.
    """
    try:
        struct = read_mat(path, variable_names=[variable], mat_dtype=True).get(variable)
    except NotImplementedError:  # scipy's answer to version 7.3, which is HDF5
        raise DataError(
            f"{path} is a MAT-file of version 7.3, which cannot be read; take the original, or in "
            f"MATLAB load it and save('{path.name}', '{variable}', '-v7')"
        ) from None
    except Exception as error:  # a broken file can raise nearly any exception
        raise DataError(
            f"{path} is no MAT-file that can be read ({error!s:.200}); copy it again"
        ) from None
    if not isinstance(struct, np.ndarray) or struct.dtype.names is None:
        raise DataError(f"{path} has no struct {variable}; is it the right file?")
    return struct.ravel()


def annotations_of_release(release: Release, split: str) -> Annotations:
    """Select the people of a split, in the file's order.

    train and valid are the people of training images who have a scale, a position and a labelled
    keypoint; those of every tenth image with such people are valid. test is the people of the other
    images who are in single_person, and whom the benchmark scores, with a scale and a position;
    their keypoints and head sizes are unknown. Boxes are those of `read_mpii`. Keypoints without a
    visibility (head top and upper neck never have one) count as visible. A person's id is that of
    `person_id`.

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
    left_out: list[_LeftOut] = []
    for person in _all_people(release, training=split != "test"):
        if isinstance(person, _Person):
            people.append(person)
        else:
            left_out.append(person)
    if split != "test":
        # Images are compared by name, so an image that is listed twice is in one split.
        used_images = list(dict.fromkeys(person.image for person in people))
        valid_images = set(used_images[_VALID_EVERY - 1 :: _VALID_EVERY])
        is_valid = split == "valid"
        people = [person for person in people if (person.image in valid_images) == is_valid]
        left_out = [person for person in left_out if (person.image in valid_images) == is_valid]
    if not people:
        raise DataError(
            f"{release.path}: nobody to use for {split} ({_SPLITS[split]}) in "
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
        left_out=dict(Counter(person.reason for person in left_out)),
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
class _LeftOut:
    image: str
    reason: str


def _all_people(release: Release, training: bool) -> Iterator[_Person | _LeftOut]:
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
            singles = _numbers(place, "single_person", release.single_person[index])
        for number, rectangle in enumerate(rectangles, 1):
            if not training and number not in singles:
                yield _LeftOut(image, "not in single_person")
                continue
            person = person_id(int(index) + 1, number)
            yield _read_person(f"{place}, rectangle {number}", image, person, rectangle, training)


def _read_person(
    place: str, image: str, number: int, rectangle: Mapping, training: bool
) -> _Person | _LeftOut:
    scale = _number(place, "scale", rectangle.get("scale"))
    positions = struct_rows(place, "objpos", rectangle.get("objpos"))
    position = positions[0] if positions else {}
    x = _number(place, "objpos.x", position.get("x"))
    y = _number(place, "objpos.y", position.get("y"))
    if scale is None or x is None or y is None:
        return _LeftOut(image, "no scale or position")
    if scale <= 0:
        return _LeftOut(image, "box of no size")
    if not training:
        keypoints, visibility = np.zeros((16, 2)), np.zeros(16, np.uint8)
        return _Person(image, number, (x, y), scale, keypoints, visibility, np.nan)
    keypoints, visibility = file_keypoints(place, rectangle)
    if not visibility.any():
        return _LeftOut(image, "no labelled keypoint")
    head_size = _head_size(place, rectangle)
    return _Person(image, number, (x, y), scale, keypoints, visibility, head_size)


def _head_size(place: str, rectangle: Mapping) -> float:
    """The head size of a rectangle in px; NaN where its head box is incomplete."""
    left = _number(place, "x1", rectangle.get("x1"))
    top = _number(place, "y1", rectangle.get("y1"))
    right = _number(place, "x2", rectangle.get("x2"))
    bottom = _number(place, "y2", rectangle.get("y2"))
    if left is None or top is None or right is None or bottom is None:
        return float("nan")
    return HEAD_SHARE * float(np.hypot(right - left, bottom - top))


def file_keypoints(place: str, rectangle: Mapping) -> tuple[np.ndarray, np.ndarray]:
    """Read the annopoints of a rectangle. Of two points with one id the first counts.

    Args:
        place: The place in the file, for messages.
        rectangle: The fields of the rectangle.

    Returns:
        Keypoints [16, 2] (0-based px, file order) and visibility [16]; zeros where unlabelled.

    Raises:
        DataError: A value is invalid.
    """
    keypoints, visibility = np.zeros((len(MPII), 2)), np.zeros(len(MPII), np.uint8)
    for labels in struct_rows(place, "annopoints", rectangle.get("annopoints"))[:1]:
        # In reverse order the first of two points with one id is written last.
        for point in reversed(struct_rows(place, "point", labels.get("point"))):
            keypoint = _number(place, "id", point.get("id"))
            x = _number(place, "x", point.get("x"))
            y = _number(place, "y", point.get("y"))
            visible = _number(place, "is_visible", point.get("is_visible"))
            if keypoint is None or keypoint not in range(len(MPII)):
                raise DataError(
                    f"{place}: a point has the id {keypoint}; MPII's are 0 to 15; correct or drop "
                    "it"
                )
            if x is None or y is None:
                name = MPII_FILE_KEYPOINTS[int(keypoint)]
                raise DataError(f"{place}: the {name} has no x or no y; drop the point")
            if visible not in (None, 0, 1):
                raise DataError(
                    f"{place}: a point has is_visible {visible:g}; expected 0, 1 or nothing"
                )
            keypoints[int(keypoint)] = x - 1, y - 1
            visibility[int(keypoint)] = 1 if visible == 0 else 2
    return keypoints, visibility


def image_file_name(place: str, entry: np.void) -> str:
    """Return the image name of an entry of annolist.

    Args:
        place: The place in the file, for messages.
        entry: The entry.

    Raises:
        DataError: The entry has no valid image name.
    """
    rows = struct_rows(place, "image", entry["image"])
    name = rows[0].get("name") if rows else None
    if isinstance(name, np.ndarray) and name.size == 1:
        name = name.item()
    return image_name(place, name)


def struct_rows(place: str, name: str, value: Any) -> list[dict[str, object]]:
    """Return the elements of a MATLAB struct array as dicts; none where it is empty or missing.

    Args:
        place: The place in the file, for messages.
        name: The name of the struct, for messages.
        value: The struct array.

    Raises:
        DataError: The value is no struct array.
    """
    if value is None or np.size(value) == 0:
        return []
    if not isinstance(value, np.ndarray) or value.dtype.names is None:
        raise DataError(f"{place}: {name} is {_shown(value)}, not a struct; copy the file again")
    return [dict(zip(value.dtype.names, row, strict=True)) for row in value.ravel().tolist()]


def _number(place: str, name: str, value: object) -> float | None:
    """A MATLAB scalar, or a string that spells one; None where it is empty or missing."""
    numbers = _numbers(place, name, value)
    if len(numbers) > 1:
        raise DataError(
            f"{place}: {name} is {_shown(value)}, not one number; correct or drop this person"
        )
    return numbers[0] if numbers else None


def _numbers(place: str, name: str, value: Any) -> list[float]:
    """A MATLAB array, or strings that spell numbers, as a list; empty where it is missing."""
    if value is None or np.size(value) == 0:
        return []
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise DataError(
            f"{place}: {name} is {_shown(value)}, not a number; correct or drop this person"
        ) from None
    if not np.isfinite(array).all():
        first = array[~np.isfinite(array)][0]
        raise DataError(f"{place}: {name} holds {first}; correct or drop this person")
    return array.ravel().tolist()


def _shown(value: object) -> str:
    """A value in a message: the first elements of an array."""
    first = value.ravel()[:4].tolist() if isinstance(value, np.ndarray) else value
    return f"{first!r:.60}"

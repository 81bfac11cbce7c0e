"""Content of MPII's own file, the MATLAB struct RELEASE of mpii_human_pose_v1_u12_1.mat."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from posenfs.body.skeleton import MPII, MPII_FILE_KEYPOINTS
from posenfs.data.parsing import image_name, read_mat
from posenfs.data.sample import DataError


@dataclass(frozen=True)
class Release:
    """RELEASE of M images. MATLAB's structs are arrays of objects with field names."""

    path: Path
    images: np.ndarray  # [M] struct image, annorect, …
    training: np.ndarray  # [M] bool
    single_person: np.ndarray  # [M] rectangle numbers, from 1, of sufficiently separated people


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
            keypoint = matlab_number(place, "id", point.get("id"))
            x = matlab_number(place, "x", point.get("x"))
            y = matlab_number(place, "y", point.get("y"))
            visible = matlab_number(place, "is_visible", point.get("is_visible"))
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


def matlab_number(place: str, name: str, value: object) -> float | None:
    """Return a MATLAB scalar, or a string that spells one; None where it is empty or missing.

    Args:
        place: The place in the file, for messages.
        name: The name of the value, for messages.
        value: The value as read.

    Raises:
        DataError: The value is anything else.
    """
    numbers = matlab_numbers(place, name, value)
    if len(numbers) > 1:
        raise DataError(
            f"{place}: {name} is {_shown(value)}, not one number; correct or drop this person"
        )
    return numbers[0] if numbers else None


def matlab_numbers(place: str, name: str, value: Any) -> list[float]:
    """Return a MATLAB array, or strings that spell numbers, as a list; empty where it is missing.

    Args:
        place: The place in the file, for messages.
        name: The name of the value, for messages.
        value: The value as read.

    Raises:
        DataError: The value is anything else.
    """
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

"""MPII's own file: errors name the invalid value; broken files raise DataError only."""

import copy
import io
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from scipy.io import savemat

from posenfs.body.skeleton import MPII_FILE_KEYPOINTS
from posenfs.data.datasets.mpii_release import (
    annotations_of_release,
    read_release,
)
from posenfs.data.datasets.mpii_release_file import load_release
from posenfs.data.sample import DataError
from tests.data.test_mpii_release import EMPTY, NAME, matlab, rectangle, release, write_release

BOUNDED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scale": np.nan}, r"image 2 \(000000002.jpg\), rectangle 1: scale holds nan"),
        ({"scale": np.array([1.0, 2.0])}, r"rectangle 1: scale is \[1.0, 2.0\], not one number"),
        ({"scale": "tall"}, r"scale is \['tall'\], not a number"),
        ({"objpos": 7.0}, r"objpos is \[7.0\], not a struct"),
        ({"objpos": matlab([{"x": np.inf, "y": 1.0}])}, r"objpos.x holds inf"),
        ({"x1": np.nan}, r"x1 holds nan"),
        ({"annopoints": 3.0}, r"annopoints is \[3.0\], not a struct"),
        ({"annopoints": matlab([{"point": "none"}])}, r"point is \['none'\], not a struct"),
        ({"points": [(1.0, 2.0, 16)]}, r"a point has the id 16.0; MPII's are 0 to 15"),
        ({"points": [(1.0, 2.0)]}, r"a point has the id None"),
        ({"points": [(1.0, EMPTY, 9)]}, r"the head_top has no x or no y"),
        ({"points": [(1.0, np.nan, 9)]}, r"y holds nan"),
        ({"points": [(1.0, 2.0, 9, 5)]}, r"is_visible 5; expected 0, 1 or nothing"),
    ],
)
def test_an_error_names_the_image_and_the_invalid_value(tmp_path, fields, message):
    write_release(tmp_path, [{}, {"people": [rectangle(**fields)]}])
    with pytest.raises(DataError, match=message):
        read_release(tmp_path, "train")


@pytest.mark.parametrize("name", ["../a.jpg", EMPTY, 3.0])
def test_invalid_image_names_are_errors(tmp_path, name):
    write_release(tmp_path, [{}, {"name": name}])
    with pytest.raises(DataError, match="image 2.*image (name|path)"):
        read_release(tmp_path, "train")


def test_an_error_describes_the_invalid_file(tmp_path):
    with pytest.raises(DataError, match=f"no {NAME} in "):
        read_release(tmp_path, "train")
    path = tmp_path / NAME
    for content, message in (
        (b"no mat file at all", "is no MAT-file that can be read"),
        (b"", "is no MAT-file that can be read"),
        # the header of version 7.3; what follows it is HDF5
        (
            b"MATLAB 7.3 MAT-file".ljust(124) + struct.pack("<H", 0x200) + b"IM" + b"\x89HDF",
            r"version 7.3.*'-v7'",
        ),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            read_release(tmp_path, "train")
    whole = release([{}, {}])["RELEASE"]
    for value, message in (
        (np.zeros(3), "has no struct RELEASE"),
        (
            matlab([{"annolist": 1.0, "img_train": 1.0}]),
            "fields annolist, img_train; expected annolist, img_train, single_person",
        ),
        (changed(whole, annolist=np.zeros(2)), "annolist has the fields None"),
        (
            changed(whole, img_train=np.ones((1, 3))),
            "annolist is of 2 images, img_train of 3, single_person of 2",
        ),
        (changed(whole, img_train=np.array([[1.0, np.nan]])), "img_train must be 0 or 1"),
        (changed(whole, single_person=np.ones((1, 2))), "single_person of 2"),
    ):
        savemat(path, {"RELEASE": value})
        with pytest.raises(DataError, match=message):
            read_release(tmp_path, "train")
    savemat(path, {"other": 1})
    with pytest.raises(DataError, match="has no struct RELEASE"):
        load_release(path)


def changed(whole: np.ndarray, **fields) -> np.ndarray:
    struct = np.empty((1, 1), whole.dtype)
    for name in whole.dtype.names:
        struct[name][0, 0] = fields.get(name, whole[name][0, 0])
    return struct


def every_kind_of_image() -> list[dict]:
    """A training image with people, an empty one, and a test image."""
    points = [(float(k), k + 1.0, float(k), EMPTY if k in (8, 9) else "1") for k in range(16)]
    return [
        {"people": [rectangle(points), rectangle(points[:2])]},
        {"people": []},
        {"people": [rectangle()], "train": False, "single": [1]},
    ]


def reads(root) -> None:
    for split in ("train", "valid", "test"):
        try:
            people = read_release(root, split)
            assert len(people) and np.isfinite(people.keypoints_image).all()
        except DataError as error:
            assert str(error)


def test_a_file_with_every_kind_of_image_is_read(tmp_path):
    path = write_release(tmp_path, every_kind_of_image())
    assert [
        len(annotations_of_release(load_release(path), split)) for split in ("train", "test")
    ] == [
        2,
        1,
    ]
    assert (read_release(tmp_path, "train").visibility[0] == 2).all() and len(
        MPII_FILE_KEYPOINTS
    ) == 16


@BOUNDED
@given(st.data())
def test_corrupted_bytes_raise_data_errors_only(tmp_path, data):
    content = bytearray(write_release(tmp_path, every_kind_of_image()).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / NAME).write_bytes(bytes(content))
    reads(tmp_path)


@BOUNDED
@given(st.floats(0, 1), st.booleans())
def test_truncated_files_raise_data_errors(tmp_path, share, packed):
    buffer = io.BytesIO()
    savemat(buffer, release(every_kind_of_image()), do_compression=packed)
    (tmp_path / NAME).write_bytes(buffer.getvalue()[: int(share * (len(buffer.getvalue()) - 1))])
    with pytest.raises(DataError, match=NAME):
        read_release(tmp_path, "train")


VALUES = st.sampled_from(
    [EMPTY, np.nan, 1e100, -3.0, "", "text", np.zeros((2, 2)), matlab([{"x": 1.0}]), np.bool_(1)]
)


@BOUNDED
@given(st.data())
def test_missing_and_wrong_fields_raise_data_errors_only(tmp_path, data):

    content = copy.deepcopy(release(every_kind_of_image()))
    here, depth = content["RELEASE"], data.draw(st.integers(1, 6))
    for level in range(depth):
        row = data.draw(st.integers(0, here.size - 1))
        names = here.dtype.names
        name = data.draw(st.sampled_from(names))
        inner = here[name].ravel()[row]
        if (
            level == depth - 1
            or not isinstance(inner, np.ndarray)
            or not inner.dtype.names
            or not inner.size
        ):
            if data.draw(st.booleans()):
                here[name].reshape(-1)[row] = data.draw(VALUES)
            else:
                here.dtype.names = tuple(f"no_{n}" if n == name else n for n in names)
            break
        here = inner
    savemat(tmp_path / NAME, content)
    reads(tmp_path)

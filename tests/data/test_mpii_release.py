"""Reader of MPII's own MAT-file: equality with the JSON form, splits, and invalid files."""

import copy
import io
import json
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from posenfs.body.skeleton import MPII, MPII_FILE_KEYPOINTS
from posenfs.data.datasets.mpii import read_mpii
from posenfs.data.datasets.mpii_release import (
    annotations_of_release,
    find_release,
    load_release,
    person_id,
    read_release,
)
from posenfs.data.sample import DataError

NAME = "mpii_human_pose_v1_u12_1.mat"
EMPTY = np.zeros((0, 0))
BOUNDED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def matlab(rows: list[dict], fields: list[str] | None = None) -> np.ndarray:
    """A 1 x N struct array; a field that a row lacks is []."""
    fields = fields or list(dict.fromkeys(name for row in rows for name in row))
    struct = np.empty((1, len(rows)), [(name, object) for name in fields])
    for number, row in enumerate(rows):
        for name in fields:
            struct[name][0, number] = row.get(name, EMPTY)
    return struct


def rectangle(points=((3.0, 5.0, 0),), scale=1.0, **fields) -> dict:
    """A person at (50, 60) with points (x, y, id[, is_visible]) and a head box of 30 x 40 px."""
    rows = [dict(zip(("x", "y", "id", "is_visible"), point, strict=False)) for point in points]
    defaults = {
        "x1": 10.0,
        "y1": 10.0,
        "x2": 40.0,
        "y2": 50.0,
        "annopoints": matlab([{"point": matlab(rows)}]),
        "scale": scale,
        "objpos": matlab([{"x": 50.0, "y": 60.0}]),
    }
    return defaults | fields


def release(images: list[dict]) -> dict:
    """RELEASE of images {name, people, train, single}, each with a default, for savemat."""
    annolist, single = [], np.empty((len(images), 1), object)
    for number, image in enumerate(images):
        people = image.get("people", [rectangle()])
        name = matlab([{"name": image.get("name", f"{number + 1:09d}.jpg")}])
        annolist.append(
            {"image": name, "annorect": matlab(people) if people else EMPTY, "vididx": 7.0}
        )
        single[number, 0] = np.array(image.get("single", []), float)[:, None]
    train = np.array([[float(image.get("train", True)) for image in images]])
    act = matlab([{"act_name": "yoga", "act_id": 3.0} for _ in images]).T
    fields = {
        "annolist": matlab(annolist),
        "img_train": train,
        "single_person": single,
        "act": act,
        "version": "12",
    }
    return {"RELEASE": matlab([fields])}


def write_release(root, images: list[dict], folder: str = "."):
    (root / folder).mkdir(parents=True, exist_ok=True)
    savemat(root / folder / NAME, release(images), do_compression=True)
    return root / folder / NAME


def release_of(drawn, root) -> list[dict]:
    """Write the drawn training people as a release; return the entries of their JSON file."""
    entries = json.loads((drawn / "annot" / "train.json").read_text())
    images: dict[str, list] = {}
    for entry in entries:
        points = [
            (*entry["joints"][k], float(k), str(1 - entry["joints_occluded"][k]))
            for k in range(16)
            if entry["joints_vis"][k]
        ]
        side, (x, y) = 20 * entry["scale"] / 0.6, entry["center"]
        head = {
            "x1": 5.0,
            "x2": 5 + side,
            "y1": 9.0,
            "y2": 9.0,
            "objpos": matlab([{"x": x, "y": y}]),
        }
        images.setdefault(entry["image"], []).append(rectangle(points, entry["scale"], **head))
    write_release(
        root, [{"name": name, "people": people} for name, people in images.items()], "annot"
    )
    return entries


def test_people_equal_those_of_the_json_form(drawn, tmp_path):
    entries, expected = release_of(drawn, tmp_path), read_mpii(drawn, "train")
    names = list(dict.fromkeys(entry["image"] for entry in entries))
    rows = {split: read_release(tmp_path, split) for split in ("train", "valid")}
    assert find_release(tmp_path) == tmp_path / "annot" / NAME
    assert len(rows["train"]) + len(rows["valid"]) == len(expected)
    seen = {name: 0 for name in names}
    order = {
        name: [n for n, entry in enumerate(entries) if entry["image"] == name] for name in names
    }
    for people in rows.values():
        assert people.root == tmp_path / "images" and people.left_out == {}
        for n, number in enumerate(people.person_ids):
            name = people.images[people.image_index[n]]
            assert number == person_id(
                names.index(name) + 1, seen[name] + 1
            )  # the file's numbers count from 1
            row = order[name][seen[name]]
            seen[name] += 1
            for field in ("keypoints_image", "visibility", "boxes", "head_sizes"):
                np.testing.assert_allclose(
                    getattr(people, field)[n], getattr(expected, field)[row], atol=1e-9
                )


def test_every_tenth_image_with_people_validates(tmp_path):
    two, twice = {"people": [rectangle(), rectangle()]}, {"name": "twice.jpg"}
    images = [{"people": []}, *[{}] * 8, two, twice, {"train": False}, *[{}] * 9, two, twice]
    write_release(tmp_path, images)
    train, valid = (read_release(tmp_path, split) for split in ("train", "valid"))
    # 20 training images with people, one of them listed twice: the tenth and the twentieth
    assert valid.images == ("twice.jpg", "000000022.jpg")
    assert valid.person_ids.tolist() == [11001, 22001, 22002, 23001]
    assert valid.image_index.tolist() == [0, 1, 1, 0]
    assert train.person_ids.tolist() == [
        *range(2001, 10000, 1000),
        10001,
        10002,
        *range(13001, 22000, 1000),
    ]
    for people, words in (
        (train, "all but every 10th training image"),
        (valid, "every 10th training image"),
    ):
        assert words in people.box_source


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ((3.0, 5.0, 9.0), 2),  # without the field
        ((3.0, 5.0, 9.0, EMPTY), 2),  # as head top and upper neck are
        ((3.0, 5.0, 9.0, 1.0), 2),
        ((3.0, 5.0, 9.0, 0.0), 1),
        ((3.0, 5.0, 9.0, "1"), 2),
        ((3.0, 5.0, 9.0, "0"), 1),
        ((3.0, 5.0, 9.0, np.uint8(0)), 1),
        ((3.0, 5.0, 9.0, np.bool_(True)), 2),
    ],
)
def test_visibility_in_each_of_its_forms(tmp_path, point, expected):
    write_release(tmp_path, [{"people": [rectangle([point])]}])
    people = read_release(tmp_path, "train")
    k = MPII.index("head_top")
    assert people.visibility[0].tolist() == [expected if n == k else 0 for n in range(16)]
    assert (
        people.keypoints_image[0, k].tolist() == [2, 4]
        and not people.keypoints_image[0, k + 1 :].any()
    )


def test_the_first_of_two_points_with_one_id_counts(tmp_path):
    write_release(tmp_path, [{"people": [rectangle([(3.5, 5.25, 6), (9, 9, 6)])]}])
    assert read_release(tmp_path, "train").keypoints_image[0, MPII.index("pelvis")].tolist() == [
        2.5,
        4.25,
    ]


def test_incomplete_people_are_counted_by_reason(tmp_path):
    heads = {"x1": 1.0, "y1": 1.0, "x2": 2.0, "y2": 2.0}
    people = [
        rectangle(),
        rectangle(scale=EMPTY),
        rectangle(objpos=EMPTY),
        rectangle(objpos=matlab([{"x": 3.0, "y": EMPTY}])),
        rectangle(annopoints=EMPTY),
        rectangle(annopoints=matlab([{"point": EMPTY}])),
        rectangle(scale=0.0),
        rectangle(x2=EMPTY),
    ]
    write_release(
        tmp_path,
        [{"people": people}, {"people": [heads]}, {"people": []}, {"people": [{"scale": 1.0}]}],
    )
    found = read_release(tmp_path, "train")
    assert found.person_ids.tolist() == [1001, 1008]
    assert found.left_out == {
        "no scale or position": 5,
        "no labelled keypoint": 2,
        "box of no size": 1,
    }
    assert found.head_sizes[0] == pytest.approx(30) and np.isnan(found.head_sizes[1])
    np.testing.assert_allclose(found.boxes[0], [49 - 100, 59 + 15 - 100, 200, 200])


def test_the_test_split_holds_the_people_of_single_person(tmp_path):
    bare = {key: value for key, value in rectangle().items() if key in ("scale", "objpos")}
    images = [
        {"train": True, "single": [1]},
        {"train": False, "people": [bare, bare, bare], "single": [3, 1]},
        {"train": False, "people": [bare, bare]},
        {"train": False, "people": [], "single": [1]},
        {"train": False, "people": [rectangle(), bare | {"scale": EMPTY}], "single": [1, 2, 9]},
    ]
    write_release(tmp_path, images)
    people = read_release(tmp_path, "test")
    assert people.person_ids.tolist() == [2001, 2003, 5001]
    assert people.images == ("000000002.jpg", "000000005.jpg") and people.image_index.tolist() == [
        0,
        0,
        1,
    ]
    assert people.left_out == {"not in single_person": 3, "no scale or position": 1}
    assert (
        not people.visibility.any()
        and not people.keypoints_image.any()
        and np.isnan(people.head_sizes).all()
    )
    assert people.head_source == "none" and people.name == "mpii_release test"
    assert read_release(tmp_path, "train").person_ids.tolist() == [1001]
    with pytest.raises(DataError, match=r"nobody to use for valid .*in 5 images"):
        read_release(tmp_path, "valid")
    with pytest.raises(ValueError, match="unknown split 'all'; known: train, valid, test"):
        read_release(tmp_path, "all")


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


@pytest.mark.parametrize("name", ["../a.jpg", "/a.jpg", EMPTY, 3.0])
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

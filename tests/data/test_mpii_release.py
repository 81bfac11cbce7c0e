"""Reader of MPII's own MAT-file: equality with the JSON form, and its splits."""

import json

import numpy as np
import pytest
from scipy.io import savemat

from posenfs.body.skeleton import MPII
from posenfs.data.datasets.mpii import read_mpii
from posenfs.data.datasets.mpii_release import (
    find_release,
    person_id,
    read_release,
)
from posenfs.data.sample import DataError

NAME = "mpii_human_pose_v1_u12_1.mat"
EMPTY = np.zeros((0, 0))


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
        assert people.root == tmp_path / "images" and people.excluded == {}
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
    assert found.excluded == {
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
    assert people.excluded == {"not in single_person": 3, "no scale or position": 1}
    assert (
        not people.visibility.any()
        and not people.keypoints_image.any()
        and np.isnan(people.head_sizes).all()
    )
    assert people.head_source == "none" and people.name == "mpii_release test"
    assert read_release(tmp_path, "train").person_ids.tolist() == [1001]
    with pytest.raises(DataError, match=r"no usable person for valid .*in 5 images"):
        read_release(tmp_path, "valid")
    with pytest.raises(ValueError, match="unknown split 'all'; known: train, valid, test"):
        read_release(tmp_path, "all")

"""Values of files in COCO's form: converted where they have one meaning, refused elsewhere."""

import json

import numpy as np
import pytest

from posenfs.data.datasets.coco import annotations_of_file
from posenfs.data.datasets.coco_file import coco_content
from posenfs.data.sample import DataError
from tests.data.hands import HAND, NAMES, annotation, hand_file

NAN = float("nan")


def read(path):
    return annotations_of_file(path, HAND, "hands", "hand", path.parent)


@pytest.mark.parametrize("value", [0, "0", 0.0, False, None, "", "false", "False"])
def test_these_are_no_crowds(tmp_path, value):
    path = hand_file(tmp_path, [annotation(iscrowd=value)])
    assert len(read(path)) == 1 and not read(path).excluded
    assert coco_content(path)["annotations"][0]["iscrowd"] == 0


@pytest.mark.parametrize("value", [1, "1", 1.0, True, "true"])
def test_these_are_crowds(tmp_path, value):
    path = hand_file(tmp_path, [annotation(iscrowd=value), annotation(2)])
    people = read(path)
    assert people.person_ids.tolist() == [2] and people.excluded == {"crowd": 1}
    assert coco_content(path)["annotations"][0]["iscrowd"] == 1


def test_ids_are_whole_numbers(tmp_path):
    rows = [annotation("7", image_id="2", category_id=1.0), annotation(-3.0, image_id=2.0)]
    path = hand_file(tmp_path, rows, categories=[{"id": "1", "name": "hand", "keypoints": NAMES}])
    people = read(path)
    assert people.person_ids.tolist() == [7, -3]
    assert people.coco.category == 1 and people.coco.image_ids.tolist() == [2]
    content = coco_content(path)
    assert [row["id"] for row in content["annotations"]] == [7, -3]
    assert [row["image_id"] for row in content["annotations"]] == [2, 2]
    assert [row["category_id"] for row in content["annotations"]] == [1, 1]


@pytest.mark.parametrize(
    ("keypoints", "points", "visibility"),
    [
        (["12.5", "20", "2", 30, 40, 1, 0, 0, 0], [[12.5, 20], [30, 40], [0, 0]], [2, 1, 0]),
        ([12.5, 20, 2.0, None, None, 0, 9, 9, 1], [[12.5, 20], [0, 0], [9, 9]], [2, 0, 1]),
        ([12.5, 20, 2, None, None, None, NAN, NAN, 0], [[12.5, 20], [0, 0], [0, 0]], [2, 0, 0]),
        ([12.5, 20, 2, NAN, NAN, NAN, "", "", ""], [[12.5, 20], [0, 0], [0, 0]], [2, 0, 0]),
        ([[12.5, 20, 2], [30, 40, 1], [5, 5, 0]], [[12.5, 20], [30, 40], [0, 0]], [2, 1, 0]),
    ],
)
def test_keypoints_are_numbers(tmp_path, keypoints, points, visibility):
    path = hand_file(tmp_path, [annotation(keypoints=keypoints), annotation(2)])
    people = read(path)
    np.testing.assert_array_equal(people.keypoints_image[0], points)
    np.testing.assert_array_equal(people.visibility[0], visibility)
    np.testing.assert_array_equal(people.keypoints_image[1], [[20, 30], [60, 30], [60, 70]])
    row = coco_content(path)["annotations"][0]
    assert all(isinstance(value, (int, float)) for value in row["keypoints"])
    assert np.isfinite(row["keypoints"]).all() and len(row["keypoints"]) == 9
    assert row["keypoints"][2::3] == visibility


@pytest.mark.parametrize(
    ("keypoints", "message"),
    [
        ([1, 2, 0.5, 3, 4, 2, 5, 6, 2], "annotation 1 has visibility 0.5 at wrist; it must be 0"),
        ([1, 2, -1, 3, 4, 2, 5, 6, 2], "annotation 1 has visibility -1 at wrist"),
        ([1, 2, 2, 3, 4, None, 5, 6, 2], "annotation 1 has visibility nan at left_thumb"),
        ([1, 2, 2, 3, 4, True, 5, 6, 2], "must have 9 numbers .* it has True at left_thumb"),
        ([1, 2, 2, False, 4, 2, 5, 6, 2], "must have 9 numbers .* it has False at left_thumb"),
        ([1, 2, 2, "3,5", 4, 2, 5, 6, 2], "must have 9 numbers .* it has '3,5' at left_thumb"),
        ([1, 2, 2, [3], 4, 2, 5, 6, 2], r"must have 9 numbers .* it has \[3\] at left_thumb"),
        ([1, 2, 2, None, 4, 2, 5, 6, 2], "annotation 1 has no number at its labelled left_thumb"),
        ([1, 2, 2, NAN, 4, 1, 5, 6, 2], "annotation 1 has no number at its labelled left_thumb"),
        ([1, 2, 2, float("inf"), 4, 1, 5, 6, 2], "no number at its labelled left_thumb"),
        ([1, 2, 2, 3, -1e300, 1, 5, 6, 2], r"\(3, -1e\+300\) at its labelled left_thumb, which is"),
        ([1, 2, 3, 4, 5, 6], "must have 9 numbers .* it has 6"),
        ([[1, 2], [3, 4], [5, 6]], r"must have 9 numbers .* it has 3"),
        ("1,2,2", "must have 9 numbers .* it has '1,2,2'"),
        ({"wrist": [1, 2]}, "must have 9 numbers"),
    ],
)
def test_keypoints_without_one_meaning_are_errors(tmp_path, keypoints, message):
    path = hand_file(tmp_path, [annotation(keypoints=keypoints)])
    for reader in (read, coco_content):
        with pytest.raises(DataError, match=message) as error:
            reader(path)
        assert str(path) in str(error.value)


@pytest.mark.parametrize("missing", [None, [], "drop"])
def test_annotations_without_keypoints_are_left_out(tmp_path, missing):
    row = annotation(keypoints=missing)
    if missing == "drop":
        del row["keypoints"]
    path = hand_file(tmp_path, [row, annotation(2)])
    people = read(path)
    assert people.person_ids.tolist() == [2] and people.excluded == {"no labelled keypoint": 1}
    assert people.coco.people.tolist() == [2]
    assert coco_content(path)["annotations"][0]["keypoints"] == [0] * 9


@pytest.mark.parametrize("box", [["10", "20.5", 30, 40.0], [10, 20.5, 30, 40]])
def test_boxes_are_numbers(tmp_path, box):
    path = hand_file(tmp_path, [annotation(bbox=box)])
    people = read(path)
    np.testing.assert_array_equal(people.boxes, [[10, 20.5, 30, 40]])
    assert people.box_source == "annotated" and not people.doubtful
    assert coco_content(path)["annotations"][0]["bbox"] == [10, 20.5, 30, 40]


@pytest.mark.parametrize(
    "box",
    [[1, 2, 3], [1, 2, None, 4], [1, 2, "a", 4], [1, 2, True, 4], 5, "1,2,3,4", [[1, 2], [3]]],
)
def test_boxes_without_one_meaning_are_errors(tmp_path, box):
    path = hand_file(tmp_path, [annotation(), annotation(2, bbox=box)])
    for reader in (read, coco_content):
        with pytest.raises(DataError, match="annotation 2 has bbox .* not x, y, w, h; correct it"):
            reader(path)


@pytest.mark.parametrize(
    ("area", "value"), [("12.5", 12.5), (12, 12), (NAN, None), (None, None), ("", None)]
)
def test_areas_are_numbers_or_missing(tmp_path, area, value):
    path = hand_file(tmp_path, [annotation(area=area)])
    assert len(read(path)) == 1
    assert coco_content(path)["annotations"][0].get("area") == value


@pytest.mark.parametrize("count", [0, 7, "3", None])
def test_labelled_keypoints_are_counted(tmp_path, count):
    keypoints = [20, 30, 2, 60, 30, 1, 0, 0, 0]
    path = hand_file(tmp_path, [annotation(num_keypoints=count, keypoints=keypoints)])
    assert coco_content(path)["annotations"][0]["num_keypoints"] == 2


def test_image_sizes_are_numbers(tmp_path):
    sizes = [("120", 96.0), (None, 0), (-5, 96)]
    images = [
        {"id": n, "file_name": f"{n}.jpg", "width": width, "height": height}
        for n, (width, height) in enumerate(sizes)
    ]
    path = hand_file(tmp_path, [annotation(n, image_id=n) for n in range(3)], images=images)
    np.testing.assert_array_equal(
        read(path).image_sizes, [[120, 96], [np.nan, np.nan], [np.nan, 96]]
    )


def test_a_file_of_plain_numbers_is_not_changed(tmp_path):
    path = hand_file(tmp_path, [annotation(n) for n in (3, 1, 2)])
    assert coco_content(path) == json.loads(path.read_text())

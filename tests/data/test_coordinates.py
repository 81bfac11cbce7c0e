"""Boxes made from keypoints, keypoints outside the image, and coordinates that are no pixels."""

import json

import numpy as np
import pytest
from hypothesis import given, strategies as st

from posenfs.data.datasets.coco import annotations_of_file
from posenfs.data.datasets.coco_file import coco_content
from posenfs.data.datasets.coordinates import keypoint_boxes, keypoints_outside, refuse_normalised
from posenfs.data.sample import DataError
from tests.data.hands import HAND, annotation, hand_file


def read(path, coordinates=None):
    return annotations_of_file(path, HAND, "hands", "hand", path.parent, coordinates)


MADE = [20, 30, 40, 40]  # the box of the keypoints (20, 30), (60, 30), (60, 70)


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ("drop", "box missing"),
        (None, "box missing"),
        ([], "box missing"),
        ([None] * 4, "box missing"),
        ([float("nan")] * 4, "box missing"),
        ([10, 20, 60, 0], "box of no size"),
        ([10, 20, 0, 0], "box of no size"),
        ([10, 20, -5, 60], "box of no size"),
        ([-80, 20, 60, 60], "box outside the image"),
        ([120, 20, 60, 60], "box outside the image"),
        ([10, 96, 60, 60], "box outside the image"),
        ([0, 0, 1201, 60], "box of more than 10 times the image"),
        ([-1e9, 0, 1e300, 1e9], "box of more than 10 times the image"),
    ],
)
def test_boxes_are_made_from_keypoints(tmp_path, box, reason):
    row = annotation(bbox=box)
    if box == "drop":
        del row["bbox"]
    path = hand_file(tmp_path, [annotation(5), row])
    people = read(path)
    np.testing.assert_array_equal(people.boxes, [[10, 20, 60, 60], MADE])
    assert people.doubtful == {f"{reason}: made from keypoints": 1} and not people.excluded
    assert people.box_source == "annotated, or else labelled keypoints"
    assert coco_content(path)["annotations"][1]["bbox"] == MADE
    assert read(hand_file(tmp_path, [row])).box_source == "labelled keypoints"


@pytest.mark.parametrize("box", [[-30, 20, 60, 60], [100, 80, 60, 60], [-30, -30, 500, 500]])
def test_a_box_that_lies_partly_in_the_image_is_kept(tmp_path, box):
    people = read(hand_file(tmp_path, [annotation(bbox=box)]))
    np.testing.assert_array_equal(people.boxes, [box])
    assert not people.doubtful and people.box_source == "annotated"


def test_a_box_is_not_made_from_keypoints_outside_the_image(tmp_path):
    keypoints = [20, 30, 2, 60, 50, 2, 500, 70, 2]
    path = hand_file(tmp_path, [annotation(bbox=None, keypoints=keypoints)])
    people = read(path)
    np.testing.assert_array_equal(people.boxes, [[20, 30, 40, 20]])
    assert people.doubtful == {
        "box missing: made from keypoints": 1,
        "labelled keypoint outside the image": 1,
    }


def test_people_without_any_usable_box_are_left_out(tmp_path):
    outside = [-20, 30, 2, 0, 0, 0, 160, 70, 2]
    rows = [
        annotation(1, keypoints=outside, bbox=[-80, 0, 40, 40]),
        annotation(2, keypoints=outside, bbox=None),
        annotation(3, keypoints=outside),
        annotation(4),
    ]
    people = read(hand_file(tmp_path, rows))
    assert people.person_ids.tolist() == [3, 4]
    assert people.coco.people.tolist() == [1, 2, 3, 4]  # AP ignores the two that are left out
    assert people.excluded == {
        "box outside the image, and no labelled keypoint in the image": 1,
        "box missing, and no labelled keypoint in the image": 1,
    }
    assert people.doubtful == {"labelled keypoint outside the image": 1}


def test_without_annotated_sizes_a_box_left_of_the_image_is_outside(tmp_path):
    images = [{"id": 1, "file_name": "1.jpg"}]
    rows = [annotation(1, bbox=[-80, 0, 40, 40]), annotation(2, bbox=[500, 0, 40, 40])]
    people = read(hand_file(tmp_path, rows, images=images))
    np.testing.assert_array_equal(people.boxes, [MADE, [500, 0, 40, 40]])


def test_boxes_of_keypoints_have_sides_of_at_least_8_px():
    keypoints = np.array([[[10.0, 20], [10, 50]], [[5, 5], [99, 99]], [[1, 1], [2, 2]]])
    labelled = np.array([[True, True], [True, False], [False, False]])
    boxes = keypoint_boxes(keypoints, labelled)
    np.testing.assert_array_equal(boxes[:2], [[6, 20, 8, 30], [1, 1, 8, 8]])
    assert np.isnan(boxes[2]).all()


def test_keypoints_outside_the_image():
    keypoints = np.array([[[-0.5, 0], [119.5, 95.5], [119.6, 5], [5, -0.6]]])
    labelled = np.array([[True, True, True, True]])
    sizes = np.array([[120.0, 96]])
    assert keypoints_outside(keypoints, labelled, sizes).tolist() == [[False, False, True, True]]
    assert not keypoints_outside(keypoints, ~labelled, sizes).any()
    assert not keypoints_outside(keypoints, labelled, sizes * np.nan).any()


def normalised(id=1, points=True, box=True, **fields):
    row = annotation(id, **fields)
    if points:
        row["keypoints"] = [20 / 120, 30 / 96, 2, 60 / 120, 30 / 96, 1, 60 / 120, 70 / 96, 2]
    if box:
        row["bbox"] = [10 / 120, 20 / 96, 60 / 120, 60 / 96]
    return row


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (normalised(), r"the keypoints and boxes look like shares .* \(0.1667, 0.3125\); multiply"),
        (normalised(box=False), "the keypoints look like shares .*, but the boxes are pixels; mul"),
        (normalised(points=False), r"the boxes look like shares .* \(0.08333, .*the keypoints are"),
        (normalised(box=False, bbox=None), r"the keypoints look like shares .* 0.3125\); multiply"),
    ],
)
def test_normalised_coordinates_are_refused(tmp_path, row, message):
    path = hand_file(tmp_path, [row])
    for reader in (read, coco_content):
        with pytest.raises(DataError, match=message) as error:
            reader(path)
        assert 'coordinates = "normalised"' in str(error.value)
    assert len(read(path, "pixels")) == 1


def test_normalised_coordinates_are_read_if_the_description_says_so(tmp_path):
    path = hand_file(
        tmp_path, [normalised(area=0.3125), normalised(2, box=False, bbox=None, area=3600)]
    )
    people = read(path, "normalised")
    np.testing.assert_allclose(people.boxes, [[10, 20, 60, 60], MADE])
    np.testing.assert_allclose(people.keypoints_image[0], [[20, 30], [60, 30], [60, 70]])
    assert people.visibility.tolist() == [[2, 1, 2]] * 2
    assert people.doubtful == {"box missing: made from keypoints": 1}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (annotation(), "the keypoints of 1 of 1 people reach beyond; are they pixels"),
        (normalised(points=False), "the keypoints of 1 of 1 people reach beyond"),
        (normalised(box=False), "the boxes of 1 of 1 people reach beyond"),
    ],
)
def test_pixels_are_refused_if_the_description_says_normalised(tmp_path, row, message):
    with pytest.raises(DataError, match=message):
        read(hand_file(tmp_path, [row]), "normalised")


def test_normalised_coordinates_need_the_sizes_of_images(tmp_path):
    path = hand_file(tmp_path, [normalised()], images=[{"id": 1, "file_name": "1.jpg"}])
    with pytest.raises(DataError, match="needs width and height of each image; image 1 of annot"):
        read(path, "normalised")


def test_one_normalised_person_among_others_is_doubtful(tmp_path):
    rows = [annotation(1), annotation(2), normalised(3, box=False)]
    doubtful = read(hand_file(tmp_path, rows)).doubtful
    assert doubtful == {"all keypoints within 1.5 px of the image's corner, as if normalised": 1}


@pytest.mark.parametrize(
    ("keypoints", "box", "size"),
    [
        ([0.5, 0.5, 2, 1.2, 0.4, 2, 1, 1, 2], [0, 0, 1, 1], (2, 2)),  # an image of 2 px
        ([0.5, 0.5, 2, 3.2, 0.4, 2, 1, 4, 2], [0, 0, 4, 5], (8, 8)),
        ([0, 0, 2, 1, 0, 2, 1, 1, 2], [0, 0, 9, 9], (120, 96)),  # whole numbers are pixels
        ([0.2, 0.9, 2, 0, 0, 0, 7.5, 9.25, 1], [0, 0, 9, 9], (120, 96)),
    ],
)
def test_tiny_images_and_people_are_no_false_alarm(tmp_path, keypoints, box, size):
    images = [{"id": 1, "file_name": "1.jpg", "width": size[0], "height": size[1]}]
    path = hand_file(tmp_path, [annotation(keypoints=keypoints, bbox=box)], images=images)
    people = read(path)
    assert len(people) == 1 and not people.doubtful


@given(st.integers(5, 2000), st.integers(5, 2000), st.integers(0, 10**6))
def test_people_of_any_image_are_told_from_their_shares(width, height, seed):
    """Three keypoints anywhere in an image: in px never an error, divided by the size always."""
    random = np.random.default_rng(seed)
    size = np.array([width, height], float)
    points = (random.uniform(0.35, 1, (4, 3, 2)) * size).round(2)
    labelled = np.ones((4, 3), bool)
    sizes = np.tile(size, (4, 1))
    assert refuse_normalised("file", "", points, labelled, None, sizes) == {}
    with pytest.raises(DataError, match="look like shares"):
        refuse_normalised("file", "", points / size, labelled, None, sizes)


def test_photographs_of_coco_are_read_as_they_are(real):
    for name in ("person_keypoints_train.json", "person_keypoints_val.json"):
        content = coco_content(real("coco_mini") / name)
        assert content == json.loads((real("coco_mini") / name).read_text())

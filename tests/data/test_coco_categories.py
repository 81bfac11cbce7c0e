"""Categories of files in COCO's form: several of one skeleton, other orders, and what a file has."""

import numpy as np
import pytest

from posenfs.data.datasets.coco import annotations_of_file, judged_content
from posenfs.data.datasets.coco_categories import keypoint_category
from posenfs.data.datasets.coco_file import coco_content
from posenfs.data.sample import DataError
from tests.data.hands import HAND, NAMES, annotation, hand_file


def category(id, name="hand", keypoints=NAMES, **fields):
    return {"id": id, "name": name, "keypoints": keypoints} | fields


def read(path, names="hand"):
    return annotations_of_file(path, HAND, "hands", names, path.parent)


def test_all_categories_of_one_name_are_read(tmp_path):
    rows = [annotation(1, category_id=2), annotation(2), annotation(3, category_id=2)]
    path = hand_file(tmp_path, rows, categories=[category(1), category(2)])
    people = read(path)
    assert people.person_ids.tolist() == [1, 2, 3]
    assert people.doubtful == {"of categories 1 and 2, both named `hand` and both read": 3}
    assert people.coco.categories_of(people.select([2, 1]).person_ids).tolist() == [2, 1]


def test_other_categories_with_the_same_keypoints_are_named(tmp_path):
    rows = [annotation(1), annotation(2, category_id=5), annotation(3, category_id=5)]
    path = hand_file(tmp_path, rows, categories=[category(1), category(5, "glove")])
    people = read(path)
    note = (
        "not read: of category `glove`, which has the same keypoints (to read it, write "
        'category = ["hand", "glove"])'
    )
    assert people.person_ids.tolist() == [1] and people.doubtful == {note: 2}
    people = read(path, ("hand", "glove"))
    assert people.person_ids.tolist() == [1, 2, 3] and not people.doubtful
    assert people.coco.categories_of(people.person_ids).tolist() == [1, 5, 5]
    truth = judged_content(people.coco, HAND)
    assert [row["category_id"] for row in truth["annotations"]] == [1, 1, 1]
    assert truth["categories"] == [{"id": 1, "name": "hand", "keypoints": NAMES}]
    with pytest.raises(DataError, match="no category `mitten` with keypoints"):
        read(path, ("hand", "mitten"))


def test_a_category_without_keypoints_of_the_same_name_is_counted(tmp_path):
    """As Roboflow's exports have it: category 0 is the group, and labels no keypoints."""
    rows = [annotation(1), annotation(2, category_id=0)]
    path = hand_file(tmp_path, rows, categories=[{"id": 0, "name": "hand"}, category(1)])
    people = read(path)
    assert people.person_ids.tolist() == [1]
    note = "not read: of another category `hand` (id 0) without keypoints"
    assert people.doubtful == {note: 1}


def test_keypoints_in_another_order_are_matched_by_name(tmp_path):
    order = ["right_thumb", "wrist", "left_thumb"]
    row = annotation(keypoints=[60, 70, 1, 20, 30, 2, 0, 0, 0])
    path = hand_file(tmp_path, [row], categories=[category(1, keypoints=order)])
    people = read(path)
    np.testing.assert_array_equal(people.keypoints_image[0], [[20, 30], [0, 0], [60, 70]])
    assert people.visibility.tolist() == [[2, 0, 1]]
    truth = judged_content(people.coco, HAND)
    assert truth["annotations"][0]["keypoints"] == [20, 30, 2, 0, 0, 0, 60, 70, 1]
    # a results file is in the file's own order
    assert coco_content(path)["annotations"][0]["keypoints"] == row["keypoints"]


def test_categories_of_two_orders_are_read_together(tmp_path):
    order = ["right_thumb", "wrist", "left_thumb"]
    rows = [
        annotation(1),
        annotation(2, category_id=2, keypoints=[60, 70, 2, 20, 30, 2, 60, 30, 2]),
    ]
    path = hand_file(tmp_path, rows, categories=[category(1), category(2, keypoints=order)])
    people = read(path)
    np.testing.assert_array_equal(people.keypoints_image[0], people.keypoints_image[1])


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        (
            [category(1, "Hand")],
            r"no category `hand` with keypoints; did you mean Hand\? The file has `Hand` \(3 keyp",
        ),
        (
            [category(1, "hands"), {"id": 2, "name": "arm"}],
            r"did you mean hands\? The file has `hands` \(3 keypoints\), `arm` \(no keypoints\)",
        ),
        ([category(1, 7)], r"no category `hand` with keypoints\. The file has `7` \(3 keypoints\)"),
        ([category(1, None)], r"The file has `None` \(3 keypoints\)"),
        (
            [category(1, keypoints="wrist,thumb")],
            r"The file has `hand` \(keypoints: 'wrist,thumb'\); give person_keypoints",
        ),
        ([], r"The file has no categories, but \[\]; give person_keypoints"),
        (None, r"The file has no categories, but None"),
        (
            [category(1, keypoints=["wrist", "thumb", "nail"])],
            r"category `hand` labels 3 keypoints \(wrist, thumb, nail\), not hands's 3 \(wrist, left",
        ),
        (
            [category(1, keypoints=["wrist", "wrist", "left_thumb"])],
            r"labels 3 keypoints \(wrist, wrist, left_thumb\), not hands's 3",
        ),
        ([category("first")], "category `hand` needs a whole number as its id: 'first'"),
        (
            [category(1), category(1, "foot")],
            "the categories `hand` and `foot` have the same id, 1; ids must be unique",
        ),
    ],
)
def test_an_error_names_what_the_file_has(tmp_path, categories, message):
    path = hand_file(tmp_path, [annotation()], categories=categories)
    with pytest.raises(DataError, match=message) as error:
        read(path)
    assert str(path) in str(error.value)


def test_a_number_is_a_name(tmp_path):
    path = hand_file(tmp_path, [annotation()], categories=[category(1, 7)])
    assert len(read(path, "7")) == 1
    assert keypoint_category(path, coco_content(path))["id"] == 1

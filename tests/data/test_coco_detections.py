"""Detected boxes: values with one meaning are converted, others are errors in one sentence."""

import json

import numpy as np
import pytest

from posenfs.data.datasets.coco import annotations_of_file
from posenfs.data.datasets.coco_detections import annotations_of_images, with_detections
from posenfs.data.sample import DataError
from tests.data.hands import HAND, NAMES, annotation, hand_file


def detection(**fields):
    return {"image_id": 2, "category_id": 1, "bbox": [10, 20, 60, 50], "score": 0.5} | fields


def detected(folder, *rows, **fields):
    (folder / "boxes.json").write_text(json.dumps(rows))
    path = hand_file(folder, [annotation()], **fields)
    people = annotations_of_file(path, HAND, "hands", "hand", folder)
    return with_detections(people, folder / "boxes.json")


def test_texts_that_spell_numbers_are_numbers(tmp_path):
    row = detection(image_id="2", category_id="1", bbox=["10", 20.5, "60", 50], score="0.25")
    people = detected(tmp_path, row, detection(image_id=3.0, category_id=1.0))
    np.testing.assert_array_equal(people.boxes, [[10, 20.5, 60, 50], [10, 20, 60, 50]])
    assert people.box_scores.tolist() == [0.25, 0.5] and people.images == ("2.jpg", "3.jpg")


def test_boxes_of_all_categories_read_keep_theirs(tmp_path):
    categories = [{"id": n, "name": "hand", "keypoints": NAMES} for n in (1, 4)]
    (tmp_path / "boxes.json").write_text(
        json.dumps([detection(), detection(category_id=4), detection(category_id=7)])
    )
    rows = [annotation(1), annotation(2, category_id=4)]
    path = hand_file(tmp_path, rows, categories=categories)
    people = annotations_of_file(path, HAND, "hands", "hand", tmp_path)
    people = with_detections(people, tmp_path / "boxes.json")
    assert people.coco.categories_of(people.person_ids).tolist() == [1, 4]
    assert people.excluded == {"of another category, or of no size": 1}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bbox": None}, r"detection 0 has bbox None and score 0.5, not numbers"),
        ({"bbox": [1, 2, None, 4]}, r"detection 0 has bbox \[1, 2, None, 4\]"),
        ({"bbox": [1, 2, True, 4]}, r"detection 0 has bbox \[1, 2, True, 4\]"),
        ({"bbox": [[1, 2], [3, 4]]}, r"detection 0 has bbox \[\[1, 2\]"),
        ({"bbox": [1, 2, 1e9, 4]}, r"detection 0 has bbox \[1, 2, 1000000000.0, 4\]"),
        ({"score": "high"}, r"score 'high', not numbers"),
        ({"score": None}, r"score None, not numbers"),
        ({"score": float("nan")}, r"score nan, not numbers"),
        ({"image_id": "two"}, r"detection 0 is of image 'two', which .*hands.json does not have"),
        ({"image_id": 9}, r"detection 0 is of image 9"),
        ({"bbox": [0.1, 0.2, 0.5, 0.5]}, r"shares of the image .* \[0.1, 0.2, 0.5, 0.5\]; multi"),
        ({"category_id": "hand"}, r"has no box of category 1 among 1 detections"),
    ],
)
def test_an_error_names_the_detection(tmp_path, fields, message):
    with pytest.raises(DataError, match=message) as error:
        detected(tmp_path, detection(**fields))
    assert "boxes.json" in str(error.value)


def test_images_without_annotations(tmp_path):
    (tmp_path / "boxes.json").write_text(json.dumps([detection()]))
    info = tmp_path / "image_info.json"
    info.write_text(json.dumps({"images": [{"id": "2", "file_name": "2.jpg"}]}))
    people = annotations_of_images(info, tmp_path, tmp_path / "boxes.json")
    assert people.images == ("2.jpg",) and people.coco.image_ids.tolist() == [2]
    info.write_text(json.dumps({"images": [{"id": "two", "file_name": "2.jpg"}]}))
    with pytest.raises(DataError, match="image number 0 needs a whole number as its id: 'two'"):
        annotations_of_images(info, tmp_path, tmp_path / "boxes.json")

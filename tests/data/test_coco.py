"""Reader of COCO's files: its protocol, and the errors of invalid files."""

import json

import numpy as np
import pytest

from posenfs.body.skeleton import COCO
from posenfs.data.datasets.coco import read_coco
from posenfs.data.geometry import ImageSize
from posenfs.data.loader import Crops, Loader
from posenfs.data.sample import DataError


def person(id=1, image=1, **fields):
    points = [[10.5 + 2 * k, 20 + k, 1 + k % 2] for k in range(17)]
    return {
        "id": id,
        "image_id": image,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [8.25, 18.5, 40.0, 30.0],
        "keypoints": [n for point in points for n in point],
    } | fields


def content(annotations, **fields):
    images = [{"id": i, "file_name": f"{i:012d}.jpg", "width": 64, "height": 48} for i in (1, 2, 3)]
    categories = [{"id": 1, "name": "person", "keypoints": list(COCO.keypoints)}]
    return {"images": images, "annotations": annotations, "categories": categories} | fields


def write(folder, value, name="annotations/person_keypoints_val2017.json"):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(value if isinstance(value, str) else json.dumps(value))
    return folder


def test_the_people_of_cocos_protocol_are_read(tmp_path):
    points = [[-1e9, 7, 0] if k % 3 else [12 + k, 30, 2 - k % 2] for k in range(17)]
    annotations = [
        person(9, 3),
        person(4, 1, iscrowd=1),
        person(5, keypoints=[-3, -7, 0] * 17, bbox=None),
        person(7, 2, keypoints=[value for point in points for value in point]),
        person(6, 2, bbox=[1, 2, 0, 9]),
        person(8, 2, category_id=3),
    ]
    people = read_coco(write(tmp_path, content(annotations)), "valid")
    assert people.person_ids.tolist() == [9, 7, 6]
    assert people.images == ("000000000002.jpg", "000000000003.jpg")
    assert [people.image_path(n).name for n in range(2)] == list(reversed(people.images))
    assert people.excluded == {"crowd": 1, "no labelled keypoint": 1}
    assert people.doubtful == {"box of no size: made from keypoints": 1}
    assert people.box_source == "annotated, or else labelled keypoints"
    np.testing.assert_array_equal(people.boxes[2], [10.5, 20, 32, 16])  # of the 17 keypoints
    np.testing.assert_array_equal(people.boxes[0], [8.25, 18.5, 40, 30])
    np.testing.assert_array_equal(
        people.keypoints_image[0, 3], [16.5, 23]
    )  # 0-based, as in the file
    np.testing.assert_array_equal(people.visibility[0], [1 + k % 2 for k in range(17)])
    labelled = people.visibility[1] > 0
    assert labelled.sum() == 6 and (people.keypoints_image[1][~labelled] == 0).all()
    assert np.isnan(people.head_sizes).all() and people.skeleton is COCO


@pytest.mark.parametrize("name", ["val2017", "images/val2017", "images", "."])
def test_the_image_folder_is_found(tmp_path, name):
    """A folder that lacks the first image is still the folder of the images."""
    write(tmp_path, content([person(), person(2, 2)]))
    (tmp_path / name).mkdir(parents=True, exist_ok=True)
    (tmp_path / name / "000000000002.jpg").write_bytes(b"")
    assert read_coco(tmp_path, "valid").root == tmp_path / name


def test_small_copies_of_coco_are_found(tmp_path):
    write(tmp_path, content([person()]), "person_keypoints_train.json")
    assert len(read_coco(tmp_path, "train")) == 1


def test_a_missing_annotation_is_named(tmp_path):
    with pytest.raises(DataError, match=r"annotations/person_keypoints_train2017.json"):
        read_coco(tmp_path, "train")


def test_coordinates_of_unlabelled_keypoints_are_ignored(drawn, tmp_path):

    value = json.loads((drawn / "annotations" / "person_keypoints_val.json").read_text())
    for annotation in value["annotations"]:
        for k in range(17):
            if annotation["keypoints"][3 * k + 2] == 0:
                annotation["keypoints"][3 * k : 3 * k + 2] = [-4321.5, 1e7]
    (tmp_path / "images").symlink_to(drawn / "images")
    people, clean = read_coco(write(tmp_path, value), "valid"), read_coco(drawn, "valid")
    np.testing.assert_array_equal(people.keypoints_image, clean.keypoints_image)
    np.testing.assert_array_equal(people.boxes, clean.boxes)
    batch = next(iter(Loader(Crops(people, ImageSize(64, 64)), len(people)).once()))
    assert (batch.keypoints_crop.abs() <= 64).all() and (
        batch.keypoints_crop[batch.visibility == 0] == 0
    ).all()

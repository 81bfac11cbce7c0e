"""Files in COCO's form: an error names the invalid value and the file."""

import pytest

from posenfs.body.skeleton import COCO
from posenfs.data.datasets.coco import read_coco
from posenfs.data.sample import DataError
from tests.data.test_coco import content, person, write


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[{", "is not JSON"),
        ([1], "must hold lists `images` and `annotations`"),
        (
            content([person()], categories=[{"id": 1, "name": "person"}]),
            r"no category `person` with .*instances",
        ),
        (
            content(
                [person()], categories=[{"id": 1, "name": "person", "keypoints": ["nose", "tail"]}]
            ),
            r"labels 2 keypoints \(nose, tail\), not COCO-17's 17",
        ),
        (
            content([person(), person(2, keypoints=[1, 2, 2] * 16)]),
            "annotation 2 must have 51 numbers .* it has 48",
        ),
        (
            content([person(keypoints=[1, 2, 2] * 16)]),
            "annotation 1 must have 51 numbers .* it has 48",
        ),
        (content([person(keypoints=["x", 2, 2] * 17)]), "annotation 1 must have 51 numbers"),
        (
            content([person(3, keypoints=5)]),
            "annotation 3 must have 51 numbers .* it has 5",
        ),
        (content([person(keypoints=[1, 2, 3] * 17)]), "annotation 1 has visibility 3 at nose"),
        (
            content([person(keypoints=[float("nan"), 2, 2] * 17)]),
            "annotation 1 has no number at its labelled nose",
        ),
        (content([person(bbox=[1, 2, 3])]), r"annotation 1 has bbox \[1, 2, 3\], not x, y, w, h"),
        (content([person(bbox=[1, 2, 3, float("inf")])]), "annotation 1 has bbox"),
        (content([person(2), person(2)]), "two annotations have the id 2"),
        (content([person()], images=[{"id": 1, "file_name": "a"}] * 2), "two images have the id 1"),
        (content([person(image=12)]), "annotation 1 names image 12, which the file lacks"),
        (
            content([person(image=[1])]),
            r"annotation number 0 needs a whole number as its image_id: \[1\]",
        ),
        (
            content([person(1, 12), person(2, 13), person(3)]),
            "annotation 1 names image 12, which the file lacks, nor the images of 1 more",
        ),
        (content([{"image_id": 1}]), "annotation number 0 needs a whole number as its id"),
        (content([person(1.5)]), "annotation number 0 needs a whole number as its id: 1.5"),
        (content([person(True)]), "annotation number 0 needs a whole number as its id: True"),
        (content([person("one")]), "annotation number 0 needs a whole number as its id: 'one'"),
        (content([person(2**70)]), "annotation number 0 needs a whole number as its id"),
        (content([5]), "annotation number 0 is 5, not an object"),
        (content([person(iscrowd=2)]), "annotation 1 has iscrowd 2; it must be 0 or 1"),
        (content([person(iscrowd="no")]), "annotation 1 has iscrowd 'no'; it must be 0 or 1"),
        (content([person(area=[4])]), r"annotation 1 has area \[4\], not a number"),
        (
            content([]),
            "no person with a labelled keypoint and a box among 0 annotations of category 1",
        ),
        (
            content([person(category_id="4")]),
            "among 0 annotations of category 1; left out: 1 of category 4",
        ),
        (
            content([person(2), person(2), person(3), person(3)]),
            "two annotations have the id 2, and so do annotations of 1 other ids",
        ),
        (
            content([person()], images=[{"id": 1, "file_name": "a.jpg", "width": "wide"}]),
            "image 1 has width 'wide', not a number",
        ),
        (
            content([person(keypoints=[0] * 51)]),
            "no person with a labelled keypoint and a box among 1",
        ),
        (
            content([person(keypoints=[None, None, 0] * 17), person(2, keypoints=[1] * 48)]),
            "annotation 2 must have 51",
        ),
        (content([person(keypoints=[10**400, 2, 2] * 17)]), "annotation 1 must have 51 numbers"),
        (content([person(bbox=[10**400, 2, 2, 2])]), "annotation 1 has bbox"),
        (content([person()], categories=5), "no category `person`"),
        (
            content(
                [person()],
                categories=[{"name": "person", "keypoints": list(COCO.keypoints)}],
            ),
            "category `person` needs a whole number as its id: None",
        ),
        (
            content([person()], categories=[{"id": 1, "name": "person", "keypoints": 5}]),
            "no category `person`",
        ),
        (
            content([person()], images=[{"id": 1, "file_name": "../up.jpg"}]),
            "image 1 .*must stay inside",
        ),
        (content([person()], images=[{"id": 1}]), "image 1: no image name"),
    ],
)
def test_an_error_names_the_invalid_value_and_the_file(tmp_path, value, message):
    with pytest.raises(DataError, match=message) as error:
        read_coco(write(tmp_path, value), "valid")
    assert "person_keypoints_val2017.json" in str(error.value)

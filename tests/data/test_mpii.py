"""Reader of MPII's JSON form: keypoint order, boxes, head sizes, and errors of invalid files."""

import json
import shutil

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from posenfs.body.skeleton import MPII
from posenfs.data.datasets.mpii import FILE_ORDER, read_mpii
from posenfs.data.geometry import ImageSize
from posenfs.data.loader import Crops, Loader
from posenfs.data.pixels import load_image
from posenfs.data.sample import DataError

FILE_NAMES = [
    "right_ankle",
    "right_knee",
    "right_hip",
    "left_hip",
    "left_knee",
    "left_ankle",
    "pelvis",
    "thorax",
    "upper_neck",
    "head_top",
    "right_wrist",
    "right_elbow",
    "right_shoulder",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
]


@pytest.fixture
def data_copy(drawn, tmp_path):
    """A copy of the annotations that a test may change."""
    shutil.copytree(drawn / "annot", tmp_path / "annot")
    (tmp_path / "images").symlink_to(drawn / "images")
    return tmp_path


def change_entry(root, **fields):
    path = root / "annot" / "train.json"
    entries = json.loads(path.read_text())
    entries[3].update(fields)
    path.write_text(json.dumps(entries))


def test_file_order_is_the_papers_permutation():
    assert [FILE_NAMES[i] for i in FILE_ORDER] == list(MPII.keypoints)
    back = np.argsort(FILE_ORDER)
    assert np.array_equal(np.array(FILE_ORDER)[back], np.arange(16))


def test_keypoints_and_labels_are_permuted_together(drawn):
    entries, people = (
        json.loads((drawn / "annot" / "train.json").read_text()),
        read_mpii(drawn, "train"),
    )
    for entry, keypoints, visibility in zip(
        entries, people.keypoints_image, people.visibility, strict=True
    ):
        for k, name in enumerate(MPII.keypoints):
            i = FILE_NAMES.index(name)
            assert (visibility[k] > 0) == (entry["joints_vis"][i] > 0)
            expected = np.array(entry["joints"][i]) - 1 if visibility[k] else [0, 0]
            np.testing.assert_array_equal(keypoints[k], expected)


def test_boxes_follow_the_protocol(drawn):
    entry, people = (
        json.loads((drawn / "annot" / "train.json").read_text())[0],
        read_mpii(drawn, "train"),
    )
    x, y, w, h = people.boxes[0]
    assert w == h == pytest.approx(200 * entry["scale"])
    assert x + w / 2 == pytest.approx(entry["center"][0] - 1)
    assert y + h / 2 == pytest.approx(entry["center"][1] + 15 * entry["scale"] - 1)


def test_head_sizes_are_six_tenths_of_the_diagonal(drawn):
    boxes = loadmat(drawn / "annot" / "gt_valid.mat")["headboxes_src"]
    expected = [0.6 * np.hypot(*(boxes[1, :, n] - boxes[0, :, n])) for n in range(boxes.shape[2])]
    np.testing.assert_allclose(read_mpii(drawn, "valid").head_sizes, expected)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"joints": [[1, 2]] * 15},
            r"train.json, entry 3 .*joints must be 16 x 2 numbers; got 15 x 2",
        ),
        ({"joints": [[1, float("nan")]] * 16}, r"entry 3 .*joints holds nan"),
        ({"joints": "many"}, r"entry 3 .*joints must be 16 x 2 numbers; got 'many'"),
        ({"joints_vis": [1] * 15}, r"entry 3 .*joints_vis must be 16 numbers; got 15"),
        ({"center": None}, r"entry 3 .*center"),
        ({"scale": 0}, r"entry 3 .*scale 0 gives a box of no size"),
        ({"scale": 1e7}, r"entry 3 .*scale 1e\+07 gives a box of 2e\+09 px"),
        ({"scale": float("inf")}, r"entry 3 .*scale holds inf"),
        ({"image": "../../secret.jpg"}, r"entry 3 .*stay inside the folder"),
        ({"image": 7}, r"entry 3: no image name"),
        ({"joints_vis": [0.5] * 16}, r"entry 3 .*joints_vis holds 0.5; each must be 0 or 1"),
        ({"joints": [[1, None]] * 16}, r"entry 3 .*joints holds nan"),
        ({"center": ["one", 2]}, r"entry 3 .*center must be 2 numbers; got \['one', 2\]"),
    ],
)
def test_an_error_names_the_entry_and_the_invalid_value(data_copy, fields, message):
    change_entry(data_copy, **fields)
    with pytest.raises(DataError, match=message):
        read_mpii(data_copy, "train")


def test_values_of_one_meaning_are_converted(data_copy):
    """Texts that spell numbers, truth values for labels, and nulls where nothing is labelled."""
    joints = [["20.5", 30], [None, None]] + [[40, 50]] * 14
    labels = [True, False] + [1] * 14
    change_entry(data_copy, joints=joints, joints_vis=labels, scale="1.5", center=["60", 70])
    people = read_mpii(data_copy, "train")
    points = dict(zip(people.skeleton.keypoints, people.keypoints_image[3], strict=True))
    assert points["right_ankle"].tolist() == [19.5, 29] and people.boxes[3, 2] == 300
    index = people.skeleton.index("right_knee")
    assert people.visibility[3, index] == 0 and not people.keypoints_image[3, index].any()


def test_normalised_joints_are_refused(data_copy):
    path = data_copy / "annot" / "train.json"
    entries = json.loads(path.read_text())
    for entry in entries:
        entry["joints"] = (np.array(entry["joints"]) / 1000).tolist()
    path.write_text(json.dumps(entries))
    with pytest.raises(DataError, match="the keypoints look like shares of the image"):
        read_mpii(data_copy, "train")


def test_image_names_with_folders_are_found(data_copy):
    path = data_copy / "annot" / "train.json"
    entries = json.loads(path.read_text())
    for entry in entries:
        entry["image"] = "mpii\\images\\" + entry["image"]
    path.write_text(json.dumps(entries))
    people = read_mpii(data_copy, "train")
    assert all(people.image_path(n).is_file() for n in range(len(people)))


def test_an_error_names_the_missing_or_broken_file(data_copy):
    with pytest.raises(DataError, match=r"nowhere.*annot.*train.json"):
        read_mpii(data_copy / "nowhere", "train")
    (data_copy / "annot" / "train.json").write_text("[{")
    with pytest.raises(DataError, match="train.json is not JSON"):
        read_mpii(data_copy, "train")
    (data_copy / "annot" / "train.json").write_text("[]")
    with pytest.raises(DataError, match="at least one person"):
        read_mpii(data_copy, "train")
    (data_copy / "annot" / "gt_valid.mat").write_bytes(b"no mat file")
    with pytest.raises(DataError, match="gt_valid.mat is not MPII's ground truth"):
        read_mpii(data_copy, "valid")
    savemat(
        data_copy / "annot" / "gt_valid.mat",
        {name: np.zeros((16, 2, 3)) for name in ("pos_gt_src", "jnt_missing", "headboxes_src")},
    )
    with pytest.raises(DataError, match="two files must belong together"):
        read_mpii(data_copy, "valid")


def test_an_error_names_ground_truth_that_is_no_number(data_copy, drawn):
    whole = {k: v for k, v in loadmat(drawn / "annot" / "gt_valid.mat").items() if k[0] != "_"}
    keypoint, person = np.argwhere(whole["jnt_missing"] == 0)[3]
    for name, index, message in (
        (
            "pos_gt_src",
            (keypoint, 0, person),
            rf"person {person}'s {FILE_NAMES[keypoint]} is labelled but not a number",
        ),
        ("headboxes_src", (1, 0, 2), "person 2's head box is not a number"),
    ):
        changed = {**whole, name: whole[name].astype(float)}
        changed[name][index] = np.nan
        savemat(data_copy / "annot" / "gt_valid.mat", changed)
        with pytest.raises(DataError, match=message):
            read_mpii(data_copy, "valid")
    savemat(
        data_copy / "annot" / "gt_valid.mat",
        {**whole, "pos_gt_src": np.array([[1], [2, 3]], dtype=object)},
    )
    with pytest.raises(DataError, match="is not MPII's ground truth"):
        read_mpii(data_copy, "valid")


def test_without_ground_truth_head_sizes_come_from_the_scale(data_copy, drawn):
    (data_copy / "annot" / "gt_valid.mat").unlink()
    people, known = read_mpii(data_copy, "valid"), read_mpii(drawn, "valid")
    np.testing.assert_allclose(
        people.head_sizes, known.head_sizes, atol=2e-5
    )  # scales have six decimals
    assert people.head_source == "20 x scale" and known.head_source == "0.6 x head-box diagonal"


def test_an_error_names_the_truncated_image(data_copy):

    people = read_mpii(data_copy, "train")
    (data_copy / "images").unlink()
    (data_copy / "images").mkdir()
    path = people.image_path(0)
    with pytest.raises(DataError, match="no image at"):
        load_image(people.image_path(0))
    path.write_bytes(b"\xff\xd8\xff\xe0 half a image")
    for workers in (0, 1):
        with pytest.raises(
            DataError, match=rf"^[^\n]*{path.name} is not a whole image, \d+ bytes[^\n]*$"
        ):
            list(Loader(Crops(people.select([0]), ImageSize(64, 64)), 1, workers).once())

"""The check of a data folder: its counts, notes and faults, as text and as JSON."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from posenfs.data.check import check_data
from posenfs.data.sample import DataError


@pytest.fixture
def data_copy(drawn, tmp_path):
    return shutil.copytree(drawn, tmp_path / "set")


def checks_by_name(root):
    return {check.name: check for check in check_data(root, progress=False)}


def test_both_formats_of_a_drawn_set_are_checked(drawn):
    checks = checks_by_name(drawn)
    assert list(checks) == ["mpii train", "mpii valid", "coco train", "coco valid"]
    entries = json.loads((drawn / "annot" / "train.json").read_text())
    train = checks["mpii train"]
    assert (train.people, train.images, train.keypoints) == (len(entries), 12, 16 * len(entries))
    assert train.labelled == sum(sum(entry["joints_vis"]) for entry in entries)
    occluded = sum(
        labelled and occluded
        for entry in entries
        for labelled, occluded in zip(entry["joints_vis"], entry["joints_occluded"], strict=True)
    )
    assert train.occluded == occluded and not train.wrong and not train.notes
    widths = [Image.open(path).width for path in sorted((drawn / "images").glob("train_*"))]
    assert train.widths == (min(widths), np.median(widths), max(widths))
    text = train.text()
    assert f"{train.people} in 12 images" in text
    assert f"({100 * occluded / train.labelled:.1f} %)" in text
    assert "none: no PCKh" in checks["coco valid"].text()
    json.dumps([check.json() for check in checks.values()])


def test_faults_are_counted_and_named(data_copy):
    entries = json.loads((data_copy / "annot" / "train.json").read_text())
    far_joints = [[900.0, 5.0]] + entries[0]["joints"][1:]
    outside = dict(entries[0], joints=far_joints, joints_vis=[1] * 16, center=[5000, 5000])
    unlabelled = dict(entries[1], joints_vis=[0] * 16)
    faulty_entries = [*entries, entries[2], outside, unlabelled]
    (data_copy / "annot" / "train.json").write_text(json.dumps(faulty_entries))
    images = sorted((data_copy / "images").glob("train_*"))
    images[3].write_bytes(images[3].read_bytes()[:400])
    images[4].unlink()
    Image.open(images[6]).convert("L").save(images[6])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(images[7]).save(images[7], exif=exif)
    shutil.rmtree(data_copy / "annotations")
    check = check_data(data_copy, progress=False)[0]
    wrong = "\n".join(check.wrong)
    assert f"2 of 12 images cannot be used: {images[3].name}: " in wrong
    assert f"{images[4].name}: missing" in wrong
    assert f"(looked in {data_copy / 'images'})" in wrong and "give the folder" not in wrong
    assert f"right_ankle of {entries[0]['image']} at (899, 4)" in wrong
    assert "1 box wholly outside" in wrong
    assert "1 person without a labelled keypoint" in wrong and "1 person listed twice" in wrong
    assert set(check.notes) == {"1 image grey", "1 image turned upright by an EXIF tag"}
    for fault in check.wrong:
        assert fault in check.text()


def test_images_of_another_size_than_annotated_are_named(data_copy):
    images = sorted((data_copy / "images").glob("valid_*"))
    width, height = Image.open(images[1]).size
    Image.open(images[1]).resize((100, 90)).save(images[1])
    assert (
        f"1 image not of the annotated size: {images[1].name} is 100 x 90 px, "
        f"annotated {width} x {height}"
    ) in "\n".join(checks_by_name(data_copy)["coco valid"].wrong)


def test_an_unreadable_annotation_does_not_hide_the_others(data_copy):
    (data_copy / "annot" / "train.json").write_text("[{")
    checks = checks_by_name(data_copy)
    assert not checks["mpii train"].people and "is not JSON" in checks["mpii train"].wrong[0]
    assert checks["mpii valid"].people and checks["coco train"].people


def test_lsp_is_recognised_by_its_file(tmp_path):
    joints = np.full((14, 3, 5001), -7.0)
    joints[:, 2] = 0
    joints[:, :, [0, 5000]] = np.array([20.0, 30.0, 1.0])[None, :, None]
    savemat(tmp_path / "joints.mat", {"joints": joints})
    (tmp_path / "images").mkdir()
    for number in (1, 5001):
        Image.new("RGB", (50, 40)).save(tmp_path / "images" / f"im{number:05d}.jpg")
    train, valid = check_data(tmp_path, progress=False)
    assert (train.people, valid.people) == (1, 1) and not train.wrong and not valid.wrong
    assert train.left_out == {"no labelled keypoint": 4999}


def test_without_images_the_message_names_the_right_folder(data_copy):
    shutil.rmtree(data_copy / "images")
    (fault,) = check_data(data_copy, progress=False)[0].wrong
    looked_in = f"looked in {data_copy / 'images'}); give the folder that holds the images"
    assert looked_in in fault and "and annot/" in fault


def test_a_folder_without_a_data_set_raises_an_error(tmp_path):

    with pytest.raises(DataError, match="neither annot/train.json"):
        check_data(tmp_path, progress=False)
    with pytest.raises(DataError, match="no folder"):
        check_data(tmp_path / "nowhere", progress=False)

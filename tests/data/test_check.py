"""What a folder holds and what is wrong with it, said to people and as JSON."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from posenfs.data.check import check_data
from posenfs.data.sample import DataError


@pytest.fixture
def own(drawn, tmp_path):
    return shutil.copytree(drawn, tmp_path / "set")


def test_both_formats_of_a_drawn_set(drawn):
    checks = {found.name: found for found in check_data(drawn, progress=False)}
    assert list(checks) == ["mpii train", "mpii valid", "coco train", "coco valid"]
    entries = json.loads((drawn / "annot" / "train.json").read_text())
    train = checks["mpii train"]
    assert (train.people, train.pictures, train.keypoints) == (len(entries), 12, 16 * len(entries))
    assert train.labelled == sum(sum(entry["joints_vis"]) for entry in entries)
    hidden = sum(v and o for e in entries for v, o in zip(e["joints_vis"], e["joints_occluded"], strict=True))
    assert train.occluded == hidden and not train.wrong and not train.notes
    sizes = [Image.open(path).size for path in sorted((drawn / "images").glob("train_*"))]
    assert train.widths == (min(w for w, _ in sizes), np.median([w for w, _ in sizes]), max(w for w, _ in sizes))
    text = train.text()
    assert f"{train.people} in 12 pictures" in text and f"({100 * hidden / train.labelled:.1f} %)" in text
    assert "none: no PCKh" in checks["coco valid"].text()
    json.dumps([found.json() for found in checks.values()])


def test_what_is_wrong_is_counted_and_named(own):
    entries = json.loads((own / "annot" / "train.json").read_text())
    last = dict(entries[0], joints=[[900.0, 5.0]] + entries[0]["joints"][1:], joints_vis=[1] * 16, center=[5000, 5000])
    nobody = dict(entries[1], joints_vis=[0] * 16)
    (own / "annot" / "train.json").write_text(json.dumps([*entries, entries[2], last, nobody]))
    images = sorted((own / "images").glob("train_*"))
    images[3].write_bytes(images[3].read_bytes()[:400])
    images[4].unlink()
    Image.open(images[6]).convert("L").save(images[6])
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(images[7]).save(images[7], exif=exif)
    shutil.rmtree(own / "annotations")
    found = check_data(own, progress=False)[0]
    wrong = "\n".join(found.wrong)
    assert f"2 of 12 pictures cannot be used: {images[3].name}: " in wrong and f"{images[4].name}: missing" in wrong
    assert f"(looked in {own / 'images'})" in wrong and "give the folder" not in wrong
    assert f"right_ankle of {entries[0]['image']} at (899, 4)" in wrong
    assert "1 box wholly outside" in wrong
    assert "1 person without a labelled keypoint" in wrong and "1 person listed twice" in wrong
    assert set(found.notes) == {"1 picture grey", "1 picture turned upright by an EXIF tag"}
    for fault in found.wrong:
        assert fault in found.text()


def test_pictures_of_another_size_than_annotated(own):
    images = sorted((own / "images").glob("valid_*"))
    size = Image.open(images[1]).size
    Image.open(images[1]).resize((100, 90)).save(images[1])
    found = {check.name: check for check in check_data(own, progress=False)}["coco valid"]
    assert f"1 picture not of the annotated size: {images[1].name} is 100 x 90 px, annotated {size[0]} x {size[1]}" in (
        "\n".join(found.wrong)
    )


def test_an_annotation_that_cannot_be_read_does_not_hide_the_others(own):
    (own / "annot" / "train.json").write_text("[{")
    checks = {found.name: found for found in check_data(own, progress=False)}
    assert not checks["mpii train"].people and "is not JSON" in checks["mpii train"].wrong[0]
    assert checks["mpii valid"].people and checks["coco train"].people


def test_lsp_is_known_by_its_file(tmp_path):
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


def test_without_pictures_the_folder_is_asked_for(own):
    shutil.rmtree(own / "images")
    (fault,) = check_data(own, progress=False)[0].wrong
    assert f"looked in {own / 'images'}); give the folder that holds the pictures" in fault and "and annot/" in fault


def test_no_data_set_is_said_with_what_would_be_one(tmp_path):
    with pytest.raises(DataError, match="neither annot/train.json"):
        check_data(tmp_path, progress=False)
    with pytest.raises(DataError, match="no folder"):
        check_data(tmp_path / "nowhere", progress=False)

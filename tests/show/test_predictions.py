"""Predictions for pictures of one's own: boxes from everywhere, results that read back, and what is refused."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models.detection import fasterrcnn_resnet50_fpn_v2

from posenfs.cli import main
from posenfs.data.datasets.mpii import read_mpii
from posenfs.data.sample import DataError
from posenfs.evaluation.oks import rescore
from posenfs.evaluation.pictures import _detector, boxes_from_file, detected_people, whole_pictures
from posenfs.evaluation.predict import predict
from posenfs.search.engine import Search
from posenfs.search.saved import load_model


@pytest.fixture(scope="module")
def model(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "run"
    search = Search(tiny, folder, progress=False)
    search.finish()
    search.close()
    return folder


@pytest.fixture(scope="module")
def people(drawn):
    return read_mpii(drawn, "valid")


@pytest.fixture(scope="module")
def pictures(people):
    return [people.root / name for name in people.images[:3]]


def test_boxes_of_a_file_give_what_the_data_set_gives(model, people, pictures, tmp_path, capsys):
    some = people.select(people.image_index < 3)
    rows = [
        {"file_name": people.images[image], "bbox": box.tolist(), "score": 0.5}
        for image, box in zip(some.image_index, some.boxes, strict=True)
    ]
    rows.append({"file_name": "elsewhere.jpg", "bbox": [0, 0, 9, 9]})
    (tmp_path / "boxes.json").write_text(json.dumps(rows))
    command = ["predict", *map(str, pictures), "--model", str(model), "--output", str(tmp_path / "out"), "--quiet"]
    main([*command, "--boxes", str(tmp_path / "boxes.json"), "--device", "cpu"])
    assert f"{len(some)} people in 3 pictures" in capsys.readouterr().out
    results = json.loads((tmp_path / "out" / "predictions.json").read_text())
    expected = predict(load_model(model).model.to(memory_format=torch.channels_last), some, (64, 64))
    found = np.array([result["keypoints"] for result in results]).reshape(len(some), 16, 3)
    assert found[..., :2] == pytest.approx(expected.keypoints_image) and found[..., 2] == pytest.approx(expected.scores)
    assert [result["score"] for result in results] == pytest.approx(rescore(np.full(len(some), 0.5), expected.scores))
    for path in pictures:
        with Image.open(tmp_path / "out" / f"{path.stem}.png") as drawing:
            assert drawing.width == 880


def test_whole_pictures_and_other_decodings(model, pictures, people, tmp_path):
    whole = whole_pictures(pictures, people.skeleton)
    assert whole.boxes[0].tolist() == [0, 0, *Image.open(pictures[0]).size] and len(whole) == 3
    network = load_model(model).model
    quarter, dark, plain = (predict(network, whole, (64, 64), decoding=d) for d in ("quarter offset", "dark", "argmax"))
    assert (quarter.keypoints_image != plain.keypoints_image).any() and (quarter.scores == dark.scores).all()
    with pytest.raises(ValueError, match="unknown decoding 'best'; known: argmax"):
        predict(network, whole, (64, 64), decoding="best")


class Finds(torch.nn.Module):
    """A detector that finds two people and a dog in every picture."""

    def forward(self, images):
        boxes = torch.tensor([[1.0, 2, 31, 62], [5, 5, 15, 25], [0, 0, 9, 9]])
        return [{"labels": torch.tensor([1, 1, 18]), "boxes": boxes, "scores": torch.tensor([0.9, 0.6, 0.99])}]


def test_a_detectors_people(pictures, people, monkeypatch):
    monkeypatch.setattr("posenfs.evaluation.pictures._detector", lambda weights: Finds())
    found = detected_people(pictures[:2], people.skeleton, progress=False)
    assert found.boxes.tolist() == [[1, 2, 30, 60], [5, 5, 10, 20]] * 2 and found.image_index.tolist() == [0, 0, 1, 1]
    assert found.box_scores == pytest.approx([0.9, 0.6] * 2) and found.box_source == "detected (Faster R-CNN)"
    assert len(detected_people(pictures[:1], people.skeleton, threshold=0.7, progress=False)) == 1
    with pytest.raises(DataError, match="no person found in 1 pictures with a score above 0.95"):
        detected_people(pictures[:1], people.skeleton, threshold=0.95, progress=False)


def test_a_detectors_weights(pictures, people, tmp_path):
    torch.save(fasterrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None).state_dict(), tmp_path / "random.pth")
    assert not _detector(tmp_path / "random.pth").eval()([torch.rand(3, 64, 64)])[0]["boxes"].isnan().any()
    (tmp_path / "bad.pth").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="bad.pth is not a file of torch.save; give a .pth with a state dict"):
        detected_people(pictures[:1], people.skeleton, tmp_path / "bad.pth", progress=False)
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="other.pth does not fit torchvision's"):
        detected_people(pictures[:1], people.skeleton, tmp_path / "other.pth", progress=False)
    with pytest.raises(FileNotFoundError, match="no detector weights"):
        detected_people(pictures[:1], people.skeleton, tmp_path / "none.pth", progress=False)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({}, "must be a list"),
        ([{"bbox": [0, 0, 1, 1]}], "box 0 names no file"),
        ([{"file_name": "a.jpg", "bbox": [0, 0, 0, 1]}], "bbox must be x, y, w, h"),
        ([{"file_name": "a.jpg", "bbox": "wide"}], "bbox must be x, y, w, h"),
        ([{"file_name": "a.jpg", "bbox": [0, 0, 1, 1]}], "1 boxes, none of"),
    ],
)
def test_boxes_that_cannot_be_used(rows, message, pictures, people, tmp_path):
    (tmp_path / "boxes.json").write_text(json.dumps(rows))
    with pytest.raises(Exception, match=message):
        boxes_from_file(pictures, people.skeleton, tmp_path / "boxes.json")


@pytest.mark.parametrize(
    ("pictures", "options", "message"),
    [
        (["nowhere.jpg"], [], "no image at nowhere.jpg"),
        (["text.jpg"], [], "is not a whole image"),
        (["a/x.jpg", "b/x.jpg"], [], "two pictures are named 'x'"),
        (["text.jpg"], ["--boxes", "none.json"], "there is no file none.json"),
        (["text.jpg"], ["--output", "text.jpg"], r"text.jpg is a file; choose a folder \(--output\)"),
        (["a"], [], r"a is a folder; name its pictures: a/\*.jpg"),
    ],
)
def test_pictures_that_cannot_be_used(pictures, options, message, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "a").mkdir()
    with pytest.raises(SystemExit, match=message):
        main(["predict", *pictures, "--model", str(model), "--output", "out", "--quiet", *options])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("output", [".", "link", "out/.."])
def test_a_drawing_never_takes_a_pictures_place(output, model, pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.open(pictures[0]).save("me.png")
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "out").mkdir()
    before = (tmp_path / "me.png").read_bytes()
    command = ["predict", str(pictures[1]), "me.png", "--model", str(model), "--output", output, "--quiet"]
    with pytest.raises(SystemExit, match=r"take the place of the picture .*me.png; choose another folder \(--output\)"):
        main(command)
    assert (tmp_path / "me.png").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "me.png", "out"]


def test_half_a_drawing_is_none(model, pictures, tmp_path, monkeypatch):
    def fail(figure, path, **options):
        path.write_bytes(b"half")
        raise OSError("no room")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    command = ["predict", str(pictures[0]), "--model", str(model), "--output", str(tmp_path / "out"), "--quiet"]
    with pytest.raises((OSError, SystemExit), match="no room"):
        main(command)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["predictions.json"]


@pytest.mark.parametrize("options", [("--threshold", "-1"), ("--threshold", "nan"), ("--box-threshold", "1")])
def test_scores_that_are_no_choice(options, model, pictures, tmp_path):
    command = ["predict", *map(str, pictures), "--model", str(model), "--output", str(tmp_path / "out"), *options]
    with pytest.raises(SystemExit, match=f"{float(options[1])}"):
        main(command)
    assert not (tmp_path / "out").exists()

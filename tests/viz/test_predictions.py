"""Predictions for a user's images: sources of boxes, results, drawings and errors."""

import json

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from torchvision.models.detection import fasterrcnn_resnet50_fpn_v2

from posenfs.cli.main import main
from posenfs.data.datasets.mpii import read_mpii
from posenfs.data.geometry import ImageSize
from posenfs.data.pixels import load_image
from posenfs.data.sample import DataError
from posenfs.evaluation.detections import _detector, boxes_from_file, detected_people, whole_images
from posenfs.evaluation.oks import rescore
from posenfs.evaluation.prediction import predict
from posenfs.search.saved_models import load_model
from posenfs.search.session import Search
from posenfs.viz.predictions import DrawingRule, predict_images


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
def image_paths(people):
    return [people.root / name for name in people.images[:3]]


def test_boxes_of_a_file_agree_with_the_data_set(model, people, image_paths, tmp_path, capsys):
    some_people = people.select(people.image_index < 3)
    rows = [
        {"file_name": people.images[image], "bbox": box.tolist(), "score": 0.5}
        for image, box in zip(some_people.image_index, some_people.boxes, strict=True)
    ]
    rows.append({"file_name": "elsewhere.jpg", "bbox": [0, 0, 9, 9]})
    (tmp_path / "boxes.json").write_text(json.dumps(rows))
    command = [
        "predict",
        *map(str, image_paths),
        "--model",
        str(model),
        "--output",
        str(tmp_path / "out"),
        "--quiet",
    ]
    main([*command, "--boxes", str(tmp_path / "boxes.json"), "--device", "cpu"])
    assert f"{len(some_people)} people in 3 images" in capsys.readouterr().out
    results = json.loads((tmp_path / "out" / "predictions.json").read_text())
    expected = predict(
        load_model(model).model.to(memory_format=torch.channels_last),
        some_people,
        ImageSize(64, 64),
    )
    predicted = np.array([result["keypoints"] for result in results]).reshape(
        len(some_people), 16, 3
    )
    assert predicted[..., :2] == pytest.approx(expected.keypoints_image) and predicted[
        ..., 2
    ] == pytest.approx(expected.scores)
    assert [result["score"] for result in results] == pytest.approx(
        rescore(np.full(len(some_people), 0.5), expected.scores)
    )
    for path in image_paths:
        with (
            Image.open(tmp_path / "out" / f"{path.stem}.png") as drawing,
            Image.open(path) as image,
        ):
            assert drawing.size == image.size


def test_whole_images_and_other_decodings(model, image_paths, people, tmp_path):
    whole = whole_images(image_paths, people.skeleton)
    assert whole.boxes[0].tolist() == [0, 0, *Image.open(image_paths[0]).size] and len(whole) == 3
    network = load_model(model).model
    quarter, dark, plain = (
        predict(network, whole, ImageSize(64, 64), decoding=d)
        for d in ("quarter offset", "dark", "argmax")
    )
    assert (quarter.keypoints_image != plain.keypoints_image).any() and (
        quarter.scores == dark.scores
    ).all()
    with pytest.raises(ValueError, match="unknown decoding 'best'; known: argmax"):
        predict(network, whole, ImageSize(64, 64), decoding="best")


class FixedDetector(torch.nn.Module):
    """A detector that finds two people and a dog in every image."""

    def forward(self, images):
        boxes = torch.tensor([[1.0, 2, 31, 62], [5, 5, 15, 25], [0, 0, 9, 9]])
        return [
            {
                "labels": torch.tensor([1, 1, 18]),
                "boxes": boxes,
                "scores": torch.tensor([0.9, 0.6, 0.99]),
            }
        ]


def test_people_of_a_detector(image_paths, people, monkeypatch):
    monkeypatch.setattr("posenfs.evaluation.detections._detector", lambda weights: FixedDetector())
    predicted = detected_people(image_paths[:2], people.skeleton, progress=False)
    assert predicted.boxes.tolist() == [
        [1, 2, 30, 60],
        [5, 5, 10, 20],
    ] * 2 and predicted.image_index.tolist() == [0, 0, 1, 1]
    assert (
        predicted.box_scores == pytest.approx([0.9, 0.6] * 2)
        and predicted.box_source == "detected (Faster R-CNN)"
    )
    assert (
        len(detected_people(image_paths[:1], people.skeleton, threshold=0.7, progress=False)) == 1
    )
    with pytest.raises(DataError, match="no person found in 1 images with a score above 0.95"):
        detected_people(image_paths[:1], people.skeleton, threshold=0.95, progress=False)


def test_weights_of_a_detector(image_paths, people, tmp_path):
    torch.save(
        fasterrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None).state_dict(),
        tmp_path / "random.pth",
    )
    assert (
        not _detector(tmp_path / "random.pth")
        .eval()([torch.rand(3, 64, 64)])[0]["boxes"]
        .isnan()
        .any()
    )
    (tmp_path / "bad.pth").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="bad.pth is no file of torch.save or safetensors"):
        detected_people(image_paths[:1], people.skeleton, tmp_path / "bad.pth", progress=False)
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(
        ValueError,
        match=r"other.pth: only 0 of .* of fasterrcnn_resnet50_fpn_v2 match the 1 of the file \(a\)",
    ):
        detected_people(image_paths[:1], people.skeleton, tmp_path / "other.pth", progress=False)
    with pytest.raises(FileNotFoundError, match="no detector weights"):
        detected_people(image_paths[:1], people.skeleton, tmp_path / "none.pth", progress=False)


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
def test_invalid_boxes_are_refused(rows, message, image_paths, people, tmp_path):
    (tmp_path / "boxes.json").write_text(json.dumps(rows))
    with pytest.raises(Exception, match=message):
        boxes_from_file(image_paths, people.skeleton, tmp_path / "boxes.json")


@pytest.mark.parametrize(
    ("image_paths", "options", "message"),
    [
        (["nowhere.jpg"], [], "no image at nowhere.jpg"),
        (["text.jpg"], [], "the image cannot be read: text.jpg: not a whole image"),
        (["a/x.jpg", "b/x.jpg"], [], "no image at a/x.jpg"),
        (["text.jpg", "a/deeper/text.jpg"], [], "two images are named 'text.jpg'"),
        (["text.jpg"], ["--boxes", "none.json"], "there is no file none.json"),
        (
            ["text.jpg"],
            ["--output", "text.jpg"],
            r"text.jpg is a file; choose a folder \(--output\)",
        ),
        (
            ["a"],
            [],
            r"a is a folder without images: none of the 2 files in it ends in \.bmp, .*\.jpg",
        ),
        (
            ["text.jpg", "half.jpg"],
            [],
            "none of the 2 images can be read: text.jpg: .*; half.jpg: ",
        ),
        (["text.jpg"], ["--output", "text.jpg/out"], "text.jpg is no folder; choose a folder"),
        (
            ["text.jpg"],
            ["--output", "/proc/out"],
            r"cannot write into /proc: .*; choose another folder \(--output\)",
        ),
    ],
)
def test_invalid_images_are_refused(image_paths, options, message, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "half.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "a" / "deeper").mkdir(parents=True)
    for name in ("notes.txt", ".hidden.jpg", "data.csv", "deeper/text.jpg"):
        (tmp_path / "a" / name).write_text("")
    with pytest.raises(SystemExit, match=message):
        main(
            ["predict", *image_paths, "--model", str(model), "--output", "out", "--quiet", *options]
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("output", [".", "link", "out/.."])
def test_a_drawing_never_replaces_an_image(output, model, image_paths, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.open(image_paths[0]).save("me.png")
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "out").mkdir()
    before = (tmp_path / "me.png").read_bytes()
    command = [
        "predict",
        str(image_paths[1]),
        "me.png",
        "--model",
        str(model),
        "--output",
        output,
        "--quiet",
    ]
    with pytest.raises(
        SystemExit,
        match=r"replace the image .*me.png; choose another folder \(--output\)",
    ):
        main(command)
    assert (tmp_path / "me.png").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "me.png", "out"]


def test_an_incomplete_drawing_is_removed(model, image_paths, tmp_path, monkeypatch):
    def fail(figure, path, **options):
        path.write_bytes(b"half")
        raise OSError("no room")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    command = [
        "predict",
        str(image_paths[0]),
        "--model",
        str(model),
        "--output",
        str(tmp_path / "out"),
        "--quiet",
    ]
    with pytest.raises((OSError, SystemExit), match="no room"):
        main(command)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["predictions.json"]


@pytest.mark.parametrize(
    "options",
    [
        ("--threshold", "-1"),
        ("--threshold", "nan"),
        ("--box-threshold", "1"),
        ("--least-share", "1.5"),
    ],
)
def test_invalid_thresholds_are_refused(options, model, image_paths, tmp_path):
    command = [
        "predict",
        *map(str, image_paths),
        "--model",
        str(model),
        "--output",
        str(tmp_path / "out"),
        *options,
    ]
    with pytest.raises(SystemExit, match=rf"\({options[0]}\); got {float(options[1])}"):
        main(command)
    assert not (tmp_path / "out").exists()


def test_folders_and_broken_images(model, image_paths, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in" / "deeper").mkdir(parents=True)
    whole = image_paths[0].read_bytes()
    for name in ("b.jpg", "a.JPG", "deeper/c.jpg", ".d.jpg"):
        (tmp_path / "in" / name).write_bytes(whole)
    (tmp_path / "in" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "in" / "notes.txt").write_text("no image")
    Image.open(image_paths[1]).save(tmp_path / "in" / "b.png")
    command = [
        "predict",
        "in",
        "in/b.jpg",
        "--model",
        str(model),
        "--output",
        "new/out",
        "--quiet",
        "--device",
        "cpu",
    ]
    main([*command, "--least-share", "0"])
    captured = capsys.readouterr()
    results = json.loads((tmp_path / "new" / "out" / "predictions.json").read_text())
    assert [result["file_name"] for result in results] == ["a.JPG", "b.jpg", "b.png"]
    assert sorted(path.name for path in (tmp_path / "new" / "out").glob("*.png")) == [
        "a.png",
        "b.jpg.png",
        "b.png.png",
    ]
    assert "in/cut.jpg" in captured.err and "not a whole image" in captured.err
    assert captured.err.count("each whole image is taken for one person") == 1
    assert "--boxes FILE (JSON), or --boxes detector" in captured.err
    assert (
        "3 people in 3 images" in captured.out and "1 of 4 images could not be read" in captured.out
    )
    main([*command, "--threshold", "99"])
    output = capsys.readouterr().out
    assert (
        "0 drawn; 3 with too few confident keypoints (fewer than 40% with scores above 99)"
        in output
    )
    assert "no person is drawn in a.JPG, b.jpg, b.png" in output
    with Image.open("new/out/b.jpg.png") as drawing:  # without a person, the drawing is the image
        assert (
            np.asarray(drawing.convert("RGB"))
            == load_image(tmp_path / "in" / "b.jpg").permute(1, 2, 0).numpy()
        ).all()


def test_drawing_rule():
    scores = np.array([[0.9, 0.9, 0.1, 0.1, 0.1], [0.9, 0.3, 0.1, 0.1, 0.1], [0.4] * 5])
    drawn, shown = DrawingRule(0.3, 0.4).apply(scores)
    assert drawn.tolist() == [True, False, True]
    assert shown.tolist() == [[True, True, False, False, False], [False] * 5, [True] * 5]


def test_an_image_rotated_by_its_exif_tag(model, image_paths, tmp_path):
    """An image and its rotated copy with a tag give the same keypoints and drawings."""
    upright = Image.open(image_paths[0]).convert("RGB")
    upright = upright.crop((0, 0, upright.width // 2, upright.height))
    tag = Image.Exif()
    tag[ExifTags.Base.Orientation] = 6  # rotate by 90 degrees clockwise
    upright.save(tmp_path / "upright.png")
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "lying.png", exif=tag)
    images = [tmp_path / "upright.png", tmp_path / "lying.png"]
    predict_images(
        images, model, tmp_path / "out", rule=DrawingRule(0, 0), device="cpu", progress=False
    )
    first, second = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert first["keypoints"] == second["keypoints"]
    drawings = [Image.open(tmp_path / "out" / name) for name in ("upright.png", "lying.png")]
    assert drawings[0].size == drawings[1].size == upright.size
    assert (np.asarray(drawings[0]) == np.asarray(drawings[1])).all()

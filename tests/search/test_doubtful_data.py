"""Doubtful images: named before a search begins, and in everything that it writes."""

import json
import shutil
from dataclasses import replace

import pytest
from PIL import Image

from posenfs.cli.main import main
from posenfs.data.check import check_data
from posenfs.data.datasets.catalogue import DataSpec, open_data
from posenfs.search.session import Search
from posenfs.study.model_evaluation import describe_evaluation, evaluate_model
from posenfs.viz.run_summary import summarise_run

REASON = (
    "image whose EXIF orientation is ignored, because the annotated size is that of the raw pixels"
)


@pytest.fixture
def turned(own, drawn, tmp_path):
    """The own data with an EXIF orientation in every JPEG, whose pixels stay as they are."""
    shutil.copytree(drawn / "images", tmp_path / "turned")
    exif = Image.Exif()
    exif[0x0112] = 6
    content = exif.tobytes()
    segment = b"\xff\xe1" + (len(content) + 2).to_bytes(2, "big") + content
    for path in (tmp_path / "turned").glob("*.jpg"):
        with Image.open(path) as image:
            if image.width == image.height:  # the annotated size would not tell
                continue
        path.write_bytes(b"\xff\xd8" + segment + path.read_bytes()[2:])
    text = own.read_text().replace(str(drawn / "images"), "turned")
    (tmp_path / "turned.toml").write_text(text)
    return tmp_path / "turned.toml"


def test_images_turned_by_exif_against_their_annotation_change_no_number_and_are_counted(
    own, turned, tiny, tmp_path, capsys
):
    checks = check_data(turned, progress=False)
    counts = {check.name: check.doubtful for check in checks}
    assert all(set(doubtful) == {REASON} for doubtful in counts.values())
    assert [len(check.wrong) for check in checks] == [0, 0]
    searches = {}
    for name, data in (("plain", own), ("turned", turned)):
        training = replace(tiny.training, epochs=1)
        experiment = replace(tiny, data=DataSpec("custom", str(data)), training=training)
        searches[name] = Search(experiment, tmp_path / name, device="cpu", progress=False)
        searches[name].finish()
        searches[name].close()
    plain, run = searches["plain"].run, searches["turned"].run
    assert (
        run.history() == plain.history() and run.metrics()["metrics"] == plain.metrics()["metrics"]
    )
    assert not plain.metrics()["doubtful"] and run.metrics()["doubtful"] == counts
    assert {name: data["doubtful"] for name, data in run.provenance()["data"].items()} == counts
    sentences = [
        f"{name}: doubtful: {doubtful[REASON]} {REASON.replace('image', 'images', 1)}"
        for name, doubtful in counts.items()
    ]
    notes = capsys.readouterr().err
    evaluation = evaluate_model(run.folder, device="cpu", progress=False)
    assert evaluation["doubtful"]["tips valid"] == counts["tips valid"]
    for text in (notes, summarise_run(run)):
        assert all(sentence in text for sentence in sentences)
    assert sentences[1] in describe_evaluation(evaluation)


def test_the_command_prints_what_is_doubtful(turned, drawn, capsys):
    sizes = [Image.open(path).size for path in (drawn / "images").glob("train_*")]
    count = sum(width != height for width, height in sizes)
    main(["data", "check", str(turned), "--quiet"])
    assert (
        f"  doubtful    {count} {REASON.replace('image', 'images', 1)}" in capsys.readouterr().out
    )
    main(["data", "check", str(turned), "--quiet", "--json"])
    assert json.loads(capsys.readouterr().out)[0]["doubtful"] == {REASON: count}


def test_images_of_detections_keep_their_annotated_sizes(turned, tmp_path):
    content = json.loads((tmp_path / "valid.json").read_text())
    images = [image for image in content["images"] if image["width"] != image["height"]]
    detections = [
        {"image_id": image["id"], "category_id": 1, "bbox": [5, 6, 30, 40], "score": 0.9}
        for image in images
    ]
    (tmp_path / "boxes.json").write_text(json.dumps(detections))
    data = DataSpec("custom", str(turned), detections=str(tmp_path / "boxes.json"))
    _, detected = open_data(data, progress=False)
    assert detected.doubtful == {REASON: len(images)}
    sizes = {image["file_name"]: (image["height"], image["width"]) for image in images}
    for number, name in enumerate(detected.images):
        assert detected.annotated_size(number) == sizes[name]

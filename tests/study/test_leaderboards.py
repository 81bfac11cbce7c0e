"""Tests of submission files: predictions are written and read again."""

import json
from dataclasses import replace

import numpy as np
import pytest

from posenfs.cli.main import main
from posenfs.data.datasets.catalogue import DataSpec
from posenfs.data.datasets.mpii import read_mpii
from posenfs.data.datasets.mpii_release import read_release
from posenfs.data.geometry import ImageSize
from posenfs.evaluation.prediction import predict
from posenfs.search.build import build
from posenfs.search.saved_models import load_model, save_model
from tests.data.test_mpii_release import matlab, rectangle, write_release
from tests.evaluation.test_submission import coco_rows, mpii_predictions

ZIP = "person_keypoints_test-dev2017_posenfs_results.zip"


@pytest.fixture(scope="module")
def models(tiny, drawn, tmp_path_factory):
    """Folders of two untrained models."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("mpii", "coco"):
        experiment = replace(tiny, data=DataSpec(name, str(drawn)))
        save_model(folder / name, build(experiment, progress=False).model, experiment)
    return folder


@pytest.fixture(scope="module")
def release(drawn, tmp_path_factory):
    """Synthetic validation people as test people of an MPII release, one more in a crowd."""
    people, root = read_mpii(drawn, "valid"), tmp_path_factory.mktemp("release")
    (root / "images").symlink_to(drawn / "images")
    images = [{"name": people.images[0], "people": [rectangle()]}]
    for number, image in enumerate(people.images):
        rectangles = [
            {
                "scale": box[2] / 200,
                "objpos": matlab([{"x": x + 1, "y": y + 1 - 15 * box[2] / 200}]),
            }
            for box in people.boxes[people.image_index == number]
            for x, y in [box[:2] + box[2:] / 2]
        ]
        apart = list(range(1, len(rectangles) + 1))
        images.append(
            {
                "name": image,
                "people": rectangles + rectangles[:1] * (number == 0),
                "train": False,
                "single": apart,
            }
        )
    write_release(root, images)
    return root


def test_mpii(models, release, drawn, tmp_path, capsys):
    target = tmp_path / "new" / "pred_keypoints_mpii.mat"
    options = ["--root", str(release), "--output", str(target), "--device", "cpu", "--quiet"]
    main(["submit", "mpii", "--model", str(models / "mpii"), *options])
    people, network = read_release(release, "test"), load_model(models / "mpii").model
    assert f"{len(people)} people written to" in capsys.readouterr().out
    keypoints, ids = mpii_predictions(target, release / "mpii_human_pose_v1_u12_1.mat")
    assert ids.tolist() == people.person_ids.tolist()
    np.testing.assert_allclose(
        keypoints, predict(network, people, ImageSize(64, 64)).keypoints_image, atol=1e-9
    )
    np.testing.assert_allclose(people.boxes, read_mpii(drawn, "valid").boxes, atol=1e-9)
    with pytest.raises(
        SystemExit, match="predicts the keypoints of COCO-17; the benchmark needs those of MPII-16"
    ):
        main(["submit", "mpii", "--model", str(models / "coco"), *options])
    (tmp_path / "empty").mkdir()
    write_release(tmp_path / "empty", [{"people": [rectangle()], "train": False, "single": [1]}])
    with pytest.raises(
        SystemExit, match=r"1 of 1 images in .* cannot be used: 000000001.jpg: missing; the"
    ):
        main(
            [
                "submit",
                "mpii",
                "--model",
                str(models / "mpii"),
                "--root",
                str(tmp_path / "empty"),
                *options[2:],
            ]
        )


def test_coco(models, drawn, tmp_path, capsys):
    truth = json.loads((drawn / "annotations" / "person_keypoints_val.json").read_text())
    info, boxes = tmp_path / "image_info_test-dev2017.json", tmp_path / "boxes.json"
    info.write_text(json.dumps({"images": truth["images"], "categories": []}))
    rows = [
        {"image_id": a["image_id"], "category_id": 1, "bbox": a["bbox"], "score": 0.9}
        for a in truth["annotations"]
    ]
    boxes.write_text(json.dumps(rows + rows[:2] + [rows[0] | {"category_id": 3}]))
    files = ["--info", str(info), "--images", str(drawn / "images"), "--detections", str(boxes)]
    options = ["--model", str(models / "coco"), *files, "--device", "cpu", "--quiet"]
    main(["submit", "coco", *options, "--output", str(tmp_path / ZIP)])
    results = coco_rows(tmp_path / ZIP)
    assert f"{len(results)} poses written to" in capsys.readouterr().out
    assert len(results) == len(rows)  # duplicate boxes give one pose each
    assert {r["image_id"] for r in results} == {r["image_id"] for r in rows}
    with pytest.raises(SystemExit, match="the server takes person_keypoints_<set>"):
        main(["submit", "coco", *options, "--output", str(tmp_path / "results.zip")])
    info.write_text("[]")
    with pytest.raises(SystemExit, match="must hold a list `images`"):
        main(["submit", "coco", *options, "--output", str(tmp_path / ZIP)])

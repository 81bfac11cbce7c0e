"""Tests of `posenfs test` on runs, pruned models and imported models."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from scipy.io import loadmat

from posenfs.cli.evaluation import DataOptions
from posenfs.cli.main import main
from posenfs.data.datasets.catalogue import DataSpec
from posenfs.data.datasets.mpii import read_mpii
from posenfs.data.geometry import ImageSize
from posenfs.evaluation.prediction import predict
from posenfs.search.build import build
from posenfs.search.saved_models import load_model, save_model
from posenfs.search.session import Search

QUIET = ["--device", "cpu", "--quiet"]


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
    """A finished run with an operation of weight 0.0 on every edge of one part."""
    search = Search(
        replace(tiny, training=replace(tiny.training, epochs=1)),
        tmp_path_factory.mktemp("runs") / "run",
        "cpu",
        0,
        False,
    )
    with torch.no_grad():
        next(iter(search.model.fabrics().values())).alpha[..., -1] = -1000
    search.finish()
    search.close()
    return search.run


def evaluation_of(arguments, capsys) -> dict:
    main(["test", *map(str, arguments), *QUIET, "--json"])
    return json.loads(capsys.readouterr().out)


def test_an_evaluation_equals_the_metrics_file(run, capsys):
    evaluation, metrics = evaluation_of([run.folder], capsys), run.metrics()
    assert {name: evaluation[name] for name in metrics} == metrics
    assert evaluation["image_size"] == [64, 64] and evaluation["data"]["name"] == "mpii"
    rows = {row["keypoint"]: row for row in evaluation["keypoints"]}
    both = [rows[f"{side}_wrist"]["correct"] for side in ("left", "right")]
    assert np.mean(both) == pytest.approx(metrics["metrics"]["pckh@0.5/wrist"])


def test_pckh_computed_from_the_annotation_file(run, drawn, capsys):
    """The file's pixels count from 1; thorax and pelvis are not evaluated."""
    people = read_mpii(drawn, "valid")
    model = load_model(run).model.to(memory_format=torch.channels_last)
    points = predict(model, people, ImageSize(64, 64)).keypoints_image
    truth = loadmat(drawn / "annot" / "gt_valid.mat")
    order = [f"right_{joint}" for joint in ("ankle", "knee", "hip")]
    order += [f"left_{joint}" for joint in ("hip", "knee", "ankle")]
    order += ["pelvis", "thorax", "upper_neck", "head_top"]
    order += [f"right_{joint}" for joint in ("wrist", "elbow", "shoulder")]
    order += [f"left_{joint}" for joint in ("shoulder", "elbow", "wrist")]
    right = counted = 0
    for person in range(truth["pos_gt_src"].shape[2]):
        head = truth["headboxes_src"][:, :, person]
        size = 0.6 * np.hypot(*(head[1] - head[0]))
        for joint, name in enumerate(order):
            if name in ("pelvis", "thorax") or truth["jnt_missing"][joint, person]:
                continue
            place = points[person, people.skeleton.index(name)] + 1
            counted += 1
            right += np.hypot(*(place - truth["pos_gt_src"][joint, :, person])) <= 0.5 * size
    assert evaluation_of([run.folder], capsys)["metrics"]["pckh@0.5"] == pytest.approx(
        100 * right / counted
    )


def test_an_exactly_pruned_model_has_the_same_metrics(run, tmp_path, capsys):
    main(["prune", str(run.folder), "--output", str(tmp_path / "pruned"), "--quiet"])
    capsys.readouterr()
    before, after = (
        evaluation_of([run.folder], capsys),
        evaluation_of([tmp_path / "pruned"], capsys),
    )
    assert after["metrics"] == before["metrics"] and after["intervals"] == before["intervals"]
    assert after["params"] < before["params"] and after["multiply_adds"] < before["multiply_adds"]


def test_options_text_and_file(run, drawn, tmp_path, capsys):
    target = tmp_path / "new" / "evaluation.json"
    options = [
        "--no-flip",
        "--decoding",
        "argmax",
        "--split",
        "train",
        "--batch-size",
        "5",
        "--output",
        target,
    ]
    evaluation = evaluation_of(
        [
            run.folder,
            "--data.name",
            "synthetic",
            "--data.root",
            drawn,
            "--data.images",
            12,
            6,
            *options,
        ],
        capsys,
    )
    assert json.loads(target.read_text()) == evaluation
    assert (evaluation["flip"], evaluation["decoding"]) == (False, "argmax")
    assert evaluation["people"] == len(read_mpii(drawn, "train")) and evaluation["data"][
        "images"
    ] == [12, 6]
    main(["test", str(run.folder), *QUIET])
    output = capsys.readouterr().out
    low, high = (run.metrics()["intervals"]["pckh@0.5"][end] for end in ("low", "high"))
    value = run.metrics()["metrics"]["pckh@0.5"]
    line = next(line for line in output.splitlines() if line.startswith("PCKh@0.5 "))
    assert f"{value:.1f}" in line and f"[{low:.1f}, {high:.1f}]" in line
    assert (
        "left_ankle" in output
        and "mirror image averaged; quarter offset" in output
        and "GMAC for a crop of 64 x 64" in output
    )


def test_without_training_people_there_is_no_mean_pose(run, drawn, tmp_path, capsys):
    (tmp_path / "annot").mkdir()
    for name in ("valid.json", "gt_valid.mat"):
        (tmp_path / "annot" / name).write_bytes((drawn / "annot" / name).read_bytes())
    (tmp_path / "images").symlink_to(drawn / "images")
    evaluation = evaluation_of([run.folder, "--data.root", tmp_path], capsys)
    assert evaluation["mean_pose"] == {} and evaluation["metrics"] == run.metrics()["metrics"]


def test_data_options_equal_those_of_a_search():
    options = [field.name for field in fields(DataSpec)]
    options.remove("definition")  # which a run keeps; no command takes it
    assert [field.name for field in fields(DataOptions)] == options


def test_invalid_options_are_refused(run, drawn, tmp_path, capsys):
    coco = ["--data.name", "coco", "--data.root", str(drawn)]
    for options, message in (
        (
            coco,
            "predicts the 16 keypoints of MPII-16, but data 'coco' have the 17 of COCO-17; "
            "choose data with",
        ),
        (["--data.name", "faces"], "unknown data set 'faces'; known: synthetic"),
        (["--data.root", str(tmp_path / "gone")], "gone"),
        (["--batch-size", "0"], "--batch-size is at least 1"),
        (["--output", str(tmp_path)], f"{tmp_path} is a folder; give a file"),
    ):
        with pytest.raises(SystemExit) as exit:
            main(["test", str(run.folder), "--output", str(tmp_path / "x.json"), *QUIET, *options])
        assert message in str(exit.value)
    with pytest.raises(SystemExit, match="no run 'nobody'"):
        main(["test", "nobody", *QUIET])
    assert not list(tmp_path.iterdir())


def test_an_imported_checkpoint(real, drawn, tmp_path, capsys):
    main(
        [
            "import",
            str(real("released_layout") / "mobilenet_v2_p8_mpii.pth"),
            "--output",
            str(tmp_path / "imported"),
        ]
    )
    capsys.readouterr()
    evaluation = evaluation_of([tmp_path / "imported", "--data.root", drawn], capsys)
    assert evaluation["image_size"] == [256, 256] and evaluation["people"] == len(
        read_mpii(drawn, "valid")
    )
    assert 0 <= evaluation["metrics"]["pckh@0.5"] < 50  # its weights are random


def test_numbers_that_are_not_defined_are_null_and_explained(tiny, drawn, tmp_path, capsys):
    """All people are of medium size: AP_L and AR_L are null in JSON, and the text says why."""
    path = drawn / "annotations" / "person_keypoints_val.json"
    content = json.loads(path.read_text())
    for number, row in enumerate(content["annotations"]):
        row.update(area=50.0**2, id=number)
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / path.name).write_text(json.dumps(content))
    (tmp_path / "images").symlink_to(drawn / "images")
    experiment = replace(tiny, data=DataSpec("coco", str(drawn)))
    save_model(tmp_path / "model", build(experiment, progress=False).model, experiment)
    arguments = [tmp_path / "model", "--data.name", "coco", "--data.root", tmp_path]
    evaluation = evaluation_of(arguments, capsys)
    assert evaluation["metrics"]["ap/AP_L"] is None and evaluation["metrics"]["ap/AR_L"] is None
    assert 0 <= evaluation["metrics"]["ap/AP_M"] <= 100
    numbered = "1 annotation with an id that pycocotools reads as unmatched (0 and below, or none)"
    size = "AP_L and AR_L are n/a: no annotated person has this size (above 96² px²)"
    assert evaluation["ap_notes"] == [f"{numbered}: numbered anew", size]
    main(["test", *map(str, arguments), *QUIET])
    text = capsys.readouterr().out
    assert size in text and "-100" not in text and "nan" not in text

"""A model trained on custom data outlives the TOML file that described them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from posenfs.cli.main import main
from posenfs.data.datasets.catalogue import DataSpec, skeleton_of
from posenfs.data.sample import DataError
from posenfs.model.space import FabricSpec
from posenfs.search.checkpoints import RunError
from posenfs.search.configuration import CheckpointConfig, TrainingConfig
from posenfs.search.experiment import Experiment
from posenfs.search.run_dir import RunDir
from posenfs.search.saved_models import load_model
from posenfs.search.session import Search
from posenfs.study.fingerprints import configuration
from posenfs.widgets.run_context import RunContext

KEYPOINTS = ["wrist", "left_thumb", "right_thumb", "tip"]
TOML = """
name = "hands"
category = "hand"
train = "train.json"
valid = "valid.json"
images = "pictures"
keypoints = ["wrist", "left_thumb", "right_thumb", "tip"]
limbs = [["wrist", "tip"]]
mirrored = [["left_thumb", "right_thumb"]]
sigmas = [0.08, 0.07, 0.06, 0.05]

[parts]
root = ["wrist", "tip"]
thumbs = ["left_thumb", "right_thumb"]
"""
REORDERED = ("keypoints = [", 'keypoints = ["right_thumb", "left_thumb", "wrist", "tip"] #')
RENAMED = ("left_thumb", "pollex")
MIRRORED = ("mirrored = [", 'mirrored = [["wrist", "tip"]] #')
PARTS = ('root = ["wrist", "tip"]', 'root = ["wrist", "tip", "left_thumb"]')
SIGMAS = ("sigmas = [0.08", "sigmas = [0.09")


def write_hands(folder: Path, people: tuple[int, int] = (4, 3)) -> Path:
    """Noise images with a hand each, annotations in COCO's form, and their TOML file."""
    (folder / "pictures").mkdir(parents=True)
    noise = np.random.default_rng(0)
    for split, count in zip(("train", "valid"), people, strict=True):
        images, annotations = [], []
        for number in range(1, count + 1):
            name = f"{split}{number}.png"
            pixels = noise.integers(0, 255, (80, 60, 3), np.uint8)
            Image.fromarray(pixels).save(folder / "pictures" / name)
            images.append({"id": number, "file_name": name, "width": 60, "height": 80})
            points = [[12 + 7 * k, 20 + 9 * k + number, 2] for k in range(4)]
            person = {"id": number, "image_id": number, "category_id": 1, "iscrowd": 0}
            box = {"bbox": [5, 10, 45, 60], "area": 2700, "num_keypoints": 4}
            annotations.append(
                {**person, **box, "keypoints": [x for point in points for x in point]}
            )
        category = {"id": 1, "name": "hand", "keypoints": KEYPOINTS, "skeleton": []}
        content = {"images": images, "annotations": annotations, "categories": [category]}
        (folder / f"{split}.json").write_text(json.dumps(content))
    (folder / "hands.toml").write_text(TOML)
    return folder / "hands.toml"


def hands_experiment(toml: Path, epochs: int = 1) -> Experiment:
    return Experiment(
        name="hands",
        data=DataSpec("custom", str(toml)),
        image_size=(64, 64),
        vector_dim=2,
        fabric=FabricSpec(width=2),
        training=TrainingConfig(epochs=epochs, batch_size=2),
        checkpoints=CheckpointConfig(every=1, keep=10),
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with the data in data/, and a finished run in reports/runs/hands."""
    home = tmp_path_factory.mktemp("trained")
    toml = write_hands(home / "data")
    run = home / "reports" / "runs" / "hands"
    Search(hands_experiment(toml), run, device="cpu", progress=False).finish()
    return home


@pytest.fixture
def hands(trained, tmp_path, monkeypatch) -> Path:
    """A copy of that folder, which is the current one; its run has the copy's TOML file."""
    shutil.copytree(trained, tmp_path / "home")
    config = tmp_path / "home" / "reports" / "runs" / "hands" / "config.json"
    config.write_text(config.read_text().replace(str(trained), str(tmp_path / "home")))
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


def edit(toml: Path, change: tuple[str, str], annotations: bool = False) -> None:
    toml.write_text(toml.read_text().replace(*change))
    for split in ("train", "valid") if annotations else ():
        path = toml.with_name(f"{split}.json")
        path.write_text(path.read_text().replace(*change))


def predictions(folder: Path, model: str = "hands") -> list[dict]:
    images = [str(path) for path in sorted((folder / "data" / "pictures").glob("valid*"))]
    options = ["--output", str(folder / "predicted"), "--device", "cpu", "--quiet"]
    main(["predict", *images, "--model", model, *options])
    return json.loads((folder / "predicted" / "predictions.json").read_text())


def change_toml(hands: Path, change: str) -> None:
    toml = hands / "data" / "hands.toml"
    match change:
        case "moved":
            (hands / "elsewhere").mkdir()
            toml.rename(hands / "elsewhere" / "hands.toml")
        case "deleted":
            toml.unlink()
        case "no TOML":
            toml.write_text("keypoints = [")
        case "reordered":
            edit(toml, REORDERED)
        case "renamed":
            edit(toml, RENAMED, annotations=True)
        case "mirrored":
            edit(toml, MIRRORED)
        case "parts":
            edit(toml, PARTS)


CHANGES = ["moved", "deleted", "no TOML", "reordered", "renamed", "mirrored", "parts"]


@pytest.mark.parametrize("change", CHANGES)
def test_the_same_keypoints_whatever_happened_to_the_toml(change, hands, capsys):
    before, weights = predictions(hands), load_model("hands").model.state_dict()
    assert len(before) == 3 and len(before[0]["keypoints"]) == 3 * 4
    change_toml(hands, change)
    assert predictions(hands) == before
    saved = load_model("hands")
    skeleton = skeleton_of(saved.experiment.data)
    assert skeleton.keypoints == tuple(KEYPOINTS) and skeleton.flip_order == (0, 2, 1, 3)
    assert skeleton.oks_sigmas == (0.08, 0.07, 0.06, 0.05) and skeleton.limbs == ((0, 3),)
    parts = {part.name: part.keypoints for part in saved.model.parts}
    assert parts == {"root": (0, 3), "thumbs": (1, 2)}
    assert all(torch.equal(weights[name], t) for name, t in saved.model.state_dict().items())
    context = RunContext(RunDir("reports/runs/hands"), saved.experiment)
    assert context.skeleton == skeleton and len(context.network.parts) == 2
    if change != "deleted":
        return
    # What needs no data works as before: a pruned copy, costs, a comparison.
    main(["prune", "hands", "--output", "pruned", "--no-accuracy", "--quiet"])
    assert predictions(hands, "pruned") == before
    main(["compare", "hands", "hands"])
    main(["cost", "hands"])


def test_what_a_run_keeps_is_in_its_config(hands):
    config = json.loads((hands / "reports/runs/hands/config.json").read_text())
    assert config["data"]["definition"] == {
        "skeleton": {
            "name": "hands",
            "keypoints": KEYPOINTS,
            "flip_pairs": [[1, 2]],
            "limbs": [[0, 3]],
            "oks_sigmas": [0.08, 0.07, 0.06, 0.05],
        },
        "parts": [{"name": "root", "keypoints": [0, 3]}, {"name": "thumbs", "keypoints": [1, 2]}],
    }
    assert "definition" not in json.loads(Experiment().to_json())["data"]
    assert "definition" not in configuration(Experiment(data=DataSpec("mpii")))["data"]


def test_an_evaluation_needs_the_data_with_the_same_keypoints(hands, capsys):
    def evaluated(*options: str) -> dict:
        main(["test", "hands", *options, "--device", "cpu", "--quiet", "--json"])
        return json.loads(capsys.readouterr().out)

    before = evaluated()
    elsewhere = write_hands(hands / "elsewhere")
    shutil.rmtree(hands / "data")
    with pytest.raises(SystemExit, match=r"no description .*data/hands\.toml; --data\.root"):
        evaluated()
    for options in (["--data.name", "custom"], []):
        moved = evaluated(*options, "--data.root", str(elsewhere))
        assert moved["metrics"] == before["metrics"] and moved["keypoints"] == before["keypoints"]
    edit(elsewhere, MIRRORED)
    assert evaluated("--data.root", str(elsewhere))["metrics"] == before["metrics"]
    edit(elsewhere, REORDERED)
    with pytest.raises(SystemExit) as error:
        evaluated("--data.root", str(elsewhere))
    assert (
        f"the keypoints of {elsewhere} are right_thumb, left_thumb, wrist, tip; the run or model "
        "was trained on wrist, left_thumb, right_thumb, tip: number 1 is 'right_thumb' there and "
        "'wrist' here"
    ) in str(error.value)


def searched_whole_and_half(folder, name):
    """Search in folder/whole to the end and in folder/<name> for an epoch of two."""
    toml = write_hands(folder / "data")
    experiment = hands_experiment(toml, epochs=2)
    Search(experiment, folder / "whole", device="cpu", progress=False).finish()
    search = Search(experiment, folder / name, device="cpu", progress=False)
    search.epoch()
    search.close()
    return toml, experiment


def test_a_search_goes_on_with_the_data_elsewhere(tmp_path):
    _, experiment = searched_whole_and_half(tmp_path, "moved")
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"no description of data at .*data/hands\.toml"):
        Search(tmp_path / "moved", device="cpu", progress=False)
    root = str(tmp_path / "elsewhere" / "hands.toml")
    main(
        ["resume", str(tmp_path / "moved"), "--root", root, "--device", "cpu", "--quiet", "--json"]
    )
    whole, moved = RunDir(tmp_path / "whole"), RunDir(tmp_path / "moved")
    assert moved.history() == whole.history() and moved.is_finished()
    assert moved.experiment().data.root == root  # the next command finds the data by itself
    Search(replace(experiment, data=DataSpec("custom", root)), tmp_path / "moved", "cpu")
    other = write_hands(tmp_path / "other", people=(6, 3))
    with pytest.raises(RunError, match=f"the data are not those .*{root}, and not {other}"):
        Search(replace(experiment, data=DataSpec("custom", str(other))), tmp_path / "moved", "cpu")


@pytest.mark.parametrize(
    ("change", "field", "values"),
    [
        (MIRRORED, "mirrored", ("[[left_thumb, right_thumb]]", "[[tip, wrist]]")),
        (PARTS, "parts", ("root = [wrist, tip]", "root = [wrist, tip, left_thumb]")),
        (SIGMAS, "sigmas", ("[0.08, 0.07, 0.06, 0.05]", "[0.09, 0.07, 0.06, 0.05]")),
        (('name = "hands"', 'name = "paws"'), "name", ("hands", "paws")),
        (('limbs = [["wrist", "tip"]]', "limbs = []"), "limbs", ("[[tip, wrist]]", "[]")),
    ],
)
def test_a_search_goes_on_with_what_it_began_with(change, field, values, tmp_path, capsys):
    toml, experiment = searched_whole_and_half(tmp_path, "edited")
    edit(toml, change)
    capsys.readouterr()
    Search(experiment, tmp_path / "edited", device="cpu", progress=False).finish()
    assert (tmp_path / "edited" / "history.jsonl").read_bytes() == (
        tmp_path / "whole" / "history.jsonl"
    ).read_bytes()
    said = " ".join(capsys.readouterr().err.split())
    assert f"{field} of {toml} has changed since the training began: this run or model" in said
    assert all(value in said for value in values)


def test_a_search_refuses_other_keypoints(tmp_path):
    toml = write_hands(tmp_path / "data")
    search = Search(hands_experiment(toml, 2), tmp_path / "run", device="cpu", progress=False)
    search.epoch()
    search.close()
    edit(toml, RENAMED, annotations=True)
    history = (tmp_path / "run" / "history.jsonl").read_bytes()
    with pytest.raises(DataError, match="number 2 is 'pollex' there and 'left_thumb' here"):
        Search(hands_experiment(toml, 2), tmp_path / "run", device="cpu", progress=False)
    assert (tmp_path / "run" / "history.jsonl").read_bytes() == history
    renamed = Search(hands_experiment(toml, 2), tmp_path / "new", device="cpu", progress=False)
    assert renamed.valid.skeleton.keypoints[1] == "pollex"


def test_a_run_of_an_older_version_reads_the_toml_and_keeps_it_from_then_on(hands):
    config = hands / "reports/runs/hands/config.json"
    content = json.loads(config.read_text())
    kept = content["data"].pop("definition")
    content["data"]["name"] = "own"  # its name in 0.1.0
    config.write_text(json.dumps(content))
    assert load_model("hands").model.parts[1].name == "thumbs"
    assert json.loads(config.read_text()) == content  # reading writes nothing
    Search("hands", device="cpu", progress=False)
    assert json.loads(config.read_text())["data"]["definition"] == kept
    (hands / "data" / "hands.toml").unlink()
    assert load_model("hands").model.parts[1].name == "thumbs"


def test_branches_and_initial_weights_keep_the_keypoints(hands, capsys):
    toml = hands / "data" / "hands.toml"
    edit(toml, MIRRORED)
    branch = Search("hands", device="cpu", progress=False).branch(1, "branched")
    branch.close()
    assert (
        RunDir("reports/runs/branched").experiment().data
        == RunDir("reports/runs/hands").experiment().data
    )
    toml.write_text(TOML)
    edit(toml, RENAMED, annotations=True)
    start = replace(hands_experiment(toml), name="more", init_from="reports/runs/hands")
    Search(start, device="cpu", progress=False).close()
    said = " ".join(capsys.readouterr().err.split())
    assert (
        "the initial weights of reports/runs/hands predict wrist, left_thumb, right_thumb, tip; "
        "this search trains them to predict wrist, pollex, right_thumb, tip"
    ) in said

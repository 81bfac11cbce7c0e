"""Files that version 0.1.0 wrote are read, and its runs continue."""

import json
import shutil
from pathlib import Path

import pytest

from posenfs.search.experiment import Experiment
from posenfs.search.run_dir import RunDir
from posenfs.search.saved_models import load_model
from posenfs.search.session import Search

# A run of five of twelve steps (strategy first_order), as version 0.1.0 left it, and the history
# with which that version finished it.
RUN = Path(__file__).parents[1] / "data_files" / "run_0_1_0"


@pytest.fixture
def old_run(tmp_path, monkeypatch) -> RunDir:
    monkeypatch.chdir(tmp_path)  # its data are drawn below
    monkeypatch.setenv("POSENFS_CACHE", str(tmp_path / "cache"))
    shutil.copytree(RUN, tmp_path / "begun")
    return RunDir(tmp_path / "begun")


def test_settings_of_an_old_run_have_their_new_names(old_run):
    experiment = old_run.experiment()
    assert experiment.search.strategy == "first_order" and experiment.training.epochs == 3
    assert experiment.search.validation_split == 0.3 and experiment.checkpoints.keep == 1
    assert experiment.runtime.log_every == 2 and experiment.data.images == (12, 4)
    assert Experiment.from_json(experiment.to_json()) == experiment


def test_other_old_names_in_settings():
    old = json.loads((RUN / "config.json").read_text())
    old["start"] = "folder"
    old["data"] |= {"name": "own", "root": "hands.toml"}
    old["run"] |= {"patience": 2, "judged": 0.25, "snapshot_gb": 3.0, "architecture_lr": 0.01}
    new = Experiment.from_json(json.dumps(old))
    assert new.init_from == "folder" and new.data.name == "custom"
    assert new.training.patience == 2 and new.training.early_stopping_split == 0.25
    assert new.checkpoints.max_gb == 3.0 and new.search.lr == 0.01
    with pytest.raises(ValueError, match=r"config.json: training.speed: .*got 3"):
        Experiment.from_json(json.dumps(old | {"run": {"speed": 3}}), "config.json")


def test_an_old_run_is_read_without_being_changed(old_run):
    before = sorted(path.relative_to(old_run.folder) for path in old_run.folder.rglob("*"))
    assert old_run.status()["primary_metric"] == "pckh@0.5" and old_run.state() == "gone"
    assert old_run.checkpoints.steps() == [5] and old_run.checkpoints.load(5)["step"] == 5
    assert len(old_run.history()) == 6 and old_run.architectures()[0][-1] == 5
    assert load_model(old_run).experiment == old_run.experiment()
    assert before == sorted(path.relative_to(old_run.folder) for path in old_run.folder.rglob("*"))


def test_an_old_run_continues_to_the_same_history(old_run):
    search = Search(old_run, device="cpu", progress=False)
    assert search.step_number == 5
    search.finish()
    rows = search.run.history()
    expected = [json.loads(x) for x in (RUN / "continued_history.jsonl").read_text().splitlines()]
    assert len(rows) == len(expected)
    for row, other in zip(rows, expected, strict=True):
        # Bit for bit on the machine that wrote it; another CPU may round otherwise.
        assert row.keys() == other.keys() and row["step"] == other["step"]
        if "loss" in row:
            assert row["loss"] == pytest.approx(other["loss"], rel=1e-3)
    assert search.run.checkpoints.folder.name == "checkpoints"
    assert not (old_run.folder / "snapshots").exists() and search.run.is_finished()

"""Files that earlier versions wrote are read, and their runs continue."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from posenfs.model.pruning import prune
from posenfs.model.space import PAPER
from posenfs.model.tensors import weights_hash
from posenfs.search.build import build_model
from posenfs.search.checkpoints import RunError
from posenfs.search.experiment import Experiment
from posenfs.search.run_dir import RunDir
from posenfs.search.saved_models import load_model, save_model
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


# A saved model with a fabric backbone of the heads' width, written when heads always had entries.
WITH_ENTRIES = Path(__file__).parents[1] / "data_files" / "model_with_entries"
# Score maps at pixel (8, 8) of its output, as that version computed them.
OLD_SCORES = [
    *(-0.306044, -0.19838, -0.360095, -0.055627, 0.464803, -0.497141, 0.401565, 0.070909),
    *(-0.080865, 0.38301, 0.535709, 0.262984, 0.516442, -0.089286, 0.145623, -0.38944),
]


def test_a_model_of_the_time_when_heads_always_had_entries():
    assert "always_entries" not in (WITH_ENTRIES / "config.json").read_text()
    saved = load_model(WITH_ENTRIES)
    assert saved.experiment.rules == replace(PAPER, always_entries=True)
    [head] = saved.model.heads
    assert [type(entry) for entry in head.entries] == [nn.Conv2d] * 4
    images = torch.linspace(-1, 1, 3 * 64 * 64).view(1, 3, 64, 64)
    with torch.no_grad():
        for model in (saved.model, prune(saved.model)):
            torch.testing.assert_close(
                model(images)[0, :, 8, 8], torch.tensor(OLD_SCORES), rtol=0, atol=2e-6
            )
    # The same settings in a new experiment give heads without entries.
    new = build_model(replace(saved.experiment, rules=PAPER), saved.model.parts)
    assert [type(entry) for entry in new.heads[0].entries] == [nn.Identity] * 4


def test_an_old_run_continues_with_its_entries(tmp_path):
    """Where they change the network they differ from the default; elsewhere they do not."""
    shutil.copytree(WITH_ENTRIES, tmp_path / "old")
    run = RunDir(tmp_path / "old")
    run.check_holds(run.experiment())
    with pytest.raises(RunError, match=r"--rules.always-entries: True in the run, False requested"):
        run.check_holds(replace(run.experiment(), rules=PAPER))
    config = tmp_path / "old" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"backbone_fabric": None}))
    assert run.experiment().rules == PAPER  # the backbone is MobileNet-V2
    run.check_holds(replace(run.experiment(), rules=replace(PAPER, always_entries=True)))


def test_the_field_is_written(tmp_path):
    saved = load_model(WITH_ENTRIES)
    for rules in (PAPER, replace(PAPER, always_entries=True)):
        experiment = replace(saved.experiment, rules=rules)
        assert json.loads(experiment.to_json())["rules"]["always_entries"] == rules.always_entries
        assert Experiment.from_json(experiment.to_json()) == experiment
        model = build_model(experiment, saved.model.parts)
        save_model(tmp_path / str(rules.always_entries), model, experiment)
        again = load_model(tmp_path / str(rules.always_entries))
        assert again.experiment == experiment
        assert weights_hash(again.model) == weights_hash(model)

"""Rewinding, replaying, branching and editing: the same where it must be, and nothing lost."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from posenfs.model.architecture import Architecture
from posenfs.search import recorded_trainer
from posenfs.search.branching import fork
from posenfs.search.checkpoints import RunError
from posenfs.search.configuration import CheckpointConfig
from posenfs.search.recorded_trainer import RecordedTrainer
from posenfs.search.run_dir import RunDir
from posenfs.search.session import Search
from tests.search.test_session import same_run, search, undisturbed  # noqa: F401
from tests.sweeps import sweep

PART = "lower_limb_part"


@pytest.fixture(scope="module")
def at_every_step(tiny, tmp_path_factory):
    """The model's state after each step of an undisturbed search."""
    whole = search(tiny, tmp_path_factory.mktemp("steps"))
    states = [{k: v.clone() for k, v in whole.model.state_dict().items()}]
    while not whole.finished:
        whole.step()
        states.append({k: v.clone() for k, v in whole.model.state_dict().items()})
    whole.close()
    return states


def same(one, other):
    return all(torch.equal(one[key], other[key]) for key in other)


@pytest.mark.parametrize("back", sweep([0, 1, 3, 4, 6], fast=[0, 3, 6]))
def test_rewound_it_is_as_it_was_and_goes_on_to_the_same_end(
    back,
    at_every_step,
    undisturbed,  # noqa: F811
    tiny,
    tmp_path,
):
    travelling = search(tiny, tmp_path)
    for _ in range(6):
        travelling.step()
    history = travelling.run.history()
    travelling.rewind(back)
    assert travelling.step_number == back and same(
        travelling.model.state_dict(), at_every_step[back]
    )
    assert travelling.run.status()["state"] == "rewound"
    (aside,) = (tmp_path / "branches").iterdir()
    kept, tail = (
        travelling.run.history(),
        [json.loads(line) for line in (aside / "history.jsonl").open()],
    )
    assert kept + tail == history and all(row["step"] <= back for row in kept)
    travelling.finish()
    same_run(tmp_path, undisturbed)


def test_a_finished_search_is_rewound_twice(at_every_step, undisturbed, tiny, tmp_path):  # noqa: F811
    travelling = search(tiny, tmp_path)
    travelling.finish()
    for back in (5, 2):
        travelling.rewind(back)
        assert not travelling.finished and travelling.run.metrics() == {}
        assert same(travelling.model.state_dict(), at_every_step[back])
    assert sorted(path.name for path in (tmp_path / "branches").iterdir()) == [
        "000_after_00000005",
        "001_after_00000002",
    ]
    assert (tmp_path / "branches" / "000_after_00000005" / "metrics.json").is_file()
    travelling.close()
    search(tiny, tmp_path).finish()
    same_run(tmp_path, undisturbed)


@pytest.mark.parametrize("moment", sweep(range(8), fast=[0, 3, 6]))
def test_a_rewind_broken_off_anywhere_loses_nothing(
    moment,
    undisturbed,  # noqa: F811
    tiny,
    tmp_path,
    monkeypatch,
):
    travelling = search(tiny, tmp_path)
    for _ in range(5):
        travelling.step()
    calls = []

    def until(what):
        def wrapped(*args, **kwargs):
            if len(calls) == moment:
                raise KeyboardInterrupt
            calls.append(what)
            return what(*args, **kwargs)

        return wrapped

    with monkeypatch.context() as patched:
        for place, name in ((os, "replace"), (shutil, "copy2"), (Path, "unlink"), (Path, "mkdir")):
            patched.setattr(place, name, until(getattr(place, name)))
        with pytest.raises(KeyboardInterrupt):
            travelling.rewind(2)
    travelling.close()
    again = search(tiny, tmp_path)
    assert again.step_number in (0, 2, 4, 5)
    again.finish()
    same_run(tmp_path, undisturbed)


@pytest.mark.parametrize("step", sweep([0, 3, 4], fast=[3]))
def test_a_branch_without_edits_is_the_same_search(step, undisturbed, tiny, tmp_path):  # noqa: F811
    trunk = search(tiny, tmp_path / "trunk")
    for _ in range(5):
        trunk.step()
    branch = trunk.branch(step, 2026)  # as a notebook gives the name 2026
    assert branch.step_number == step and branch.run.provenance()["branch"]["step"] == step
    branch.finish()
    trunk.finish()
    same_run(tmp_path / "trunk", undisturbed)
    ours, theirs = RunDir(tmp_path / "2026"), undisturbed.run
    assert ours.experiment() == replace(tiny, name="2026")
    assert ours.history() == theirs.history()
    assert same(ours.checkpoints.load(8)["model"], theirs.checkpoints.load(8)["model"])


def test_no_branch_from_beyond_the_last_checkpoint(undisturbed):  # noqa: F811
    with pytest.raises(ValueError, match=r"the last checkpoint of \S+ is step 8: no branch from 9"):
        Search.branch_of(undisturbed.run, 9, "beyond")


def test_a_branch_is_whole_or_nothing(tiny, tmp_path, monkeypatch):
    trunk = search(replace(tiny, runtime=replace(tiny.runtime, log_every=1)), tmp_path / "trunk")
    for _ in range(5):
        trunk.step()
    trunk.checkpoint()
    trunk.step()  # alpha and beta since the checkpoint, which are not the branch's
    experiment, twig = replace(trunk.experiment, name="twig"), tmp_path / "twig"
    copy2 = shutil.copy2

    def deleted(path, copy):
        if trunk.run.checkpoints.file(5).exists():  # as a running search may do meanwhile
            trunk.run.checkpoints._delete(5)
        copy2(path, copy)

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copy2", deleted)
        with pytest.raises(RunError, match=r"checkpoints/00000005/state.pt was deleted during"):
            fork(trunk.run, twig, experiment, 5)
    (tmp_path / ".twig" / "checkpoints" / "00000099").mkdir(parents=True)  # of one that was killed
    for moment in range(5):
        calls = []

        def until(path, copy, moment=moment, calls=calls, whole=shutil.copy2):
            if len(calls) == moment:
                raise KeyboardInterrupt
            calls.append(path)
            whole(path, copy)

        with monkeypatch.context() as patched:
            patched.setattr(shutil, "copy2", until)
            try:
                fork(trunk.run, twig, experiment, 4)
            except KeyboardInterrupt:
                assert not twig.exists()
    assert sorted(str(path.relative_to(twig)) for path in twig.rglob("*.*")) == [
        "architecture/00000004.npz", "checkpoints/00000004/state.pt", "config.json", "history.jsonl",
        "provenance.json", "timing.jsonl",
    ]  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == {"trunk", "twig"}


def test_an_edited_branch_goes_its_own_way_and_repeats_itself(undisturbed, tiny, tmp_path):  # noqa: F811
    trunk = search(tiny, tmp_path / "trunk")
    for _ in range(5):
        trunk.step()
    fabric = trunk.model.fabrics()[PART]
    edit = fabric.architecture.with_operation(fabric.spec, "separable_3x3", 0.9)
    ends = []
    for name in ("edited", "again"):
        branch = trunk.branch(3, name, {PART: edit})
        weights = branch.model.fabrics()[PART].architecture.operation_weights
        assert weights[0, 2].item() == pytest.approx(0.9)
        if (
            name == "again"
        ):  # killed at once, and gone on with: nothing but its checkpoint knows of the edit
            branch.close()
            branch = search(branch.experiment, branch.run.folder)
            assert branch.step_number == 3
        branch.finish()
        ends.append((branch.run.history(), branch.model.state_dict()))
        assert branch.run.provenance()["branch"]["edited"] == [PART]
    assert ends[0][0] == ends[1][0] and same(ends[0][1], ends[1][1])
    assert (
        ends[0][0][:3] == undisturbed.run.history()[:3] and ends[0][0] != undisturbed.run.history()
    )
    trunk.finish()
    same_run(tmp_path / "trunk", undisturbed)


def test_a_finished_search_has_its_result_still(undisturbed, tiny, tmp_path):  # noqa: F811
    travelling = search(tiny, tmp_path / "run")
    travelling.finish()
    found, errors = travelling.run.metrics(), travelling.run.errors()
    travelling.rewind(travelling.step_number)
    assert travelling.finished and travelling.run.metrics() == found
    with pytest.raises(
        ValueError, match=f"finished at step {travelling.steps}: branch from an earlier one"
    ):
        travelling.branch(travelling.steps, "late")
    travelling.rewind(1)
    with pytest.raises(RunError, match="no errors of people yet"):
        travelling.run.errors()
    travelling.finish()
    assert travelling.run.metrics() == found
    np.testing.assert_array_equal(travelling.run.errors(), errors)


def test_an_edit_is_not_forgotten_where_checkpoints_go(tiny, tmp_path):
    """Of a branch the checkpoint before it, and that with its edits, stay: it is rewound to the same states."""
    settings = {
        "training": replace(tiny.training, epochs=4, batch_size=3),
        "checkpoints": replace(tiny.checkpoints, keep=1, every=1),
    }
    whole = search(replace(tiny, **settings), tmp_path / "whole")
    for _ in range(5):
        whole.step()
    spec = whole.experiment.fabric
    branch = whole.branch(3, "bolder", {PART: Architecture.random(spec, seed=1)})
    states = []
    for _ in range(4):
        branch.step()
        states.append({k: v.clone() for k, v in branch.model.state_dict().items()})
    assert 3 in branch.run.checkpoints.steps() and 5 not in branch.run.checkpoints.steps()
    branch.rewind(5)
    assert same(branch.model.state_dict(), states[1])


def test_a_branch_of_a_patient_search_knows_the_best_epoch_before_it(tiny, tmp_path, monkeypatch):
    scores = iter([50.0, 10.0, 20.0, 20.0, 20.0])

    def evaluate(predictions, people):
        found, errors = measured(predictions, people)
        return ({**found, "pckh@0.5": next(scores)} if predictions.scores.any() else found), errors

    measured = recorded_trainer.evaluate
    monkeypatch.setattr(recorded_trainer, "evaluate", evaluate)
    settings = {
        "training": replace(tiny.training, epochs=6, patience=3),
        "checkpoints": replace(tiny.checkpoints, keep=1),
    }
    whole = search(replace(tiny, **settings), tmp_path / "whole")
    for _ in range(2 * whole.steps_per_epoch):
        whole.step()
    branch = whole.branch(whole.step_number, "same")
    branch.finish()
    assert branch.epoch_number == 4 and branch.run.metrics()["chosen"]["epoch"] == 1


def test_journeys_that_cannot_be(tiny, tmp_path):
    trunk = search(tiny, tmp_path / "trunk")
    trunk.step()
    for step in (-1, 2):
        with pytest.raises(ValueError, match="this search is at step 1"):
            trunk.rewind(step)
        with pytest.raises(ValueError, match=f"it can be branched at step 0 to 1, not {step}"):
            trunk.branch(step, "twig")
    own = trunk.model.fabrics()[PART].architecture
    with pytest.raises(ValueError, match="no fabric 'leg' to edit; there are upper_limb_part"):
        trunk.branch(1, "twig", {"leg": own})
    with pytest.raises(
        ValueError,
        match=r"has alpha and beta of \[\(1, 4\), \(6, 3\)\]; got \[\(1, 2\), \(6, 3\)\]",
    ):
        trunk.branch(1, "twig", {PART: replace(own, alpha=own.alpha[:, :2])})
    assert not (tmp_path / "twig").exists()
    trunk.branch(1, "twig").close()
    with pytest.raises(RunError, match="already exists"):
        trunk.branch(1, "twig")
    with pytest.raises(ValueError, match="a folder's name"):
        trunk.branch(1, "a/b")


def test_which_checkpoints_stay(tiny, tmp_path):
    settings = {
        "training": replace(tiny.training, epochs=22, batch_size=tiny.training.batch_size * 2),
        "checkpoints": replace(tiny.checkpoints, keep=2, every=1),
    }
    running = Search(replace(tiny, **settings), tmp_path, device="cpu", progress=False)
    recorded = running.recorded
    recorded._evaluate_epoch = lambda: recorded.early_stopping.scores.update(
        {running.step_number: -abs(running.step_number - 8.0)}
    )
    per_epoch = running.steps_per_epoch
    while running.epoch_number < 20:
        running.step()
    running.step()
    assert running.run.checkpoints.steps() == [
        8,
        10 * per_epoch,
        20 * per_epoch,
        20 * per_epoch + 1,
    ]
    size = (tmp_path / "checkpoints" / f"{20 * per_epoch:08d}" / "state.pt").stat().st_size
    recorded.experiment = replace(
        running.experiment, checkpoints=CheckpointConfig(1, 2, max_gb=2.5 * size / 1e9)
    )
    running.step()
    assert running.run.checkpoints.steps() == [8, 20 * per_epoch + 2]


@pytest.mark.parametrize("moment", ["replay", "save"])
def test_of_an_interrupted_branch_nothing_stays(moment, tiny, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    trunk, edit = search(tiny, tmp_path / "trunk"), Architecture.random(tiny.fabric, seed=1)
    trunk.step()
    trunk.checkpoint()
    with monkeypatch.context() as broken:
        broken.setattr(RecordedTrainer, moment, interrupted)
        with pytest.raises(KeyboardInterrupt):
            Search.branch_of(trunk.run, 1, "half", {PART: edit}, progress=False)
    assert not (tmp_path / "half").exists()
    branch = Search.branch_of(trunk.run, 1, "half", {PART: edit}, progress=False)
    assert torch.equal(branch.model.architectures()[PART].alpha, edit.alpha)
    branch.close()

"""Two processes that share every batch do what one does that normalises the halves of a batch by themselves."""

import copy
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from posenfs.search.checkpoints import RunError
from posenfs.search.detached import DetachOptions, detach, follow, send
from posenfs.search.distributed import launch, local_device
from posenfs.search.run_dir import RunDir
from posenfs.search.session import Search
from posenfs.search.strategies import STRATEGIES
from tests.sweeps import sweep


@pytest.fixture(scope="module")
def few(tiny):
    """Two steps of four people, and two evaluations; of kept crops the rounding to grey levels depends on the batch."""
    return replace(
        tiny,
        training=replace(tiny.training, batch_size=4, epochs=2, crops="plain"),
        search=replace(tiny.search, validation_split=0.5),
        runtime=replace(tiny.runtime, log_every=1),
    )


@pytest.fixture(scope="module")
def shared(few, tmp_path_factory) -> Path:
    """What two processes left of a search by each strategy."""
    asked, folder = tmp_path_factory.mktemp("asked"), tmp_path_factory.mktemp("shared")
    for name in STRATEGIES:
        (asked / f"{name}.json").write_text(
            replace(few, search=replace(few.search, strategy=name)).to_json()
        )
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
    ]
    script = Path(__file__).with_name("sharing.py")
    done = subprocess.run(
        [*command, script, asked, folder], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def held(folder, name, rank):
    return torch.load(folder / f"{name}_{rank}.pt", weights_only=True)


@pytest.mark.parametrize("name", STRATEGIES)
def test_all_processes_hold_the_same(shared, name):
    one, other = (held(shared, name, rank) for rank in (0, 1))
    assert one["metrics"] == other["metrics"]
    assert all(torch.equal(one["model"][key], value) for key, value in other["model"].items())


@pytest.mark.parametrize("name", sweep(STRATEGIES, fast=["synchronous", "second_order"]))
def test_two_processes_train_as_one_that_takes_the_batch_in_halves(shared, few, name, tmp_path):
    settings = {
        "search": replace(few.search, strategy=name),
        "training": replace(few.training, accumulate=2),
    }
    search = Search(replace(few, **settings), tmp_path / "one", device="cpu", progress=False)
    search.finish()
    theirs = held(shared, name, 0)["model"]
    assert all(torch.equal(theirs[key], value) for key, value in search.model.named_parameters())
    losses = [
        [row["loss"] for row in own.history() if "loss" in row]
        for own in (search.run, RunDir(shared / name))
    ]
    assert losses[0] == losses[1]


def test_running_means_are_those_of_both_halves(shared, few, tmp_path):
    """One step at a time by hand: two networks, each with its half, their gradients averaged."""
    search = Search(few, tmp_path / "hand", device="cpu", progress=False)
    pair = [search.model.train(), copy.deepcopy(search.model).train()]
    optimizers = [torch.optim.Adam(m.parameters(), lr=few.training.lr, fused=True) for m in pair]
    for number in range(search.steps):
        batch, _ = search.trainer.batches.next()
        for model, half in zip(pair, batch.chunk(2), strict=True):
            model.zero_grad()
            search.trainer.forward.model = model
            search.trainer.compute_loss(half).backward()
        for ours, theirs in zip(*(m.parameters() for m in pair), strict=True):
            if ours.grad is not None:
                ours.grad = theirs.grad = (ours.grad + theirs.grad) / 2
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] = few.training.lr_at(number // search.steps_per_epoch)
            optimizer.step()
    found = held(shared, "synchronous", 0)["model"]
    states = [model.state_dict() for model in pair]
    for name, value in found.items():
        mean = sum(state[name].double() for state in states) / 2
        torch.testing.assert_close(value.double(), mean, rtol=1e-5, atol=1e-6, msg=name)
    assert any(
        "running_mean" in name and not torch.equal(states[0][name], states[1][name])
        for name in found
    )


def test_one_process_writes(shared, few):
    run = RunDir(shared / "synchronous")
    assert run.provenance()["processes"] == 2
    assert [row["step"] for row in run.history()] == sorted(row["step"] for row in run.history())
    assert run.status()["state"] == "finished" and len(run.errors()) == run.metrics()["people"]
    assert (
        json.loads((run.folder / "metrics.json").read_text())["metrics"]
        == held(shared, "synchronous", 1)["metrics"]
    )


@pytest.mark.slow
def test_stopped_and_gone_on_with_from_outside(shared, few, tmp_path):
    """By launch, in processes of their own: the first heeds commands for all, and the end is the same."""
    run = detach(few, tmp_path / "run", DetachOptions("cpu", devices=2))
    send(run, "pause")
    status = send(run, "stop")
    assert follow(run, progress=False)["state"] == "interrupted"
    detach(few, tmp_path / "run", DetachOptions("cpu", devices=2))
    assert follow(run, progress=False)["state"] == "finished", (
        run.folder / "search.log"
    ).read_text()
    assert status["step"] < status["steps"]
    assert [row for row in run.history() if "loss" in row] == [
        row for row in RunDir(shared / "synchronous").history() if "loss" in row
    ]


def test_one_that_ends_ends_all(few, tmp_path):
    """The first says what is wrong; the others do not bury it."""
    with pytest.raises(RunError, match=r"3 processes cannot share a batch of 4 evenly") as said:
        detach(few, tmp_path / "run", DetachOptions("cpu", devices=3))
    assert "Traceback" not in str(said.value)
    assert not (tmp_path / "run" / "config.json").exists()


def test_processes_are_at_least_one(few, tmp_path):
    for begin in (
        lambda: detach(few, tmp_path / "run", DetachOptions(devices=0)),
        lambda: launch(0, "posenfs.cli", []),
    ):
        with pytest.raises(ValueError, match="at least 1 process; got 0"):
            begin()


def test_no_two_processes_on_one_gpu(monkeypatch):
    for name, value in {
        "RANK": "1",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "x",
        "LOCAL_RANK": "1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert local_device("cuda") == "cuda:1" and local_device("cpu") == "cpu"
    with pytest.raises(ValueError, match="choose device cuda or auto, not cuda:0"):
        local_device("cuda:0")

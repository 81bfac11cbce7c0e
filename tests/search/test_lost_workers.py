"""A search whose loader worker is killed: one message, a true status, and it goes on bit-equal."""

import os
import signal
from dataclasses import replace

import psutil
import pytest

from posenfs.cli.main import main
from posenfs.data.workers import WorkerError
from posenfs.search.run_dir import RunDir
from posenfs.search.session import Search


def workers() -> set[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return {child for child in children if child.name() == "pt_data_worker"}


def test_a_killed_worker(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    plain = replace(tiny, training=replace(tiny.training, crops="plain"))
    Search(plain, tmp_path / "whole", device="cpu", progress=False).finish()
    whole = RunDir(tmp_path / "whole")
    others = workers()
    search = Search(plain, device="cpu", workers=1, progress=False)
    search.epoch()
    (worker,) = workers() - others
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(WorkerError) as error:
        search.finish()
    step = search.steps_per_epoch
    message = str(error.value)
    assert "a process that decodes images was killed or has crashed" in message
    assert "--workers 0" in message and "memory ran out" in message
    assert (
        f"`posenfs resume tiny`, or the same command or cell, continues from step {step} of"
        in message
    )
    status = search.run.status()
    assert status["state"] == "failed" and status["step"] == step and status["error"] == message
    search.finish()  # the same cell once more: with a new worker
    assert search.run.history() == whole.history() and search.run.is_finished()

    # The command line: one line, exit code 1, and the same command goes on.
    def lost(self):
        raise WorkerError("a process that decodes images was killed")

    arguments = [
        "search",
        "--name",
        "again",
        "--data.name",
        "mpii",
        "--data.root",
        str(tiny.data.root),
    ]
    arguments += ["--image-size", "64", "64", "--fabric.width", "2", "--training.epochs", "2"]
    arguments += [
        "--training.batch-size",
        "6",
        "--training.crops",
        "plain",
        "--runtime.log-every",
        "2",
    ]
    arguments += ["--device", "cpu", "--quiet"]
    with monkeypatch.context() as patch:
        patch.setattr("posenfs.search.batches.BatchSource.next", lost)
        with pytest.raises(SystemExit) as stop:
            main(arguments)
    assert stop.value.code.startswith(
        "posenfs: a process that decodes images was killed. Afterwards"
    )
    assert RunDir("reports/runs/again").status()["state"] == "failed"
    main(arguments)
    assert RunDir("reports/runs/again").history() == whole.history()

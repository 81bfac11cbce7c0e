"""A search in a process of its own: begun, attached to, steered, stopped and gone on with."""

import contextlib
import json
import os
import signal
import time
from dataclasses import replace

import pytest

from posenfs.cli.main import main
from posenfs.search.checkpoints import RunError
from posenfs.search.control import Command, CommandFile
from posenfs.search.detached import DetachOptions, detach, follow, send
from posenfs.search.run_dir import RunDir
from tests.search.test_session import search

CPU = DetachOptions("cpu")


@pytest.fixture
def long(tiny, tmp_path):
    """Longer than this test; whatever of it is under way at the end is killed."""
    yield replace(tiny, training=replace(tiny.training, epochs=100_000))
    for status in tmp_path.glob("*/status.json"):
        if (pid := json.loads(status.read_text())["pid"]) != os.getpid():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def wait_for(run, state, patience=60):
    end = time.monotonic() + patience
    while run.status().get("state") != state and time.monotonic() < end:
        time.sleep(0.05)
    assert run.status()["state"] == state


def test_steered_from_another_process(long, tmp_path, capsys):
    run = detach(long, tmp_path / "run", CPU)
    assert run.status()["pid"] != os.getpid() and run.in_use()
    with pytest.raises(
        RunError, match=rf"in use by a detached search \(process {run.status()['pid']} on"
    ):
        detach(long, tmp_path / "run", CPU)
    with pytest.raises(RunError, match="in use"):
        search(long, tmp_path / "run")
    paused = send(run, "pause")
    assert (
        paused["state"] == "paused" and send(RunDir(run.folder), "pause")["step"] == paused["step"]
    )
    send(run, "step", 3)
    wait_for(run, "paused")
    assert run.status()["step"] == paused["step"] + 3
    assert send(run, "checkpoint")["step"] in run.checkpoints.steps()
    main(["control", str(run.folder), "resume"])
    assert "running at step" in capsys.readouterr().out
    main(["control", str(run.folder), "stop"])
    ended = follow(run, progress=False)
    assert (
        ended["state"] == "interrupted"
        and ended["step"] in run.checkpoints.steps()
        and not run.in_use()
    )
    with pytest.raises(RunError, match="no search is running"):
        send(run, "pause")
    with pytest.raises(ValueError, match="unknown command 'jump'"):
        Command("jump")


def test_what_was_said_before_is_not_for_the_next(tiny, tmp_path):
    search(tiny, tmp_path).close()
    CommandFile(tmp_path).send(Command("stop"))
    again = search(tiny, tmp_path)
    again.finish()
    assert again.finished and again.run.status()["command"] == 1


def test_one_that_cannot_begin_says_why(tiny, tmp_path):
    asked = replace(tiny, data=replace(tiny.data, root=str(tmp_path / "none")))
    with pytest.raises(RunError, match=r"^no MPII annotation at .*data/README.md\)$"):
        detach(asked, tmp_path / "run", CPU)
    assert not (tmp_path / "run").exists()  # refused: nothing is left behind
    (tmp_path / "run").mkdir()
    with pytest.raises(RunError, match=r"exit code 1: posenfs: no MPII annotation at .*search.log"):
        detach(asked, tmp_path / "run", CPU)


def test_one_that_ends_by_itself(tiny, tmp_path):
    run = detach(tiny, tmp_path / "run", CPU)
    assert follow(run, progress=False)["state"] == "finished"
    assert run.metrics()["primary_metric"] == "pckh@0.5"
    assert follow(detach(tiny, tmp_path / "run", CPU), progress=False)["state"] == "finished"


def test_rewound_from_another_process(long, tmp_path, capsys):
    run = detach(long, tmp_path / "run", DetachOptions("cpu", wait_for_command=True))
    wait_for(run, "paused")
    assert run.status()["step"] == 0
    send(run, "step", 4)
    wait_for(run, "paused")
    main(["control", str(run.folder), "rewind", "--steps", "1"])
    assert "paused at step 1 of" in capsys.readouterr().out
    assert run.history()[-1]["step"] == 1 and (run.folder / "branches").is_dir()
    with pytest.raises(
        RunError, match="this search is at step 1: it can be rewound to step 0 to 1, not 99"
    ):
        send(run, "rewind", 99)
    assert run.in_use() and run.status()["state"] == "paused" and send(run, "pause")["step"] == 1
    send(run, "stop")
    with pytest.raises(ValueError, match="the steps of 'rewind' are at least 0; got -1"):
        Command("rewind", -1)

"""A run's folder, read and opened while others write there."""

import numpy as np
import pytest
from filelock import FileLock

from posenfs.search.run import Run, list_runs
from tests.search.test_engine import search


def test_alpha_and_beta_are_all_there_whatever_goes_meanwhile(tiny, tmp_path, monkeypatch):
    going = search(tiny, tmp_path)
    for _ in range(2):
        going.step()
    load = np.load

    def too_late(path):
        going.snapshot()  # since.npz becomes a chunk
        return load(path)

    monkeypatch.setattr(np, "load", too_late)
    assert Run(tmp_path).architectures()[0].tolist() == [0, 2]


def test_who_looks_whether_it_is_in_use_keeps_nobody_out(tmp_path, monkeypatch):
    looking = FileLock(tmp_path / ".lock")
    looking.acquire()
    monkeypatch.setattr("time.sleep", lambda seconds: looking.release())  # while the other waits
    with Run(tmp_path).lock():
        assert Run(tmp_path).in_use()


@pytest.mark.parametrize("state", ["ready", "running", "paused", "finished", "failed", "interrupted", "rewound"])
def test_the_state_of_one_that_nobody_has_open(state, tmp_path):
    run = Run(tmp_path)
    assert run.state() == "not begun"
    run.write_status(state=state)
    with run.lock():
        assert run.state() == state
    assert run.state() == ("gone" if state in ("ready", "running", "paused") else state)


def test_a_branch_not_whole_yet_is_no_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("twig", ".twig"):
        (tmp_path / "reports" / "runs" / name).mkdir(parents=True)
        (tmp_path / "reports" / "runs" / name / "config.json").touch()
    assert [run.name for run in list_runs()] == ["twig"]

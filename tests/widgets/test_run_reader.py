"""Incremental reading of a run gives the same as reading it again from disk."""

import json

import numpy as np
import pytest

from posenfs.search.architecture_log import ArchitectureLog
from posenfs.search.run_dir import RunDir
from posenfs.widgets import run_reader as module
from posenfs.widgets.run_reader import RunReader
from tests.widgets.searches import search


@pytest.fixture
def followed(tiny, tmp_path):
    running = search(tiny, tmp_path)
    yield running, RunReader(running.run)
    running.close()


def assert_agrees_with_disk(reader):
    run = RunDir(reader.run.folder)
    steps, architectures = run.architectures()
    assert reader.history == run.history() and reader.timing == run.timing()
    assert reader.status == run.status() and reader.checkpoints == run.checkpoints.steps()
    assert np.array_equal(reader.steps, steps)
    for name, logged in architectures.items():
        assert logged.alpha.equal(reader.architectures[name].alpha)
        assert logged.beta.equal(reader.architectures[name].beta)


def test_steps_and_a_rewind(followed):
    running, reader = followed
    for _ in range(5):
        running.step()
        reader.update()
        assert_agrees_with_disk(reader)
    assert reader.update() == set()
    running.rewind(2)
    assert {"history", "architectures", "checkpoints", "status"} <= reader.update()
    assert_agrees_with_disk(reader)
    running.finish()
    assert "metrics" in reader.update() and reader.metrics == running.run.metrics()
    assert_agrees_with_disk(reader)


def test_file_that_disappears_while_it_is_read(followed, tmp_path, monkeypatch):
    running, reader = followed
    for _ in range(2):
        running.step()
    load, listed = np.load, ArchitectureLog.files

    def load_after_rename(path):
        running.checkpoint()  # renames since.npz to a chunk
        return load(path)

    with monkeypatch.context() as patched:
        patched.setattr(np, "load", load_after_rename)
        missing = tmp_path / "architecture" / "gone.npz"
        patched.setattr(ArchitectureLog, "files", lambda log: [*listed(log), missing])
        assert "architectures" in reader.update()
    assert "architectures" in reader.update()
    assert_agrees_with_disk(reader)


@pytest.mark.parametrize("function", ["read_architectures", "join_architectures"])
def test_changes_are_reported_after_a_failure(function, followed, monkeypatch):
    running, reader = followed
    running.finish()

    def fails(*args):
        raise OSError

    with monkeypatch.context() as patched:
        patched.setattr(module, function, fails)
        with pytest.raises(OSError):
            reader.update()
    assert reader.update() == {
        "status",
        "metrics",
        "checkpoints",
        "history",
        "timing",
        "architectures",
    }
    assert_agrees_with_disk(reader)


def test_incomplete_line_is_read_later(tmp_path):
    run = RunDir(tmp_path)
    reader, path = RunReader(run), tmp_path / "history.jsonl"
    assert reader.update() == set() and reader.at(3) == (0, {})
    path.write_bytes(b'{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    assert reader.update() == {"history"} and reader.history == [{"step": 1, "loss": 2.0}]
    assert reader.update() == set()
    with open(path, "ab") as file:
        file.write(b'ss": 1.0}\n')
    assert reader.update() == {"history"} and [row["step"] for row in reader.history] == [1, 2]


def test_rewritten_file_of_the_same_length_is_read_again(tmp_path):
    reader, path = RunReader(RunDir(tmp_path)), tmp_path / "history.jsonl"
    for loss in (1.0, 3.0):
        path.write_text("".join(json.dumps({"step": n, "loss": loss}) + "\n" for n in range(50)))
        assert reader.update() == {"history"}
        assert len(reader.history) == 50 and {row["loss"] for row in reader.history} == {loss}
    path.unlink()
    assert reader.update() == {"history"} and reader.history == []


def test_last_logged_step_up_to_a_step(followed):
    running, reader = followed
    running.finish()
    reader.update()
    steps = reader.steps.tolist()
    assert steps == [0, 2, 4, 6, 8] and running.step_number == 8
    assert [reader.at(step)[0] for step in (-1, 0, 1, 2, 3, 99)] == [0, 0, 0, 2, 2, 8]
    step, current = reader.at(2)
    for name, logged in reader.architectures.items():
        assert current[name].alpha.equal(logged.alpha[steps.index(step)])

"""Incremental reading of a run gives the same as reading it again from disk."""

import json

import numpy as np
import pytest

from posenfs.search.run_dir import RunDir
from posenfs.widgets import following as module
from posenfs.widgets.run_reader import RunReader
from tests.search.test_session import search


@pytest.fixture
def followed(tiny, tmp_path):
    running = search(tiny, tmp_path)
    yield running, RunReader(running.run)
    running.close()


def assert_agrees_with_disk(following):
    run = RunDir(following.run.folder)
    steps, architectures = run.architectures()
    assert following.history == run.history() and following.timing == run.timing()
    assert following.status == run.status() and following.checkpoints == run.checkpoints.steps()
    assert np.array_equal(following.steps, steps)
    for name, logged in architectures.items():
        assert logged.alpha.equal(following.architectures[name].alpha)
        assert logged.beta.equal(following.architectures[name].beta)


def test_steps_and_a_rewind(followed):
    running, following = followed
    for _ in range(5):
        running.step()
        following.look()
        assert_agrees_with_disk(following)
    assert following.look() == set()
    running.rewind(2)
    assert {"history", "architectures", "checkpoints", "status"} <= following.look()
    assert_agrees_with_disk(following)
    running.finish()
    assert "metrics" in following.look() and following.metrics == running.run.metrics()
    assert_agrees_with_disk(following)


def test_file_that_disappears_while_it_is_read(followed, tmp_path, monkeypatch):
    running, following = followed
    for _ in range(2):
        running.step()
    load, listed = np.load, RunDir.architecture_files

    def load_after_rename(path):
        running.checkpoint()  # renames since.npz to a chunk
        return load(path)

    with monkeypatch.context() as patched:
        patched.setattr(np, "load", load_after_rename)
        missing = tmp_path / "architecture" / "gone.npz"
        patched.setattr(RunDir, "architecture_files", lambda run: [*listed(run), missing])
        assert "architectures" in following.look()
    assert "architectures" in following.look()
    assert_agrees_with_disk(following)


@pytest.mark.parametrize("function", ["read_architectures", "join_architectures"])
def test_changes_are_reported_after_a_failure(function, followed, monkeypatch):
    running, following = followed
    running.finish()

    def fails(*args):
        raise OSError

    with monkeypatch.context() as patched:
        patched.setattr(module, function, fails)
        with pytest.raises(OSError):
            following.look()
    assert following.look() == {
        "status",
        "metrics",
        "checkpoints",
        "history",
        "timing",
        "architectures",
    }
    assert_agrees_with_disk(following)


def test_incomplete_line_is_read_later(tmp_path):
    run = RunDir(tmp_path)
    following, path = RunReader(run), tmp_path / "history.jsonl"
    assert following.look() == set() and following.at(3) == (0, {})
    path.write_bytes(b'{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    assert following.look() == {"history"} and following.history == [{"step": 1, "loss": 2.0}]
    assert following.look() == set()
    with open(path, "ab") as file:
        file.write(b'ss": 1.0}\n')
    assert following.look() == {"history"} and [row["step"] for row in following.history] == [1, 2]


def test_rewritten_file_of_the_same_length_is_read_again(tmp_path):
    following, path = RunReader(RunDir(tmp_path)), tmp_path / "history.jsonl"
    for loss in (1.0, 3.0):
        path.write_text("".join(json.dumps({"step": n, "loss": loss}) + "\n" for n in range(50)))
        assert following.look() == {"history"}
        assert len(following.history) == 50 and {row["loss"] for row in following.history} == {loss}
    path.unlink()
    assert following.look() == {"history"} and following.history == []


def test_last_logged_step_up_to_a_step(followed):
    running, following = followed
    running.finish()
    following.look()
    steps = following.steps.tolist()
    assert steps == [0, 2, 4, 6, 8] and running.step_number == 8
    assert [following.at(step)[0] for step in (-1, 0, 1, 2, 3, 99)] == [0, 0, 0, 2, 2, 8]
    step, current = following.at(2)
    for name, logged in following.architectures.items():
        assert current[name].alpha.equal(logged.alpha[steps.index(step)])

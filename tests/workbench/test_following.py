"""Whoever follows a run reads what whoever opens it anew would read."""

import json

import numpy as np
import pytest

from posenfs.search.run import Run
from posenfs.workbench import following as module
from posenfs.workbench.following import Following
from tests.search.test_engine import search


@pytest.fixture
def followed(tiny, tmp_path):
    going = search(tiny, tmp_path)
    yield going, Following(going.run)
    going.close()


def agrees(following):
    run = Run(following.run.folder)
    steps, architectures = run.architectures()
    assert following.history == run.history() and following.timing == run.timing()
    assert following.status == run.status() and following.snapshots == run.snapshots()
    assert np.array_equal(following.steps, steps)
    for name, own in architectures.items():
        assert own.alpha.equal(following.architectures[name].alpha)
        assert own.beta.equal(following.architectures[name].beta)


def test_step_by_step_there_and_back(followed):
    going, following = followed
    for _ in range(5):
        going.step()
        following.look()
        agrees(following)
    assert following.look() == set()
    going.rewind(2)
    assert {"history", "architectures", "snapshots", "status"} <= following.look()
    agrees(following)
    going.finish()
    assert "metrics" in following.look() and following.metrics == going.run.metrics()
    agrees(following)


def test_a_file_that_goes_while_it_is_read(followed, tmp_path, monkeypatch):
    going, following = followed
    for _ in range(2):
        going.step()
    load, listed = np.load, Run.architecture_files

    def too_late(path):
        going.snapshot()  # since.npz becomes a chunk
        return load(path)

    with monkeypatch.context() as patched:
        patched.setattr(np, "load", too_late)
        patched.setattr(Run, "architecture_files", lambda run: [*listed(run), tmp_path / "architecture" / "gone.npz"])
        assert "architectures" in following.look()
    assert "architectures" in following.look()
    agrees(following)


@pytest.mark.parametrize("what", ["read_architectures", "join_architectures"])
def test_a_look_that_fails_hides_nothing(what, followed, monkeypatch):
    going, following = followed
    going.finish()

    def fails(*args):
        raise OSError

    with monkeypatch.context() as patched:
        patched.setattr(module, what, fails)
        with pytest.raises(OSError):
            following.look()
    assert following.look() == {"status", "metrics", "snapshots", "history", "timing", "architectures"}
    agrees(following)


def test_what_is_torn_waits(tmp_path):
    run = Run(tmp_path)
    following, path = Following(run), tmp_path / "history.jsonl"
    assert following.look() == set() and following.at(3) == (0, {})
    path.write_bytes(b'{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    assert following.look() == {"history"} and following.history == [{"step": 1, "loss": 2.0}]
    assert following.look() == set()
    with open(path, "ab") as file:
        file.write(b'ss": 1.0}\n')
    assert following.look() == {"history"} and [row["step"] for row in following.history] == [1, 2]


def test_another_file_of_the_same_length_is_read_anew(tmp_path):
    following, path = Following(Run(tmp_path)), tmp_path / "history.jsonl"
    for loss in (1.0, 3.0):
        path.write_text("".join(json.dumps({"step": n, "loss": loss}) + "\n" for n in range(50)))
        assert following.look() == {"history"}
        assert len(following.history) == 50 and {row["loss"] for row in following.history} == {loss}
    path.unlink()
    assert following.look() == {"history"} and following.history == []


def test_the_moment_before(followed):
    going, following = followed
    going.finish()
    following.look()
    steps = following.steps.tolist()
    assert steps == [0, 2, 4, 6, 8] and going.step_number == 8
    assert [following.at(step)[0] for step in (-1, 0, 1, 2, 3, 99)] == [0, 0, 0, 2, 2, 8]
    step, then = following.at(2)
    for name, own in following.architectures.items():
        assert then[name].alpha.equal(own.alpha[steps.index(step)])

"""A run's folder, read and opened while others write there."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from filelock import FileLock

from posenfs.search.bundled import BUNDLED_MODEL
from posenfs.search.checkpoints import RunError
from posenfs.search.run_dir import RunDir, find_run, list_runs
from posenfs.search.run_writer import RunWriter, _kind_of_process, dump_json
from posenfs.search.saved_models import load_model
from posenfs.search.session import Search
from tests.search.test_session import search


def write_status(run, state):
    """The status that a search of this process would leave."""
    run.folder.mkdir(exist_ok=True)
    writer = RunWriter(run)
    writer.open()
    writer.write_status(state=state)
    writer.close()


def test_alpha_and_beta_are_all_there_whatever_goes_meanwhile(tiny, tmp_path, monkeypatch):
    going = search(tiny, tmp_path)
    for _ in range(2):
        going.step()
    load = np.load

    def too_late(path):
        going.checkpoint()  # since.npz becomes a chunk
        return load(path)

    monkeypatch.setattr(np, "load", too_late)
    assert RunDir(tmp_path).architectures()[0].tolist() == [0, 2]


def test_who_looks_whether_it_is_in_use_keeps_nobody_out(tmp_path, monkeypatch):
    looking = FileLock(tmp_path / ".lock")
    looking.acquire()
    monkeypatch.setattr("time.sleep", lambda seconds: looking.release())  # while the other waits
    writer = RunWriter(RunDir(tmp_path))
    writer.open()
    assert RunDir(tmp_path).in_use()
    writer.close()


@pytest.mark.parametrize(
    "state", ["ready", "running", "paused", "finished", "failed", "interrupted", "rewound"]
)
def test_the_state_of_one_that_nobody_has_open(state, tmp_path):
    run = RunDir(tmp_path)
    assert run.state() == "not begun"
    write_status(run, state)
    with FileLock(run.folder / ".lock"):
        assert run.state() == state
    assert run.state() == ("gone" if state in ("ready", "running", "paused") else state)


def test_a_branch_not_whole_yet_is_no_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("twig", ".twig"):
        (tmp_path / "reports" / "runs" / name).mkdir(parents=True)
        (tmp_path / "reports" / "runs" / name / "config.json").touch()
    assert [run.name for run in list_runs()] == ["twig"]


def test_a_finished_run_without_its_checkpoints_keeps_its_records(tiny, tmp_path):
    whole = search(tiny, tmp_path)
    whole.finish()
    whole.close()
    shutil.rmtree(tmp_path / "checkpoints")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(
        RunError, match=r"is finished, and its checkpoints are gone: it can be read"
    ):
        search(tiny, tmp_path)
    with pytest.raises(ValueError, match="the last checkpoint of .* is step 0: no branch from 1"):
        Search.branch_of(RunDir(tmp_path), 1, "twig")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert load_model(tmp_path).model.heads


def test_a_models_folder_is_not_searched_in():
    with pytest.raises(RunError, match="is a model's folder, not a run"):
        Search(BUNDLED_MODEL, progress=False)


def test_what_rewinds_took_back_is_kept_whichever_is_deleted(tiny, tmp_path):
    going = search(tiny, tmp_path)
    for number in range(3):
        going.step(), going.step()
        going.rewind(1)
        if number:
            shutil.rmtree(tmp_path / "branches" / "000_after_00000001", ignore_errors=True)
    assert sorted(path.name[:3] for path in (tmp_path / "branches").iterdir()) == ["001", "002"]


def test_who_holds_a_run_is_said_with_its_kind_and_of_older_versions_without(tmp_path):
    run = RunDir(tmp_path)
    write_status(run, "running")
    status = run.status()
    assert run.holder() == f"a Python process (process {status['pid']} on {status['host']})"
    del status["process"]
    dump_json(run.folder / "status.json", status)
    assert run.holder() == f"process {status['pid']} on {status['host']}"


@pytest.mark.parametrize(
    ("command", "notebook", "kind"),
    [
        ("python -m posenfs.cli search --name a", False, "`posenfs search`"),
        ("python /usr/bin/posenfs resume a", False, "`posenfs resume`"),
        ("python -u -m posenfs.cli search --devices 2", False, "`posenfs search`"),
        ("python -m posenfs.search.detached {} folder", False, "a detached search"),
        ("python /usr/bin/jupyter-lab", True, "a Jupyter kernel"),
        ("python -m posenfs.cli run notebooks/04_search.ipynb", True, "`posenfs run`"),
        ("python -m posenfs.study.executors folder notebook cpu", True, "an ablation"),
        ("ray::execute()", True, "an ablation"),
        ("python script.py", False, "a Python process"),
    ],
)
def test_kinds_of_processes(command, notebook, kind, monkeypatch):
    """Of a kernel it is the process that began it that tells."""
    asked = SimpleNamespace(cmdline=lambda: command.split())
    kernel = SimpleNamespace(
        cmdline=lambda: ["python", "-m", "ipykernel_launcher"], parent=lambda: asked
    )
    monkeypatch.setattr("psutil.Process", lambda pid: kernel if notebook else asked)
    monkeypatch.setattr("posenfs.search.run_writer.in_notebook", lambda: notebook)
    assert _kind_of_process.__wrapped__(1) == kind


def test_a_run_named_like_a_number_is_found_by_the_number(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("2024", "007"):
        folder = tmp_path / "reports" / "runs" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(replace(tiny, name=name).to_json())
    assert find_run(2024).experiment().name == find_run("2024").name == "2024"
    assert find_run("007").name == "007"
    with pytest.raises(RunError, match="no run '7'"):
        find_run(7)

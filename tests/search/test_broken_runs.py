"""Broken files of a run: the message names the file and what to do, and no other run is hidden."""

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from posenfs.cli.main import main
from posenfs.search.checkpoints import RunError
from posenfs.search.control import CommandFile
from posenfs.search.run_dir import RunDir, list_runs
from posenfs.search.session import Search
from posenfs.study.plan import PlannedRun, state_of
from posenfs.study.progress import progress_rows
from posenfs.study.runs import runs_table
from posenfs.widgets.browser import RunBrowser

DELETE = "delete it, and `posenfs resume` writes it again from the last checkpoint"
RESTORE = "restore it from a copy, or move the run's folder away"


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "bad"
    Search(replace(tiny, name="bad"), folder, device="cpu", progress=False).finish()
    return folder


@pytest.fixture
def runs(finished, tmp_path, monkeypatch) -> Path:
    """A project with a good run and one to break."""
    monkeypatch.chdir(tmp_path)
    for name in ("good", "bad"):
        shutil.copytree(finished, tmp_path / "reports" / "runs" / name)
    return tmp_path / "reports" / "runs"


def config_with(**fields: object):
    def change(text: str) -> str:
        return json.dumps({**json.loads(text), **fields})

    return change


def status_with(**fields: object):
    return config_with(**fields)


# The file, its new content (or a function of the old one), and the reason.
DAMAGES = [
    ("status.json", "", r"it is empty \(0 bytes\); " + re.escape(DELETE)),
    ("status.json", "   \n", r"it is empty \(4 bytes\)"),
    ("status.json", '{"state": "fini', r"it is not JSON \(Unterminated string"),
    ("status.json", "[1, 2]", r"it holds no object but \[1, 2\]"),
    ("status.json", "null", "it holds no object but null"),
    ("status.json", b"\xff\xfe\x00", "it cannot be read"),
    ("status.json", status_with(heartbeat="yesterday"), "heartbeat is 'yesterday'"),
    ("status.json", status_with(heartbeat=None), "heartbeat is None"),
    ("status.json", status_with(state=3), "state is 3"),
    ("status.json", status_with(metrics=[1]), r"metrics is \[1\]"),
    ("status.json", status_with(metrics={"pckh@0.5": "9"}), "the metric pckh@0.5 is '9'"),
    ("status.json", status_with(step="7"), "step is '7'"),
    ("metrics.json", "", r"it is empty \(0 bytes\); " + re.escape(DELETE)),
    ("metrics.json", "{}{}", "it is not JSON"),
    ("metrics.json", status_with(params="many"), "params is 'many'"),
    ("provenance.json", "", r"it is empty \(0 bytes\); " + re.escape(RESTORE)),
    ("provenance.json", "{}", "it has no data"),
    ("config.json", "", "config.json: JSON: Expecting value"),
    ("config.json", "[]", r"config.json: JSON: .* \(got \[\]\)"),
    ("config.json", config_with(vector_dim="wide"), "config.json: vector_dim: .* 'wide'"),
    ("config.json", config_with(colour=1), "colour: .*no such field: a newer version may have"),
    ("config.json", None, r"config.json is broken: there is no such file; " + re.escape(RESTORE)),
]


def damage(path: Path, content) -> None:
    if content is None:
        path.unlink()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content(path.read_text()) if callable(content) else content)


@pytest.mark.parametrize(("name", "content", "reason"), DAMAGES)
def test_every_reader_of_many_runs_lists_it_as_broken(name, content, reason, runs, capsys):
    damage(runs / "bad" / name, content)
    assert [run.name for run in list_runs()] == ["good", "bad"]
    overview = RunDir(runs / "bad").overview()
    assert overview["state"] == "broken" and re.search(reason, overview["error"], re.S)
    assert str(runs / "bad" / name) in overview["error"]

    main(["status"])
    _, good, bad, why = capsys.readouterr().out.splitlines()
    assert good.split()[:2] == ["good", "finished"] and bad.split()[:2] == ["bad", "broken"]
    assert why.strip() == overview["error"]
    main(["status", "--json"])
    states = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert states["good"]["state"] == "finished" and states["bad"]["error"] == overview["error"]

    table = runs_table(list_runs()).set_index("run")
    assert table.loc["good", "state"] == "finished"
    assert table.loc["bad", "state"] == f"broken: {overview['error']}"
    browser = RunBrowser()
    assert ">good<" in browser.table.value and "broken: " in browser.table.value
    browser.chosen.value = ("good", "bad")  # no traceback

    experiment = RunDir(runs / "good").experiment()
    planned = [
        PlannedRun(key, replace(experiment, name=key), {}, (("table_2", "synchronous"),))
        for key in ("good", "bad")
    ]
    assert [state_of(run, set()) for run in planned] == ["finished", "broken"]
    assert [row[2] for row in progress_rows(planned, {})] == ["8/8", ""]


@pytest.mark.parametrize(("name", "content", "reason"), DAMAGES[:-1])
def test_a_command_for_it_says_the_reason(name, content, reason, runs):
    damage(runs / "bad" / name, content)
    compare, resume = ["compare", "bad", "good"], ["resume", "bad", "--device", "cpu"]
    # A comparison reads no status; of a finished run its result alone is printed.
    commands = {"status.json": [resume], "provenance.json": [compare]}
    for arguments in commands.get(name, [compare, resume]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert re.search(reason, str(stop.value.code), re.S), (arguments, stop.value.code)


@pytest.mark.parametrize("name", ["status.json", "metrics.json"])
def test_what_the_message_advises_works(name, runs, capsys):
    (runs / "bad" / name).write_text("")
    with pytest.raises(SystemExit, match=DELETE):
        main(["resume", "bad", "--device", "cpu", "--quiet"])
    (runs / "bad" / name).unlink()
    main(["resume", "bad", "--device", "cpu", "--quiet"])
    assert RunDir(runs / "bad").overview()["state"] == "finished"
    for other in ("metrics.json", "history.jsonl", "model.safetensors"):
        assert (runs / "bad" / other).read_bytes() == (runs / "good" / other).read_bytes()


def test_a_finished_run_without_checkpoints_and_result_is_not_overwritten(runs):
    (runs / "bad" / "metrics.json").unlink()
    shutil.rmtree(runs / "bad" / "checkpoints")
    history = (runs / "bad" / "history.jsonl").read_bytes()
    with pytest.raises(RunError, match="its checkpoints are gone"):
        Search("bad", device="cpu", progress=False)
    assert (runs / "bad" / "history.jsonl").read_bytes() == history


def test_lines_and_arrays(runs):
    run = RunDir(runs / "bad")
    history = run.folder / "history.jsonl"
    lines = history.read_bytes().split(b"\n")
    for line in (b'{"step": 2', b"[2]", b"\0\0\0\0"):
        history.write_bytes(b"\n".join([*lines[:1], line, *lines[2:]]))
        with pytest.raises(RunError, match=r"history.jsonl is broken: line 2 is "):
            run.history()
    history.write_bytes(b"\n".join(lines)[:-5])  # torn at its end, as a killed process leaves it
    assert len(run.history()) == len(lines) - 2
    for path, read in (
        ("errors.npz", run.errors),
        ("architecture/00000004.npz", run.architectures),
    ):
        for content in (b"", b"PK half of a file"):
            (run.folder / path).write_bytes(content)
            with pytest.raises(RunError, match=rf"{path} is broken: it is no .npz file"):
                read()


def test_a_broken_command_file_is_no_command(runs):
    search = Search("bad", device="cpu", progress=False)
    for content in ("", "[]", '{"number": 3}', '{"number": 3, "command": "dance", "steps": 1}'):
        (runs / "bad" / "control.json").write_text(content)
        assert CommandFile(runs / "bad").last() == (0, None)
    search.close()


def test_what_is_no_run_is_not_listed(runs):
    (runs / "notes.txt").write_text("mine")
    (runs / ".hidden").mkdir()
    (runs / "empty").mkdir()
    (runs / "preparing").mkdir()
    (runs / "preparing" / "search.log").write_text("")
    assert sorted(run.name for run in list_runs()) == ["bad", "good"]
    shutil.rmtree(runs)
    assert list_runs() == []


def test_a_folder_without_permission_hides_no_other(runs, monkeypatch):
    exists = Path.exists

    def refuse(path):
        if path.parent.name == "bad":
            raise PermissionError(13, "Permission denied", str(path))
        return exists(path)

    monkeypatch.setattr(Path, "exists", refuse)
    assert [run.name for run in list_runs()] == ["good", "bad"]
    assert "permission denied" in RunDir(runs / "bad").overview()["error"]


def test_a_lock_of_another_user(runs, monkeypatch):
    """It cannot be tested: the age of the status decides."""
    run = RunDir(runs / "bad")
    (run.folder / ".lock").touch()

    class Refused:
        def __init__(self, *arguments, **options):
            raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr("posenfs.search.run_dir.FileLock", Refused)
    status = json.loads((run.folder / "status.json").read_text())
    for state, age, expected in (
        ("running", 10, "running"),
        ("running", 1000, "gone"),
        ("finished", 0, "finished"),
    ):
        changed = {**status, "state": state, "heartbeat": status["heartbeat"] + 1000 - age}
        (run.folder / "status.json").write_text(json.dumps(changed))
        monkeypatch.setattr("time.time", lambda: status["heartbeat"] + 1000)
        assert run.overview()["state"] == expected

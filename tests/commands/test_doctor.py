"""The check of an installation: what is missing is named, with what to do, and the rest is looked at all the same."""

import json
from importlib import metadata

import pytest
import torch

from posenfs.cli import main
from posenfs.commands import doctor


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("POSENFS_CACHE", raising=False)
    return tmp_path


def told(capsys) -> dict[str, dict]:
    """What `posenfs doctor --json` says, by subject, and whether it found something wrong."""
    try:
        main(["doctor", "--json"])
        wrong = False
    except SystemExit as exit:
        wrong = bool(exit.code)
    found = {row["subject"]: row for row in json.loads(capsys.readouterr().out)}
    assert wrong == any(row["state"] == "wrong" for row in found.values())
    return found


def test_nothing_is_wrong_here(here, capsys):
    found = told(capsys)
    assert {"python", "packages", "torch", "graphs", "notebooks", "model", "runs", "kept crops"} <= set(found)
    assert all(row["state"] != "wrong" for row in found.values())
    main(["doctor"])
    assert capsys.readouterr().out.endswith("everything that posenfs needs is here\n")


def test_packages_that_are_missing_or_too_old(here, capsys, monkeypatch):
    true = metadata.version

    def version(name):
        if name == "scipy":
            raise metadata.PackageNotFoundError(name)
        return "1.0" if name == "papermill" else true(name)

    monkeypatch.setattr(metadata, "version", version)
    found = told(capsys)
    assert (found["scipy"]["state"], found["scipy"]["step"]) == ("wrong", "pip install 'scipy>=1.15'")
    assert "1.0 is too old: >=2.6" in found["papermill"]["words"]
    assert found["model"]["state"] == "fine"


def test_no_place_to_write(here, capsys):
    (here / "reports").write_text("a file where a folder should be")
    found = told(capsys)
    assert found["runs"]["state"] == "wrong" and "cannot be written to" in found["runs"]["words"]
    assert found["kept crops"]["state"] == "fine"


def test_a_driver_that_torch_cannot_use(here, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}" if name == "nvidia-smi" else None)
    found = {finding.subject: finding for finding in doctor.computing()}
    assert found["GPU"].state == "note" and "torch cannot use it" in found["GPU"].words and found["GPU"].step


def test_what_breaks_is_a_finding(here, capsys, monkeypatch):
    """An error nobody thought of does not end the examination."""

    def broken():
        raise RuntimeError("libfoo.so.1: cannot open shared object file\nmore")
        yield

    monkeypatch.setattr(doctor, "graphs", broken)
    found = told(capsys)
    assert found["graphs"]["words"] == "libfoo.so.1: cannot open shared object file"
    assert found["model"]["state"] == "fine"


def test_photographs_are_found(here, drawn, capsys):
    (here / "data").mkdir()
    (here / "data" / "mpii").symlink_to(drawn)
    assert told(capsys)["mpii"]["words"] == f"in {here / 'data' / 'mpii'}"

"""`posenfs doctor`: what is missing is named with a next step, and all other checks run."""

import json
from importlib import metadata

import pytest
import torch

from posenfs.cli import doctor
from posenfs.cli.main import main


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("POSENFS_CACHE", raising=False)
    return tmp_path


def doctor_findings(capsys) -> dict[str, dict]:
    """Run `posenfs doctor --json`, check its exit code and return its findings by subject."""
    try:
        main(["doctor", "--json"])
        wrong = False
    except SystemExit as exit:
        wrong = bool(exit.code)
    findings = {row["subject"]: row for row in json.loads(capsys.readouterr().out)}
    assert wrong == any(row["state"] == "wrong" for row in findings.values())
    return findings


def test_nothing_is_wrong_here(here, capsys):
    findings = doctor_findings(capsys)
    assert {
        "python",
        "packages",
        "torch",
        "graphs",
        "notebooks",
        "model",
        "runs",
        "cached crops",
    } <= set(findings)
    assert all(row["state"] != "wrong" for row in findings.values())
    main(["doctor"])
    assert capsys.readouterr().out.endswith("everything that posenfs needs is here\n")


def test_missing_and_old_packages(here, capsys, monkeypatch):
    installed_version = metadata.version

    def version(name):
        if name == "scipy":
            raise metadata.PackageNotFoundError(name)
        return "1.0" if name == "papermill" else installed_version(name)

    monkeypatch.setattr(metadata, "version", version)
    findings = doctor_findings(capsys)
    assert (findings["scipy"]["state"], findings["scipy"]["step"]) == (
        "wrong",
        "pip install 'scipy>=1.15'",
    )
    assert "1.0 is too old: >=2.6" in findings["papermill"]["words"]
    assert findings["model"]["state"] == "fine"


def test_folder_that_cannot_be_written(here, capsys):
    (here / "reports").write_text("a file where a folder should be")
    findings = doctor_findings(capsys)
    assert (
        findings["runs"]["state"] == "wrong" and "cannot be written to" in findings["runs"]["words"]
    )
    assert findings["cached crops"]["state"] == "fine"


def test_driver_that_torch_cannot_use(here, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(
        doctor.shutil, "which", lambda name: f"/usr/bin/{name}" if name == "nvidia-smi" else None
    )
    findings = {finding.subject: finding for finding in doctor.computing()}
    assert (
        findings["GPU"].state == "note"
        and "torch cannot use it" in findings["GPU"].words
        and findings["GPU"].step
    )


def test_exception_is_a_finding(here, capsys, monkeypatch):
    """An unexpected exception in one check does not prevent the other checks."""

    def broken():
        raise RuntimeError("libfoo.so.1: cannot open shared object file\nmore")
        yield

    monkeypatch.setattr(doctor, "graphs", broken)
    findings = doctor_findings(capsys)
    assert findings["graphs"]["words"] == "libfoo.so.1: cannot open shared object file"
    assert findings["model"]["state"] == "fine"


def test_data_set_in_its_default_folder(here, drawn, capsys):
    (here / "data").mkdir()
    (here / "data" / "mpii").symlink_to(drawn)
    assert doctor_findings(capsys)["mpii"]["words"] == f"in {here / 'data' / 'mpii'}"

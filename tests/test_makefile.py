"""What `make` would do, without doing it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make here")


@pytest.fixture
def plan(tmp_path):
    """The commands of a target in a fresh clone, or what it prints where `evaluated` adds one."""
    for name in ("Makefile", "pyproject.toml", "notebooks/04_search.ipynb"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)

    # Under `make test` the variables of the outer make would change what this one prints.
    outer = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES")

    def run(*arguments: str) -> str:
        environment = {name: value for name, value in os.environ.items() if name not in outer}
        return subprocess.run(
            ["make", *arguments],
            cwd=tmp_path,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    return run


@pytest.mark.parametrize("target", ["demo", "lab", "smoke"])
def test_what_is_only_run_installs_no_development_packages(plan, target):
    commands = plan("-n", target)
    assert "pip install" in commands and ".[dev]" not in commands


@pytest.mark.parametrize("target", ["test", "check", "types", "coverage", "test-browser"])
def test_tests_and_checks_install_them_too(plan, target):
    assert ".[dev]" in plan("-n", target)


@pytest.mark.parametrize("uid", [0, 1000])
def test_lab_as_root_and_as_another(plan, uid, tmp_path, monkeypatch):
    fake = tmp_path / "bin"
    fake.mkdir()
    (fake / "id").write_text(f"#!/bin/sh\necho {uid}\n")
    (fake / "id").chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake}:{os.environ['PATH']}")
    commands = plan("-n", "lab")
    assert "jupyter lab" in commands and ("--allow-root" in commands) == (uid == 0)


def test_an_installation_shows_what_is_large(plan):
    said = [
        "Collecting torch>=2.11 (from posenfs==0.1.0)",
        "  Downloading torch-2.11.0-cp311-cp311-linux_x86_64.whl.metadata (29 kB)",
        "  Downloading https://files.example/ab/torch-2.11.0-cp311.whl (530.6 MB)",
        "  Using cached nvidia_cudnn-9.1-py3.whl (1.2 GB)",
        "  Downloading tqdm-4.66-py3-none-any.whl (78 kB)",
        "Requirement already satisfied: pip in /usr/lib (23.2)",
        "Installing collected packages: tqdm, torch, posenfs",
    ]
    lines = " ".join(f"'{line}'" for line in said)
    shown = plan("--eval", f"show:; @printf '%s\\n' {lines} | $(PROGRESS)", "show").splitlines()
    assert [" ".join(line.split()) for line in shown] == [
        "Downloading torch-2.11.0-cp311.whl (530.6 MB)",
        "Using cached nvidia_cudnn-9.1-py3.whl (1.2 GB)",
        "Unpacking 3 packages (a minute)",
    ]


def test_an_installation_that_fails_is_not_taken_for_one(plan):
    with pytest.raises(subprocess.CalledProcessError):
        plan("--eval", "broken:; @false | $(PROGRESS)", "broken")

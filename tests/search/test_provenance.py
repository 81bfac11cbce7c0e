"""By which code numbers came about."""

import subprocess

from posenfs.search import provenance


def test_the_commit_is_that_of_this_code_and_of_no_other(tmp_path, monkeypatch):
    def git(*words):
        own = ["-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run(
            ["git", *own, *words], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    installed = tmp_path / "venv" / "provenance.py"
    installed.parent.mkdir()
    installed.touch()
    monkeypatch.setattr(provenance, "__file__", str(installed))
    git("init")
    git("commit", "--allow-empty", "-m", "another project")
    assert provenance._commit() is None
    git("add", "venv")
    git("commit", "-m", "its own")
    assert provenance._commit() == git("rev-parse", "--short", "HEAD").strip()
    installed.write_text("changed")
    assert provenance._commit().endswith("+")

"""A project's folder in which ablations run, and a profile of seconds."""

from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from posenfs.study.experiments import Profile, choose_profile


@pytest.fixture
def house(tmp_path, monkeypatch, drawn) -> Path:
    """A project's folder with a notebook that runs an experiment and nothing else."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").write_text("")
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    first = nbformat.v4.new_code_cell("experiment, device = {}, 'cpu'", metadata={"tags": ["parameters"]})
    code = nbformat.v4.new_code_cell(
        "import json\nfrom posenfs import *\n"
        "search = Search(Experiment.from_json(json.dumps(experiment)), device='cpu')\nmetrics = search.finish()"
    )
    nbformat.write(nbformat.v4.new_notebook(cells=[first, code], metadata=kernel), tmp_path / "notebooks/one_run.ipynb")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def profile(drawn) -> Profile:
    own = choose_profile("smoke", dataset="mpii", root=str(drawn))
    return replace(own, base=replace(own.base, run=replace(own.base.run, batch_size=6)))

"""Fixtures: a project folder for ablations, and a profile whose runs take seconds."""

from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from posenfs.study.outcomes import Outcome, outcomes
from posenfs.study.profiles import Profile, choose_profile
from tests.study.table_results import PROFILE, SCORES, result


@pytest.fixture
def project(tmp_path, monkeypatch, drawn) -> Path:
    """A project folder with a notebook that only runs an experiment."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").write_text("")
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    first = nbformat.v4.new_code_cell(
        "experiment, device = {}, 'cpu'", metadata={"tags": ["parameters"]}
    )
    code = nbformat.v4.new_code_cell(
        "import json\nfrom posenfs import *\n"
        "search = Search(Experiment.from_json(json.dumps(experiment)), device='cpu')\n"
        "metrics = search.finish()"
    )
    nbformat.write(
        nbformat.v4.new_notebook(cells=[first, code], metadata=kernel),
        tmp_path / "notebooks/one_run.ipynb",
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def profile(drawn) -> Profile:
    smoke = choose_profile("smoke", dataset="mpii", root=str(drawn))
    training = replace(smoke.base.training, batch_size=6)
    return replace(smoke, base=replace(smoke.base, training=training))


@pytest.fixture
def rows() -> list[Outcome]:
    """The rows of Table II with the results of three seeds each."""
    results = [
        result(row, seed, score)
        for row, scores in SCORES.items()
        for seed, score in enumerate(scores)
    ]
    return outcomes("table_2", PROFILE, results)


@pytest.fixture
def notebook(tmp_path):
    parameters = nbformat.v4.new_code_cell(
        'name = "x"\nepochs = 3\nlr = 0.1\nflag = True\nroot = None\nsizes = [1, 2]',
        metadata={"tags": ["parameters"]},
    )
    cells = [
        parameters,
        nbformat.v4.new_code_cell(
            "print(name, epochs, lr, flag, root, sizes)\nassert epochs < 9, 'too many'"
        ),
    ]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), tmp_path / "n.ipynb")
    return tmp_path / "n.ipynb"

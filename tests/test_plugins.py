"""Plugins, in processes of their own: a file, an importable module, an entry point of an installed package."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

OPERATION = """
from torch import nn
from posenfs import OPERATIONS, STRATEGIES
from posenfs.model.operations import ScaledBatchNorm
from posenfs.search.strategies import Strategy, joint_update


class Pointwise(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = ScaledBatchNorm(channels)

    def forward(self, x, weight):
        return self.norm(self.pointwise(x), weight)


OPERATIONS["pointwise"] = Pointwise
STRATEGIES["mine"] = Strategy(joint_update)
"""
ROOT = Path(__file__).parent.parent


@pytest.fixture
def run(tmp_path):
    """Run Python in a folder with the file my_ops.py: (exit code, standard output, standard error)."""
    (tmp_path / "my_ops.py").write_text(OPERATION)

    def run(*arguments: str, plugins: str = "", path: str = "") -> tuple[int, str, str]:
        environment = {
            **os.environ,
            "POSENFS_PLUGINS": plugins,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{path}",
        }
        process = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert "Traceback" not in process.stderr
        return process.returncode, process.stdout, process.stderr

    return run


@pytest.fixture
def posenfs(run):
    return lambda *arguments, **where: run("-m", "posenfs.cli", *arguments, **where)


@pytest.fixture
def search(drawn) -> list[str]:
    """The options of a search of seconds with an operation and a strategy of my_ops.py."""
    return [
        "--image-size", "64", "64", "--fabric.width", "2", "--training.epochs", "1", "--training.batch-size", "6",
        "--device", "cpu", "--quiet", "--data.name", "mpii", "--data.root", str(drawn),
        "--fabric.operations", "zero", "skip", "pointwise", "--search.strategy", "mine",
    ]  # fmt: skip


def test_a_file_through_search_and_predict(posenfs, search, drawn, tmp_path):
    code, _, error = posenfs("search", "--name", "a", *search)
    assert code == 1 and "unknown strategy 'mine'" in error and "--plugin FILE" in error
    code, _, error = posenfs("--plugin", "my_ops.py", "search", "--name", "a", *search)
    assert code == 0, error
    provenance = json.loads((tmp_path / "reports/runs/a/provenance.json").read_text())
    assert (
        list(provenance["plugins"]) == ["my_ops.py"]
        and len(provenance["plugins"]["my_ops.py"]) == 12
    )
    image = str(next((drawn / "images").glob("valid*.jpg")))
    code, _, error = posenfs("predict", image, "--model", "a", "--device", "cpu", "--quiet")
    assert (
        code == 1
        and "unknown candidate operation 'pointwise'" in error
        and "--plugin FILE" in error
    )
    code, _, error = posenfs(
        "predict", image, "--model", "a", "--device", "cpu", "--quiet", "--plugin=my_ops.py"
    )
    assert code == 0 and (tmp_path / "predictions/predictions.json").is_file(), error


def test_a_detached_search_and_a_notebook(posenfs, search, tmp_path):
    code, output, error = posenfs(
        "search", "--name", "b", *search, "--detach", "--plugin", "my_ops.py"
    )
    assert code == 0 and ("searches in" in output or "finished" in output), error
    posenfs("follow", "b")
    code, output, _ = posenfs("status", "b", "--json")
    assert json.loads(output)[0]["state"] == "finished", (
        tmp_path / "reports/runs/b/search.log"
    ).read_text()
    cell = nbformat.v4.new_code_cell(
        "from posenfs import OPERATIONS, load_model\nprint(load_model('b').experiment.name)"
    )
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(
        nbformat.v4.new_notebook(cells=[cell], metadata=kernel), tmp_path / "known.ipynb"
    )
    code, _, error = posenfs("run", "known.ipynb", "--output", "done.ipynb", "--quiet")
    assert code == 1 and "unknown candidate operation 'pointwise'" in error
    code, _, error = posenfs(
        "run", "known.ipynb", "--output", "done.ipynb", "--quiet", "--plugin", "my_ops.py"
    )
    assert code == 0, error
    assert nbformat.read(tmp_path / "done.ipynb", 4).cells[0].outputs[0].text == "b\n"


@pytest.mark.slow
def test_processes_that_share_every_batch(posenfs, search):
    code, _, error = posenfs(
        "search", "--name", "c", *search, "--devices", "2", "--plugin", "my_ops.py"
    )
    assert code == 0, error


KNOWN = "from posenfs import OPERATIONS, STRATEGIES; print('pointwise' in OPERATIONS, 'mine' in STRATEGIES)"


@pytest.mark.parametrize("plugin", ["my_ops.py", "my_ops"])
def test_a_file_and_a_module_in_python(run, tmp_path, plugin):
    assert run("-c", KNOWN, plugins=plugin, path=str(tmp_path))[1] == "True True\n"
    assert run("-c", KNOWN)[1] == "False False\n"
    code = f"from posenfs import load_plugin; load_plugin({plugin!r}); {KNOWN}"
    code += "; import os; print(os.environ['POSENFS_PLUGINS'])"
    known, variable = run("-c", code, path=str(tmp_path))[1].splitlines()
    assert known == "True True" and variable == (
        str(tmp_path / "my_ops.py") if plugin.endswith(".py") else plugin
    )


@pytest.mark.parametrize("value", ["layers_of_mine", "layers_of_mine:register"])
def test_an_entry_point(run, posenfs, tmp_path, value):
    site = tmp_path / "site"
    (site / "mine-1.0.dist-info").mkdir(parents=True)
    (site / "mine-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n"
    )
    entry = site / "mine-1.0.dist-info" / "entry_points.txt"
    entry.write_text(f"[posenfs.plugins]\nlayers = {value}\n")
    body = (
        OPERATION
        if ":" not in value
        else f"def register():{OPERATION.replace(chr(10), chr(10) + '    ')}"
    )
    (site / "layers_of_mine.py").write_text(body)
    assert run("-c", KNOWN, path=str(site))[1] == "True True\n"
    assert posenfs("status", path=str(site))[0] == 0
    (site / "layers_of_mine.py").write_text("raise ValueError('not today')\n")
    code, _, error = posenfs("status", path=str(site))
    assert (
        code == 1
        and f"plugin 'layers' of mine 1.0 ({value}) failed: ValueError: not today" in error
    )
    assert posenfs("status", "--help", path=str(site))[0] == 0
    code, output, _ = posenfs("doctor", path=str(site))
    assert code == 1 and "plugin 'layers' of mine 1.0" in output


@pytest.mark.parametrize(
    ("plugin", "text", "message"),
    [
        (
            "none.py",
            None,
            "no plugin at {folder}/none.py; a plugin is a Python file or an importable module",
        ),
        (
            "no_such_module",
            None,
            "no module named 'no_such_module'; a plugin is a Python file or an importable module",
        ),
        (
            "bad.py",
            "x = 1\nx.y\n",
            "plugin {folder}/bad.py, line 2, failed: AttributeError: 'int' object has no attr",
        ),
        (
            "bad.py",
            "x = 1\ndef\n",
            "plugin {folder}/bad.py, line 2, failed: SyntaxError: invalid syntax",
        ),
        (
            "bad.py",
            "import not_there\n",
            "plugin {folder}/bad.py, line 1, failed: ModuleNotFoundError: No module named",
        ),
    ],
)
def test_a_plugin_that_cannot_be_loaded(posenfs, tmp_path, plugin, text, message):
    if text is not None:
        (tmp_path / plugin).write_text(text)
    for arguments in (("status", "--plugin", plugin), ("--plugin", plugin, "status")):
        code, output, error = posenfs(*arguments)
        assert (
            code == 1
            and not output
            and error.startswith(f"posenfs: {message.format(folder=tmp_path)}")
        )


def test_an_option_without_its_file(posenfs):
    code, _, error = posenfs("status", "--plugin")
    assert code == 2 and "--plugin: expected one argument" in error

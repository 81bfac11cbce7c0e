"""Tests of notebooks with parameters."""

import _thread
import threading
import time

import nbformat
import pytest

from posenfs.study.notebooks import (
    NotebookError,
    notebook_parameters,
    parse_parameters,
    run_notebook,
)


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


def test_defaults_are_read(notebook):
    assert notebook_parameters(notebook) == {
        "name": "x", "epochs": 3, "lr": 0.1, "flag": True, "root": None, "sizes": [1, 2],
    }  # fmt: skip


def test_values_have_the_notebooks_types(notebook):
    assignments = ["name=7", "epochs=5", "lr=1", "flag=false", "root=data/mpii", "sizes=[3]"]
    assert parse_parameters(notebook, assignments) == {
        "name": "7", "epochs": 5, "lr": 1, "flag": False, "root": "data/mpii", "sizes": [3],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("epoch=5", r"no parameter 'epoch'; it has name, epochs"),
        ("epochs", "write it as name=value"),
        ("epochs=many", r"epochs is int \(3 by default\); got 'many'"),
        ("epochs=2.5", "epochs is int"),
        ("epochs=true", "epochs is int"),
        ("flag=1", "flag is bool"),
        ("sizes=3", "sizes is list"),
    ],
)
def test_wrong_names_and_types_are_refused(notebook, assignment, message):
    with pytest.raises(NotebookError, match=message):
        parse_parameters(notebook, [assignment])


def test_running_and_failing(notebook, tmp_path, capfd):
    run_notebook(notebook, tmp_path / "new" / "out.ipynb", {"epochs": 5}, progress=False)
    assert (
        "x 5 0.1 True None"
        in nbformat.read(tmp_path / "new" / "out.ipynb", 4).cells[-1].outputs[0].text
    )
    with pytest.raises(
        NotebookError,
        match=r"n.ipynb failed in cell \d: AssertionError: too many\nThe executed cells are in .*out",
    ):
        run_notebook(notebook, tmp_path / "out.ipynb", {"epochs": 10}, progress=False)
    assert (tmp_path / "out.ipynb").is_file()
    with pytest.raises(NotebookError, match="no notebook at"):
        notebook_parameters(tmp_path / "none.ipynb")


def test_an_interrupt_without_signal_reaches_the_notebook(notebook, tmp_path):
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    started, source = tmp_path / "started", tmp_path / "long.ipynb"
    cell = nbformat.v4.new_code_cell(
        f"import time\nopen({str(started)!r}, 'w').close()\ntime.sleep(300)"
    )
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=kernel), source)

    def interrupt():
        while not started.exists():
            time.sleep(0.1)
        _thread.interrupt_main()

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        run_notebook(source, tmp_path / "out.ipynb", {}, progress=False)


def test_a_default_that_is_no_literal_is_refused(notebook):
    content = nbformat.read(notebook, 4)
    content.cells[0].source += "\nhome = list((1,))"
    nbformat.write(content, notebook)
    with pytest.raises(
        NotebookError,
        match=r"n.ipynb: the default of parameter home is 'list\(\(1,\)\)'; write a plain",
    ):
        notebook_parameters(notebook)

"""Execution of notebooks."""

import _thread
import json
import sys
import threading
import time

import nbformat
import pytest

from posenfs.study.notebooks import NotebookError, run_notebook
from posenfs.study.parameters import notebook_parameters
from tests.study.notebook_files import NATIVE, output, written


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


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "names no kernel"),
        ({"language_info": {"name": "python"}}, "names no kernel"),
        (
            {"kernelspec": {**NATIVE, "name": "conda-env-pose-py"}},
            "names the kernel 'conda-env-pose-py', which is not installed",
        ),
        ({"kernelspec": NATIVE}, None),
    ],
)
def test_without_its_kernel_a_notebook_runs_in_that_of_this_python(
    tmp_path, capsys, metadata, message
):
    cell = "import sys; print(epochs, sys.executable)"
    source = written(tmp_path / "n.ipynb", "epochs = 3", cell=cell, **metadata)
    run_notebook(source, tmp_path / "out.ipynb", {"epochs": 4}, progress=False)
    assert output(tmp_path / "out.ipynb") == f"4 {sys.executable}\n"
    notes = capsys.readouterr().err
    assert (notes == "") if message is None else (f"{message}: it runs in the kernel" in notes)


def test_a_folder_with_braces_in_its_name(tmp_path):
    (tmp_path / "{a}").mkdir()
    source = written(tmp_path / "{a}" / "n.ipynb", "n = 1", cell="print(n)", kernelspec=NATIVE)
    run_notebook(source, tmp_path / "{a}" / "out.ipynb", {"n": 2}, progress=False)
    assert output(tmp_path / "{a}" / "out.ipynb") == "2\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not a notebook"),
        ("x = 1", "is not a notebook"),
        ("[]", "is not a notebook"),
        ("{}", "is not a notebook"),
        ('{"nbformat": 5, "nbformat_minor": 0, "cells": [], "metadata": {}}', "nbformat version 5"),
        ('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}', "is not a notebook .*cells"),
    ],
)
def test_files_that_are_no_notebook(tmp_path, content, message):
    path = tmp_path / "n.ipynb"
    path.write_text(content)
    for action in (
        lambda: notebook_parameters(path),
        lambda: run_notebook(path, tmp_path / "out" / "n.ipynb", {}, progress=False),
    ):
        with pytest.raises(NotebookError, match=f"n.ipynb.*{message}"):
            action()
    assert not (tmp_path / "out").exists()


def test_an_old_notebook(tmp_path):
    """Version 3 of the format, as IPython 1 and 2 wrote it."""
    cell = {"cell_type": "code", "language": "python", "outputs": [], "input": "epochs = 3"}
    cells = [{**cell, "metadata": {"tags": ["parameters"]}}]
    cells.append({**cell, "metadata": {}, "input": "print(epochs)"})
    content = {"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": [{"cells": cells}]}
    (tmp_path / "n.ipynb").write_text(json.dumps(content))
    assert notebook_parameters(tmp_path / "n.ipynb") == {"epochs": 3}
    run_notebook(tmp_path / "n.ipynb", tmp_path / "out.ipynb", {"epochs": 5}, progress=False)
    assert output(tmp_path / "out.ipynb") == "5\n"

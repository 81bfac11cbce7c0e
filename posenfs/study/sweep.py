"""Notebooks run with parameters, by papermill."""

import ast
import json
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import nbformat
import papermill
import psutil
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from posenfs.body.words import reason_of
from posenfs.data.datasets.catalogue import home
from posenfs.search.signals import Terminated


def _kernels(folder: str) -> Config:
    """Kernels talk over files in a folder, which must be their own: no ports to race for, no warning about open
    ones. (In one folder two kernels would share their files, and each hear the other.)"""
    own = {"transport": "ipc", "ip": f"{folder}/kernel"}
    return Config({"KernelManager": own, "AsyncKernelManager": own})


class NotebookError(Exception):
    """A notebook that cannot be run or failed; the message says where and what to do."""


class KernelDied(NotebookError):
    """The notebook's kernel was killed: it can be run again, and a search in it goes on."""


def notebook_parameters(notebook: Path) -> dict[str, Any]:
    """Names and default values of a notebook's cell tagged `parameters`; raises NotebookError without a notebook."""
    if not notebook.is_file():
        folder = home() / "notebooks"
        names = ", ".join(path.stem for path in sorted(folder.glob("*.ipynb")))
        others = f"; the project's are in {folder}: {names}" if names else ""
        raise NotebookError(f"no notebook at {notebook}{others}")
    read_notebook(notebook)
    found = papermill.inspect_notebook(str(notebook))
    return {name: _literal(notebook, name, parameter["default"]) for name, parameter in found.items()}


def _literal(notebook: Path, name: str, text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise NotebookError(
            f"{notebook}: the default of parameter {name} is {text!r:.100}; write a plain value there, "
            "and what is made of it into a later cell"
        ) from None


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """Raises NotebookError for a file that is no notebook."""
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # of a foreign file nbformat raises nearly anything
        raise NotebookError(
            f"{path} is not a notebook ({reason_of(error, 100)}); give one that Jupyter wrote"
        ) from None


def parse_parameters(notebook: Path, assignments: Sequence[str]) -> dict[str, Any]:
    """["epochs=3", …] -> values checked against the notebook's own names and types; raises NotebookError.

    Values are read as JSON, and what is no JSON as text.
    """
    defaults = notebook_parameters(notebook)
    values = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise NotebookError(f"-p {assignment}: write it as name=value")
        if name not in defaults:
            raise NotebookError(f"{notebook} has no parameter {name!r}; it has {', '.join(defaults) or 'none'}")
        values[name] = _typed(notebook, name, text, defaults[name])
    return values


def _typed(notebook: Path, name: str, text: str, default: Any) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if isinstance(default, str) and not isinstance(value, str):
        value = text
    expected = type(default)
    fits = default is None or value is None or type(value) is expected or (expected is float and type(value) is int)
    if not fits:
        raise NotebookError(
            f"{notebook}: parameter {name} is {expected.__name__} ({default!r} by default); got {text!r}"
        )
    return value


def run_notebook(source: Path, target: Path, parameters: Mapping[str, Any], progress: bool = True) -> None:
    """Execute a notebook into target, with the working folder of this process; raises NotebookError where a cell fails.

    What cells write to stderr (the search's own progress) is passed on while it runs. Ctrl-C interrupts the cell under
    way, so that a search in it can save, and ends in KeyboardInterrupt with what the cell said.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    # In a thread of its own papermill leaves Ctrl-C to us; it would kill the kernel in the middle of a step.
    with tempfile.TemporaryDirectory(prefix="kernel") as sockets, ThreadPoolExecutor(1) as thread:
        running = thread.submit(
            papermill.execute_notebook,
            str(source),
            str(target),
            parameters=dict(parameters),
            progress_bar=False,
            stderr_file=sys.stderr if progress else None,
            config=_kernels(sockets),
        )
        try:
            _wait(running)
        except PapermillExecutionError as error:
            raise NotebookError(
                f"{source} failed in cell {error.exec_count}: {error.ename}: {error.evalue}\nWhat ran is in {target}"
            ) from None
        except DeadKernelError:
            raise KernelDied(
                f"the kernel of {source} died: killed, or out of memory? What ran is in {target}; the same command "
                "goes on with a search in it"
            ) from None


def _wait(running: Future) -> None:
    """Wait for the notebook; pass an interrupt on to its kernel, which is our only child.

    In short waits: an interrupt that is no signal (Ray's) does not end a long one."""
    kind = KeyboardInterrupt
    while True:
        try:
            while not wait([running], timeout=0.5).done:
                pass
            return running.result()
        except PapermillExecutionError as error:
            if error.ename in (KeyboardInterrupt.__name__, Terminated.__name__):
                raise kind(error.evalue) from None
            raise
        except KeyboardInterrupt as interrupt:
            kind = type(interrupt)
            for child in psutil.Process().children():
                child.send_signal(signal.SIGINT)

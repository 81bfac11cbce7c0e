"""Execution of notebooks with parameters, by papermill."""

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

from posenfs.data.datasets.catalogue import home
from posenfs.errors import PosenfsError
from posenfs.messages import error_reason
from posenfs.search.signals import Terminated


def _kernel_config(folder: str) -> Config:
    """Let a kernel communicate over files in a separate folder instead of over ports.

    Ports can be taken by another process; two kernels in one folder would share their files.
    """
    options = {"transport": "ipc", "ip": f"{folder}/kernel"}
    return Config({"KernelManager": options, "AsyncKernelManager": options})


class NotebookError(PosenfsError):
    """A notebook cannot be run, or failed; the message says where and what to do."""


class KernelDied(NotebookError):
    """The notebook's kernel was killed; the notebook can be run again, and its search resumes."""


def notebook_parameters(notebook: Path) -> dict[str, Any]:
    """Return names and default values from a notebook's cell tagged `parameters`.

    Args:
        notebook: The notebook.

    Raises:
        NotebookError: There is no notebook, or a default is not a literal.
    """
    if not notebook.is_file():
        folder = home() / "notebooks"
        names = ", ".join(path.stem for path in sorted(folder.glob("*.ipynb")))
        hint = f"; the project's are in {folder}: {names}" if names else ""
        raise NotebookError(f"no notebook at {notebook}{hint}")
    read_notebook(notebook)
    parameters = papermill.inspect_notebook(str(notebook))
    return {
        name: _literal(notebook, name, parameter["default"])
        for name, parameter in parameters.items()
    }


def _literal(notebook: Path, name: str, text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise NotebookError(
            f"{notebook}: the default of parameter {name} is {text!r:.100}; write a plain value "
            "there, and compute with it in a later cell"
        ) from None


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """Read a notebook.

    Args:
        path: The file.

    Raises:
        NotebookError: The file is not a notebook.
    """
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # nbformat raises many types of errors
        raise NotebookError(
            f"{path} is not a notebook ({error_reason(error, 100)}); choose one that Jupyter wrote"
        ) from None


def parse_parameters(notebook: Path, assignments: Sequence[str]) -> dict[str, Any]:
    """Parse ["epochs=3", …] and check names and types against the notebook's parameters.

    Args:
        notebook: The notebook.
        assignments: Names and values; a value is JSON, or else text.

    Raises:
        NotebookError: An assignment is malformed, or its name or type is wrong.
    """
    defaults = notebook_parameters(notebook)
    values = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise NotebookError(f"-p {assignment}: write it as name=value")
        if name not in defaults:
            known = ", ".join(defaults) or "none"
            raise NotebookError(f"{notebook} has no parameter {name!r}; it has {known}")
        values[name] = _typed(notebook, name, text, defaults[name])
    return values


def _typed(notebook: Path, name: str, text: str, default: Any) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if isinstance(default, str) and not isinstance(value, str):
        value = text
    if default is None or value is None:
        return value
    expected = type(default)
    if type(value) is expected or (expected is float and type(value) is int):
        return value
    raise NotebookError(
        f"{notebook}: parameter {name} is {expected.__name__} ({default!r} by default); "
        f"got {text!r}"
    )


def run_notebook(
    source: Path, target: Path, parameters: Mapping[str, Any], progress: bool = True
) -> None:
    """Execute a notebook in the working folder of this process.

    Ctrl-C interrupts the running cell, so that a search in it saves its state, and raises
    KeyboardInterrupt with the cell's message.

    Args:
        source: The notebook.
        target: Where the executed notebook is written.
        parameters: Values by name.
        progress: Whether the cells' stderr, which holds the progress of a search, is passed on.

    Raises:
        NotebookError: A cell fails.
        KernelDied: The kernel was killed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    # In the main thread papermill would handle Ctrl-C itself and kill the kernel within a step.
    with tempfile.TemporaryDirectory(prefix="kernel") as sockets, ThreadPoolExecutor(1) as thread:
        running = thread.submit(
            papermill.execute_notebook,
            str(source),
            str(target),
            parameters=dict(parameters),
            progress_bar=False,
            stderr_file=sys.stderr if progress else None,
            config=_kernel_config(sockets),
        )
        try:
            _wait(running)
        except PapermillExecutionError as error:
            raise NotebookError(
                f"{source} failed in cell {error.exec_count}: {error.ename}: {error.evalue}\n"
                f"The executed cells are in {target}"
            ) from None
        except DeadKernelError:
            raise KernelDied(
                f"the kernel of {source} died: killed, or out of memory? The executed cells are in "
                f"{target}; the same command continues its search"
            ) from None


def _wait(running: Future) -> None:
    """Wait for the notebook, and pass interrupts on to its kernel, the only child process.

    The waits are short because Ray's interrupt is not a signal and does not end a wait.
    """
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

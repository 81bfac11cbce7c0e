"""Execution of notebooks by papermill."""

import logging
import signal
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import nbformat
import papermill
import psutil
from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, find_kernel_specs
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from posenfs.errors import PosenfsError
from posenfs.messages import error_reason, note
from posenfs.search.signals import Terminated


def _is_no_false_alarm(record: logging.LogRecord) -> bool:
    """Whether a message of papermill holds; it does not see every parameter that Python sees."""
    return not record.getMessage().startswith(("Passed unknown parameter", "Unable to parse line"))


for _logger in ("papermill", "papermill.translators"):
    logging.getLogger(_logger).addFilter(_is_no_false_alarm)


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


def check_language(notebook: Path, content: nbformat.NotebookNode) -> None:
    """Check that a notebook is in Python; one without kernel and language is taken for Python.

    Args:
        notebook: The file, for messages.
        content: Its content.

    Raises:
        NotebookError: It is in another language.
    """
    metadata = content.metadata
    language = metadata.get("kernelspec", {}).get("language")
    language = language or metadata.get("language_info", {}).get("name") or "python"
    if language.lower() not in ("python", "ipython"):
        raise NotebookError(
            f"{notebook} is a notebook in {language}; only notebooks in Python are run"
        )


def _kernel_name(notebook: Path, content: nbformat.NotebookNode) -> str:
    """Return the kernel that a notebook names or, if it is not installed, that of this Python."""
    name = content.metadata.get("kernelspec", {}).get("name")
    if name in find_kernel_specs() or name == NATIVE_KERNEL_NAME:
        return name
    fault = f"names the kernel {name!r}, which is not installed" if name else "names no kernel"
    note(f"note: {notebook} {fault}: it runs in the kernel {NATIVE_KERNEL_NAME} of this Python")
    return NATIVE_KERNEL_NAME


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
        NotebookError: The file is no notebook in Python, or a cell fails.
        KernelDied: The kernel was killed.
    """
    content = read_notebook(source)
    check_language(source, content)
    kernel = _kernel_name(source, content)
    target.parent.mkdir(parents=True, exist_ok=True)
    # In the main thread papermill would handle Ctrl-C itself and kill the kernel within a step.
    with tempfile.TemporaryDirectory(prefix="kernel") as sockets, ThreadPoolExecutor(1) as thread:
        running = thread.submit(
            papermill.execute_notebook,
            _escaped(source),
            _escaped(target),
            parameters=dict(parameters),
            kernel_name=kernel,
            language="python",
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


def _escaped(path: Path) -> str:
    """Return a path for papermill, which replaces names in braces by values of parameters."""
    return str(path).replace("{", "{{").replace("}", "}}")


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

"""Writing of run directories by the one search that holds the lock."""

import functools
import json
import os
import re
import shutil
import socket
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import psutil
from filelock import FileLock, Timeout

from posenfs.data.files import atomic_path, naming_errors, temporary_files, write_atomic
from posenfs.messages import error_message, in_notebook
from posenfs.model.architecture import Architecture
from posenfs.search.checkpoints import RunError
from posenfs.search.experiment import Experiment
from posenfs.search.migration import migrate_folder
from posenfs.search.run_dir import LOCK, RunDir

_LOCK_TIMEOUT = 1.0  # s in which a reader that only tests the lock releases it


def _if_open(method: Callable) -> Callable:
    """Make a method do nothing unless the writer is open."""

    @functools.wraps(method)
    def wrapper(self: "RunWriter", *arguments: Any, **options: Any) -> Any:
        return method(self, *arguments, **options) if self.is_open else None

    return wrapper


class RunWriter:
    """Writes the files of a run while it is open, that is, while it holds the run's lock.

    Whole files are replaced by a rename; rows are appended to line files. A writer that is not open
    writes nothing, so that ranks other than 0 and a search that is closed can call it as well.

    Args:
        run: The run directory.
        enabled: Whether it can be opened at all; only rank 0 writes.

    Attributes:
        is_open: Whether it holds the lock.
        owner_close: Weak reference to the method that closes the search that owns this writer.
    """

    # The open writer of each folder, in this process.
    _open_writers: ClassVar[weakref.WeakValueDictionary[str, "RunWriter"]] = (
        weakref.WeakValueDictionary()
    )

    def __init__(self, run: RunDir, enabled: bool = True):
        self.run, self.enabled, self.is_open = run, enabled, False
        self._key = str(run.folder.resolve())
        # One thread may open the writer and another close it.
        self._lock = FileLock(run.folder / LOCK, timeout=_LOCK_TIMEOUT, thread_local=False)
        self.owner_close: weakref.WeakMethod | None = None

    # -- lock ----------------------------------------------------------------------------------

    @property
    def other_writer(self) -> "RunWriter | None":
        """Another open writer of this folder in this process."""
        writer = self._open_writers.get(self._key)
        return None if writer is self else writer

    def take_over(self) -> None:
        """Close another writer of this folder in this process, then open this one.

        In a notebook the cell that makes a search may run again.

        Raises:
            RunError: Another process holds the lock.
        """
        if self.enabled:
            other = self.other_writer
            close = other.owner_close and other.owner_close() if other else None
            if close is not None:
                close()
            self.open()

    def open(self) -> None:
        """Take the lock, and give the files of an older version their current names.

        Raises:
            RunError: Another search holds the lock.
        """
        if self.is_open or not self.enabled:
            return
        try:
            self._lock.acquire()
        except Timeout:
            raise self.run.in_use_error() from None
        self.is_open = True
        self._open_writers[self._key] = self
        migrate_folder(self.run.folder)

    def close(self) -> None:
        """Release the lock; nothing is written afterwards."""
        if self.is_open:
            self.is_open = False
            self._open_writers.pop(self._key, None)
            self._lock.release()

    # -- files ---------------------------------------------------------------------------------

    def create(self, experiment: Experiment, provenance: Mapping) -> None:
        """Create the run directory; it needs no lock.

        Where it exists, check that it holds this experiment and these data.

        Raises:
            RunError: It cannot be written, or holds another experiment or other data.
        """
        if not self.enabled:
            return
        config = self.run.folder / "config.json"
        try:
            self.run.folder.mkdir(parents=True, exist_ok=True)
            if not (self.run.folder / "provenance.json").is_file():
                dump_json(self.run.folder / "provenance.json", provenance)
            if not config.is_file():
                self._write_config(experiment)
        except OSError as error:
            raise RunError(
                f"cannot write the run folder {self.run.folder}: {error_message(error)}"
            ) from error
        self.run.check_holds(experiment)
        before = self.run.experiment()
        if _data_fingerprints(self.run.provenance()) != _data_fingerprints(provenance):
            moved = before.data.root != experiment.data.root
            places = f" ({before.data.root}, and not {experiment.data.root})" if moved else ""
            raise RunError(
                f"the data are not those that {self.run.folder} began with{places}; give this run "
                "another name"
            )
        if before != experiment:  # the data have moved, or an older version kept no keypoints
            self._write_config(experiment)

    def _write_config(self, experiment: Experiment) -> None:
        write_atomic(self.run.folder / "config.json", experiment.to_json())

    @_if_open
    def write_metrics(self, metrics: Mapping) -> None:
        """Write metrics.json."""
        dump_json(self.run.folder / "metrics.json", metrics)

    @_if_open
    def write_status(self, **fields: object) -> None:
        """Write status.json: the fields, this process, and the time as heartbeat."""
        process = {
            "process": _kind_of_process(os.getpid()),
            "pid": os.getpid(),
            "host": socket.gethostname(),
        }
        content = {**fields, **process, "heartbeat": time.time()}
        dump_json(self.run.folder / "status.json", content)

    @_if_open
    def write_errors(self, errors: np.ndarray, by_measure: Mapping[str, np.ndarray]) -> None:
        """Write errors.npz: errors [N, K] of the primary and of each other measure, in float32."""
        arrays: dict[str, Any] = {
            name: array.astype(np.float32) for name, array in by_measure.items()
        }
        with atomic_path(self.run.folder / "errors.npz") as path:
            np.savez_compressed(path, errors=errors.astype(np.float32), **arrays)

    @_if_open
    def append(self, name: str, rows: Sequence[Mapping]) -> None:
        """Append rows to history.jsonl or timing.jsonl."""
        path = self.run.folder / name
        with naming_errors(path), open(path, "a") as file:
            file.writelines(_line(row) for row in rows)

    @_if_open
    def append_architectures(
        self, steps: Sequence[int], architectures: Sequence[dict[str, Architecture]]
    ) -> None:
        """Append alpha and beta of these steps to the log."""
        self.run.architecture_log.append(steps, architectures)

    @_if_open
    def write_recent_architectures(
        self, steps: Sequence[int], architectures: Sequence[dict[str, Architecture]]
    ) -> None:
        """Write what was logged after the last checkpoint, for live readers."""
        self.run.architecture_log.write_recent(steps, architectures)

    @_if_open
    def save_checkpoint(self, step: int, state: dict, replace: bool = False) -> None:
        """Write a checkpoint (`CheckpointStore.save`)."""
        self.run.checkpoints.save(step, state, replace)

    @_if_open
    def prune_checkpoints(self, keep: Sequence[int], always: Sequence[int], max_gb: float) -> None:
        """Delete checkpoints (`CheckpointStore.prune`)."""
        self.run.checkpoints.prune(keep, always, max_gb)

    # -- going back ----------------------------------------------------------------------------

    @_if_open
    def truncate(self, step: int, history_rows: int) -> None:
        """Delete what was written after a checkpoint, so that continuing writes it again.

        Args:
            step: The step of the checkpoint.
            history_rows: The number of rows of history.jsonl at that step.
        """
        folder = self.run.folder
        history = self.run.history()[:history_rows]
        timing = [row for row in self.run.timing() if row["step"] <= step]
        write_atomic(folder / "history.jsonl", "".join(_line(row) for row in history))
        write_atomic(folder / "timing.jsonl", "".join(_line(row) for row in timing))
        self.run.architecture_log.truncate(step)
        for path in (*temporary_files(folder / "architecture"), *temporary_files(folder)):
            if not path.name.startswith(".control"):  # other processes write these
                path.unlink()
        self.run.checkpoints.delete_temporary()

    def archive_after(self, step: int) -> Path:
        """Move what was written after a step to branches/, where it is kept and no longer read.

        Wherever this is interrupted, the run continues from one of its checkpoints.

        Returns:
            The new folder in branches/.
        """
        run, branches = self.run, self.run.folder / "branches"
        numbers = [int(path.name.split("_")[0]) for path in branches.glob("[0-9]*_after_*")]
        target = branches / f"{max(numbers, default=-1) + 1:03d}_after_{step:08d}"
        later = [row for row in run.history() if row["step"] > step]
        temporary = target.with_name(f".{target.name}")
        with naming_errors(target, temporary):
            try:
                self._copy_after(step, later, temporary)
                os.replace(temporary, target)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
        (run.folder / "metrics.json").unlink(missing_ok=True)  # the run is no longer finished
        if any("loss" not in row for row in later):  # the row of an evaluation
            (run.folder / "errors.npz").unlink(missing_ok=True)
        run.checkpoints.move_after(step, target / "checkpoints")
        (run.folder / "model.safetensors").unlink(missing_ok=True)
        return target

    def _copy_after(self, step: int, later: Sequence[Mapping], folder: Path) -> None:
        """Copy the records after a step to a new folder; `later` are the rows of history.jsonl."""
        run = self.run
        shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
        (folder / "checkpoints").mkdir(parents=True)
        timing = [row for row in run.timing() if row["step"] > step]
        (folder / "history.jsonl").write_text("".join(_line(row) for row in later))
        (folder / "timing.jsonl").write_text("".join(_line(row) for row in timing))
        for name in ("metrics.json", "errors.npz", "model.safetensors"):
            if (run.folder / name).is_file():
                shutil.copy2(run.folder / name, folder / name)
        for chunk in run.architecture_log.chunks(after=step):
            (folder / "architecture").mkdir(exist_ok=True)
            shutil.copy2(chunk, folder / "architecture" / chunk.name)


def dump_json(path: Path, content: Mapping) -> None:
    """Write a JSON file, whole or not at all."""
    write_atomic(path, json.dumps(content, indent=2) + "\n")


def _line(row: Mapping) -> str:
    return json.dumps(row) + "\n"


def _data_fingerprints(provenance: Mapping) -> list[str]:
    """Return the fingerprints of the splits; their names may change between versions."""
    return [data["fingerprint"] for data in provenance["data"].values()]


@functools.cache
def _kind_of_process(pid: int) -> str:
    """Describe this process for messages; `pid`, its id, keeps forks apart in the cache."""
    notebook = in_notebook()
    process = psutil.Process(pid).parent() if notebook else psutil.Process(pid)
    try:
        command = " ".join(process.cmdline()[:5]) if process else ""
    except psutil.Error:
        command = ""
    if "posenfs.study.executors" in command or "ray::" in command:
        return "an ablation"
    if "posenfs.search.detached" in command:
        return "a detached search"
    if subcommand := re.search(r"(?:posenfs\.cli|bin/posenfs) (\w+)", command):
        return f"`posenfs {subcommand[1]}`"
    return "a Jupyter kernel" if notebook else "a Python process"

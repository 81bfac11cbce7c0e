"""A run is a folder: all that a search asks, does and finds, in plain files that outlive it."""

import contextlib
import functools
import json
import math
import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from filelock import FileLock, Timeout

from posenfs.data.datasets.catalogue import home
from posenfs.data.files import atomic_path, temporary_files, write_atomic
from posenfs.errors import PosenfsError
from posenfs.evaluation.pck import ranking
from posenfs.messages import error_message, in_notebook
from posenfs.model.architecture import Architecture
from posenfs.search.build import TENSORS
from posenfs.search.experiment import Experiment, differences

_SINCE = "since.npz"  # alpha and beta logged since the last checkpoint
_PATIENCE = 1.0  # s in which whoever only looks whether the lock is held has let go of it

# What a search can be told, by whatever process.
COMMANDS = ("pause", "resume", "step", "checkpoint", "rewind", "stop")


class RunError(PosenfsError):
    """A run folder that cannot be used. The message names the folder, what is wrong and the next step."""


def runs_home() -> Path:
    """Where runs live: reports/runs of the project."""
    return home() / "reports" / "runs"


def find_run(name: str | Path) -> "Run":
    """A run by its folder or by its name below reports/runs; raises RunError where there is none."""
    for folder in (Path(name), runs_home() / name):
        if (folder / "config.json").is_file():
            return Run(folder)
    raise RunError(
        f"no run {str(name)!r}: neither {name} nor {runs_home() / name} holds a config.json; `posenfs status` lists "
        "the runs"
    )


def list_runs() -> list["Run"]:
    """All runs below reports/runs, the latest heartbeat first."""
    runs = [Run(config.parent) for config in runs_home().glob("[!.]*/config.json")]
    return sorted(runs, key=lambda run: run.status().get("heartbeat", 0), reverse=True)


def _writing(method: Callable) -> Callable:
    """What the one that writes does; of several processes that search as one the others have nothing to do here."""

    @functools.wraps(method)
    def only_the_writer(self: "Run", *args: Any, **options: Any) -> Any:
        return method(self, *args, **options) if self.writes else None

    return only_the_writer


class Run:
    """The files of one run, those of docs/runs.md.

    Reading needs the folder alone; writing is for the one search that holds the lock. Whole files are written beside,
    synced and renamed, so that a reader never sees half of one; of line files a torn last line is dropped.
    """

    def __init__(self, folder: str | Path, writes: bool = True):
        self.folder, self.writes = Path(folder), writes
        self.name = self.folder.name

    # -- reading ----------------------------------------------------------------------------------------------------

    def experiment(self) -> Experiment:
        path = self.folder / "config.json"
        return Experiment.from_json(path.read_text(), str(path))

    @property
    def argument(self) -> str:
        """What names this run on the command line: its name, or its folder where that is not in reports/runs."""
        return (
            self.name
            if self.folder.resolve() == (runs_home() / self.name).resolve()
            else str(self.folder)
        )

    def check_holds(self, experiment: Experiment) -> None:
        """Compare an experiment with the one of the run; a run that is not begun yet holds any.

        Raises:
            RunError: A setting differs. The message names every such setting with both of its values.
        """
        if not (self.folder / "config.json").is_file():
            return
        asked = Experiment.from_json(experiment.to_json())  # with tuples in the place of lists
        settings = [
            f"\n  {option}: {_shortened(before)} in the run, {_shortened(after)} asked for"
            for option, before, after in differences(self.experiment(), asked)
        ]
        if settings:
            raise RunError(
                f"{self.folder} holds another experiment:{''.join(settings)}\nGive the new settings another name, or "
                f"go on with the run's own settings: posenfs resume {self.argument}"
            )

    def check_free(self) -> None:
        """Raise RunError where a process searches in the folder."""
        if (self.folder / ".lock").exists():
            with self.lock():
                pass

    def _in_use(self) -> "RunError":
        return RunError(
            f"{self.folder} is in use by {self.holder()}; wait for it, or stop it first"
        )

    def holder(self) -> str:
        """The process that wrote the status last, e.g. "a Jupyter kernel (process 123 on host)"."""
        status = self.status()
        process = (
            f"process {status.get('pid', 'unknown')} on {status.get('host', 'an unknown host')}"
        )
        kind = status.get("process")  # unknown to older versions
        return f"{kind} ({process})" if kind else process

    def is_finished(self) -> bool:
        """Whether the run has its whole result, so that it can be opened without writing anything."""
        return self.status().get("state") == "finished" and {"primary_metric", "interval"} <= set(
            self.metrics()
        )

    def check_searched(self) -> None:
        """Raise RunError for a model's folder."""
        if not self.status() and (self.folder / TENSORS).is_file():
            raise RunError(
                f"{self.folder} is a model's folder, not a run: nothing was searched there"
            )

    def check_opens(self) -> None:
        """Raise RunError where no search can begin or go on: in a model's folder, and in that of a finished run without
        its checkpoints, whose records one from the beginning would write anew."""
        self.check_searched()
        if self.metrics() and not self.checkpoints():
            raise RunError(
                f"{self.folder} is finished, and its checkpoints are gone: it can be read (posenfs.load_model, posenfs "
                "compare and report), not opened; search under another name, or remove that folder"
            )

    def status(self) -> dict:
        return self._read("status.json")

    def state(self, status: Mapping | None = None) -> str:
        """What the status says, as read just before or now; "not begun" where there is none yet, and "gone" where
        whoever wrote it ended without a word."""
        state = (self.status() if status is None else status).get("state", "not begun")
        return "gone" if state in ("ready", "running", "paused") and not self.in_use() else state

    def metrics(self) -> dict:
        return self._read("metrics.json")

    def provenance(self) -> dict:
        return self._read("provenance.json")

    def history(self) -> list[dict]:
        """One row a step (step, epoch, loss, lr) and one an evaluation (step, epoch, metrics)."""
        return read_lines(self.folder / "history.jsonl")

    def timing(self) -> list[dict]:
        return read_lines(self.folder / "timing.jsonl")

    def errors(self, measure: str | None = None) -> np.ndarray:
        """[N, K]: the last evaluation's error of every person and keypoint, in a measure (pckh, pck_torso, …) or in
        that of its primary metric; NaN where there is none."""
        if not (self.folder / "errors.npz").is_file():
            raise RunError(
                f"{self.folder} has no errors of people yet: the end of an epoch makes them"
            )
        with np.load(self.folder / "errors.npz") as file:
            return file[measure or "errors"]

    def ranking(self) -> list[int]:
        """People with at least one labelled keypoint, the smallest mean error of the last evaluation first."""
        return ranking(self.errors())

    def architectures(self) -> tuple[np.ndarray, dict[str, Architecture]]:
        """The logged steps [n], and by fabric an Architecture whose alpha and beta carry a leading [n]."""
        # first: it goes once a chunk has the same
        since = read_architectures(self.folder / "architecture" / _SINCE)
        return join_architectures(
            [*(read_architectures(path) for path in sorted(self._chunks())), since]
        )

    def architecture_files(self) -> list[Path]:
        """Where those are: a file for each checkpoint, and one of those logged since, which a search can delete any
        moment."""
        return [*sorted(self._chunks()), *self.folder.glob(f"architecture/{_SINCE}")]

    def checkpoints(self) -> list[int]:
        """Steps of the whole checkpoints, oldest first."""
        return sorted(int(path.name) for path in (self.folder / "checkpoints").glob("[0-9]*"))

    def load_checkpoint(self, step: int, device: torch.device | str = "cpu") -> dict:
        path = self._checkpoint(step) / "state.pt"
        try:
            return torch.load(path, map_location=device, weights_only=True)
        except Exception as error:  # of a broken file torch raises nearly anything
            raise RunError(
                f"{path} cannot be read: {error}; delete its folder to go on from the one before"
            ) from error

    def _checkpoint(self, step: int) -> Path:
        return self.folder / "checkpoints" / f"{step:08d}"

    def _read(self, name: str) -> dict:
        try:
            return json.loads((self.folder / name).read_text())
        except (FileNotFoundError, NotADirectoryError):
            return {}

    # -- writing ----------------------------------------------------------------------------------------------------

    @_writing
    def create(self, experiment: Experiment, provenance: Mapping) -> None:
        """Make the folder, or make sure that it holds this very experiment; raises RunError otherwise."""
        config = self.folder / "config.json"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not config.is_file():
                self.write_json("provenance.json", provenance)
                write_atomic(config, experiment.to_json())
        except OSError as error:
            raise RunError(
                f"cannot write the run folder {self.folder}: {error_message(error)}"
            ) from error
        self.check_holds(experiment)
        if _fingerprints(self.provenance()) != _fingerprints(provenance):
            raise RunError(
                f"the data are not those that {self.folder} began with; give this run another name"
            )

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Held by the one search that writes here; raises RunError where another does."""
        if not self.writes:
            yield
            return
        try:
            with FileLock(self.folder / ".lock", timeout=_PATIENCE):
                yield
        except Timeout:
            raise self._in_use() from None

    def in_use(self) -> bool:
        """Whether a process holds the lock."""
        if not (self.folder / ".lock").exists():
            return False
        try:
            with FileLock(self.folder / ".lock", timeout=0):
                return False
        except Timeout:
            return True

    def command(self, command: str, steps: int = 1) -> int:
        """Tell whoever searches here one of COMMANDS (`step`: so many steps, then pause; `rewind`: to the state after
        so many, then pause). Returns its number, which the search acknowledges in status.json once it has heeded it.
        Raises ValueError for another."""
        if command not in COMMANDS:
            raise ValueError(f"unknown command {command!r}; known: {', '.join(COMMANDS)}")
        least = 0 if command == "rewind" else 1
        if steps < least:
            raise ValueError(f"the steps of {command!r} are at least {least}; got {steps}")
        with FileLock(self.folder / ".control.lock"):
            number = self.asked()["number"] + 1
            self.write_json("control.json", {"number": number, "command": command, "steps": steps})
        return number

    def asked(self) -> dict:
        """The last command: number (0: none yet), command, steps."""
        return self._read("control.json") or {"number": 0, "command": "", "steps": 0}

    @_writing
    def write_json(self, name: str, content: Mapping) -> None:
        write_atomic(self.folder / name, json.dumps(content, indent=2) + "\n")

    def write_status(self, **fields: object) -> None:
        """Write state, step, … with this process and the time as heartbeat."""
        process = {
            "process": _kind_of_process(os.getpid()),
            "pid": os.getpid(),
            "host": socket.gethostname(),
        }
        self.write_json("status.json", {**fields, **process, "heartbeat": time.time()})

    @_writing
    def write_errors(self, errors: np.ndarray, by_measure: Mapping[str, np.ndarray]) -> None:
        with atomic_path(self.folder / "errors.npz") as path:
            small = {name: own.astype(np.float32) for name, own in by_measure.items()}
            np.savez_compressed(path, errors=errors.astype(np.float32), **small)

    @_writing
    def append(self, name: str, rows: list[dict]) -> None:
        """Rows to history.jsonl or timing.jsonl."""
        with open(self.folder / name, "a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)

    @_writing
    def write_architectures(
        self, steps: list[int], architectures: list[dict[str, Architecture]]
    ) -> None:
        """Append a chunk, named by its last step, in the place of those logged since the last chunk."""
        if steps:
            self._write_chunk(f"{steps[-1]:08d}.npz", steps, architectures)
            (self.folder / "architecture" / _SINCE).unlink(missing_ok=True)

    @_writing
    def write_architectures_since(
        self, steps: list[int], architectures: list[dict[str, Architecture]]
    ) -> None:
        """All that were logged since the last chunk, for whoever looks on; the next chunk has them for good."""
        if steps:
            self._write_chunk(_SINCE, steps, architectures)

    def _write_chunk(
        self, name: str, steps: list[int], architectures: list[dict[str, Architecture]]
    ) -> None:
        chunk = {"step": np.array(steps)}
        for fabric in architectures[0]:
            chunk[f"{fabric}.alpha"] = np.stack([a[fabric].alpha.numpy() for a in architectures])
            chunk[f"{fabric}.beta"] = np.stack([a[fabric].beta.numpy() for a in architectures])
        folder = self.folder / "architecture"
        folder.mkdir(exist_ok=True)
        with atomic_path(folder / name) as path:
            np.savez(path, **chunk)

    @_writing
    def write_checkpoint(self, step: int, state: dict, anew: bool = False) -> None:
        """A checkpoint folder, whole or not at all."""
        target = self._checkpoint(step)
        if target.exists() and not anew:  # the same step of the same run is the same state
            return
        unfinished = target.with_name(f".{target.name}")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        with open(unfinished / "state.pt", "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            os.replace(unfinished / "state.pt", target / "state.pt")
            unfinished.rmdir()
        else:
            os.replace(unfinished, target)

    @_writing
    def thin_checkpoints(self, worth: Iterable[int], dear: Iterable[int], budget: float) -> None:
        """Delete the checkpoints of other steps than those worth keeping, then the oldest of these while all together
        take more GB than the budget; the dear ones stay in any case."""
        worth, dear = set(worth), set(dear)
        for step in self.checkpoints():
            if step not in worth | dear:
                self._drop(step)
        sizes = {
            step: (self._checkpoint(step) / "state.pt").stat().st_size
            for step in self.checkpoints()
        }
        for step in sorted(set(sizes) - dear):
            if sum(sizes.values()) <= budget * 1e9:
                break
            self._drop(step)
            del sizes[step]

    def _drop(self, step: int) -> None:
        """Delete a checkpoint, which is hidden first: half of one is never there to be read."""
        going = self._checkpoint(step).with_name(f".{step:08d}_going")
        os.replace(self._checkpoint(step), going)
        shutil.rmtree(going)

    def put_aside(self, step: int) -> Path:
        """Move what was written after a step into branches/, where nothing reads it again and nothing of it is lost.

        Whatever interrupts this, the run goes on from one of its checkpoints.
        """
        others = (
            int(path.name.partition("_")[0])
            for path in (self.folder / "branches").glob("[0-9]*_after_*")
        )
        number = max(others, default=-1) + 1
        target = self.folder / "branches" / f"{number:03d}_after_{step:08d}"
        unfinished = target.with_name(f".{target.name}")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        for name, rows in (("history.jsonl", self.history()), ("timing.jsonl", self.timing())):
            (unfinished / name).write_text(
                "".join(json.dumps(row) + "\n" for row in rows if row["step"] > step)
            )
        for name in ("metrics.json", "errors.npz", "model.safetensors"):
            if (self.folder / name).is_file():
                shutil.copy2(self.folder / name, unfinished / name)
        for chunk in self._chunks(after=step):
            (unfinished / "architecture").mkdir(exist_ok=True)
            shutil.copy2(chunk, unfinished / "architecture" / chunk.name)
        (unfinished / "checkpoints").mkdir()
        os.replace(unfinished, target)
        (self.folder / "metrics.json").unlink(missing_ok=True)  # the run is no longer finished
        # an evaluation's
        if any("loss" not in row for row in self.history() if row["step"] > step):
            (self.folder / "errors.npz").unlink(missing_ok=True)
        for later in reversed([own for own in self.checkpoints() if own > step]):
            os.replace(self._checkpoint(later), target / "checkpoints" / f"{later:08d}")
        (self.folder / "model.safetensors").unlink(missing_ok=True)
        return target

    def fork(
        self, folder: Path, experiment: Experiment, checkpoints: Iterable[int], branch: Mapping
    ) -> "Run":
        """A new run, whole or not at all, that has what this one had at the last of these checkpoints (none: at its
        beginning); `branch` goes into its provenance. Raises RunError where the folder is taken, or where the search
        under way here deletes one of these checkpoints meanwhile."""
        if folder.exists():
            raise RunError(f"{folder} is there already; give the branch another name")
        checkpoints = list(checkpoints)
        wanted = [
            path
            for name in ("history", "timing")
            if (path := self.folder / f"{name}.jsonl").is_file()
        ]
        wanted += self._chunks(last=max(checkpoints, default=-1))
        wanted += [self._checkpoint(step) / "state.pt" for step in checkpoints]
        unfinished = Run(folder.with_name(f".{folder.name}"))
        shutil.rmtree(unfinished.folder, ignore_errors=True)  # of one that was killed
        try:
            for path in wanted:
                copy = unfinished.folder / path.relative_to(self.folder)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, copy)
            unfinished.write_json("provenance.json", {**self.provenance(), "branch": dict(branch)})
            write_atomic(unfinished.folder / "config.json", experiment.to_json())
            os.replace(unfinished.folder, folder)
        except FileNotFoundError as error:
            raise RunError(f"{error.filename} went while it was copied; branch again") from None
        finally:
            shutil.rmtree(unfinished.folder, ignore_errors=True)
        return Run(folder)

    def _chunks(self, after: float = -math.inf, last: float = math.inf) -> list[Path]:
        """Files of alpha and beta, each named by its last step, which is later than `after`, and not than `last`."""
        return [
            path
            for path in (self.folder / "architecture").glob("[0-9]*.npz")
            if after < int(path.stem) <= last
        ]

    @_writing
    def truncate(self, step: int, history_rows: int) -> None:
        """Forget what was written after a checkpoint, so that going on from it writes the same files again."""
        history = self.history()[:history_rows]
        write_atomic(
            self.folder / "history.jsonl", "".join(json.dumps(row) + "\n" for row in history)
        )
        timing = [row for row in self.timing() if row["step"] <= step]
        write_atomic(
            self.folder / "timing.jsonl", "".join(json.dumps(row) + "\n" for row in timing)
        )
        for chunk in (*self._chunks(after=step), *self.folder.glob(f"architecture/{_SINCE}")):
            chunk.unlink()
        for torn in (*temporary_files(self.folder / "architecture"), *temporary_files(self.folder)):
            if not torn.name.startswith(".control"):  # which others write
                torn.unlink()
        for torn in self.folder.glob("checkpoints/.[0-9]*"):
            shutil.rmtree(torn)


def read_architectures(path: Path) -> dict[str, np.ndarray]:
    """The arrays of one file: step [n], and <fabric>.alpha and <fabric>.beta with a leading [n]; none where it has
    gone."""
    try:
        with np.load(path) as file:
            return dict(file)
    except FileNotFoundError:
        return {}


def join_architectures(
    chunks: Iterable[Mapping[str, np.ndarray]],
) -> tuple[np.ndarray, dict[str, Architecture]]:
    """One after the other: the steps [n], and by fabric an Architecture whose alpha and beta carry a leading [n]. What
    an earlier chunk has already is left out."""
    later, last = [], -1
    for chunk in filter(None, chunks):
        new = chunk["step"] > last
        later.append({key: values[new] for key, values in chunk.items()})
        last = max(last, *chunk["step"])
    if not later:
        return np.zeros(0, int), {}
    whole = {key: np.concatenate([chunk[key] for chunk in later]) for key in later[0]}
    fabrics = dict.fromkeys(key.rpartition(".")[0] for key in whole if key != "step")
    return whole["step"], {
        name: Architecture(
            *(torch.from_numpy(whole[f"{name}.{part}"]) for part in ("alpha", "beta"))
        )
        for name in fabrics
    }


@functools.cache
def _kind_of_process(pid: int) -> str:
    """What this process is to its user; `pid`, its own, is there for forked processes."""
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


def _shortened(value: object, most: int = 80) -> str:
    """A setting's value for a message."""
    text = "none" if value is None else str(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _fingerprints(provenance: Mapping) -> dict[str, str]:
    return {name: data["fingerprint"] for name, data in provenance["data"].items()}


def read_lines(path: Path) -> list[dict]:
    """Rows of a .jsonl file; a torn last line is dropped."""
    if not path.is_file():
        return []
    lines = path.read_text().split("\n")
    return [
        json.loads(line) for line in lines[:-1]
    ]  # what follows the last newline is torn, or empty

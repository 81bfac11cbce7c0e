"""A run is a folder: all that a search asks, does and finds, in plain files that outlive it."""

import contextlib
import functools
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout

from posenfs.data.datasets.catalogue import home
from posenfs.data.files import beside, write_whole
from posenfs.evaluation.metrics import ranking
from posenfs.model.architecture import Architecture
from posenfs.search.experiment import Experiment

_SINCE = "since.npz"  # alpha and beta logged since the last snapshot

# What a search can be told, by whatever process.
COMMANDS = ("pause", "resume", "step", "snapshot", "rewind", "stop")


class RunError(Exception):
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
    runs = [Run(config.parent) for config in runs_home().glob("*/config.json")]
    return sorted(runs, key=lambda run: run.status().get("heartbeat", 0), reverse=True)


def _writing(method: Callable) -> Callable:
    """What the one that writes does; of several processes that search as one the others have nothing to do here."""

    @functools.wraps(method)
    def only_the_writer(self: "Run", *args: Any, **options: Any) -> Any:
        return method(self, *args, **options) if self.writes else None

    return only_the_writer


class Run:
    """The files of one run (DESIGN: config, provenance, status, history, timing, architecture, snapshots, metrics).

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

    def check_holds(self, experiment: Experiment) -> None:
        """Raise RunError where the folder is that of another experiment."""
        if self.experiment().to_json() != experiment.to_json():
            config = self.folder / "config.json"
            raise RunError(
                f"{self.folder} holds another experiment ({config}); give this one another name, or remove that folder"
            )

    def status(self) -> dict:
        return self._read("status.json")

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
        that of its headline; NaN where there is none."""
        if not (self.folder / "errors.npz").is_file():
            raise RunError(f"{self.folder} has no errors of people yet: the end of an epoch makes them")
        with np.load(self.folder / "errors.npz") as file:
            return file[measure or "errors"]

    def ranking(self) -> list[int]:
        """People with at least one labelled keypoint, the smallest mean error of the last evaluation first."""
        return ranking(self.errors())

    def architectures(self) -> tuple[np.ndarray, dict[str, Architecture]]:
        """The logged steps [n], and by fabric an Architecture whose alpha and beta carry a leading [n]."""
        return join_architectures([read_architectures(path) for path in self.architecture_files()])

    def architecture_files(self) -> list[Path]:
        """Where those are: a file for each snapshot, and one of those logged since."""
        folder = self.folder / "architecture"
        return [*sorted(folder.glob("[0-9]*.npz")), *folder.glob(_SINCE)]

    def snapshots(self) -> list[int]:
        """Steps of the whole snapshots, oldest first."""
        return sorted(int(path.name) for path in (self.folder / "snapshots").glob("[0-9]*"))

    def load_snapshot(self, step: int, device: torch.device | str = "cpu") -> dict:
        path = self._snapshot(step) / "state.pt"
        try:
            return torch.load(path, map_location=device, weights_only=True)
        except Exception as error:  # of a broken file torch raises nearly anything
            raise RunError(f"{path} cannot be read: {error}; delete its folder to go on from the one before") from error

    def _snapshot(self, step: int) -> Path:
        return self.folder / "snapshots" / f"{step:08d}"

    def _read(self, name: str) -> dict:
        path = self.folder / name
        return json.loads(path.read_text()) if path.is_file() else {}

    # -- writing ----------------------------------------------------------------------------------------------------

    @_writing
    def create(self, experiment: Experiment, provenance: Mapping) -> None:
        """Make the folder, or make sure that it holds this very experiment; raises RunError otherwise."""
        config = self.folder / "config.json"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not config.is_file():
                self.write_json("provenance.json", provenance)
                write_whole(config, experiment.to_json())
        except OSError as error:
            raise RunError(f"cannot write the run folder {self.folder}: {error.strerror}; choose another") from error
        self.check_holds(experiment)
        if _fingerprints(self.provenance()) != _fingerprints(provenance):
            raise RunError(f"the data are not those that {self.folder} began with; give this run another name")

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Held by the one search that writes here; raises RunError where another does."""
        if not self.writes:
            yield
            return
        try:
            with FileLock(self.folder / ".lock", timeout=0):
                yield
        except Timeout:
            owner = self.status()
            raise RunError(
                f"{self.folder} is in use by process {owner.get('pid')} on {owner.get('host')}; "
                "wait for it, or stop it first"
            ) from None

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
        write_whole(self.folder / name, json.dumps(content, indent=2) + "\n")

    def write_status(self, **fields: object) -> None:
        """state, step, … with this process and the time as heartbeat."""
        host = {"pid": os.getpid(), "host": socket.gethostname(), "heartbeat": time.time()}
        self.write_json("status.json", {**fields, **host})

    @_writing
    def write_errors(self, errors: np.ndarray, by_measure: Mapping[str, np.ndarray]) -> None:
        with beside(self.folder / "errors.npz") as path:
            small = {name: own.astype(np.float32) for name, own in by_measure.items()}
            np.savez_compressed(path, errors=errors.astype(np.float32), **small)

    @_writing
    def append(self, name: str, rows: list[dict]) -> None:
        """Rows to history.jsonl or timing.jsonl."""
        with open(self.folder / name, "a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)

    @_writing
    def write_architectures(self, steps: list[int], architectures: list[dict[str, Architecture]]) -> None:
        """Append a chunk, named by its last step, in the place of those logged since the last chunk."""
        if steps:
            self._write_chunk(f"{steps[-1]:08d}.npz", steps, architectures)
            (self.folder / "architecture" / _SINCE).unlink(missing_ok=True)

    @_writing
    def write_architectures_since(self, steps: list[int], architectures: list[dict[str, Architecture]]) -> None:
        """All that were logged since the last chunk, for whoever looks on; the next chunk has them for good."""
        if steps:
            self._write_chunk(_SINCE, steps, architectures)

    def _write_chunk(self, name: str, steps: list[int], architectures: list[dict[str, Architecture]]) -> None:
        chunk = {"step": np.array(steps)}
        for fabric in architectures[0]:
            chunk[f"{fabric}.alpha"] = np.stack([a[fabric].alpha.numpy() for a in architectures])
            chunk[f"{fabric}.beta"] = np.stack([a[fabric].beta.numpy() for a in architectures])
        folder = self.folder / "architecture"
        folder.mkdir(exist_ok=True)
        with beside(folder / name) as path:
            np.savez(path, **chunk)

    @_writing
    def write_snapshot(self, step: int, state: dict, anew: bool = False) -> None:
        """A snapshot folder, whole or not at all."""
        target = self._snapshot(step)
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
    def thin_snapshots(self, worth: Iterable[int], dear: Iterable[int], budget: float) -> None:
        """Delete the snapshots of other steps than those worth keeping, then the oldest of these while all together
        take more GB than the budget; the dear ones stay in any case."""
        worth, dear = set(worth), set(dear)
        for step in self.snapshots():
            if step not in worth | dear:
                self._drop(step)
        sizes = {step: (self._snapshot(step) / "state.pt").stat().st_size for step in self.snapshots()}
        for step in sorted(set(sizes) - dear):
            if sum(sizes.values()) <= budget * 1e9:
                break
            self._drop(step)
            del sizes[step]

    def _drop(self, step: int) -> None:
        """Delete a snapshot, which is hidden first: half of one is never there to be read."""
        going = self._snapshot(step).with_name(f".{step:08d}_going")
        os.replace(self._snapshot(step), going)
        shutil.rmtree(going)

    def put_aside(self, step: int) -> Path:
        """Move what was written after a step into branches/, where nothing reads it again and nothing of it is lost.

        Whatever interrupts this, the run goes on from one of its snapshots.
        """
        number = len(list((self.folder / "branches").glob("[0-9]*")))
        target = self.folder / "branches" / f"{number:03d}_after_{step:08d}"
        unfinished = target.with_name(f".{target.name}")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        for name, rows in (("history.jsonl", self.history()), ("timing.jsonl", self.timing())):
            (unfinished / name).write_text("".join(json.dumps(row) + "\n" for row in rows if row["step"] > step))
        for name in ("metrics.json", "errors.npz", "model.safetensors"):
            if (self.folder / name).is_file():
                shutil.copy2(self.folder / name, unfinished / name)
        for chunk in self._chunks(after=step):
            (unfinished / "architecture").mkdir(exist_ok=True)
            shutil.copy2(chunk, unfinished / "architecture" / chunk.name)
        (unfinished / "snapshots").mkdir()
        os.replace(unfinished, target)
        (self.folder / "metrics.json").unlink(missing_ok=True)  # the run is no longer finished
        if any("loss" not in row for row in self.history() if row["step"] > step):  # an evaluation's
            (self.folder / "errors.npz").unlink(missing_ok=True)
        for later in reversed([own for own in self.snapshots() if own > step]):
            os.replace(self._snapshot(later), target / "snapshots" / f"{later:08d}")
        (self.folder / "model.safetensors").unlink(missing_ok=True)
        return target

    def fork(self, folder: Path, experiment: Experiment, snapshots: Iterable[int], branch: Mapping) -> "Run":
        """A new run that has what this one had at the last of these snapshots (none: at its beginning); `branch` goes
        into its provenance. Raises RunError where the folder is taken."""
        if (folder / "config.json").exists():
            raise RunError(f"{folder} holds a run already; give the branch another name")
        other = Run(folder)
        other.folder.mkdir(parents=True, exist_ok=True)
        for name in ("history.jsonl", "timing.jsonl"):
            if (self.folder / name).is_file():
                shutil.copy2(self.folder / name, folder / name)
        shutil.copytree(self.folder / "architecture", folder / "architecture", dirs_exist_ok=True)
        for snapshot in snapshots:
            shutil.copytree(self._snapshot(snapshot), other._snapshot(snapshot), dirs_exist_ok=True)
        other.write_json("provenance.json", {**self.provenance(), "branch": dict(branch)})
        write_whole(folder / "config.json", experiment.to_json())
        return other

    def _chunks(self, after: int) -> list[Path]:
        """Files of alpha and beta with a step later than this one; each is named by its last."""
        return [path for path in (self.folder / "architecture").glob("[0-9]*.npz") if int(path.stem) > after]

    @_writing
    def truncate(self, step: int, history_rows: int) -> None:
        """Forget what was written after a snapshot, so that going on from it writes the same files again."""
        history = self.history()[:history_rows]
        write_whole(self.folder / "history.jsonl", "".join(json.dumps(row) + "\n" for row in history))
        timing = [row for row in self.timing() if row["step"] <= step]
        write_whole(self.folder / "timing.jsonl", "".join(json.dumps(row) + "\n" for row in timing))
        for chunk in (*self._chunks(after=step), *self.folder.glob(f"architecture/{_SINCE}")):
            chunk.unlink()
        for torn in (*self.folder.glob("architecture/.*.npz"), *self.folder.glob(".*.*")):
            if not torn.name.startswith(".control"):  # which others write
                torn.unlink()
        for torn in self.folder.glob("snapshots/.*"):
            shutil.rmtree(torn)


def read_architectures(path: Path) -> dict[str, np.ndarray]:
    """The arrays of one file: step [n], and <fabric>.alpha and <fabric>.beta with a leading [n]."""
    with np.load(path) as file:
        return dict(file)


def join_architectures(chunks: Iterable[Mapping[str, np.ndarray]]) -> tuple[np.ndarray, dict[str, Architecture]]:
    """One after the other: the steps [n], and by fabric an Architecture whose alpha and beta carry a leading [n]. What
    an earlier chunk has already is left out."""
    later, last = [], -1
    for chunk in chunks:
        new = chunk["step"] > last
        later.append({key: values[new] for key, values in chunk.items()})
        last = max(last, *chunk["step"])
    if not later:
        return np.zeros(0, int), {}
    whole = {key: np.concatenate([chunk[key] for chunk in later]) for key in later[0]}
    fabrics = dict.fromkeys(key.rpartition(".")[0] for key in whole if key != "step")
    return whole["step"], {
        name: Architecture(*(torch.from_numpy(whole[f"{name}.{part}"]) for part in ("alpha", "beta")))
        for name in fabrics
    }


def _fingerprints(provenance: Mapping) -> dict[str, str]:
    return {name: data["fingerprint"] for name, data in provenance["data"].items()}


def read_lines(path: Path) -> list[dict]:
    """Rows of a .jsonl file; a torn last line is dropped."""
    if not path.is_file():
        return []
    lines = path.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1]]  # what follows the last newline is torn, or empty

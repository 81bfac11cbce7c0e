"""Reading of run directories (docs/runs.md)."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from posenfs.data.datasets.catalogue import home
from posenfs.evaluation.pck import ranking
from posenfs.model.architecture import Architecture
from posenfs.search.architecture_log import ArchitectureLog
from posenfs.search.build import TENSORS
from posenfs.search.checkpoints import CheckpointStore, RunError
from posenfs.search.experiment import Experiment, differences
from posenfs.search.migration import migrate_history, migrate_metrics, migrate_provenance

LOCK = ".lock"
_LIVE_STATES = ("ready", "running", "paused")
_FINAL_FIELDS = {"primary_metric", "interval"}  # of a metrics.json that is complete


def runs_home() -> Path:
    """Return the folder of all runs, reports/runs of the project."""
    return home() / "reports" / "runs"


def find_run(name: str | Path) -> "RunDir":
    """Find a run by its folder, or by its name in reports/runs.

    Raises:
        RunError: There is no such run.
    """
    name = str(name)  # papermill makes a number of the name 2024
    for folder in (Path(name), runs_home() / name):
        if (folder / "config.json").is_file():
            return RunDir(folder)
    raise RunError(
        f"no run {name!r}: neither {name} nor {runs_home() / name} holds a config.json; "
        "`posenfs status` lists the runs"
    )


def list_runs() -> list["RunDir"]:
    """Return all runs in reports/runs, the one with the latest heartbeat first."""
    runs = [RunDir(config.parent) for config in runs_home().glob("[!.]*/config.json")]
    return sorted(runs, key=lambda run: run.status().get("heartbeat", 0), reverse=True)


class RunDir:
    """Reader of a run directory: the configuration, progress and results of a search.

    Files are read when a method is called. A running search replaces whole files by renames, so
    that no reader meets a half-written one.

    Args:
        folder: The directory, which need not exist yet.

    Attributes:
        name: The name of the directory.
        checkpoints: Its checkpoints.
        architecture_log: Its log of alpha and beta.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.name = self.folder.name
        self.checkpoints = CheckpointStore(self.folder)
        self.architecture_log = ArchitectureLog(self.folder)

    @property
    def argument(self) -> str:
        """The run on a command line: its name, or its folder where that is not in reports/runs."""
        is_at_home = self.folder.resolve() == (runs_home() / self.name).resolve()
        return self.name if is_at_home else str(self.folder)

    # -- files ---------------------------------------------------------------------------------

    def experiment(self) -> Experiment:
        """Return the experiment of config.json.

        Raises:
            ValueError: The file is invalid.
        """
        path = self.folder / "config.json"
        return Experiment.from_json(path.read_text(), str(path))

    def status(self) -> dict:
        """Return status.json (state, step, metrics, process, heartbeat), or {}."""
        return migrate_metrics(self._read("status.json"))

    def metrics(self) -> dict:
        """Return metrics.json, which a finished search writes, or {}."""
        return migrate_metrics(self._read("metrics.json"))

    def provenance(self) -> dict:
        """Return provenance.json (versions, machine, data), or {}."""
        return migrate_provenance(self._read("provenance.json"))

    def history(self) -> list[dict]:
        """Return one row per step (step, epoch, loss, lr) or evaluation (step, epoch, metrics)."""
        return migrate_history(read_lines(self.folder / "history.jsonl"))

    def timing(self) -> list[dict]:
        """Return a row every few steps: images_per_s, wait_share, peak_mb, time."""
        return read_lines(self.folder / "timing.jsonl")

    def errors(self, measure: str | None = None) -> np.ndarray:
        """Return the normalised errors [N, K] of the last evaluation; NaN where there is none.

        Args:
            measure: The measure (pckh, pck_torso, …); None: that of the primary metric.

        Raises:
            RunError: Nothing was evaluated yet.
        """
        path = self.folder / "errors.npz"
        if not path.is_file():
            raise RunError(
                f"{self.folder} has no errors of people yet: they are written after each epoch"
            )
        with np.load(path) as file:
            return file[measure or "errors"]

    def ranking(self) -> list[int]:
        """Return the rows of `errors` with a labelled keypoint, by increasing mean error."""
        return ranking(self.errors())

    def architectures(self) -> tuple[np.ndarray, dict[str, Architecture]]:
        """Return the logged steps [n], and an Architecture with a leading [n] by fabric."""
        return self.architecture_log.read()

    def _read(self, name: str) -> dict:
        try:
            return json.loads((self.folder / name).read_text())
        except (FileNotFoundError, NotADirectoryError):
            return {}

    # -- state ---------------------------------------------------------------------------------

    def state(self, status: Mapping | None = None) -> str:
        """Return the state of the search.

        Args:
            status: The content of status.json; None: it is read.

        Returns:
            "not begun", the state of the status, or "gone" where its process exited without
            updating it.
        """
        state = (self.status() if status is None else status).get("state", "not begun")
        return "gone" if state in _LIVE_STATES and not self.in_use() else state

    def in_use(self) -> bool:
        """Whether a process holds the lock."""
        if not (self.folder / LOCK).exists():
            return False
        try:
            with FileLock(self.folder / LOCK, timeout=0):
                return False
        except Timeout:
            return True

    def holder(self) -> str:
        """Describe the process that wrote the status: "a Jupyter kernel (process 123 on host)"."""
        status = self.status()
        host = status.get("host", "an unknown host")
        process = f"process {status.get('pid', 'unknown')} on {host}"
        return f"{status['process']} ({process})" if "process" in status else process

    def is_complete(self) -> bool:
        """Whether metrics.json holds the whole result."""
        return self.metrics().keys() >= _FINAL_FIELDS

    def is_finished(self) -> bool:
        """Whether the search has ended and its result is complete; opening it writes nothing."""
        return self.status().get("state") == "finished" and self.is_complete()

    # -- checks --------------------------------------------------------------------------------

    def check_holds(self, experiment: Experiment) -> None:
        """Check that the run, if it exists, is of this experiment.

        Raises:
            RunError: A setting differs. The message names every such setting with both values.
        """
        if not (self.folder / "config.json").is_file():
            return
        requested = Experiment.from_json(experiment.to_json())  # with tuples in the place of lists
        settings = [
            f"\n  {option}: {_shortened(before)} in the run, {_shortened(after)} requested"
            for option, before, after in differences(self.experiment(), requested)
        ]
        if settings:
            raise RunError(
                f"{self.folder} holds another experiment:{''.join(settings)}\nGive the new "
                "settings another name, or continue with the run's own settings: posenfs resume "
                f"{self.argument}"
            )

    def check_unlocked(self, timeout: float = 1.0) -> None:
        """Check that no process holds the lock.

        Args:
            timeout: Seconds in which a reader that only tests the lock releases it.

        Raises:
            RunError: Another process searches here.
        """
        if not (self.folder / LOCK).exists():
            return
        try:
            with FileLock(self.folder / LOCK, timeout=timeout):
                pass
        except Timeout:
            raise self.in_use_error() from None

    def in_use_error(self) -> RunError:
        """Return the error for a run that another process searches."""
        return RunError(
            f"{self.folder} is in use by {self.holder()}; wait for it, or stop it first"
        )

    def check_is_run(self) -> None:
        """Check that this is not the folder of a saved model.

        Raises:
            RunError: It is one.
        """
        if not self.status() and (self.folder / TENSORS).is_file():
            raise RunError(
                f"{self.folder} is a model's folder, not a run: nothing was searched there"
            )

    def check_opens(self) -> None:
        """Check that a search can begin or continue here.

        Raises:
            RunError: This is a model's folder, or a finished run without its checkpoints, whose
                records a new search would overwrite.
        """
        self.check_is_run()
        if self.metrics() and not self.checkpoints.steps():
            raise RunError(
                f"{self.folder} is finished, and its checkpoints are gone: it can be read "
                "(posenfs.load_model, posenfs compare and report) but not continued; search under "
                "another name, or remove that folder"
            )


def _shortened(value: object, max_length: int = 80) -> str:
    """Return a setting's value for a message."""
    text = "none" if value is None else str(value)
    return text if len(text) <= max_length else f"{text[: max_length - 1]}…"


def read_lines(path: Path) -> list[dict]:
    """Return the rows of a .jsonl file; an incomplete last line is left out."""
    if not path.is_file():
        return []
    *lines, _ = path.read_text().split("\n")  # what follows the last newline is incomplete
    return [json.loads(line) for line in lines]

"""Reading of run directories (docs/runs.md)."""

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from posenfs.data.datasets.catalogue import home
from posenfs.evaluation.pck import ranking
from posenfs.messages import error_message
from posenfs.model.architecture import Architecture
from posenfs.search.architecture_log import ArchitectureLog
from posenfs.search.build import TENSORS
from posenfs.search.checkpoints import CheckpointStore, RunError
from posenfs.search.experiment import Experiment
from posenfs.search.migration import migrate_history, migrate_metrics, migrate_provenance
from posenfs.search.run_files import broken, read_arrays, read_lines, read_object
from posenfs.search.settings import check_settings

LOCK = ".lock"
_RECENT = 60.0  # s; a search updates its status more often, unless a step takes longer
_RECORDS = ("status.json", "history.jsonl")  # files that a run has, and the folder of a model not
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
    """Return all runs in reports/runs, the one with the latest heartbeat first.

    Broken ones are the last; `RunDir.overview` says why they are broken.
    """
    folders = sorted(runs_home().iterdir()) if runs_home().is_dir() else []
    runs = [RunDir(folder) for folder in folders if _is_run(folder)]
    return sorted(runs, key=lambda run: run.overview().get("heartbeat", 0), reverse=True)


def _is_run(folder: Path) -> bool:
    """Whether a folder is a run or the folder of a model; broken ones count."""
    if folder.name.startswith("."):
        return False
    try:
        return any((folder / name).exists() for name in ("config.json", *_RECORDS))
    except OSError:  # no permission: the run is listed as broken
        return True


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
        return migrate_metrics(read_object(self.folder / "status.json"))

    def metrics(self) -> dict:
        """Return metrics.json, which a finished search writes, or {}."""
        return migrate_metrics(read_object(self.folder / "metrics.json"))

    def provenance(self) -> dict:
        """Return provenance.json (versions, machine, data), or {}."""
        return migrate_provenance(read_object(self.folder / "provenance.json"))

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
        arrays = read_arrays(self.folder / "errors.npz")
        if not arrays:
            raise RunError(
                f"{self.folder} has no errors of people yet: they are written after each epoch"
            )
        return arrays[measure or "errors"]

    def ranking(self) -> list[int]:
        """Return the rows of `errors` with a labelled keypoint, by increasing mean error."""
        return ranking(self.errors())

    def architectures(self) -> tuple[np.ndarray, dict[str, Architecture]]:
        """Return the logged steps [n], and an Architecture with a leading [n] by fabric."""
        return self.architecture_log.read()

    # -- state ---------------------------------------------------------------------------------

    def overview(self) -> dict:
        """Return the status with the true state, for readers of many runs; it does not raise.

        Returns:
            The content of status.json, with `state` as `state` returns it. If a file of the run is
            broken, `state` is "broken", and `error` says why.
        """
        try:
            self._check_files()
            return {**self.status(), "state": self.state()}
        except (RunError, ValueError, OSError) as error:
            return {"state": "broken", "error": error_message(error)}

    def _check_files(self) -> None:
        """Raise RunError, ValueError or OSError if one of the small files is broken."""
        config = self.folder / "config.json"
        if config.exists():
            self.experiment()
        elif any((self.folder / name).exists() for name in _RECORDS):
            raise broken(config, "there is no such file")
        self.metrics()
        self.provenance()

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
        except PermissionError:  # of another user, whose lock cannot be tested
            return time.time() - self.status().get("heartbeat", 0) < _RECENT

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
        place = (self.folder, self.argument)
        check_settings(self.experiment(), requested, *place, self.is_finished())

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
        records = [name for name in _RECORDS if (self.folder / name).exists()]
        if not records and (self.folder / TENSORS).is_file():
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
        is_finished = self.metrics() or (self.folder / TENSORS).is_file()
        if is_finished and not self.checkpoints.steps():
            raise RunError(
                f"{self.folder} is finished, and its checkpoints are gone: it can be read "
                "(posenfs.load_model, posenfs compare and report) but not continued; search under "
                "another name, or remove that folder"
            )

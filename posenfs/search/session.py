"""The search of an experiment: step it, rewind it, branch it, or run it to the end."""

import threading
import weakref
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from posenfs.data.sample import Annotations
from posenfs.evaluation.metrics import metric_title
from posenfs.messages import note, unknown_entry
from posenfs.model.architecture import Architecture
from posenfs.model.network import PoseNetwork
from posenfs.search.batches import LoadingOptions
from posenfs.search.branching import check_edits, open_branch
from posenfs.search.checkpoints import RunError
from posenfs.search.control import Control
from posenfs.search.distributed import ProcessGroup
from posenfs.search.experiment import Experiment
from posenfs.search.loop import run_until
from posenfs.search.opening import prepare, with_own_definition
from posenfs.search.provenance import find_device, restore_environment
from posenfs.search.recorded_trainer import RecordedTrainer
from posenfs.search.run_dir import RunDir, find_run, runs_home
from posenfs.search.run_writer import RunWriter
from posenfs.search.strategies import STRATEGIES


class Search:
    """A search in a run directory.

    If the directory holds the same experiment, it continues from the last checkpoint. It takes over
    from an older Search of the same process, for example when a notebook cell runs again.

    It holds the lock of its directory until it is finished; `rewind` takes the lock again.
    On a CPU, with the same versions and number of threads, a resumed search repeats an
    uninterrupted one bit for bit, for any number of workers.

    Args:
        experiment: An experiment, or a run to continue (its folder or its name).
        folder: The run directory; None: reports/runs/<name>, or that of the run.
        device: auto, cpu, cuda or cuda:N.
        workers: Number of processes that decode images, where crops are plain.
        progress: Whether to show progress bars and notes.
        strict: Whether a broken image is an error; otherwise its annotations are left out.
        cache_gb: Disk space for cached crops (`training.crops`), in GB.

    Attributes:
        run: The run directory.
        trainer: The trainer, with the network, the strategy and the splits.
        control: Executes commands from other threads and processes.

    Raises:
        ValueError: The experiment cannot be built.
        DataError: Its data are missing or invalid.
        RunError: The directory holds another experiment, or another process searches there.
    """

    def __init__(
        self,
        experiment: Experiment | str | Path | RunDir,
        folder: str | Path | None = None,
        device: str = "auto",
        workers: int = 0,
        progress: bool = True,
        strict: bool = False,
        cache_gb: float = 20.0,
    ):
        if not isinstance(experiment, Experiment):
            run = experiment if isinstance(experiment, RunDir) else find_run(experiment)
            experiment, folder = run.experiment(), run.folder
        experiment = Experiment.from_json(experiment.to_json())  # checks types; lists -> tuples
        if experiment.search.strategy not in STRATEGIES:
            raise ValueError(unknown_entry("strategy", experiment.search.strategy, STRATEGIES))
        self.device = find_device(device)
        self.group = ProcessGroup(self.device)
        self.run = RunDir(folder or runs_home() / experiment.name)
        self.experiment = experiment = with_own_definition(experiment, self.run)
        self._writer = RunWriter(self.run, enabled=self.group.is_main)
        self._writer.owner_close = weakref.WeakMethod(self.close)
        self.thread_lock = threading.RLock()  # held to step, rewind, save or close
        self._closed = False
        self._options = LoadingOptions(workers, progress and self.group.is_main, strict, cache_gb)
        try:
            # Rank 0 draws data, caches crops and creates the directory; the others find them.
            with self.group.main_first():
                self.trainer = prepare(
                    experiment, self._writer, self.group, self.device, self._options
                )
            self.control = Control(self.run.folder, self.group)
            restore_environment(self.run.provenance(), self.device, self.group)
            self.recorded = RecordedTrainer(
                self.trainer, self._writer, self.control, self._options.progress
            )
            if not (self.finished and self.run.is_finished()):
                self._take_lock()
            self.recorded.begin()
        except KeyboardInterrupt as interrupt:
            self.close()
            message = f"interrupted while {self.run.folder} was prepared, before any training step"
            raise type(interrupt)(
                *(interrupt.args or [f"{message}; the same command, or cell, continues"])
            ) from None
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        state = "closed" if self._closed else self.run.status().get("state", "not begun")
        score = self.metrics.get(self.primary_metric)
        return (
            f"Search({self.experiment.name}: {state}, step {self.step_number} of {self.steps}, "
            f"epoch {self.epoch_number} of {self.experiment.training.epochs}, "
            f"{metric_title(self.primary_metric)} {'-' if score is None else f'{score:.1f}'},\n"
            f"       in {self.run.folder})"
        )

    @property
    def model(self) -> PoseNetwork:
        """The network."""
        return self.trainer.model

    @property
    def train(self) -> Annotations:
        """The training split."""
        return self.trainer.batches.train

    @property
    def valid(self) -> Annotations:
        """The validation split."""
        return self.trainer.batches.valid

    @property
    def steps_per_epoch(self) -> int:
        """Number of training steps in an epoch."""
        return self.trainer.steps_per_epoch

    @property
    def step_number(self) -> int:
        """Number of training steps done."""
        return self.trainer.step_number

    @property
    def epoch_number(self) -> int:
        """Number of whole epochs done."""
        return self.trainer.epoch_number

    @property
    def steps(self) -> int:
        """Number of training steps of the whole search."""
        return self.recorded.steps

    @property
    def finished(self) -> bool:
        """Whether the search has taken all steps, or stopped early."""
        return self.recorded.finished

    @property
    def metrics(self) -> dict[str, float | None]:
        """The metrics of the last evaluation, in percent."""
        return self.recorded.metrics

    @property
    def primary_metric(self) -> str:
        """The name of the primary metric."""
        return self.recorded.primary_metric

    def step(self) -> None:
        """Take one training step, unless finished; at an epoch's end evaluate and save."""
        with self.thread_lock:
            self.check_usable()
            if not self.finished:
                self.recorded.take_step()

    def epoch(self) -> dict[str, float | None]:
        """Run to the end of the current epoch; returns its metrics, in percent."""
        with self.thread_lock:
            self.check_usable()  # may restore an earlier step
            end = (self.epoch_number + 1) * self.steps_per_epoch
        run_until(self, min(end, self.steps))
        return self.metrics

    def finish(self, wait_for_command: bool = False) -> dict[str, float | None]:
        """Run to the end; returns the metrics of the resulting network, in percent.

        Args:
            wait_for_command: Whether to wait for a command before the first step.

        Raises:
            KeyboardInterrupt: Ctrl-C, or a command, stopped the search after a step; a checkpoint
                is saved, and the message says how to continue.
            NonFiniteLoss: The loss is NaN or infinite.
            OutOfMemory: The device's memory is too small.
        """
        if wait_for_command:
            self.control.await_command()
        run_until(self, self.steps)
        return self.metrics

    def checkpoint(self) -> None:
        """Save the full state, from which the search continues exactly."""
        with self.thread_lock:
            self.check_usable()
            self.recorded.save()

    def rewind(self, step: int) -> None:
        """Restore the state after a training step; step 0 is the beginning.

        Later records move to branches/ in the run directory. Without a checkpoint of that step, the
        search replays the steps from the previous checkpoint and reaches the same state.

        Args:
            step: A step that the search has done.

        Raises:
            ValueError: The step is not done yet.
            RunError: The search runs in several processes.
        """
        with self.thread_lock:
            self.check_usable()
            self._check_step(step, "rewound to")
            self._take_lock()
            self._check_step(step, "rewound to")  # another process may have rewound it
            archive = self.recorded.rewind(step)
        if self.recorded.progress:
            note(f"back at step {step}; later records are in {archive}")

    def branch(
        self, step: int, name: str, edits: Mapping[str, Architecture] | None = None
    ) -> "Search":
        """Create another run that continues from a step of this one, which stays as it is.

        Args:
            step: A step that the search has done.
            name: The name of the new run.
            edits: New alpha and beta at that step, by fabric.

        Raises:
            ValueError: The step is not done yet, or a fabric is unknown.
            RunError: The name is taken, or the search runs in several processes.
        """
        with self.thread_lock:
            self.check_usable()
            self._check_step(step, "branched at")
            check_edits(self.model.architectures(), edits or {})
            self.recorded.save()
        options = asdict(self._options)
        return Search.branch_of(self.run, step, name, edits, str(self.device), **options)

    @staticmethod
    def branch_of(
        run: RunDir,
        step: int,
        name: str,
        edits: Mapping[str, Architecture] | None = None,
        device: str = "auto",
        **options: Any,
    ) -> "Search":
        """Branch a run that need not be open, at or before its last checkpoint (see `branch`)."""

        def open_search(forked: RunDir) -> Search:
            return Search(forked, None, device, **options)

        return open_branch(run, step, name, edits or {}, open_search)

    def close(self) -> None:
        """Release the run directory, after the current step; the search can no longer be used."""
        with self.thread_lock:
            self._closed = True
            self._writer.close()

    def check_open(self) -> None:
        """Raise RunError if the search is closed."""
        if self._closed:
            raise RunError(
                f"this search has released {self.run.folder}; open it again with Search(...)"
            )

    def check_usable(self) -> None:
        """Check that the search is open; after an aborted step restore the last checkpoint."""
        self.check_open()
        if self.recorded.step_is_broken:
            self.recorded.restore()

    def _check_step(self, step: int, action: str) -> None:
        """Check that the search can be "rewound to" or "branched at" a step."""
        number, processes = self.step_number, self.group.world_size
        if processes > 1:
            search = f"a search in {processes} processes"
            raise RunError(f"{search} cannot be {action} a step; stop it, and open its run in one")
        if not 0 <= step <= number:
            allowed = f"it can be {action} step 0 to {number}, not {step}"
            raise ValueError(f"this search is at step {number}: {allowed}")

    def _take_lock(self) -> None:
        """Take the lock, and read the run again, which other processes may have changed."""
        if not self._writer.is_open:
            self._writer.open()
            self.recorded.restore()

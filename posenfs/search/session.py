"""The search of an experiment: step it, rewind it, branch it, or run it to the end."""

import threading
import weakref
from collections.abc import Mapping
from pathlib import Path

from posenfs.data.sample import Annotations
from posenfs.evaluation.metrics import metric_title
from posenfs.messages import note, unknown_entry
from posenfs.model.architecture import Architecture
from posenfs.model.network import PoseNetwork
from posenfs.search.branching import check_edits, open_branch
from posenfs.search.checkpoints import RunError
from posenfs.search.control import Command, Control
from posenfs.search.distributed import ProcessGroup
from posenfs.search.experiment import Experiment
from posenfs.search.loop import run_until
from posenfs.search.opening import OpeningOptions, prepare
from posenfs.search.provenance import find_device, restore_environment
from posenfs.search.recorded_trainer import RecordedTrainer
from posenfs.search.run_dir import RunDir, find_run, runs_home
from posenfs.search.run_writer import RunWriter
from posenfs.search.strategies import STRATEGIES


class Search:
    """A search in a run directory.

    On the directory of the same experiment it continues from the last checkpoint. In a notebook,
    a new Search takes the directory over from an older object of the same process.

    A search that is not finished holds the lock of its directory. A finished one only reads, in any
    number of processes; `rewind` takes the lock again.

    The order of samples and the augmentation depend on (seed, epoch, index) alone: on a CPU, with the
    same versions and number of threads, a resumed search repeats an uninterrupted one bit for bit,
    for any number of workers.

    Args:
        experiment: An experiment, whose folder is reports/runs/<name>, or a run to continue (its
            folder or its name).
        folder: Another run directory.
        device: auto, cpu, cuda or cuda:N.
        workers: Number of processes that decode images, where crops are plain.
        progress: Whether to show progress bars and notes.
        strict: Whether a broken image is an error; otherwise its people are left out.
        cache_gb: Disk space for cached crops (`training.crops`), in GB.

    Attributes:
        run: The run directory.
        trainer: The trainer, with the network, the strategy and the splits.
        control: Executes commands from other threads and processes.

    Raises:
        ValueError: The experiment cannot be built.
        DataError: Its data are missing or invalid.
        RunError: The directory holds another experiment, or another process searches there. Nothing
            is written in any of these cases.
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
        # Checks the types, and makes tuples of lists.
        self.experiment = experiment = Experiment.from_json(experiment.to_json())
        if experiment.search.strategy not in STRATEGIES:
            raise ValueError(unknown_entry("strategy", experiment.search.strategy, STRATEGIES))
        self.device = find_device(device)
        self.group = ProcessGroup(self.device)
        self.progress = progress and self.group.is_main
        self.run = RunDir(folder or runs_home() / experiment.name)
        self._writer = RunWriter(self.run, enabled=self.group.is_main)
        self._writer.owner_close = weakref.WeakMethod(self.close)
        # Held by the thread that steps, rewinds, saves or closes.
        self._thread_lock = threading.RLock()
        self._closed = False
        options = OpeningOptions(workers, self.progress, strict, cache_gb)
        self._options = {"workers": workers, "progress": progress, "cache_gb": cache_gb}
        try:
            # Rank 0 draws data, caches crops and creates the directory; the others find them.
            with self.group.main_first():
                self.trainer = prepare(experiment, self._writer, self.group, self.device, options)
            self._resume()
        except KeyboardInterrupt as interrupt:
            self.close()
            message = (
                f"interrupted while {self.run.folder} was prepared, before any training step; the "
                "same command, or cell, continues"
            )
            raise type(interrupt)(*(interrupt.args or [message])) from None
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

    # -- opening -------------------------------------------------------------------------------

    def _resume(self) -> None:
        """Restore the last checkpoint; of a finished run also its result."""
        self.control = Control(self.run.folder, self.group)
        restore_environment(self.run.provenance(), self.device, self.group)
        self._recorded = RecordedTrainer(self.trainer, self._writer, self.control, self.progress)
        if not (self.finished and self.run.is_finished()):
            self._take_lock()
        if not self.finished:
            self._recorded.write_status("ready")
        elif self.run.is_complete():
            self._recorded.metrics = self.run.metrics()["metrics"]
            self._recorded.load_chosen()
            self._recorded.write_status("finished")
            self._writer.close()
        else:
            self._recorded.write_result()

    # -- state ---------------------------------------------------------------------------------

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
        return self._recorded.steps

    @property
    def finished(self) -> bool:
        """Whether the search has taken all steps, or stopped early."""
        return self._recorded.finished

    @property
    def metrics(self) -> dict[str, float | None]:
        """The metrics of the last evaluation, in percent."""
        return self._recorded.metrics

    @property
    def primary_metric(self) -> str:
        """The name of the metric that stands for the result."""
        return self._recorded.primary_metric

    # -- stepping ------------------------------------------------------------------------------

    def step(self) -> None:
        """Take one training step, at an epoch's end with evaluation and checkpoint.

        A finished search stays as it is.
        """
        with self._thread_lock:
            self._check_usable()
            if not self.finished:
                self._recorded.take_step()

    def epoch(self) -> dict[str, float | None]:
        """Run to the end of the current epoch, with a progress bar.

        Returns:
            The metrics of its evaluation, in percent.
        """
        with self._thread_lock:
            self._check_usable()
            end = (self.epoch_number + 1) * self.steps_per_epoch
        return self._run_until(end)

    def finish(self, wait_for_command: bool = False) -> dict[str, float | None]:
        """Run to the end, with a progress bar.

        Args:
            wait_for_command: Whether to wait for a command (`posenfs control`) before the first
                step.

        Returns:
            The metrics of the network that the search found, in percent.

        Raises:
            KeyboardInterrupt: Ctrl-C, or a command, stopped the search after a step; a checkpoint
                is saved, and the message says how to continue.
            NonFiniteLoss: The loss is NaN or infinite.
            OutOfMemory: The device's memory is too small.
        """
        if wait_for_command:
            self.control.await_command()
        return self._run_until(self.steps)

    def checkpoint(self) -> None:
        """Save the full state, from which the search continues exactly."""
        with self._thread_lock:
            self._check_usable()
            self._recorded.save()

    def rewind(self, step: int) -> None:
        """Restore the state after a training step; step 0 is the beginning.

        Later records move to branches/ in the run directory. Without a checkpoint of that step, the
        search replays the steps from the checkpoint before, to the same state.

        Args:
            step: A step that the search has done.

        Raises:
            ValueError: The step is not done yet.
            RunError: The search runs in several processes.
        """
        with self._thread_lock:
            self._check_usable()
            self._check_single_process("rewound")
            self._check_done(step)
            self._take_lock()
            self._check_done(step)  # another process may have rewound it meanwhile
            self._recorded.save()
            archive = self._writer.archive_after(step)
            self._recorded.restore()
            self._recorded.replay(step)
            self._recorded.save()
            if self.finished:  # nothing came later: the result stays as it is
                self._recorded.write_result()
            else:
                self._recorded.write_status("rewound")
        if self.progress:
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
        with self._thread_lock:
            self._check_usable()
            self._check_single_process("branched")
            if not 0 <= step <= self.step_number:
                raise ValueError(
                    f"this search is at step {self.step_number}: it has no step {step} to branch from"
                )
            check_edits(self.model.architectures(), edits or {})
            self._recorded.save()
        return Search.branch_of(self.run, step, name, edits, str(self.device), **self._options)

    @staticmethod
    def branch_of(
        run: RunDir,
        step: int,
        name: str,
        edits: Mapping[str, Architecture] | None = None,
        device: str = "auto",
        **options: float,
    ) -> "Search":
        """Branch a run that need not be open.

        Args:
            run: The run.
            step: A step not after its last checkpoint.
            name: The name of the new run.
            edits: New alpha and beta at that step, by fabric.
            device: auto, cpu, cuda or cuda:N.
            **options: Other arguments of Search.

        Raises:
            ValueError: The step is after the last checkpoint, or a fabric is unknown.
            RunError: The name is taken.
        """

        def open_search(forked: RunDir) -> Search:
            return Search(forked, None, device, **options)

        return open_branch(run, step, name, edits or {}, open_search)

    def begin_branch(self, step: int, edits: Mapping[str, Architecture]) -> None:
        """Take steps up to `step`, replace alpha and beta of some fabrics, and save."""
        self._recorded.begin_branch(step, edits)

    def close(self) -> None:
        """Release the run directory, after the current step of another thread.

        The object can no longer be stepped, and writes nothing more.
        """
        with self._thread_lock:
            self._closed = True
            self._writer.close()

    # -- inside --------------------------------------------------------------------------------

    def _run_until(self, step: int) -> dict[str, float | None]:
        with self._thread_lock:
            self._check_usable()
            self._recorded.recorder.restart_clock()
        last_step = min(step, self.steps)
        run_until(
            self._recorded, last_step, self.step, self._execute, self._report, self._interrupted
        )
        return self.metrics

    def _execute(self, command: Command) -> None:
        """Execute a checkpoint or rewind command."""
        if command.name == "checkpoint":
            self.checkpoint()
        else:
            self.rewind(command.steps)

    def _report(self, state: str, error: str) -> None:
        """Write the state and the error of the last command in one status."""
        with self._thread_lock:
            self._check_open()
            self._recorded.write_rows()
            self._recorded.write_status(state, **({"error": error} if error else {}))

    def _interrupted(self) -> None:
        """Save a checkpoint of a stopped search."""
        with self._thread_lock:
            self._recorded.save()
            self._recorded.write_status("interrupted")

    def _check_usable(self) -> None:
        """Raise RunError if the search is closed; restore the last checkpoint after an aborted step."""
        self._check_open()
        if self._recorded.step_is_broken:
            self._recorded.restore()

    def _check_open(self) -> None:
        if self._closed:
            raise RunError(
                f"this search has released {self.run.folder}; make a new one on it: Search(...)"
            )

    def _take_lock(self) -> None:
        """Take the lock, and read the run again, which other processes may have changed."""
        if not self._writer.is_open:
            self._writer.open()
            self._recorded.restore()

    def _check_done(self, step: int) -> None:
        if not 0 <= step <= self.step_number:
            raise ValueError(
                f"this search is at step {self.step_number}: it can go back to one from 0 to that, "
                f"not {step}"
            )

    def _check_single_process(self, action: str) -> None:
        if self.group.world_size > 1:
            raise RunError(
                f"a search in {self.group.world_size} processes is not {action}; stop it, and open "
                "its run in one"
            )

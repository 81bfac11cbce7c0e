"""The loop of a search: progress bar, commands, signals and failures."""

import contextlib
import functools
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from tqdm import tqdm

from posenfs.data.files import DiskFullError
from posenfs.data.workers import WorkerError
from posenfs.evaluation.metrics import metric_title
from posenfs.search.control import Command
from posenfs.search.failures import NonFiniteLoss, OutOfMemory, is_out_of_memory, memory_message
from posenfs.search.recorded_trainer import RecordedTrainer
from posenfs.search.signals import Terminated


class Steppable(Protocol):
    """A search, as the loop uses it."""

    @property
    def recorded(self) -> RecordedTrainer:
        """The trainer and its records."""

    @property
    def thread_lock(self) -> AbstractContextManager:
        """Held by the thread that steps, rewinds, saves or closes."""

    def step(self) -> None:
        """Take one training step."""

    def checkpoint(self) -> None:
        """Save a checkpoint."""

    def rewind(self, step: int) -> None:
        """Restore the state after a step."""

    def check_open(self) -> None:
        """Raise RunError if the search is closed."""

    def check_usable(self) -> None:
        """Check that the search is open; after an aborted step restore the last checkpoint."""


def run_until(search: Steppable, last_step: int) -> None:
    """Take steps until the last one, a command or a signal ends the loop.

    Args:
        search: The search.
        last_step: The step to stop at.

    Raises:
        KeyboardInterrupt: Ctrl-C or a command stopped the search; the message says how to continue.
        Terminated: SIGTERM stopped it.
        NonFiniteLoss: The loss is NaN or infinite.
        OutOfMemory: The device's memory is too small.
    """
    with search.thread_lock:
        search.check_usable()
        recorded = search.recorded
        recorded.recorder.restart_clock()
    trainer, control, training = recorded.trainer, recorded.control, recorded.experiment.training
    execute = functools.partial(_execute, search)
    report = functools.partial(_report, search)
    stopped = False
    with control.interruptible(), _failures(recorded), _progress_bar(recorded) as bar:
        while (
            trainer.step_number < last_step
            and not recorded.finished
            and control.proceed(execute, report)
        ):
            search.step()
            epoch = min(trainer.epoch_number + 1, training.epochs)
            bar.set_description(f"epoch {epoch}/{training.epochs}", False)
            bar.set_postfix_str(_progress_text(recorded), False)
            bar.update(training.batch_size)
        stopped = trainer.group.broadcast(control.stop) and not recorded.finished
        if stopped:
            with search.thread_lock:
                recorded.save()
                recorded.write_status("interrupted")
            # torchrun ends all processes once one has ended: wait for rank 0's checkpoint.
            trainer.group.broadcast(None)
    if stopped:
        raise _interrupt(
            recorded,
            f"stopped after step {trainer.step_number} of {recorded.steps}; saved in "
            f"{recorded.run.folder}. {_how_to_continue(recorded)}, continues from here",
        )


def _execute(search: Steppable, command: Command) -> None:
    """Execute a checkpoint or rewind command."""
    if command.name == "checkpoint":
        search.checkpoint()
    else:
        search.rewind(command.steps)


def _report(search: Steppable, state: str, error: str) -> None:
    """Write the state and the error of the last command in one status."""
    with search.thread_lock:
        search.check_open()
        search.recorded.write_rows()
        search.recorded.write_status(state, **({"error": error} if error else {}))


def _progress_text(recorded: RecordedTrainer) -> str:
    """Return step, last loss and primary metric."""
    parts = [f"step {recorded.trainer.step_number}"]
    if recorded.recorder.last_loss is not None:
        parts.append(f"loss {recorded.recorder.last_loss:.3f}")
    if (score := recorded.metrics.get(recorded.primary_metric)) is not None:
        parts.append(f"{metric_title(recorded.primary_metric)} {score:.1f}")
    return " ".join(parts)


def _how_to_continue(recorded: RecordedTrainer) -> str:
    return f"`posenfs resume {recorded.run.argument}`, or the same command or cell"


def _interrupt(recorded: RecordedTrainer, message: str) -> KeyboardInterrupt:
    """Return the exception of a stopped search; only that of rank 0 has a message."""
    kind = Terminated if recorded.control.terminated else KeyboardInterrupt
    return kind(*([message] if recorded.trainer.group.is_main else []))


def _aborted(recorded: RecordedTrainer, error: BaseException) -> BaseException:
    """Return the exception of an aborted step; the status names the last checkpoint."""
    step, metrics = recorded.saved
    epoch = step // recorded.trainer.steps_per_epoch
    with contextlib.suppress(OSError):
        recorded.write_status("interrupted", step=step, epoch=epoch, metrics=metrics)
    if isinstance(error, KeyboardInterrupt) and error.args:
        return error
    return _interrupt(
        recorded,
        f"aborted after step {recorded.trainer.step_number}. {_how_to_continue(recorded)}, "
        f"continues from step {step} of {recorded.steps}, saved in {recorded.run.folder}",
    )


def _continuable(
    recorded: RecordedTrainer, error: DiskFullError | WorkerError
) -> DiskFullError | WorkerError:
    """Return the error of a search that can go on, with how; the status names the checkpoint."""
    step, metrics = recorded.saved
    message = (
        f"{error}. Afterwards {_how_to_continue(recorded)}, continues from step {step} of "
        f"{recorded.steps}, saved in {recorded.run.folder}"
    )
    epoch = step // recorded.trainer.steps_per_epoch
    with contextlib.suppress(OSError):  # a full disk must not hide the error
        recorded.write_status("failed", step=step, epoch=epoch, metrics=metrics, error=message)
    return type(error)(message)


@contextlib.contextmanager
def _progress_bar(recorded: RecordedTrainer) -> Iterator[tqdm]:
    size = recorded.experiment.training.batch_size
    with tqdm(
        total=recorded.steps * size,
        initial=recorded.trainer.step_number * size,
        unit="img",
        unit_scale=True,
        disable=not recorded.progress,
        mininterval=1.0,
    ) as recorded.progress_bar:
        yield recorded.progress_bar
        recorded.progress_bar.refresh()


@contextlib.contextmanager
def _failures(recorded: RecordedTrainer) -> Iterator[None]:
    """Write the reason of a failure to the status."""
    try:
        yield
    except NonFiniteLoss:
        raise
    except BaseException as error:
        message = str(error)
        # SIGTERM may reach the worker processes as well; without them the step fails.
        worker_ended = recorded.control.stop and isinstance(error, WorkerError)
        if isinstance(error, KeyboardInterrupt) or worker_ended:
            raise _aborted(recorded, error) from None
        if isinstance(error, DiskFullError | WorkerError):
            raise _continuable(recorded, error) from None
        if out_of_memory := is_out_of_memory(error):
            trainer = recorded.trainer
            message = memory_message(
                trainer.model, recorded.experiment, trainer.device, trainer.group.world_size
            )
            message = f"{message}; saved checkpoints are in {recorded.run.folder}"
        with contextlib.suppress(OSError):  # a full disk must not hide the first error
            recorded.write_status("failed", error=f"{type(error).__name__}: {message}")
        if out_of_memory:
            raise OutOfMemory(message) from error
        raise

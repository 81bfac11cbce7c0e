"""The loop of a search: progress bar, commands, signals and failures."""

import contextlib
from collections.abc import Callable, Iterator

from tqdm import tqdm

from posenfs.search.control import Command
from posenfs.search.failures import NonFiniteLoss, OutOfMemory, is_out_of_memory, memory_message
from posenfs.search.recorded_trainer import RecordedTrainer
from posenfs.search.signals import Terminated


def run_until(
    recorded: RecordedTrainer,
    last_step: int,
    take_step: Callable[[], None],
    execute: Callable[[Command], None],
    report: Callable[[str, str], None],
    save_interrupted: Callable[[], None],
) -> None:
    """Take steps until a step, a command or a signal ends the loop.

    Args:
        recorded: The trainer of the search.
        last_step: The step to stop at.
        take_step: Takes one step.
        execute: Executes a checkpoint or rewind command.
        report: Writes the state and the error of the last command to the status.
        save_interrupted: Saves a checkpoint and writes that the search is interrupted.

    Raises:
        KeyboardInterrupt: Ctrl-C or a command stopped the search; the message says how to continue.
        Terminated: SIGTERM stopped it.
        NonFiniteLoss: The loss is NaN or infinite.
        OutOfMemory: The device's memory is too small.
    """
    trainer, control = recorded.trainer, recorded.control
    group, training = trainer.group, recorded.experiment.training
    stopped = False
    with control.interruptible(), _failures(recorded), _progress_bar(recorded) as bar:
        while (
            trainer.step_number < last_step
            and not recorded.finished
            and control.proceed(execute, report)
        ):
            take_step()
            epoch = min(trainer.epoch_number + 1, training.epochs)
            bar.set_description(f"epoch {epoch}/{training.epochs}", False)
            bar.set_postfix_str(recorded.progress_text, False)
            bar.update(training.batch_size)
        stopped = group.broadcast(control.stop) and not recorded.finished
        if stopped:
            save_interrupted()
            # torchrun ends all processes once one has ended: wait for rank 0's checkpoint.
            group.broadcast(None)
    if stopped:
        raise _interrupt(
            recorded,
            f"stopped after step {trainer.step_number} of {recorded.steps}; saved in "
            f"{recorded.run.folder}. {_how_to_continue(recorded)}, continues from here",
        )


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
        f"aborted after step {recorded.trainer.step_number}. {_how_to_continue(recorded)}, continues "
        f"from step {step} of {recorded.steps}, saved in {recorded.run.folder}",
    )


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
        worker_ended = recorded.control.stop and "DataLoader worker" in message
        if isinstance(error, KeyboardInterrupt) or worker_ended:
            raise _aborted(recorded, error) from None
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

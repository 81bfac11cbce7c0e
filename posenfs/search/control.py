"""Control of a running search: commands from this process, from other processes, and signals.

A search of this process takes commands from a `CommandQueue`. Another process writes them to the
run directory (`CommandFile`). Both carry the same commands.
"""

import contextlib
import json
import math
import queue
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from filelock import FileLock

from posenfs.data.files import write_atomic
from posenfs.search.checkpoints import RunError
from posenfs.search.distributed import ProcessGroup
from posenfs.search.migration import migrate_command
from posenfs.search.signals import handlers

COMMANDS = ("pause", "resume", "step", "checkpoint", "rewind", "stop")
_POLL = 0.05  # s between checks for commands while paused
_HEARTBEAT = 5.0  # s between updates of the status while paused


@dataclass(frozen=True)
class Command:
    """A command to a running search.

    Attributes:
        name: pause, resume, step (take `steps` steps, then pause), checkpoint, rewind (restore the
            state after step `steps`, then pause) or stop.
        steps: A number of steps, or for rewind a step.

    Raises:
        ValueError: The name is unknown, or `steps` is too small.
    """

    name: str
    steps: int = 1

    def __post_init__(self):
        if self.name not in COMMANDS:
            raise ValueError(f"unknown command {self.name!r}; known: {', '.join(COMMANDS)}")
        least = 0 if self.name == "rewind" else 1
        if self.steps < least:
            raise ValueError(f"the steps of {self.name!r} are at least {least}; got {self.steps}")


class CommandQueue:
    """Commands from the threads of the search's own process."""

    def __init__(self):
        self._pending: queue.SimpleQueue[tuple[Command, Future]] = queue.SimpleQueue()

    def send(self, command: Command) -> Future:
        """Add a command.

        Returns:
            A future without a value, done once the search has executed the command. It raises
            RunError if the command fails or the search ends first.
        """
        future: Future = Future()
        self._pending.put((command, future))
        return future

    def receive(self) -> tuple[Command, Future] | None:
        """Return the next command and its future, if there is one."""
        try:
            return self._pending.get_nowait()
        except queue.Empty:
            return None

    def cancel(self, reason: str) -> None:
        """Fail all pending commands with a RunError."""
        while (received := self.receive()) is not None:
            received[1].set_exception(RunError(reason))


class CommandFile:
    """Commands from other processes: control.json of a run directory, which holds the last one.

    The search writes the command's number to its status once it has executed it.

    Args:
        run: The run's folder.
    """

    def __init__(self, run: Path):
        self._path, self._lock = run / "control.json", run / ".control.lock"

    def send(self, command: Command) -> int:
        """Write a command; returns its number."""
        with FileLock(self._lock):
            number = self.last()[0] + 1
            content = {"number": number, "command": command.name, "steps": command.steps}
            write_atomic(self._path, json.dumps(content, indent=2) + "\n")
        return number

    def last(self) -> tuple[int, Command | None]:
        """Return the last command and its number; 0 and None before the first one."""
        try:
            content = migrate_command(json.loads(self._path.read_text()))
            return content["number"], Command(content["command"], content["steps"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):  # none, or a broken one
            return 0, None


class Control:
    """Decides before every step of a search whether it is taken, and executes commands.

    Rank 0 receives commands and signals and broadcasts them.

    Args:
        run: The run's folder.
        group: The processes of the search.

    Attributes:
        commands: Commands from this process.
        executed: The number of the last executed command of the file.
        stop: Whether the search must end after the current step.
        terminated: Whether SIGTERM is the reason.
    """

    def __init__(self, run: Path, group: ProcessGroup):
        self.commands, self._file, self._group = CommandQueue(), CommandFile(run), group
        self.stop = self.terminated = False
        self.executed: int = group.broadcast(self._file.last()[0])  # ignore earlier ones
        self._steps_left: int | None = None  # before a pause; None: no pause

    def pause(self) -> None:
        """Pause before the next step."""
        self._steps_left = 0

    def await_command(self) -> None:
        """Pause before the next step; commands written to the file until now are ignored."""
        self.pause()
        self.executed = self._group.broadcast(self._file.last()[0])

    def proceed(
        self, execute: Callable[[Command], None], report: Callable[[str, str], None]
    ) -> bool:
        """Execute pending commands, and wait while the search is paused.

        Args:
            execute: Executes a checkpoint or rewind command. If it raises ValueError or RunError,
                the search stays as it is; after a rewind command it is paused.
            report: Writes the state ("running" or "paused") and the error of the last command to
                the status.

        Returns:
            Whether to take a step; False: the search must end.
        """
        error, reported = "", -math.inf
        while True:
            received = self.commands.receive() if self._group.is_main else None
            # A signal may set `self.stop` at any moment; all ranks act on what rank 0 read here.
            command, number, stop = self._group.broadcast(self._next(received))
            if command is not None:
                stop = stop or command.name == "stop"
                error = self._execute(command, execute)
                self.executed = number
                report(self._state, error)
                reported = time.monotonic()
                if received is not None:
                    _resolve(received[1], error)
            if stop or self._steps_left != 0:
                if self._steps_left is not None:
                    self._steps_left -= 1
                return not stop
            if time.monotonic() - reported > _HEARTBEAT:
                report("paused", error)
                reported = time.monotonic()
            if command is None:
                time.sleep(_POLL)

    @property
    def _state(self) -> str:
        return "paused" if self._steps_left == 0 else "running"

    def _next(self, received: tuple[Command, Future] | None) -> tuple[Command | None, int, bool]:
        """Return the next command, the number of the file's last executed one, and `stop`."""
        if not self._group.is_main:
            return None, 0, False  # replaced by the broadcast
        if received is not None:
            return received[0], self.executed, self.stop
        number, command = self._file.last()
        return (command if number != self.executed else None), number, self.stop

    def _execute(self, command: Command, execute: Callable[[Command], None]) -> str:
        """Execute a command; returns what went wrong, or ""."""
        match command.name:
            case "pause" | "rewind":
                self.pause()
            case "resume":
                self._steps_left = None
            case "step":
                self._steps_left = command.steps
            case "stop":
                self.stop = True
        if command.name in ("checkpoint", "rewind"):
            try:
                execute(command)
            except (ValueError, RunError) as error:
                return str(error)
        return ""

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Let Ctrl-C and SIGTERM end the search after the current step.

        A second Ctrl-C aborts the step. Further ones change nothing, so that the status is still
        written. Commands that are pending at the end fail.
        """
        self.stop = self.terminated = False
        interrupts = 0

        def interrupt(number: int, frame: FrameType | None) -> None:
            nonlocal interrupts
            interrupts += 1
            if interrupts == 2:
                raise KeyboardInterrupt
            self.stop = True

        def terminate(number: int, frame: FrameType | None) -> None:
            self.stop = self.terminated = True

        try:
            with handlers({signal.SIGINT: interrupt, signal.SIGTERM: terminate}):
                yield
        finally:
            self._steps_left = None
            self.commands.cancel("the search ended before it executed the command")


def _resolve(future: Future, error: str) -> None:
    if error:
        future.set_exception(RunError(error))
    else:
        future.set_result(None)

"""Control of a search, which runs in a thread of this kernel or in another process."""

import threading
import time
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, TimeoutError as FutureTimeout
from pathlib import Path

from posenfs.model.architecture import Architecture
from posenfs.model.memory import give_back_memory
from posenfs.search.checkpoints import RunError
from posenfs.search.control import Command
from posenfs.search.detached import DetachOptions, detach, send
from posenfs.search.experiment import Experiment
from posenfs.search.run_dir import RunDir, find_run, runs_home
from posenfs.search.session import Search

_TIMEOUT = 3600.0  # s to wait for a command: a rewind replays steps, an evaluation may be running
_SETTLING = 30.0  # s to wait for a starting or ending search to open or close its run
_COMMAND_STATES = ("running", "paused")  # states in which a search executes commands


class _SearchThread:
    """The thread of a Search in this kernel and the queue of its requests."""

    def __init__(self):
        self.requests = ThreadPoolExecutor(1, "requests")
        self.thread: threading.Thread | None = None


# Shared by all controllers of a search.
_THREADS: weakref.WeakKeyDictionary[Search, _SearchThread] = weakref.WeakKeyDictionary()


class SearchController:
    """Runs, pauses, steps, rewinds and branches the search of a run.

    Requests return at once and are executed one after the other: `doing` is the current request,
    `error` the last error. A Search runs in a thread of this kernel and takes its commands from a
    queue in memory. The search of an experiment or a run is controlled through its run directory,
    in the process where it runs; if none runs, a new process is started.

    Args:
        search: A search, an experiment, or a run (its name or folder).
        device: The device of a search in a new process: auto, cpu, cuda or cuda:N.

    Raises:
        RunError: There is no such run, or it holds another experiment.
    """

    def __init__(self, search: Search | Experiment | RunDir | str | Path, device: str = "auto"):
        self.search = search if isinstance(search, Search) else None
        self.run = _run_of(search)
        if isinstance(search, Experiment):
            self.run.check_holds(search)
            self.experiment = search
        else:
            self.experiment = self.run.experiment()
        self.device, self.doing, self.error = device, "", ""
        if self.search is None:
            self._worker = _SearchThread()
        else:
            self._worker = _THREADS.setdefault(self.search, _SearchThread())

    @property
    def under_way(self) -> bool:
        """Whether the search is open: it runs, is paused, starts or ends."""
        if self.search is None:
            return self.run.in_use()
        return self._worker.thread is not None and self._worker.thread.is_alive()

    @property
    def accepts_commands(self) -> bool:
        """Whether the search runs or is paused."""
        return self.under_way and self.run.status().get("state") in _COMMAND_STATES

    def go(self) -> None:
        """Run to the end."""
        self._request("starting", lambda: self._start_and_send("resume"))

    def step(self, steps: int) -> None:
        """Run training steps, then pause.

        Args:
            steps: The number of steps.
        """
        self._request("stepping", lambda: self._start_and_send("step", steps))

    def pause(self) -> None:
        """Pause after the current step."""
        self._request("pausing", lambda: self._send_if_running("pause"))

    def stop(self) -> None:
        """Stop after the current step, with a checkpoint."""
        self._request("stopping", lambda: self._send_if_running("stop"))

    def rewind(self, step: int) -> None:
        """Restore the state after a step, and pause. Later steps are kept in branches/.

        Args:
            step: A training step that the search has passed.
        """
        self._request(f"going back to step {step}", lambda: self._rewind(step))

    def branch(self, step: int, name: str, edits: Mapping[str, Architecture] | None = None) -> None:
        """Create a run that continues from a step of this run.

        Args:
            step: A training step that the search has passed.
            name: The name of the new run.
            edits: New alpha and beta by fabric; None for no edits.
        """
        self._request(f"branching {name} at step {step}", lambda: self._branch(step, name, edits))

    def wait(self) -> None:
        """Wait until all requests are executed."""
        self._worker.requests.submit(lambda: None).result()

    # -- in the thread of the requests ---------------------------------------------------------

    def _request(self, description: str, action: Callable[[], object]) -> None:
        """Add a request; `doing` is its description while it is executed."""

        def execute() -> None:
            self.doing, self.error = description, ""
            try:
                action()
            except Exception as error:
                self.error = f"{type(error).__name__}: {error}"
            finally:
                self.doing = ""

        self._worker.requests.submit(execute)

    def _settle(self) -> None:
        """Wait for a search that is starting or ending; raise RunError if it takes too long."""
        deadline = time.monotonic() + _SETTLING
        while self.under_way and not self.accepts_commands:
            if time.monotonic() > deadline:
                raise RunError(
                    f"{self.run.folder} is open in {self.run.holder()}, which does not search: "
                    "continue there, or end it"
                )
            time.sleep(0.02)

    def _start_and_send(self, command: str, steps: int = 1) -> None:
        """Start the search where it is not running, then send a command."""
        self._settle()
        if not self.under_way:
            if self.search is None:
                options = DetachOptions(self.device, wait_for_command=True)
                detach(self.experiment, self.run.folder, options, _TIMEOUT)
            else:
                self.search.recorded.progress = False  # a thread's bar would appear below any cell
                self._worker.thread = threading.Thread(
                    target=self._run_search, name=f"search {self.run.name}", daemon=True
                )
                self._worker.thread.start()
        self._send(command, steps)

    def _send(self, command: str, steps: int = 1) -> None:
        """Send a command and wait until it is executed."""
        if self.search is None:
            send(self.run, command, steps, _TIMEOUT)
            return
        future = self.search.control.commands.send(Command(command, steps))
        while True:
            try:
                future.result(timeout=0.1)
                return
            except FutureTimeout:
                if not self.under_way and not future.done():
                    reason = self.run.status().get("error") or self.run.state()
                    raise RunError(f"the search in {self.run.folder} ended: {reason}") from None

    def _send_if_running(self, command: str) -> None:
        """Send a command to a running search; ignore failures of a search that has just ended."""
        if self.accepts_commands:
            try:
                self._send(command)
            except RunError:
                if self.accepts_commands:
                    raise

    def _run_search(self) -> None:
        try:
            self.search.finish(wait_for_command=True)
        except KeyboardInterrupt:
            pass  # stopped by a command, which the state shows
        except Exception as error:
            self.error = f"{type(error).__name__}: {error}"
        finally:
            give_back_memory()

    def _rewind(self, step: int) -> None:
        self._settle()
        if self.under_way:
            self._send("rewind", step)
        elif self.search is not None:
            self.search.rewind(step)
        else:
            search = Search(self.run, device=self.device, progress=False)
            search.rewind(step)
            search.close()

    def _branch(self, step: int, name: str, edits: Mapping[str, Architecture] | None) -> None:
        if self.accepts_commands:
            self._send_if_running("checkpoint")
        elif self.search is not None:
            self._settle()
            self.search.checkpoint()
        Search.branch_of(self.run, step, name, edits, self.device).close()


def _run_of(search: Search | Experiment | RunDir | str | Path) -> RunDir:
    if isinstance(search, Experiment):
        return RunDir(runs_home() / search.name)
    if isinstance(search, Search):
        return search.run
    return search if isinstance(search, RunDir) else find_run(search)

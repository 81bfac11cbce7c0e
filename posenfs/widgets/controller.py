"""Control of a search, which runs in a thread of this kernel or in another process."""

import threading
import time
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from posenfs.model.architecture import Architecture
from posenfs.model.memory import give_back_memory
from posenfs.search.detached import detach, send
from posenfs.search.experiment import Experiment
from posenfs.search.run_dir import Run, RunError, find_run, runs_home
from posenfs.search.session import Search

_PATIENCE = 3600.0  # s to wait for a command: a rewind replays steps, an evaluation may be running
_SETTLING = 30.0  # s to wait for a starting or ending search to open or close its folder
_HEEDING = ("running", "paused")  # states in which a search processes commands


class _Hands:
    """The command queue and the thread of a Search in this kernel, shared by all its drivers."""

    def __init__(self):
        self.orders, self.thread = ThreadPoolExecutor(1, "orders"), None


_HANDS: weakref.WeakKeyDictionary[Search, _Hands] = weakref.WeakKeyDictionary()


class SearchController:
    """Runs, pauses, steps, rewinds and branches the search of a run.

    Commands return at once and are executed in a queue: `doing` is the current command, `error` the
    last error. A Search runs in a thread of this kernel. The search of an experiment or a run is
    controlled in the process where it runs, or is started in a new process.

    Args:
        search: A search, an experiment, or a run (its name or folder).
        device: The device of a search in a new process: auto, cpu, cuda or cuda:N.

    Raises:
        RunError: There is no such run, or it holds another experiment.
    """

    def __init__(self, search: Search | Experiment | Run | str | Path, device: str = "auto"):
        self.search = search if isinstance(search, Search) else None
        if isinstance(search, Experiment):
            self.run, self.experiment = Run(runs_home() / search.name), search
            self.run.check_holds(search)
        else:
            self.run = (
                search
                if isinstance(search, Run)
                else search.run
                if self.search
                else find_run(search)
            )
            self.experiment = self.run.experiment()
        self.device, self.doing, self.error = device, "", ""
        self._hands = _Hands() if self.search is None else _HANDS.setdefault(self.search, _Hands())

    @property
    def under_way(self) -> bool:
        """Whether a process has the run open: the search runs, is paused, starts or ends."""
        if self.search is None:
            return self.run.in_use()
        return self._hands.thread is not None and self._hands.thread.is_alive()

    @property
    def heeds(self) -> bool:
        """Whether commands are processed: the search runs or is paused."""
        return self.under_way and self.run.status().get("state") in _HEEDING

    def go(self) -> None:
        """Run to the end."""
        self._order("starting", lambda: self._tell("resume"))

    def step(self, steps: int) -> None:
        """Run training steps, then pause.

        Args:
            steps: The number of steps.
        """
        self._order("stepping", lambda: self._tell("step", steps))

    def pause(self) -> None:
        """Pause after the current step."""
        self._order("pausing", lambda: self._send_if_heeded("pause"))

    def stop(self) -> None:
        """Stop after the current step, with a checkpoint."""
        self._order("stopping", lambda: self._send_if_heeded("stop"))

    def rewind(self, step: int) -> None:
        """Restore the state after a step, and pause. Later steps are kept in branches/.

        Args:
            step: A training step that the search has passed.
        """
        self._order(f"going back to step {step}", lambda: self._rewind(step))

    def branch(self, step: int, name: str, edits: Mapping[str, Architecture] | None = None) -> None:
        """Create a run that continues from a step of this run.

        Args:
            step: A training step that the search has passed.
            name: The name of the new run.
            edits: New alpha and beta by fabric; None for no edits.
        """
        self._order(f"branching {name} at step {step}", lambda: self._branch(step, name, edits))

    def wait(self) -> None:
        """Wait until the queue is empty."""
        self._hands.orders.submit(lambda: None).result()

    # -- in the thread of the queue ------------------------------------------------------------

    def _order(self, description: str, order: Callable[[], object]) -> None:
        """Add a command to the queue; `doing` is its description while it is executed."""

        def do() -> None:
            self.doing, self.error = description, ""
            try:
                order()
            except Exception as error:
                self.error = f"{type(error).__name__}: {error}"
            finally:
                self.doing = ""

        self._hands.orders.submit(do)

    def _settle(self) -> None:
        """Wait for a starting or ending search; raise RunError where it does neither in time."""
        end = time.monotonic() + _SETTLING
        while self.under_way and not self.heeds:
            if time.monotonic() > end:
                raise RunError(
                    f"{self.run.folder} is open in {self.run.holder()}, which does not search: "
                    "go on there, or end it"
                )
            time.sleep(0.02)

    def _tell(self, command: str, steps: int = 1) -> None:
        """Start the search where it is not running, then send a command."""
        self._settle()
        if not self.under_way:
            if self.search is None:
                detach(self.experiment, self.run.folder, self.device, held=True, patience=_PATIENCE)
            else:
                self.search.progress = False  # a thread's bar would appear below any cell
                name = f"search {self.run.name}"
                self._hands.thread = threading.Thread(target=self._work, name=name, daemon=True)
                self._hands.thread.start()
                self._settle()
        self._send(command, steps)

    def _send(self, command: str, steps: int = 1) -> None:
        """Send a command and wait until it is processed; the next command would overwrite it."""
        send(self.run, command, steps, _PATIENCE, lambda: self.under_way)

    def _send_if_heeded(self, command: str) -> None:
        """Send a command to a running search; ignore failures of a search that has just ended."""
        if self.heeds:
            try:
                self._send(command)
            except RunError:
                if self.heeds:
                    raise

    def _work(self) -> None:
        try:
            self.search.finish(held=True)
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
        if self.heeds:
            self._send_if_heeded("checkpoint")
        elif self.search is not None:
            self._settle()
            self.search.checkpoint()
        Search.branch_of(self.run, step, name, edits, self.device).close()

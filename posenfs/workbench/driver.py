"""Whoever gives orders to a search: to one in this kernel, in a thread of its own, or to one in another process."""

import threading
import time
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from posenfs.model.architecture import Architecture
from posenfs.model.memory import give_back_memory
from posenfs.search.detached import detach, send
from posenfs.search.engine import Search
from posenfs.search.experiment import Experiment
from posenfs.search.run import Run, RunError, find_run, runs_home

_PATIENCE = 3600.0  # s; a rewind replays steps, and an evaluation may be under way
_SETTLING = 30.0  # s that a search takes at most to let go of its folder
_HEEDING = ("running", "paused")  # states in which a search does what it is told


class _Hands:
    """What gives orders to a Search of this kernel, and runs it: the same for everyone who steers it."""

    def __init__(self):
        self.orders, self.thread = ThreadPoolExecutor(1, "orders"), None


_HANDS: weakref.WeakKeyDictionary[Search, _Hands] = weakref.WeakKeyDictionary()


class Driver:
    """Runs, holds, steps, rewinds and branches the search of a run.

    No method waits: `doing` says what is being done, `error` what went wrong last. A Search is run in this kernel; that
    of an experiment or of a run is steered where it is under way, and begun in a process of its own where it is not.
    Raises RunError where there is no such run, or another experiment's.
    """

    def __init__(self, search: Search | Experiment | Run | str | Path, device: str = "auto"):
        self.search = search if isinstance(search, Search) else None
        if isinstance(search, Experiment):
            self.run, self.experiment = Run(runs_home() / search.name), search
            self.run.check_holds(search)
        else:
            self.run = search if isinstance(search, Run) else search.run if self.search else find_run(search)
            self.experiment = self.run.experiment()
        self.device, self.doing, self.error = device, "", ""
        self._hands = _Hands() if self.search is None else _HANDS.setdefault(self.search, _Hands())

    @property
    def under_way(self) -> bool:
        """Whether somebody has the run in hand: it runs, is paused, or has not let go yet."""
        if self.search is None:
            return self.run.in_use()
        return self._hands.thread is not None and self._hands.thread.is_alive()

    @property
    def heeds(self) -> bool:
        """Whether somebody heeds commands: the search runs, or is paused."""
        return self.under_way and self.run.status().get("state") in _HEEDING

    def go(self) -> None:
        """Run on, to the end."""
        self._order("starting", lambda: self._tell("resume"))

    def step(self, steps: int) -> None:
        """So many training steps, then hold."""
        self._order("stepping", lambda: self._tell("step", steps))

    def pause(self) -> None:
        """Hold after the step under way."""
        self._order("pausing", lambda: self._send_if_heeded("pause"))

    def stop(self) -> None:
        """End after the step under way, with a snapshot."""
        self._order("stopping", lambda: self._send_if_heeded("stop"))

    def rewind(self, step: int) -> None:
        """Back to the state after a step, and hold there; what came later is kept in branches/."""
        self._order(f"going back to step {step}", lambda: self._rewind(step))

    def branch(self, step: int, name: str, edits: Mapping[str, Architecture] | None = None) -> None:
        """A new run of that name that goes on from a step of this one."""
        self._order(f"branching {name} at step {step}", lambda: self._branch(step, name, edits))

    def wait(self) -> None:
        """Until all orders so far are given."""
        self._hands.orders.submit(lambda: None).result()

    # -- in the thread of the orders --------------------------------------------------------------------------------

    def _order(self, words: str, order: Callable[[], object]) -> None:
        def do() -> None:
            self.doing, self.error = words, ""
            try:
                order()
            except Exception as error:
                self.error = f"{type(error).__name__}: {error}"
            finally:
                self.doing = ""

        self._hands.orders.submit(do)

    def _settle(self) -> None:
        """Wait for one that ends, or begins; raises RunError where somebody has the run open and does neither."""
        end = time.monotonic() + _SETTLING
        while self.under_way and not self.heeds:
            if time.monotonic() > end:
                raise RunError(
                    f"{self.run.folder} is open in {self.run.holder()}, which does not search: go on there, or end it"
                )
            time.sleep(0.02)

    def _tell(self, command: str, steps: int = 1) -> None:
        self._settle()
        if not self.under_way:
            if self.search is None:
                detach(self.experiment, self.run.folder, self.device, held=True, patience=_PATIENCE)
            else:
                self.search.progress = False  # a thread's bar would land beneath any cell
                name = f"search {self.run.name}"
                self._hands.thread = threading.Thread(target=self._work, name=name, daemon=True)
                self._hands.thread.start()
                self._settle()
        self._send(command, steps)

    def _send(self, command: str, steps: int = 1) -> None:
        """Until it is heeded: the next one would take its place."""
        send(self.run, command, steps, _PATIENCE, lambda: self.under_way)

    def _send_if_heeded(self, command: str) -> None:
        """To a search under way; one that ends meanwhile needs no telling."""
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
            pass  # told to stop: the state says so
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
            self._send_if_heeded("snapshot")
        elif self.search is not None:
            self._settle()
            self.search.snapshot()
        Search.branch_of(self.run, step, name, edits, self.device).close()

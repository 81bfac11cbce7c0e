"""Whoever gives orders to a search: to one in this kernel, in a thread of its own, or to one in another process."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from posenfs.model.architecture import Architecture
from posenfs.model.memory import give_back_memory
from posenfs.search.detached import detach, send
from posenfs.search.engine import Search
from posenfs.search.experiment import Experiment
from posenfs.search.run import Run, find_run, runs_home

_PATIENCE = 3600.0  # s; a rewind replays steps, and an evaluation may be under way


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
            if (self.run.folder / "config.json").is_file():
                self.run.check_holds(search)
        else:
            self.run = search if isinstance(search, Run) else search.run if self.search else find_run(search)
            self.experiment = self.run.experiment()
        self.device, self.doing, self.error = device, "", ""
        self._thread: threading.Thread | None = None  # in which the search of this kernel runs
        self._orders = ThreadPoolExecutor(1, "orders")

    @property
    def under_way(self) -> bool:
        """Whether somebody heeds commands: the search runs, or is paused."""
        if self.search is None:
            return self.run.in_use()
        return self._thread is not None and self._thread.is_alive()

    def go(self) -> None:
        """Run on, to the end."""
        self._order("starting", lambda: self._tell("resume"))

    def step(self, steps: int) -> None:
        """So many training steps, then hold."""
        self._order("stepping", lambda: self._tell("step", steps))

    def pause(self) -> None:
        """Hold after the step under way."""
        self._order("pausing", lambda: self.under_way and self.run.command("pause"))

    def stop(self) -> None:
        """End after the step under way, with a snapshot."""
        self._order("stopping", lambda: self.under_way and self.run.command("stop"))

    def rewind(self, step: int) -> None:
        """Back to the state after a step, and hold there; what came later is kept in branches/."""
        self._order(f"going back to step {step}", lambda: self._rewind(step))

    def branch(self, step: int, name: str, edits: Mapping[str, Architecture] | None = None) -> None:
        """A new run of that name that goes on from a step of this one."""
        self._order(f"branching {name} at step {step}", lambda: self._branch(step, name, edits))

    def wait(self) -> None:
        """Until all orders so far are given."""
        self._orders.submit(lambda: None).result()

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

        self._orders.submit(do)

    def _tell(self, command: str, steps: int = 1) -> None:
        if not self.under_way:
            if self.search is None:
                detach(self.experiment, self.run.folder, self.device, held=True)
            else:
                self.search.progress = False  # a thread's bar would land beneath any cell
                self._thread = threading.Thread(target=self._work, name=f"search {self.run.name}", daemon=True)
                self._thread.start()
        self.run.command(command, steps)

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
        if self.under_way:
            send(self.run, "rewind", step, _PATIENCE)
        elif self.search is not None:
            self.search.rewind(step)
        else:
            search = Search(self.run, device=self.device, progress=False)
            search.rewind(step)
            search.close()

    def _branch(self, step: int, name: str, edits: Mapping[str, Architecture] | None) -> None:
        if self.under_way:
            send(self.run, "snapshot", patience=_PATIENCE)
        elif self.search is not None:
            self.search.snapshot()
        Search.branch_of(self.run, step, name, edits, self.device).close()

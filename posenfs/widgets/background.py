"""Computations in a thread beside the main thread and a search, and their OpenMP threads.

Every thread that computes keeps its own pool of OpenMP threads. Where the pools have more threads
than the machine has cores, libgomp puts idle threads to sleep, and an operation of microseconds
waits until they wake up: on two cores a search in a second thread took 1.8 times as long.
"""

import ctypes
import functools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Generic, TypeVar

import torch

Result = TypeVar("Result")


def leave_cores() -> None:
    """Release the OpenMP threads of this thread; they are created again when it next computes."""
    if (library := _libgomp()) is not None:
        library.omp_pause_resource_all(1)


def compute_alone() -> None:
    """Let this thread compute without further OpenMP threads, so that a search keeps the cores."""
    torch.get_num_threads()  # torch would otherwise set their number at its first operation
    if (library := _libgomp()) is not None:
        library.omp_set_num_threads(1)


@functools.cache
def _libgomp() -> ctypes.CDLL | None:
    """Return the libgomp that torch has loaded, or None where it uses another OpenMP library.

    The library is looked up in /proc/self/maps, which only Linux has.
    """
    maps = Path("/proc/self/maps")
    if not maps.is_file():
        return None
    for line in maps.read_text().splitlines():
        if "libgomp" in line:
            return ctypes.CDLL(line.split()[-1])
    return None


# All views share one worker thread, so that they do not take CPU cores away from a search.
_THREAD = ThreadPoolExecutor(1, "views", compute_alone)


class BackgroundWorker(Generic[Result]):
    """Runs functions in the worker thread, one at a time.

    A function submitted while another one waits to be started replaces it.
    """

    def __init__(self):
        self._running: Future[Result] | None = None
        self._next: Callable[[], Result] | None = None

    @property
    def busy(self) -> bool:
        """Whether a function runs or waits to be started."""
        return self._running is not None or self._next is not None

    def submit(self, work: Callable[[], Result]) -> None:
        """Run this function after the running one; `result` starts it."""
        self._next = work

    def result(self) -> Result | None:
        """Return the result of the function that has ended since the last call, or None.

        Must be called periodically: it also starts the function that waits. Raises what the ended
        function raised.
        """
        ended: Future[Result] | None = None
        if self._running is not None and self._running.done():
            ended, self._running = self._running, None
        if self._running is None and self._next is not None:
            self._running, self._next = _THREAD.submit(self._next), None
        return None if ended is None else ended.result()

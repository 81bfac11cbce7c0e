"""Torch's OpenMP threads in a kernel whose search runs beside the main thread.

Every thread that computes keeps its own pool of OpenMP threads. Where the pools have more threads
than the machine has cores, libgomp puts idle threads to sleep, and an operation of microseconds
waits until they wake up: on two cores a search in a second thread took 1.8 times as long.
"""

import ctypes
import functools
from pathlib import Path

import torch


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

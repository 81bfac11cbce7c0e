"""Torch's threads, where a search runs beside the main thread of a kernel.

Every thread that computes keeps OpenMP threads of its own ready. Where there are more of them than cores, libgomp lets
none of them wait awake for the next piece of work, and an operation of microseconds waits until they are woken: on two
cores a search in a second thread took 1.8 times as long.
"""

import ctypes
import functools
from pathlib import Path

import torch


def leave_cores() -> None:
    """Give up the OpenMP threads that this thread keeps ready; it has new ones when it next computes."""
    if (library := _libgomp()) is not None:
        library.omp_pause_resource_all(1)


def compute_alone() -> None:
    """From now on this thread computes without others, and leaves the cores to a search."""
    torch.get_num_threads()  # which would otherwise set their number when the thread first computes
    if (library := _libgomp()) is not None:
        library.omp_set_num_threads(1)


@functools.cache
def _libgomp() -> ctypes.CDLL | None:
    """That which torch uses; None under another OpenMP, and where the system does not tell."""
    maps = Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.is_file() else ()
    path = next((line.split()[-1] for line in lines if "libgomp" in line), None)
    return ctypes.CDLL(path) if path else None

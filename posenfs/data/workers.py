"""Processes that decode images: how many shared memory allows, and why one failed."""

import functools
import re
import shutil
import sys
from pathlib import Path

from posenfs.errors import PosenfsError
from posenfs.messages import error_reason, many, note

SHARED_MEMORY = Path("/dev/shm")  # of Linux; other systems have no folder for it
_BATCHES_AHEAD = 2  # batches that each worker prepares (the default of DataLoader)
_BATCHES_IN_USE = 2  # in the main process
_RESERVE = 2**20  # bytes for the labels of batches and for locks
_MB = 10**6


class WorkerError(PosenfsError, RuntimeError):
    """A process that decodes images has ended or cannot start. The message says what to do."""


def fitting_workers(workers: int, batch_bytes: int) -> int:
    """Return how many workers the free shared memory allows; a note says when they are fewer.

    Args:
        workers: The requested number.
        batch_bytes: The size of the images of a batch.
    """
    if not SHARED_MEMORY.is_dir():
        return workers
    free = shutil.disk_usage(SHARED_MEMORY).free
    needed = _RESERVE + batch_bytes * (workers * _BATCHES_AHEAD + _BATCHES_IN_USE)
    if needed <= free:
        return workers
    batches = (free - _RESERVE) // batch_bytes - _BATCHES_IN_USE
    fewer = min(max(batches // _BATCHES_AHEAD, 0), workers)
    _note_fewer(workers, fewer)
    return fewer


@functools.cache  # a search evaluates after every epoch: one note is enough
def _note_fewer(workers: int, fewer: int) -> None:
    usage = shutil.disk_usage(SHARED_MEMORY)
    decoders = many(fewer, "worker") if fewer else "this process"
    note(
        f"note: images are decoded by {decoders}, and not by "
        f"{many(workers, 'worker')}: {SHARED_MEMORY}, through which workers hand over their "
        f"batches, has {usage.free / _MB:.1f} of {usage.total / _MB:.1f} MB free. In Docker, "
        "--shm-size 1g gives it more; the results do not depend on it"
    )


def _guard_hint() -> str:
    """Return a hint for scripts, which the workers import."""
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)  # None: a notebook
    if file is None or main.__spec__ is not None or Path(file).suffix != ".py":  # the command line
        return ""
    guard = '`if __name__ == "__main__":`'
    return f"; or {Path(file).name} lacks {guard}, which a script with workers needs"


def worker_error(error: BaseException) -> WorkerError | None:
    """Return the error of failed workers, with what to do; None for an error of another kind.

    Args:
        error: What a DataLoader raised.
    """
    message = str(error)
    if "shared memory" in message or "/dev/shm" in message:
        free = ""
        if SHARED_MEMORY.is_dir():
            usage = shutil.disk_usage(SHARED_MEMORY)
            free = f" ({SHARED_MEMORY}: {usage.free / _MB:.1f} of {usage.total / _MB:.1f} MB free)"
        return WorkerError(
            f"shared memory is full{free}: a process that decodes images cannot hand over its "
            "batch. Use fewer --workers, or --workers 0; in Docker, raise --shm-size"
        )
    if "in DataLoader worker process" in message:  # an error of the code that the worker runs
        return None
    pids = re.search(r"DataLoader worker \(pid\(?s?\)?:? ?([\d, ]+)\)", message)
    # A batch is received over a socket of the worker, which may be gone already.
    if pids or isinstance(error, ConnectionError | EOFError | FileNotFoundError):
        process = f" (process {pids[1]})" if pids else ""
        return WorkerError(
            f"a process that decodes images was killed or has crashed{process}, most often because "
            "memory ran out. Use fewer --workers, or --workers 0, which needs the least"
            f"{_guard_hint()}"
        )
    if isinstance(error, OSError):
        return WorkerError(
            f"the processes that decode images cannot be started ({error_reason(error)}). Use "
            "fewer --workers, or --workers 0"
        )
    return None

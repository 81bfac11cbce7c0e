"""Signals that end a program: Ctrl-C (SIGINT) and the SIGTERM of a scheduler or of `kill`."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

Handler = Callable[[int, FrameType | None], None]


class Terminated(KeyboardInterrupt):
    """The process got SIGTERM. Whatever handles Ctrl-C handles this as well."""


def say_interrupted(interrupt: KeyboardInterrupt) -> int:
    """Print on stderr why the program ends; of several ranks only rank 0 does.

    Returns:
        The exit code, 128 plus the number of the signal as in a shell: 130 after Ctrl-C, 143 after
        SIGTERM.
    """
    terminated = isinstance(interrupt, Terminated)
    if os.environ.get("RANK", "0") == "0":
        message = str(interrupt) or ("ended by SIGTERM" if terminated else "interrupted")
        print(f"\nposenfs: {message}", file=sys.stderr)
    return 128 + (signal.SIGTERM if terminated else signal.SIGINT)


@contextlib.contextmanager
def handlers(by_signal: dict[signal.Signals, Handler]) -> Iterator[None]:
    """Handle signals in the context.

    Outside the main thread, where Python forbids it, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in by_signal.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM raise Terminated, as Ctrl-C raises KeyboardInterrupt."""

    def terminate(number: int, frame: FrameType | None) -> None:
        raise Terminated

    with handlers({signal.SIGTERM: terminate}):
        yield

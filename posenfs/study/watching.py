"""An ablation under way, as a table that is drawn again where the terminal can, and as a line a change elsewhere."""

import shutil
import sys
import time
from collections.abc import Sequence
from typing import TextIO

from posenfs.study.ablation import Planned, progress_of

_PERIOD = 2.0  # s between drawings
_OTHERS = 4  # lines that are no runs: the head, how many more there are, the sums, and the one below


class LiveTable:
    """`say` and `look` of `ablate`: what was said of each run, and where those under way stand."""

    def __init__(self, runs: Sequence[Planned], quiet: bool = False, out: TextIO = sys.stderr):
        self.runs, self.quiet, self.out = runs, quiet, out
        self.drawn, self._last = 0, 0.0
        self.live = out.isatty() and not quiet
        self.known: dict[str, str] = {}  # what was said, by key

    def say(self, planned: Planned, words: str) -> None:
        """Something of a run changed."""
        self.known[planned.key] = words
        if not self.live and not self.quiet:
            left = len(self.runs) - len(self.known)
            print(f"{time.strftime('%H:%M:%S')} {planned.words}: {words} ({left} left)", file=self.out, flush=True)

    def look(self) -> None:
        """Draw, where it is time to, or all is said."""
        if self.live and (time.monotonic() > self._last + _PERIOD or len(self.known) == len(self.runs)):
            self._last = time.monotonic()
            lines = self.lines()
            print(f"\x1b[{self.drawn}F\x1b[J" * bool(self.drawn) + "\n".join(lines), file=self.out, flush=True)
            self.drawn = len(lines)

    def lines(self) -> list[str]:
        """The table: a line for each run, those under way first, and how many there are of each state."""
        rows = sorted(progress_of(self.runs, self.known), key=lambda row: row[1] != "running")
        most = max(shutil.get_terminal_size().lines - _OTHERS, 1)  # what scrolls out cannot be drawn again
        counts = {word: sum(row[1] == word for row in rows) for word in ("done", "running", "waiting")}
        failed = len(rows) - sum(counts.values())
        head = f"{'run':44} {'state':10} {'step':>12} {'score':>7}"
        body = [
            f"{words:44.44} {state if state in counts else 'failed':10} {share:>12} {score:>7}"
            for words, state, share, score in rows[:most]
        ]
        more = [f"… and {len(rows) - most} more"] if len(rows) > most else []
        return [head, *body, *more, ", ".join(f"{n} {word}" for word, n in counts.items()) + f", {failed} failed"]

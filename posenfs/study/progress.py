"""Progress of an ablation: a redrawn table on a terminal, and one line per change elsewhere."""

import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TextIO

from posenfs.study.plan import PlannedRun

_PERIOD = 2.0  # s between drawings
_OTHER_LINES = 4  # lines besides the runs: header, number of further runs, sums, and the line below


class ProgressTable:
    """Shows the progress of `ablate`; its methods are the callbacks `report` and `poll`.

    Args:
        runs: The runs of the ablation.
        quiet: Whether nothing is printed.
        out: The stream to write to.
    """

    def __init__(self, runs: Sequence[PlannedRun], quiet: bool = False, out: TextIO = sys.stderr):
        self.runs, self.quiet, self.out = runs, quiet, out
        self.live = out.isatty() and not quiet
        self.changes: dict[str, str] = {}  # reported changes by the key of the run
        self._drawn_lines = 0
        self._last_drawn = 0.0

    def report(self, planned: PlannedRun, change: str) -> None:
        """Record a change of a run, and print it where the table is not redrawn.

        Args:
            planned: The run.
            change: "done", or why it failed.
        """
        self.changes[planned.key] = change
        if not self.live and not self.quiet:
            left = len(self.runs) - len(self.changes)
            clock = time.strftime("%H:%M:%S")
            line = f"{clock} {planned.title}: {change} ({left} left)"
            print(line, file=self.out, flush=True)

    def poll(self) -> None:
        """Redraw the table every two seconds, and at the end."""
        now = time.monotonic()
        at_end = len(self.changes) == len(self.runs)
        if self.live and (now > self._last_drawn + _PERIOD or at_end):
            self._last_drawn = now
            lines = self.lines()
            erase = f"\x1b[{self._drawn_lines}F\x1b[J" if self._drawn_lines else ""
            print(erase + "\n".join(lines), file=self.out, flush=True)
            self._drawn_lines = len(lines)

    def lines(self) -> list[str]:
        """Return the table: a line for each run, running ones first, and the number by state."""
        rows = sorted(progress_rows(self.runs, self.changes), key=lambda row: row[1] != "running")
        # Lines that have scrolled out of the terminal cannot be redrawn.
        shown = max(shutil.get_terminal_size().lines - _OTHER_LINES, 1)
        states = ("done", "running", "waiting")
        counts = {state: sum(row[1] == state for row in rows) for state in states}
        lines = [f"{'run':44} {'state':10} {'step':>12} {'score':>7}"]
        for title, state, share, score in rows[:shown]:
            state = state if state in counts else "failed"
            lines.append(f"{title:44.44} {state:10} {share:>12} {score:>7}")
        if len(rows) > shown:
            lines.append(f"… and {len(rows) - shown} more")
        sums = ", ".join(f"{count} {state}" for state, count in counts.items())
        failed = len(rows) - sum(counts.values())
        return [*lines, f"{sums}, {failed} failed"]


def progress_rows(
    runs: Sequence[PlannedRun], changes: Mapping[str, str]
) -> Iterator[tuple[str, str, str, str]]:
    """Yield for each run its title, state, share of steps, and score, as text.

    Args:
        runs: The runs.
        changes: Reported changes by key.
    """
    for planned in runs:
        status = planned.run.overview()
        state = changes.get(planned.key) or ("running" if planned.run.in_use() else "waiting")
        share = f"{status.get('step', 0)}/{status['steps']}" if status.get("steps") else ""
        score = (status.get("metrics") or {}).get(status.get("primary_metric"))
        yield planned.title, state, share, "" if score is None else f"{score:.1f}"

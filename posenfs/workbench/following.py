"""What the folder of a run says now, read a little further each time one looks."""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from posenfs.model.architecture import Architecture
from posenfs.search.run import Run, RunError, join_architectures, read_architectures

_LOOK_BACK = 256  # bytes before the place up to which a file was read


class Following:
    """The rows, the logged alpha and beta and the state of a run, as far as read; `look` reads what came since.

    A run that went back (resumed, rewound) is read anew from its beginning.
    """

    def __init__(self, run: Run):
        self.run = run
        self.status: dict = {}
        self.metrics: dict = {}
        self.snapshots: list[int] = []
        self.steps, self.architectures = join_architectures([])  # [n], and by fabric an Architecture with a leading [n]
        self._lines = {name: _Lines(run.folder / f"{name}.jsonl") for name in ("history", "timing")}
        self._chunks: dict[tuple[Path, int], Mapping[str, np.ndarray]] = {}
        self._news: set[str] = set()  # what changed, and was not told yet

    @property
    def history(self) -> list[dict]:
        """One row a step (step, epoch, loss, lr) and one an evaluation (step, epoch, metrics)."""
        return self._lines["history"].rows

    @property
    def timing(self) -> list[dict]:
        """One row every few steps: images_per_s, wait_share, peak_mb, time."""
        return self._lines["timing"].rows

    def at(self, step: int) -> tuple[int, dict[str, Architecture]]:
        """Alpha and beta at the last logged step that is not after this one, or the first; (0, {}) where there is
        none."""
        if not len(self.steps):
            return 0, {}
        n = max(int(np.searchsorted(self.steps, step, "right")) - 1, 0)
        return int(self.steps[n]), {name: Architecture(a.alpha[n], a.beta[n]) for name, a in self.architectures.items()}

    def look(self) -> set[str]:
        """Read what is new; which of status, metrics, snapshots, history, timing, architectures changed. Where that
        fails nothing is lost: what was read is told next time."""
        found = {"status": self.run.status(), "metrics": self.run.metrics(), "snapshots": self.run.snapshots()}
        for name, now in found.items():
            if now != getattr(self, name):
                setattr(self, name, now)
                self._news.add(name)
        for name, lines in self._lines.items():
            if lines.look():
                self._news.add(name)
        files = {}
        for path in self.run.architecture_files():
            with contextlib.suppress(FileNotFoundError):
                files[path, path.stat().st_mtime_ns] = path
        if files.keys() != self._chunks.keys():
            chunks = {key: self._chunks.get(key) or read_architectures(path) for key, path in files.items()}
            self.steps, self.architectures = join_architectures(chunks.values())
            self._chunks = chunks
            self._news.add("architectures")
        changed, self._news = self._news, set()
        return changed


def last_architectures(run: Run) -> dict[str, Architecture]:
    """Alpha and beta of every fabric as last logged; raises RunError where nothing is."""
    steps, found = run.architectures()
    if not len(steps):
        raise RunError(f"{run.folder} has no logged alpha and beta yet")
    return {name: Architecture(own.alpha[-1], own.beta[-1]) for name, own in found.items()}


class _Lines:
    """The rows of a .jsonl file that is written further, or written anew."""

    def __init__(self, path: Path):
        self.path = path
        self._forget()

    def _forget(self) -> None:
        self.rows: list[dict] = []
        self._read, self._last = 0, b""  # bytes read, and the last of them

    def look(self) -> bool:
        """Read what is new; whether there was anything, or the file is another one."""
        if not self.path.is_file():
            gone = bool(self.rows)
            self._forget()
            return gone
        with open(self.path, "rb") as file:
            file.seek(max(self._read - _LOOK_BACK, 0))
            anew = file.read(min(self._read, _LOOK_BACK)) != self._last
            if anew:
                self._forget()
                file.seek(0)
            text = file.read()
        text = text[: text.rfind(b"\n") + 1]  # what follows the last newline is torn, or empty
        self.rows = self.rows + [json.loads(line) for line in text.splitlines()]
        self._read, self._last = self._read + len(text), (self._last + text)[-_LOOK_BACK:]
        return anew or bool(text)

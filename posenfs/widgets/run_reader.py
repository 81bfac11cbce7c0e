"""An incremental reader of a run's folder."""

import contextlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from posenfs.model.architecture import Architecture
from posenfs.search.architecture_log import join_architectures, read_architectures
from posenfs.search.checkpoints import RunError
from posenfs.search.run_dir import RunDir
from posenfs.search.run_files import parse_lines
from posenfs.viz.curves import thinned

_OVERLAP = 256  # bytes before the read position that are compared to detect a rewritten file


class RunReader:
    """The rows, the logged alpha and beta and the state of a run, as far as they are read.

    `update` reads what is new. After a resume or a rewind it reads the files from their beginning.

    Args:
        run: The run to read.
    """

    def __init__(self, run: RunDir):
        self.run = run
        self.status: dict = {}
        self.metrics: dict = {}
        self.checkpoints: list[int] = []
        # Steps [n], and by fabric an Architecture with a leading dimension [n].
        self.steps, self.architectures = join_architectures([])
        self._files = {
            name: _JsonLines(run.folder / f"{name}.jsonl") for name in ("history", "timing")
        }
        self._chunks: dict[tuple[Path, int], Mapping[str, np.ndarray]] = {}
        self._unreported: set[str] = set()  # what changed since `update` returned last

    @property
    def history(self) -> list[dict]:
        """One row per step (step, epoch, loss, lr) and per evaluation (step, epoch, metrics)."""
        return self._files["history"].rows

    @property
    def timing(self) -> list[dict]:
        """One row every few steps: images_per_s, wait_share, peak_mb, time."""
        return self._files["timing"].rows

    def at(self, step: int) -> tuple[int, dict[str, Architecture]]:
        """Return the logged alpha and beta of a step.

        Args:
            step: A training step.

        Returns:
            The last logged step up to `step` (or else the first logged step), and its alpha and
            beta by fabric; (0, {}) where nothing is logged.
        """
        if not len(self.steps):
            return 0, {}
        row = max(int(np.searchsorted(self.steps, step, "right")) - 1, 0)
        architectures = {
            name: Architecture(logged.alpha[row], logged.beta[row])
            for name, logged in self.architectures.items()
        }
        return int(self.steps[row]), architectures

    def thinned(self, most: int) -> tuple[np.ndarray, dict[str, Architecture]]:
        """Return up to `most` evenly spaced logged steps, and their alpha and beta by fabric."""
        rows = thinned(range(len(self.steps)), most)
        architectures = {
            name: Architecture(logged.alpha[rows], logged.beta[rows])
            for name, logged in self.architectures.items()
        }
        return self.steps[rows], architectures

    def update(self) -> set[str]:
        """Read what is new in the run's folder.

        Returns:
            Which of status, metrics, checkpoints, history, timing and architectures changed.
            Changes read by a call that raised are reported by the next call.
        """
        for name, value in (
            ("status", self.run.status()),
            ("metrics", self.run.metrics()),
            ("checkpoints", self.run.checkpoints.steps()),
        ):
            if value != getattr(self, name):
                setattr(self, name, value)
                self._unreported.add(name)
        for name, file in self._files.items():
            if file.update():
                self._unreported.add(name)
        self._read_architectures()
        changed, self._unreported = self._unreported, set()
        return changed

    def _read_architectures(self) -> None:
        """Read the logged alpha and beta from the files that are new or modified."""
        files = {}
        for path in self.run.architecture_log.files():
            with contextlib.suppress(FileNotFoundError):
                files[path, path.stat().st_mtime_ns] = path
        if files.keys() == self._chunks.keys():
            return
        chunks = {
            key: self._chunks.get(key) or read_architectures(path) for key, path in files.items()
        }
        self.steps, self.architectures = join_architectures(chunks.values())
        self._chunks = chunks
        self._unreported.add("architectures")


def last_architectures(run: RunDir) -> dict[str, Architecture]:
    """Return the last logged alpha and beta of every fabric.

    Args:
        run: The run to read.

    Raises:
        RunError: The run has no logged alpha and beta.
    """
    steps, architectures = run.architectures()
    if not len(steps):
        raise RunError(f"{run.folder} has no logged alpha and beta yet")
    return {
        name: Architecture(logged.alpha[-1], logged.beta[-1])
        for name, logged in architectures.items()
    }


class _JsonLines:
    """The rows of a .jsonl file that grows or is rewritten."""

    def __init__(self, path: Path):
        self.path = path
        self._reset()

    def _reset(self) -> None:
        """Forget everything that was read."""
        self.rows: list[dict] = []
        self._position = 0  # number of bytes read
        self._tail = b""  # the last bytes read, up to _OVERLAP

    def update(self) -> bool:
        """Read the new rows; return whether any row was added, changed or removed."""
        if not self.path.is_file():
            removed = bool(self.rows)
            self._reset()
            return removed
        with open(self.path, "rb") as file:
            file.seek(max(self._position - _OVERLAP, 0))
            rewritten = file.read(min(self._position, _OVERLAP)) != self._tail
            if rewritten:
                self._reset()
                file.seek(0)
            text = file.read()
        text = text[: text.rfind(b"\n") + 1]  # drop an incomplete last line
        lines = text.split(b"\n")[:-1]
        self.rows = self.rows + parse_lines(self.path, lines, first=len(self.rows) + 1)
        self._position += len(text)
        self._tail = (self._tail + text)[-_OVERLAP:]
        return rewritten or bool(text)

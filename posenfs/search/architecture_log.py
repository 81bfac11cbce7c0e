"""The log of alpha and beta of a run: `architecture/<last step>.npz`, one file per checkpoint."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from posenfs.data.files import atomic_path
from posenfs.model.architecture import Architecture
from posenfs.search.run_files import read_arrays

_RECENT = "since.npz"  # what was logged after the last checkpoint


class ArchitectureLog:
    """Alpha and beta by training step.

    Args:
        run: The run's folder.
    """

    def __init__(self, run: Path):
        self.folder = run / "architecture"

    def read(self) -> tuple[np.ndarray, dict[str, Architecture]]:
        """Return the logged steps [n], and an Architecture with a leading [n] by fabric."""
        # The recent file comes first: it is deleted once a chunk holds the same.
        recent = read_architectures(self.folder / _RECENT)
        chunks = [read_architectures(path) for path in self.chunks()]
        return join_architectures([*chunks, recent])

    def files(self) -> list[Path]:
        """Return the files of the log; a running search may delete the last one."""
        return [*self.chunks(), *self.folder.glob(_RECENT)]

    def chunks(self, after: float = -math.inf, last: float = math.inf) -> list[Path]:
        """Return the files whose last step is above `after` and at most `last`, in order."""
        paths = sorted(self.folder.glob("[0-9]*.npz"))
        return [path for path in paths if after < int(path.stem) <= last]

    def append(
        self, steps: Sequence[int], architectures: Sequence[dict[str, Architecture]]
    ) -> None:
        """Write a chunk, which replaces the recent file."""
        if steps:
            self._write(f"{steps[-1]:08d}.npz", steps, architectures)
            (self.folder / _RECENT).unlink(missing_ok=True)

    def write_recent(
        self, steps: Sequence[int], architectures: Sequence[dict[str, Architecture]]
    ) -> None:
        """Write all that was logged after the last chunk, for live readers."""
        if steps:
            self._write(_RECENT, steps, architectures)

    def truncate(self, step: int) -> None:
        """Delete the recent file and the chunks that end after a step."""
        for path in (*self.chunks(after=step), *self.folder.glob(_RECENT)):
            path.unlink()

    def _write(
        self, name: str, steps: Sequence[int], architectures: Sequence[dict[str, Architecture]]
    ) -> None:
        arrays: dict[str, Any] = {"step": np.array(steps)}
        for fabric in architectures[0]:
            arrays[f"{fabric}.alpha"] = np.stack([a[fabric].alpha.numpy() for a in architectures])
            arrays[f"{fabric}.beta"] = np.stack([a[fabric].beta.numpy() for a in architectures])
        self.folder.mkdir(exist_ok=True)
        with atomic_path(self.folder / name) as path:
            np.savez(path, **arrays)


def read_architectures(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file of the log, or {} where it no longer exists.

    The arrays are `step` [n] and, for each fabric, `<fabric>.alpha` and `<fabric>.beta` with a
    leading dimension [n].

    Raises:
        RunError: The file is broken.
    """
    return read_arrays(path)


def join_architectures(
    chunks: Iterable[Mapping[str, np.ndarray]],
) -> tuple[np.ndarray, dict[str, Architecture]]:
    """Join chunks in order; steps that an earlier chunk holds are left out of later ones.

    Returns:
        The steps [n], and by fabric an Architecture with a leading dimension [n].
    """
    new_chunks, last = [], -1
    for chunk in chunks:
        if not chunk:
            continue
        new = chunk["step"] > last
        new_chunks.append({key: values[new] for key, values in chunk.items()})
        last = max(last, *chunk["step"])
    if not new_chunks:
        return np.zeros(0, int), {}
    arrays = {key: np.concatenate([chunk[key] for chunk in new_chunks]) for key in new_chunks[0]}
    fabrics = dict.fromkeys(key.rpartition(".")[0] for key in arrays if key != "step")
    architectures = {
        name: Architecture(
            torch.from_numpy(arrays[f"{name}.alpha"]), torch.from_numpy(arrays[f"{name}.beta"])
        )
        for name in fabrics
    }
    return arrays["step"], architectures

"""Checkpoints of a run: the full state after a training step."""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch

from posenfs.data.files import naming_errors
from posenfs.errors import PosenfsError
from posenfs.search.migration import checkpoints_folder, migrate_state

_STATE = "state.pt"


class RunError(PosenfsError):
    """A run directory that cannot be used. The message names it, the reason and the next step."""


class CheckpointStore:
    """The checkpoints of a run, a folder for each: `checkpoints/<step>/state.pt`.

    A checkpoint is written whole or not at all: it appears, and disappears, by a rename.

    Args:
        run: The run's folder.
    """

    def __init__(self, run: Path):
        self._run = run

    @property
    def folder(self) -> Path:
        """The folder of all checkpoints."""
        return checkpoints_folder(self._run)

    def steps(self) -> list[int]:
        """Return the steps that have a checkpoint, in order."""
        return sorted(int(path.name) for path in self.folder.glob("[0-9]*"))

    def file(self, step: int) -> Path:
        """Return the file of a step's checkpoint, whether it exists or not."""
        return self.folder / f"{step:08d}" / _STATE

    def load(self, step: int, device: torch.device | str = "cpu") -> dict:
        """Load the state of a checkpoint.

        Args:
            step: Its step.
            device: The device of the tensors.

        Raises:
            RunError: The file is missing or broken.
        """
        path = self.file(step)
        try:
            return migrate_state(torch.load(path, map_location=device, weights_only=True))
        except Exception as error:  # of a broken file torch raises nearly anything
            raise RunError(
                f"{path} cannot be read: {error}; delete its folder to continue from the "
                "checkpoint before"
            ) from error

    def save(self, step: int, state: dict, replace: bool = False) -> None:
        """Write a checkpoint.

        Args:
            step: Its step.
            state: Its state.
            replace: Whether an existing checkpoint of the step is replaced. Without edits of the
                architecture it holds the same state.

        Raises:
            DiskFullError: The disk is full; nothing is left of the new checkpoint.
        """
        target = self.file(step).parent
        if target.exists() and not replace:
            return
        temporary = target.with_name(f".{target.name}")
        with naming_errors(target / _STATE, temporary / _STATE, needed=_bytes(state)):
            try:
                shutil.rmtree(temporary, ignore_errors=True)
                temporary.mkdir(parents=True)
                with open(temporary / _STATE, "wb") as file:
                    torch.save(state, file)
                    file.flush()
                    os.fsync(file.fileno())
                if target.exists():
                    os.replace(temporary / _STATE, target / _STATE)
                else:
                    os.replace(temporary, target)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)

    def prune(self, keep: Iterable[int], always: Iterable[int], max_gb: float) -> None:
        """Delete the checkpoints that need not be kept.

        Args:
            keep: Steps whose checkpoints are kept while there is space for them.
            always: Steps whose checkpoints are kept in any case.
            max_gb: Disk space of all checkpoints, in GB; over it the oldest of `keep` are deleted.
        """
        keep, always = set(keep), set(always)
        for step in self.steps():
            if step not in keep | always:
                self._delete(step)
        sizes = {step: self.file(step).stat().st_size for step in self.steps()}
        for step in sorted(set(sizes) - always):
            if sum(sizes.values()) <= max_gb * 1e9:
                break
            self._delete(step)
            del sizes[step]

    def move_after(self, step: int, target: Path) -> None:
        """Move the checkpoints of later steps to another folder, the last one first."""
        target.mkdir(parents=True, exist_ok=True)
        for later in reversed([other for other in self.steps() if other > step]):
            folder = self.file(later).parent
            os.replace(folder, target / folder.name)

    def delete_temporary(self) -> None:
        """Delete what interrupted calls of `save` and `prune` left."""
        for path in self.folder.glob(".[0-9]*"):
            shutil.rmtree(path)

    def _delete(self, step: int) -> None:
        """Delete a checkpoint; it is hidden first, so that a reader never meets a part of one."""
        folder = self.file(step).parent
        hidden = folder.with_name(f".{folder.name}_deleted")
        os.replace(folder, hidden)
        shutil.rmtree(hidden)


def _bytes(state: object) -> int:
    """Return the size of all tensors of a state."""
    if isinstance(state, torch.Tensor):
        return state.nbytes
    if isinstance(state, Mapping):
        return sum(map(_bytes, state.values()))
    return sum(map(_bytes, state)) if isinstance(state, list | tuple) else 0


def steps_to_keep(
    steps: Sequence[int], latest: int, period: int, essential: Iterable[int | None]
) -> tuple[list[int], list[int]]:
    """Return the steps to keep while there is space, and those to keep in any case.

    Args:
        steps: The steps of all checkpoints, in order.
        latest: How many of the latest are kept.
        period: Every step that is a multiple of it is kept.
        essential: Steps to keep in any case; None stands for no step.
    """
    keep = [*steps[-latest:], *(step for step in steps if step and step % period == 0)]
    return keep, [step for step in essential if step is not None]

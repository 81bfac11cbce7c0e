"""Branches: runs that continue from a step of another run."""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeVar

from posenfs.data.files import naming_errors, write_atomic
from posenfs.model.architecture import Architecture
from posenfs.search.checkpoints import RunError
from posenfs.search.experiment import Experiment
from posenfs.search.recorded_trainer import RecordedTrainer
from posenfs.search.run_dir import RunDir
from posenfs.search.run_writer import dump_json


def check_edits(
    architectures: Mapping[str, Architecture], edits: Mapping[str, Architecture]
) -> None:
    """Check that edits of alpha and beta fit the fabrics of a network.

    Args:
        architectures: The architecture of each fabric.
        edits: New alpha and beta by fabric.

    Raises:
        ValueError: A fabric is unknown, or a shape differs.
    """
    for name, edit in edits.items():
        if name not in architectures:
            raise ValueError(f"no fabric {name!r} to edit; there are {', '.join(architectures)}")
        current = architectures[name]
        expected = [tuple(current.alpha.shape), tuple(current.beta.shape)]
        shapes = [tuple(edit.alpha.shape), tuple(edit.beta.shape)]
        if expected != shapes:
            raise ValueError(f"{name} has alpha and beta of {expected}; got {shapes}")


class Branch(Protocol):
    """An open search of a new branch."""

    @property
    def recorded(self) -> RecordedTrainer:
        """The trainer and its records."""

    def close(self) -> None:
        """Release the run directory."""


S = TypeVar("S", bound=Branch)


def open_branch(
    run: RunDir,
    step: int,
    name: str,
    edits: Mapping[str, Architecture],
    open_search: Callable[[RunDir], S],
) -> S:
    """Create a run that continues from a step of another run, in the same parent folder.

    Args:
        run: The run to branch; it stays as it is.
        step: A step not after its last checkpoint.
        name: The name of the new run.
        edits: New alpha and beta at that step, by fabric.
        open_search: Opens the search of the new run.

    Raises:
        ValueError: The step is after the last checkpoint, or a fabric is unknown.
        RunError: The name is taken.
    """
    check_branch(run, step)
    logged = run.architectures()[1]
    check_edits({n: Architecture(a.alpha[0], a.beta[0]) for n, a in logged.items()}, edits)
    experiment = replace(run.experiment(), name=name)
    forked = fork(run, run.folder.with_name(experiment.name), experiment, step, edits)
    search = None
    try:
        search = open_search(forked)
        search.recorded.begin_branch(step, edits)
    except BaseException:  # remove the partially created branch
        if search is not None:
            search.close()
        shutil.rmtree(forked.folder)
        raise
    return search


def check_branch(run: RunDir, step: int) -> None:
    """Check that a run can be branched at a step, from its checkpoints.

    Raises:
        ValueError: The step is after the last checkpoint, or the run is finished there.
    """
    steps = run.checkpoints.steps()
    last = max(steps, default=0)
    if not 0 <= step <= last:
        raise ValueError(
            f"the last checkpoint of {run.folder} is step {last}: no branch from {step}"
        )
    if run.metrics() and step == max(steps, default=None):
        raise ValueError(f"this search is finished at step {step}: branch from an earlier one")


def fork(
    run: RunDir, folder: Path, experiment: Experiment, step: int, edited: Iterable[str] = ()
) -> RunDir:
    """Create a run from another run's last checkpoint at or before a step.

    Its folder is created atomically. Its provenance names the run, the step and the edited fabrics.

    Args:
        run: The run to copy from; it stays as it is.
        folder: The folder of the new run.
        experiment: The experiment of the new run.
        step: The step at which it branches.
        edited: The fabrics whose alpha and beta are edited there.

    Raises:
        RunError: The folder exists, or the search of `run` deleted a checkpoint meanwhile.
    """
    if folder.exists():
        raise RunError(f"{folder} already exists; give the branch another name")
    steps = run.checkpoints.steps()
    base = max((other for other in steps if other <= step), default=None)
    copied = set() if base is None else {base}
    scores = {} if base is None else run.checkpoints.load(base).get("epoch_scores", {})
    if scores and (best := max(scores, key=lambda step: scores[step])) in steps:
        copied.add(best)
    paths = [
        path for name in ("history.jsonl", "timing.jsonl") if (path := run.folder / name).is_file()
    ]
    paths += run.architecture_log.chunks(last=max(copied, default=-1))
    temporary = RunDir(folder.with_name(f".{folder.name}"))
    shutil.rmtree(temporary.folder, ignore_errors=True)  # of a process that was killed
    pairs = [(path, temporary.folder / path.relative_to(run.folder)) for path in paths]
    pairs += [(run.checkpoints.file(s), temporary.checkpoints.file(s)) for s in sorted(copied)]
    branch = {
        "of": str(run.folder.resolve()),
        "step": step,
        "checkpoint": base,
        "edited": sorted(edited),
    }
    try:
        with naming_errors(folder):
            for source, target in pairs:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
            temporary.folder.mkdir(parents=True, exist_ok=True)
            dump_json(temporary.folder / "provenance.json", {**run.provenance(), "branch": branch})
            write_atomic(temporary.folder / "config.json", experiment.to_json())
            os.replace(temporary.folder, folder)
    except FileNotFoundError as error:
        raise RunError(f"{error.filename} was deleted during the copy; branch again") from None
    finally:
        shutil.rmtree(temporary.folder, ignore_errors=True)
    return RunDir(folder)

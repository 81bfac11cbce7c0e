"""Opening of a search: checks, network, data and lock."""

from dataclasses import replace
from pathlib import Path

import torch

from posenfs.data.datasets.catalogue import definition_changes, with_definition
from posenfs.data.datasets.custom import mirror_warning
from posenfs.messages import describe_doubts, note
from posenfs.model.memory import keep_freed_memory
from posenfs.search.batches import LoadingOptions
from posenfs.search.build import Built, build
from posenfs.search.distributed import ProcessGroup
from posenfs.search.experiment import Experiment
from posenfs.search.provenance import provenance
from posenfs.search.run_dir import RunDir
from posenfs.search.run_writer import RunWriter
from posenfs.search.trainer import Trainer, check_searchable


def _note_doubts(built: Built) -> None:
    """Print what is left out of the splits or doubtful, and keypoints that lack a mirrored pair."""
    for split in (built.train, built.valid):
        for sentence in describe_doubts(split.excluded, split.doubtful):
            note(f"note: {split.label}: {sentence}")
    if warning := mirror_warning(built.valid.skeleton):
        note(f"warning: {warning}")


def with_own_definition(experiment: Experiment, run: RunDir) -> Experiment:
    """Return an experiment with the keypoints and parts of its custom data.

    Where the run exists they are those that it keeps, so that the same command continues it after
    its TOML file was edited.

    Args:
        experiment: The experiment.
        run: Its run directory, which need not exist yet.

    Raises:
        ValueError: The data set is unknown.
        DataError: Nothing is kept, and the TOML file is missing or invalid.
    """
    data = experiment.data
    if data.definition is None and (run.folder / "config.json").is_file():
        kept = run.experiment().data
        data = replace(data, definition=kept.definition if kept.name == data.name else None)
    return replace(experiment, data=with_definition(data))


def _initial_weights_note(experiment: Experiment, keypoints: tuple[str, ...]) -> str | None:
    """Return a note about initial weights that were trained for other keypoints of custom data."""
    if experiment.init_from is None or not (Path(experiment.init_from) / "config.json").is_file():
        return None
    kept = RunDir(experiment.init_from).experiment().data.definition
    if kept is None or kept.skeleton.keypoints == keypoints:
        return None
    return (
        f"note: the initial weights of {experiment.init_from} predict "
        f"{', '.join(kept.skeleton.keypoints)}; this search trains them to predict "
        f"{', '.join(keypoints)}"
    )


def prepare(
    experiment: Experiment,
    writer: RunWriter,
    group: ProcessGroup,
    device: torch.device,
    options: LoadingOptions,
) -> Trainer:
    """Check the run directory, build network and data, create the directory and take its lock.

    Nothing is written before all checks pass. A finished run is not locked.

    Args:
        experiment: The experiment.
        writer: The writer of the run directory.
        group: The processes of the search.
        device: The device to train on.
        options: How the data are read.

    Raises:
        ValueError: The experiment cannot be built.
        DataError: Its data are missing or invalid.
        RunError: The directory holds another experiment, or another process searches there.
    """
    run = writer.run
    run.check_opens()
    run.check_holds(experiment)
    is_finished = run.is_finished()
    if group.is_main and not is_finished and writer.other_writer is None:
        run.check_unlocked()
    built = build(experiment, options.progress, options.strict)
    check_searchable(experiment, built)
    trainer = Trainer(experiment, built, group, device, options)
    if device.type == "cpu":
        keep_freed_memory()
    if not is_finished:
        trainer.batches.open()
    if options.progress:
        note(f"initial weights: {built.model.initial_weights}")
    if group.is_main:
        _note_doubts(built)
        for change in definition_changes(experiment.data):
            note(f"note: {change}")
        if text := _initial_weights_note(experiment, built.valid.skeleton.keypoints):
            note(text)
    batches = trainer.batches
    splits = (*batches.training_splits, batches.early_stopping, batches.valid)
    writer.create(experiment, provenance(device, group, splits, built.model.initial_weights))
    if not is_finished:
        writer.take_over()
    return trainer

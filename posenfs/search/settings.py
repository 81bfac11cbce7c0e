"""Comparison of the settings that are requested with those of a run, and how to go on."""

import itertools
import shlex
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from posenfs.search.checkpoints import RunError
from posenfs.search.experiment import Experiment, differences, search_command

# Options on which the names and shapes of the weights depend.
_NETWORK_OPTIONS = (
    *("--model", "--backbone", "--parts", "--vector-dim", "--fabric", "--rules", "--genotype"),
    "--data.name",
)


def check_settings(
    before: Experiment, requested: Experiment, folder: Path, argument: str, is_finished: bool
) -> None:
    """Check that an experiment is that of a run.

    Args:
        before: The experiment of the run.
        requested: The other one.
        folder: The run directory.
        argument: The run on a command line.
        is_finished: Whether the run is finished.

    Raises:
        RunError: A setting differs. The message names every such setting with both values, and
            says how to go on; for more epochs of a finished run it has the command.
    """
    settings = {
        option: f"\n  {option}: {_shortened(value)} in the run, {_shortened(other)} requested"
        for option, value, other in differences(before, requested)
        if option != "--data.definition" or (value and other)  # older runs kept none
    }
    if not set(settings) - {"--data.root"}:  # data may move
        return
    if not is_finished:
        step = (
            "Give the new settings another name, or continue with the run's own settings: posenfs "
            f"resume {argument}"
        )
    elif any(option.startswith(_NETWORK_OPTIONS) for option in settings):
        step = "Give the new settings another name: this run is finished"
    else:
        step = (
            "This run is finished. To train its weights further under the new settings, as a run "
            f"with a learning-rate schedule of its own: {_longer(requested, folder)}\nTo begin "
            "anew, leave out --init-from"
        )
    raise RunError(f"{folder} holds another experiment:{''.join(settings.values())}\n{step}")


def _longer(requested: Experiment, folder: Path) -> str:
    """Return a command that trains the weights of a finished run under other settings."""
    names: Iterable[str] = (f"{folder.name}_{number}" for number in itertools.count(2))
    name = next(name for name in names if not folder.with_name(name).exists())
    command = search_command(replace(requested, name=name, init_from=str(folder)))
    addition = f"--name {shlex.quote(name)} --init-from {shlex.quote(str(folder))}"
    return command or f"the same command with {addition}"


def _shortened(value: object, max_length: int = 80) -> str:
    """Return a setting's value for a message."""
    text = "none" if value is None else str(value)
    return text if len(text) <= max_length else f"{text[: max_length - 1]}…"

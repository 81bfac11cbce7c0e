"""The command `search`; its options are the fields of an Experiment."""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from tyro.conf import AvoidSubcommands, arg

from posenfs.cli.options import SearchOptions
from posenfs.data.cache_files import CacheBudgetError
from posenfs.evaluation.metrics import metric_title
from posenfs.search.detached import LOG, DetachOptions, detach
from posenfs.search.distributed import is_distributed, launch
from posenfs.search.experiment import Experiment
from posenfs.search.run_dir import RunDir, runs_home
from posenfs.search.session import Search


def search(
    experiment: Annotated[Experiment, arg(name=""), AvoidSubcommands],
    options: Annotated[SearchOptions, arg(name="")] = SearchOptions(),
) -> None:
    """Search part-specific fabrics in the run directory reports/runs/<name>, or continue there.

    Without options this is the paper's search (200 epochs at 256 px) on synthetic people, which
    needs a GPU. `make demo` takes minutes. Ctrl-C or SIGTERM finishes the step, saves a checkpoint,
    and prints how to continue. If a run of that name has other settings, the command fails and
    lists the differences.

    Args:
        experiment: The experiment.
        options: How the search runs.
    """
    run_search(experiment, None, options)


def run_search(experiment: Experiment, folder: Path | None, options: SearchOptions) -> None:
    """Start or continue a search in a run directory, for `posenfs search` and `posenfs resume`.

    Args:
        experiment: The experiment.
        folder: The run directory; None: reports/runs/<name>.
        options: How the search runs.
    """
    if options.detach:
        _detach(experiment, folder, options)
        return
    if options.devices != 1 and not is_distributed():
        RunDir(folder or runs_home() / experiment.name).check_holds(experiment)
        sys.exit(launch(options.devices, "posenfs.cli", sys.argv[1:]))
    running = _open_search(experiment, folder, options)
    metrics = running.finish()
    if running.group.is_main:
        line = result_line(running.run, running.primary_metric, metrics)
        print(json.dumps(metrics) if options.json else line)


def result_line(run: RunDir, primary_metric: str, metrics: Mapping[str, float | None]) -> str:
    """Return the primary metric of a finished run, and where its files are."""
    score = metrics.get(primary_metric)
    value = "-" if score is None else f"{score:.1f}"
    return f"{metric_title(primary_metric)} {value}; everything is in {run.folder}"


def _detach(experiment: Experiment, folder: Path | None, options: SearchOptions) -> None:
    run = detach(
        experiment,
        folder,
        DetachOptions(
            options.device, options.devices, options.workers, options.strict, options.cache_gb
        ),
    )
    follow = f"posenfs follow {run.argument} shows its progress"
    if run.in_use():
        print(f"process {run.status().get('pid')} searches in {run.folder}; {follow}")
    elif run.status().get("state") == "finished":
        print(f"finished: {run.folder}")
    else:
        print(f"the search prepares its data ({run.folder / LOG}); then {follow}")


def _open_search(experiment: Experiment, folder: Path | None, options: SearchOptions) -> Search:
    """Open the search. If its crops exceed the budget, ask the user at the terminal."""
    try:
        return Search(
            experiment,
            folder,
            options.device,
            options.workers,
            progress=not options.quiet,
            strict=options.strict,
            cache_gb=options.cache_gb,
        )
    except CacheBudgetError as error:
        if is_distributed() or not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        print(f"posenfs: {error}", file=sys.stderr)
    print(
        "Cache them anyway (yes), at half the resolution (half), not at all (plain), or stop (no)?",
        file=sys.stderr,
    )
    answer = sys.stdin.readline().strip().lower()
    if answer in ("half", "plain"):
        experiment = replace(experiment, training=replace(experiment.training, crops=answer))
    elif answer in ("yes", "y"):
        options = replace(options, cache_gb=float("inf"))
    else:
        raise KeyboardInterrupt("stopped: nothing was written")
    return _open_search(experiment, folder, options)

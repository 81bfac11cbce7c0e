"""Search, in the run folder; the options are those of an Experiment."""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from tyro.conf import AvoidSubcommands, arg

from posenfs.data.cache_files import CacheBudgetError
from posenfs.evaluation.metrics import metric_title
from posenfs.search.detached import LOG, DetachOptions, detach as begin
from posenfs.search.distributed import is_distributed, launch
from posenfs.search.experiment import Experiment
from posenfs.search.run_dir import RunDir, runs_home
from posenfs.search.session import Search


def search(
    experiment: Annotated[Experiment, arg(name=""), AvoidSubcommands],
    device: str = "auto",
    devices: int = 1,
    workers: int = 0,
    strict: bool = False,
    cache_gb: float = 20.0,
    detach: bool = False,
    quiet: bool = False,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Search part-specific fabrics, in the run folder reports/runs/<name>; a run begun before goes on.

    With no option at all this is the paper's search (200 epochs at 256 px) on drawn people: work for a GPU. `make demo`
    is a search of minutes. Ctrl-C, or SIGTERM, finishes the step, saves, and says how to go on. A run of that name with
    other settings is refused, and each setting that differs is named.

    Args:
        experiment: The search itself.
        device: auto, cpu, cuda or cuda:N.
        devices: So many GPUs, or processes on the CPU, share every batch; `torchrun -m posenfs.cli search …` does too.
            Each normalises its part by itself, so that another number is another training.
        workers: Processes that read and cut images where crops are plain; they change nothing in the results.
        cache_gb: How much room kept crops may take in data/cache, or in the folder POSENFS_CACHE names. Before they
            take more, somebody at a terminal is asked; elsewhere the search is refused.
        strict: Refuse data with broken or missing images; otherwise their people are named and left out.
        detach: In a process of its own that outlives this one: `posenfs follow` and `posenfs control` attach to it.
        quiet: No progress bar.
        as_json: Print the final metrics as JSON.
    """
    run_search(experiment, None, device, devices, workers, strict, cache_gb, detach, quiet, as_json)


def run_search(
    experiment: Experiment,
    folder: Path | None,
    device: str,
    devices: int,
    workers: int,
    strict: bool,
    cache_gb: float,
    detach: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Begin a search, or go on with it, in a run folder; what `posenfs search` and `posenfs resume` have in common."""
    if not cache_gb >= 0:
        raise ValueError(f"--cache-gb must not be negative; got {cache_gb:g}")
    if detach:
        options = DetachOptions(device, devices, workers, strict, cache_gb)
        run = begin(experiment, folder, options)
        follow = f"posenfs follow {run.name} shows how far it is"
        if run.in_use():
            print(f"process {run.status().get('pid')} searches in {run.folder}; {follow}")
        elif run.status().get("state") == "finished":
            print(f"finished: {run.folder}")
        else:
            print(f"its data are being prepared ({run.folder / LOG}); once it searches, {follow}")
        return
    if devices != 1 and not is_distributed():
        RunDir(folder or runs_home() / experiment.name).check_holds(experiment)
        sys.exit(launch(devices, "posenfs.cli", sys.argv[1:]))
    options = {"device": device, "workers": workers, "progress": not quiet, "strict": strict}
    running = _open_search(experiment, folder, cache_gb, **options)
    metrics = running.finish()
    if running.group.is_main:
        print(
            json.dumps(metrics)
            if as_json
            else result_line(running.run, running.primary_metric, metrics)
        )


def result_line(run: RunDir, primary_metric: str, metrics: Mapping[str, float | None]) -> str:
    """The primary metric of a finished run and where its files are."""
    score = metrics.get(primary_metric)
    return f"{metric_title(primary_metric)} {'-' if score is None else f'{score:.1f}'}; everything is in {run.folder}"


def _open_search(
    experiment: Experiment, folder: Path | None, cache_gb: float, **options: str | int
) -> Search:
    """Open the search. Where its crops take more room than the budget, the user at the terminal is asked."""
    try:
        return Search(experiment, folder, cache_gb=cache_gb, **options)
    except CacheBudgetError as error:
        if is_distributed() or not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        print(f"posenfs: {error}", file=sys.stderr)
    print(
        "Keep them all the same (yes), half the resolution (half), nothing (plain), or stop (no)?",
        file=sys.stderr,
    )
    answer = sys.stdin.readline().strip().lower()
    if answer in ("half", "plain"):
        experiment = replace(experiment, training=replace(experiment.training, crops=answer))
    elif answer in ("yes", "y"):
        cache_gb = float("inf")
    else:
        raise KeyboardInterrupt("stopped: nothing was written")
    return _open_search(experiment, folder, cache_gb, **options)

"""Runs: steered, followed, listed, compared; notebooks and their pages."""

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

if TYPE_CHECKING:  # commands import what they need as they run, so that help comes at once
    from posenfs.search.run_dir import RunDir

_Parameters = Annotated[UseAppendAction[list[str]], arg(aliases=["-p"], metavar="NAME=VALUE")]


def control(
    run: Positional[str],
    command: Positional[Literal["pause", "resume", "step", "checkpoint", "rewind", "stop"]],
    steps: int = 1,
) -> None:
    """Steer the search under way in a run, in whatever process it is.

    Args:
        run: Its name or folder.
        command: pause, resume, step (so many steps, then pause), checkpoint, rewind (to the state after so many steps;
            what came later is kept in branches/; then pause), or stop, which saves first.
        steps: With step and rewind: how many.
    """
    from posenfs.search.detached import send
    from posenfs.search.run_dir import find_run

    status = send(find_run(run), command, steps)
    print(f"{status['state']} at step {status['step']} of {status['steps']}")


def resume(
    run: Positional[str],
    device: str = "auto",
    devices: int = 1,
    workers: int = 0,
    strict: bool = False,
    cache_gb: float = 20.0,
    detach: bool = False,
    quiet: bool = False,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Go on with a run from its last checkpoint, with its own settings, whether a command, a notebook or an ablation
    began it. Ctrl-C, or SIGTERM, finishes the step, saves, and says how to go on.

    Args:
        run: Its name or folder.
        device: auto, cpu, cuda or cuda:N.
        devices: Number of GPUs, or of processes on the CPU, that share every batch. Another number than before is
            another training.
        workers: Processes that read and cut images where crops are plain; they change nothing in the results.
        strict: Refuse data with broken or missing images; otherwise their samples are named and left out.
        cache_gb: How much room kept crops may take.
        detach: In a process of its own that outlives this one.
        quiet: No progress bar.
        as_json: Print the final metrics as JSON.
    """
    from posenfs.cli.search import result_line, run_search

    found = _searched(run)
    if found.is_finished():
        result = found.metrics()
        metrics = result["metrics"]
        line = f"{found.name} is finished: {result_line(found, result['primary_metric'], metrics)}"
        print(json.dumps(metrics) if as_json else line)
        return
    options = (device, devices, workers, strict, cache_gb, detach, quiet, as_json)
    run_search(found.experiment(), found.folder, *options)


def follow(run: Positional[str]) -> None:
    """Show how far the search under way in a run is, until it ends; Ctrl-C leaves it alone.

    Args:
        run: Its name or folder.
    """
    from posenfs.search.detached import follow as show

    shown = _searched(run)
    try:
        status = show(shown)
    except KeyboardInterrupt as interrupt:
        way = f"no longer followed; the search goes on: posenfs follow {shown.argument}"
        raise type(interrupt)(
            way if shown.in_use() else "no longer followed; the search has ended"
        ) from None
    print(f"{shown.state(status)} at step {status.get('step')} of {status.get('steps')}")


def run(
    notebook: Positional[Path],
    parameter: _Parameters = [],  # noqa: B006
    output: Path | None = None,
    quiet: bool = False,
) -> None:
    """Run a notebook with parameters. A search in it goes on from its run folder: repeat the command to resume.

    Args:
        notebook: The notebook, e.g. notebooks/04_search.ipynb.
        parameter: A parameter of the notebook; may be given many times.
        output: The executed notebook; by default notebook.ipynb in the run folder that parameter `name` names, and
            below reports/ where the notebook has no such parameter.
        quiet: No progress.
    """
    from posenfs.search.run_dir import runs_home
    from posenfs.study.notebooks import notebook_parameters, parse_parameters, run_notebook

    values = parse_parameters(notebook, parameter)
    name = {**notebook_parameters(notebook), **values}.get("name")
    target = output or (
        runs_home() / name / "notebook.ipynb" if name else runs_home().parent / notebook.name
    )
    run_notebook(notebook, target, values, progress=not quiet)
    print(f"executed notebook: {target}")


def report(
    source: Positional[str],
    parameter: _Parameters = [],  # noqa: B006
    output: Path | None = None,
) -> None:
    """Turn an executed notebook, a run or a table into one HTML page that needs no internet.

    Args:
        source: A run (its name or folder), an executed notebook, or a table (table_2, …, released_rules,
            are_parts_different). Of a run without an executed notebook one is made from its folder, which takes about
            half a minute (report.ipynb and report.html there). Of a table the notebook is executed, its page is written
            into reports/, and reports/index.html lists all pages there.
        parameter: A parameter of a table's notebook; may be given many times.
        output: The page; by default beside the notebook.
    """
    from posenfs.search.run_dir import find_run
    from posenfs.viz.report import PAGES, report_run, report_table, write_report

    if source in PAGES:
        print(report_table(source, output, parameter))
        return
    if parameter:
        raise ValueError(
            f"-p {parameter[0]}: only the notebooks of tables take parameters here: {', '.join(PAGES)}"
        )
    notebook = (
        Path(source) if source.endswith(".ipynb") else find_run(source).folder / "notebook.ipynb"
    )
    if source.endswith(".ipynb") or notebook.is_file():
        print(write_report(notebook, output or notebook.with_suffix(".html")))
        return
    print(
        f"{source} has no executed notebook: one is made from its folder (about half a minute)",
        file=sys.stderr,
    )
    print(report_run(find_run(source), output))


def status(
    source: Positional[str | None] = None, as_json: Annotated[bool, arg(name="json")] = False
) -> None:
    """Show where one run stands, or all of them.

    Args:
        source: A run (its name or folder); none: all runs.
        as_json: Print JSON.
    """
    from posenfs.search.run_dir import list_runs

    runs = list_runs() if source is None else [_searched(source)]
    if as_json:
        found = [
            {"name": run.name, "folder": str(run.folder), **run.status(), "state": run.state()}
            for run in runs
        ]
        print(json.dumps(found, indent=2))
        return
    if not runs:
        print("no runs yet; `make demo` or `posenfs search` makes one")
        return
    print(f"{'run':24} {'state':12} {'step':>15} {'score':>22} {'heartbeat':>12}")
    for run in runs:
        print(_status_line(run.name, run.status(), run.state()))


def compare(
    run: Positional[str], other: Positional[str], as_json: Annotated[bool, arg(name="json")] = False
) -> None:
    """Compare two finished runs on the same people, person by person: the difference, its interval, a verdict.

    Args:
        run: A run (its name or folder).
        other: Another one.
        as_json: Print JSON.
    """
    from posenfs.evaluation.metrics import nan_to_none
    from posenfs.search.run_dir import find_run
    from posenfs.study.runs import compare_runs

    found, metric = compare_runs(find_run(run), find_run(other))
    if as_json:
        verdict = {"distinguishable": found.distinguishable, "people": found.people}
        print(
            json.dumps(
                {"metric": metric, **nan_to_none(asdict(found.difference)), **verdict}, indent=2
            )
        )
    else:
        print(
            f"{metric} of {other} less that of {run}: {found}\n(bootstrap over people; of other seeds it says nothing)"
        )


def _searched(source: str) -> "RunDir":
    """A run whose config can be read; raises RunError for a model's folder."""
    from posenfs.search.run_dir import find_run

    run = find_run(source)
    run.experiment()
    run.check_is_run()
    return run


def _status_line(name: str, status: dict, state: str) -> str:
    from posenfs.evaluation.metrics import metric_title

    age = _ago(time.time() - status["heartbeat"]) if "heartbeat" in status else "-"
    metric = status.get("primary_metric", "pckh@0.5")
    score = (status.get("metrics") or {}).get(metric)
    result = "-" if score is None else f"{metric_title(metric)} {score:.1f}"
    steps = f"{status.get('step', 0)}/{status.get('steps', 0)}"
    line = f"{name:24} {state:12} {steps:>15} {result:>22} {age:>12}"
    return line + (f"\n    {status['error']}" if "error" in status else "")


def _ago(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"

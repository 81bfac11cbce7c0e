"""Commands for runs: control, resume, follow, status, compare, notebooks and their pages."""

import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

from posenfs.cli.options import SearchOptions

if TYPE_CHECKING:  # a command imports what it needs when it runs, so that help is fast
    from posenfs.search.run_dir import RunDir

_Parameters = Annotated[UseAppendAction[list[str]], arg(aliases=["-p"], metavar="NAME=VALUE")]


def control(
    run: Positional[str],
    command: Positional[Literal["pause", "resume", "step", "checkpoint", "rewind", "stop"]],
    steps: int = 1,
) -> None:
    """Control a running search of another process.

    Args:
        run: The run (its name or folder).
        command: pause, resume, step (take that many steps, then pause), checkpoint, rewind (restore
            the state after that step; later records are kept in branches/; then pause), or stop,
            which saves a checkpoint first.
        steps: The number of steps, for step and rewind.
    """
    from posenfs.search.detached import send
    from posenfs.search.run_dir import find_run

    status = send(find_run(run), command, steps)
    print(f"{status['state']} at step {status['step']} of {status['steps']}")


def resume(
    run: Positional[str],
    root: str | None = None,
    options: Annotated[SearchOptions, arg(name="")] = SearchOptions(),
) -> None:
    """Continue a run from its last checkpoint, with its own settings.

    It may have been started by a command, a notebook or an ablation. Ctrl-C or SIGTERM finishes
    the step, saves a checkpoint, and prints how to continue.

    Args:
        run: The run (its name or folder).
        root: Where its data are now, if they have moved: their folder; for custom data the TOML
            file. They must be the same data.
        options: How the search runs.
    """
    from posenfs.cli.search import result_line, run_search

    run_dir = _searched(run)
    experiment = run_dir.experiment()
    if root is not None:
        experiment = replace(experiment, data=replace(experiment.data, root=root))
    elif run_dir.is_finished():
        result = run_dir.metrics()
        metrics = result["metrics"]
        line = (
            f"{run_dir.name} is finished: {result_line(run_dir, result['primary_metric'], metrics)}"
        )
        print(json.dumps(metrics) if options.json else line)
        return
    run_search(experiment, run_dir.folder, options)


def follow(run: Positional[str]) -> None:
    """Show the progress of the running search of a run until it ends. Ctrl-C does not stop it.

    Args:
        run: The run (its name or folder).
    """
    from posenfs.search.detached import follow as show

    run_dir = _searched(run)
    try:
        status = show(run_dir)
    except KeyboardInterrupt as interrupt:
        message = "no longer followed; the search has ended"
        if run_dir.in_use():
            message = f"no longer followed; the search continues: posenfs follow {run_dir.argument}"
        raise type(interrupt)(message) from None
    print(f"{run_dir.state(status)} at step {status.get('step')} of {status.get('steps')}")


def run(
    notebook: Positional[Path],
    parameter: _Parameters = [],  # noqa: B006
    output: Path | None = None,
    quiet: bool = False,
) -> None:
    """Execute a notebook with parameters.

    A search in it continues from its run directory: repeat the command to resume.

    Args:
        notebook: The notebook, such as notebooks/04_search.ipynb.
        parameter: A parameter of the notebook; any number of times.
        output: The executed notebook. By default notebook.ipynb in the run directory that the
            parameter `name` names, or a file in reports/ if the notebook has no such parameter.
        quiet: Show no progress.
    """
    from posenfs.search.run_dir import runs_home
    from posenfs.study.notebooks import run_notebook
    from posenfs.study.parameters import notebook_parameters, parse_parameters

    values = parse_parameters(notebook, parameter)
    name = {**notebook_parameters(notebook), **values}.get("name")
    target = output or (
        runs_home() / str(name) / "notebook.ipynb" if name else runs_home().parent / notebook.name
    )
    run_notebook(notebook, target, values, progress=not quiet)
    print(f"executed notebook: {target}")


def report(
    source: Positional[str],
    parameter: _Parameters = [],  # noqa: B006
    output: Path | None = None,
) -> None:
    """Write a run, an executed notebook or a table as one HTML page that needs no internet.

    Args:
        source: A run (its name or folder), an executed notebook, or a table (table_2, …, rules,
            figures_8_9, are_parts_different). For a run without an executed notebook, report.ipynb
            and report.html are made in its folder, in about half a minute. For a table, its
            notebook is executed, the page is written to reports/, and reports/index.html lists all
            pages there.
        parameter: A parameter of a table's notebook; any number of times.
        output: The page; by default a file beside the notebook.
    """
    from posenfs.search.run_dir import find_run
    from posenfs.viz.report import PAGES, report_run, report_table, write_report

    if source in PAGES:
        print(report_table(source, output, parameter))
        return
    if parameter:
        raise ValueError(
            f"-p {parameter[0]}: only the notebooks of tables take parameters here: "
            f"{', '.join(PAGES)}"
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
    """Show the state of one run, or of all runs.

    Args:
        source: The run (its name or folder); by default all runs.
        as_json: Print JSON.
    """
    from posenfs.search.run_dir import list_runs

    runs = list_runs() if source is None else [_searched(source)]
    if as_json:
        states = [{"name": run.name, "folder": str(run.folder), **run.overview()} for run in runs]
        print(json.dumps(states, indent=2))
        return
    if not runs:
        print("no runs yet; `make demo` or `posenfs search` makes one")
        return
    print(f"{'run':24} {'state':12} {'step':>15} {'score':>22} {'heartbeat':>12}")
    for run in runs:
        print(_status_line(run.name, run.overview()))


def compare(
    run: Positional[str], other: Positional[str], as_json: Annotated[bool, arg(name="json")] = False
) -> None:
    """Compare two finished runs on the same people: the difference, its interval and a verdict.

    Args:
        run: A run (its name or folder).
        other: The run to compare it with.
        as_json: Print JSON.
    """
    from posenfs.evaluation.metrics import nan_to_none
    from posenfs.search.run_dir import find_run
    from posenfs.study.runs import compare_runs

    comparison, metric = compare_runs(find_run(run), find_run(other))
    if as_json:
        content = {
            "metric": metric,
            **nan_to_none(asdict(comparison.difference)),
            "distinguishable": comparison.distinguishable,
            "people": comparison.people,
        }
        print(json.dumps(content, indent=2))
    else:
        print(f"{metric} of {other} minus that of {run}: {comparison}")
        print("(bootstrap over people; it says nothing about other seeds)")


def _searched(source: str) -> "RunDir":
    """Return a run with a valid config.json; raise RunError for a model's folder."""
    from posenfs.search.run_dir import find_run

    run = find_run(source)
    run.experiment()
    run.check_is_run()
    return run


def _status_line(name: str, status: dict) -> str:
    from posenfs.evaluation.metrics import metric_title

    age = _ago(time.time() - status["heartbeat"]) if "heartbeat" in status else "-"
    metric = status.get("primary_metric", "pckh@0.5")
    score = (status.get("metrics") or {}).get(metric)
    result = "-" if score is None else f"{metric_title(metric)} {score:.1f}"
    steps = f"{status.get('step', 0)}/{status.get('steps', 0)}"
    line = f"{name:24} {status['state']:12} {steps:>15} {result:>22} {age:>12}"
    return line + (f"\n    {status['error']}" if "error" in status else "")


def _ago(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"

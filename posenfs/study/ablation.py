"""An ablation: the runs of tables, each executed once as a notebook, and their stored results."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from posenfs.data.datasets.catalogue import home
from posenfs.messages import unknown_entry
from posenfs.search.experiment import Experiment
from posenfs.search.run_dir import RunDir, runs_home
from posenfs.study.executors import Engine, Job
from posenfs.study.experiments import TABLES, Profile, experiment_of
from posenfs.study.results import DataFingerprints, collect, fingerprint, read_results, write_result

NOTEBOOK = "one_run.ipynb"  # the notebook that each run executes


@dataclass(frozen=True)
class Planned:
    """One run.

    Attributes:
        key: Its fingerprint.
        experiment: Its experiment, whose name holds the fingerprint.
        data: The fingerprints of its data and initial weights.
        rows: The rows that it belongs to, as (table, row).
    """

    key: str
    experiment: Experiment
    data: Mapping[str, str | None]
    rows: tuple[tuple[str, str], ...]

    @property
    def words(self) -> str:
        """Its first row and its seed."""
        table, row = self.rows[0]
        return f"{table} {row}, seed {self.experiment.training.seed}"

    @property
    def run(self) -> RunDir:
        """Its run directory."""
        return RunDir(runs_home() / self.experiment.name)


def plan(
    tables: Sequence[str],
    profile: Profile,
    seeds: int,
    data: DataFingerprints,
    rows: Sequence[str] = (),
) -> list[Planned]:
    """Return the runs of tables, ordered by seed; several rows may share a run.

    Args:
        tables: Names in TABLES.
        profile: The profile.
        seeds: How many seeds each row has: 0, 1, …
        data: Gives the fingerprints of the data.
        rows: Names of rows; none: all.

    Raises:
        ValueError: A table or row is unknown, or there are no seeds.
    """
    if unknown := [name for name in tables if name not in TABLES]:
        raise ValueError(unknown_entry("table", unknown[0], TABLES))
    known = [name for table in tables for name in TABLES[table].rows]
    if unknown := [name for name in rows if name not in known]:
        raise ValueError(f"unknown row {unknown[0]!r}; known: {', '.join(dict.fromkeys(known))}")
    if seeds < 1:
        raise ValueError(f"an ablation takes at least 1 seed; got {seeds}")
    runs: dict[str, Planned] = {}
    for seed in range(seeds):
        for table in tables:
            for name, row in TABLES[table].rows.items():
                if row.quoted or (rows and name not in rows):
                    continue
                experiment = experiment_of(row, profile, seed)
                fingerprints = data.of(experiment)
                key = fingerprint(experiment, fingerprints)
                earlier_rows = runs[key].rows if key in runs else ()
                experiment = replace(experiment, name=f"{profile.base.name}_{key}")
                runs[key] = Planned(key, experiment, fingerprints, (*earlier_rows, (table, name)))
    return list(runs.values())


def state_of(planned: Planned, done: set[str]) -> str:
    """Return the state of a run: done, finished, failed, under way, begun, or new.

    Args:
        planned: The run.
        done: Fingerprints of the stored results.
    """
    if planned.key in done:
        return "done"
    status = planned.run.status()
    if planned.run.in_use():
        return "under way"
    return {"finished": "finished", "failed": "failed"}.get(
        status.get("state"), "begun" if status else "new"
    )


def ablate(
    runs: Sequence[Planned],
    engine: Engine,
    retry: bool = False,
    say: Callable[[Planned, str], None] = lambda planned, words: None,
    look: Callable[[], None] = lambda: None,
) -> dict[str, str]:
    """Execute the runs that have no result yet, and store each result as soon as it exists.

    An interrupted run resumes. Ctrl-C stops the active runs, which save their state.

    Args:
        runs: The runs.
        engine: Executes them.
        retry: Whether runs that failed before are executed again.
        say: Called with a run and each change of its state.
        look: Called regularly.

    Returns:
        By key, why a run failed; also runs that failed before or are active in another process.

    Raises:
        ValueError: The notebook does not exist.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    done, failed = {own["fingerprint"] for own in read_results()}, {}
    todo: dict[str, Planned] = {}
    for own in runs:
        state = state_of(own, done)
        if state == "failed" and not retry:
            failed[own.key] = f"failed before: {own.run.status().get('error', 'without a word')}"
            say(own, failed[own.key])
        elif state == "under way":
            failed[own.key] = "is under way in another process"
            say(own, failed[own.key])
        elif state == "done":
            say(own, state)
        else:
            todo[own.key] = own
    notebook = home() / "notebooks" / NOTEBOOK
    if todo and not notebook.is_file():
        raise ValueError(f"no notebook {notebook}: ablations are run in the project's folder")
    jobs = [_job(own, notebook) for own in todo.values()]
    try:
        for key, wrong in engine.run(jobs, look):
            if not (wrong := wrong or _keep(todo[key])):
                say(todo[key], "done")
            else:
                failed[key] = wrong
                say(todo[key], wrong)
    except KeyboardInterrupt as interrupt:
        engine.stop()
        raise type(interrupt)(
            "stopped; what was under way is saved. The same command goes on"
        ) from None
    except Exception:
        engine.stop()
        raise
    look()
    return failed


def _job(planned: Planned, notebook: Path) -> Job:
    return Job(
        planned.key, planned.run.folder.resolve(), notebook.resolve(), planned.experiment.to_json()
    )


def _keep(planned: Planned) -> str | None:
    """Store the result of a run; return why there is none, or None."""
    status = planned.run.status()
    if status.get("state") != "finished":
        return status.get("error") or f"ended as {status.get('state', 'nothing')}"
    write_result(collect(planned.run, planned.key, planned.data))
    return None


def progress_of(
    runs: Sequence[Planned], done: Mapping[str, str]
) -> Iterator[tuple[str, str, str, str]]:
    """Yield for each run its title, state, share of steps, and score, as text.

    Args:
        runs: The runs.
        done: Reported changes by key.
    """
    for own in runs:
        status = own.run.status()
        state = done.get(own.key) or ("running" if own.run.in_use() else "waiting")
        share = f"{status.get('step', 0)}/{status['steps']}" if status.get("steps") else ""
        score = (status.get("metrics") or {}).get(status.get("primary_metric"))
        yield own.words, state, share, "" if score is None else f"{score:.1f}"

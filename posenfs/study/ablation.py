"""An ablation: plan and execute the runs of tables, each once as a notebook; write the tables."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from posenfs.data.datasets.catalogue import data_root, home, source_of
from posenfs.data.sample import DataError
from posenfs.evaluation.seeds import spread
from posenfs.search.checkpoints import RunError
from posenfs.study.calibration import LoadMeter
from posenfs.study.estimates import estimate, plan_text
from posenfs.study.executors import Executor, Job, LocalExecutor
from posenfs.study.fingerprints import DataFingerprints, configuration, without_seed
from posenfs.study.outcomes import outcomes
from posenfs.study.plan import PlannedRun, plan, state_of
from posenfs.study.profiles import Profile, experiment_of
from posenfs.study.progress import ProgressTable
from posenfs.study.ray_executor import RayExecutor
from posenfs.study.results import collect, read_results, write_result
from posenfs.study.rows import TABLES
from posenfs.study.table_files import write_table

NOTEBOOK = "one_run.ipynb"  # the notebook that each run executes
_DEFAULT_DEVIATION = (
    1.5,
    "as in reports/LOG.md for short searches of LSP-extended; none of these rows has two seeds yet",
)


@dataclass(frozen=True)
class ExecutorOptions:
    """How the runs of an ablation are executed.

    Attributes:
        kind: local or ray.
        jobs: Number of simultaneous local runs; None: as many as the GPUs hold, or one.
        gpus_per_run: Share of a GPU for a run; None: 1 where there are GPUs.
        address: Address of a Ray cluster; None: one is started on this machine.
        device: Device of local runs: auto, cpu, cuda or cuda:N.
    """

    kind: Literal["local", "ray"] = "local"
    jobs: int | None = None
    gpus_per_run: float | None = None
    address: str | None = None
    device: str = "auto"

    def local(self) -> LocalExecutor | None:
        """Return the local executor, or None where the runs are executed by Ray."""
        if self.kind == "ray":
            return None
        share = 1.0 if self.gpus_per_run is None else self.gpus_per_run
        return LocalExecutor(self.jobs, share, self.device)


@dataclass(frozen=True)
class Ablation:
    """The options of `posenfs ablate`.

    Attributes:
        tables: Names in TABLES, or "all".
        profile_name: A name in PROFILES.
        profile: That profile, with changes if there are any.
        seeds: Number of seeds of each row: 0, 1, …
        rows: Rows to run; none: all.
        executor: How the runs are executed.
        retry: Whether runs that failed before are run again.
        publish: Whether the committed tables are written; see `tables_home`.
        quiet: Whether to print errors only.
    """

    tables: Sequence[str]
    profile_name: str
    profile: Profile
    seeds: int
    rows: Sequence[str] = ()
    executor: ExecutorOptions = ExecutorOptions()
    retry: bool = False
    publish: bool = False
    quiet: bool = False


def run_ablation(
    ablation: Ablation,
    only_plan: bool = False,
    write: Callable[..., Sequence[Path]] = write_table,
) -> None:
    """Plan and execute an ablation, and write its tables.

    Args:
        ablation: The ablation.
        only_plan: Whether only the plan is printed.
        write: Writes the files of a table, from its name, the profile's name, its rows and
            `publish`; the first file is printed.

    Raises:
        ValueError: The ablation cannot be planned.
        RunError: Some runs failed. All other runs were executed, and the tables were written.
    """
    tables = list(TABLES) if "all" in ablation.tables else list(ablation.tables)
    if not tables:
        raise ValueError(f"give names of tables, or all: {', '.join(TABLES)}")
    data = DataFingerprints(progress=not ablation.quiet)
    try:
        runs = plan(tables, ablation.profile, ablation.seeds, data, ablation.rows)
    except DataError as error:
        raise DataError(f"{error}{_missing_data_hint(ablation.profile)}") from None
    local = ablation.executor.local()
    results = read_results()
    done = {result["fingerprint"] for result in results}
    states = {run.key: state_of(run, done) for run in runs}
    left = [run for run in runs if states[run.key] != "done"]
    if only_plan or (left and not ablation.quiet):
        meter = LoadMeter()
        threads = local.threads if local else 1  # Ray gives each run one CPU
        device = ablation.executor.device
        estimates = estimate(left, data, device, threads, not ablation.quiet)
        load = meter.read() if left else None
        jobs = local.jobs if local else ablation.executor.jobs or 1
        deviation = _deviation(runs, results)
        text = plan_text(runs, estimates, states, ablation.seeds, jobs, deviation, load)
        print(text, flush=True)
    if only_plan:
        return
    failed = _execute(ablation, runs, local)
    _write_tables(ablation, tables, data, write)
    if failed:
        titles = {run.key: run.title for run in runs}
        reasons = "\n  ".join(f"{titles[key]}: {reason}" for key, reason in failed.items())
        raise RunError(
            f"{len(failed)} of {len(runs)} runs failed; --retry runs them again\n  {reasons}"
        )


def _execute(
    ablation: Ablation, runs: Sequence[PlannedRun], local: LocalExecutor | None
) -> dict[str, str]:
    """Execute the runs; return by key why some failed."""
    progress = ProgressTable(runs, ablation.quiet)
    if local:
        return ablate(runs, local, ablation.retry, progress.report, progress.poll)
    ray = RayExecutor(ablation.executor.address, ablation.executor.gpus_per_run)
    try:
        return ablate(runs, ray, ablation.retry, progress.report, progress.poll)
    finally:
        ray.close()


def _write_tables(
    ablation: Ablation,
    tables: Sequence[str],
    data: DataFingerprints,
    write: Callable[..., Sequence[Path]],
) -> None:
    """Write the tables from the results with the data and initial weights of this ablation."""
    profile, results = ablation.profile, read_results()
    for table in tables:
        rows = [row for row in TABLES[table].rows.values() if not row.quoted]
        fingerprints = [data.of(experiment_of(row, profile)) for row in rows]
        selected = [result for result in results if result["data"] in fingerprints]
        shown = outcomes(table, profile, selected)
        files = write(table, ablation.profile_name, shown, publish=ablation.publish)
        if not ablation.quiet:
            print(f"{TABLES[table].title}: {files[0]}")


def ablate(
    runs: Sequence[PlannedRun],
    executor: Executor,
    retry: bool = False,
    report: Callable[[PlannedRun, str], None] = lambda planned, change: None,
    poll: Callable[[], None] = lambda: None,
) -> dict[str, str]:
    """Execute the runs that have no result yet, and store each result as soon as it exists.

    An interrupted run resumes. Ctrl-C stops the active runs, which save their state.

    Args:
        runs: The runs.
        executor: Executes them.
        retry: Whether runs that failed before are executed again.
        report: Called with a run and each change of its state: "done", or why it failed.
        poll: Called regularly.

    Returns:
        By key, why a run failed. Runs that are active in another process are included.

    Raises:
        ValueError: The notebook does not exist.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    done = {result["fingerprint"] for result in read_results()}
    failed: dict[str, str] = {}
    open_runs: dict[str, PlannedRun] = {}
    for planned in runs:
        state = state_of(planned, done)
        if state == "failed" and not retry:
            reason = planned.run.status().get("error", "no error was recorded")
            failed[planned.key] = f"failed before: {reason}"
        elif state == "broken":
            failed[planned.key] = planned.run.overview()["error"]
        elif state == "running":
            failed[planned.key] = "is running in another process"
        elif state != "done":
            open_runs[planned.key] = planned
        if planned.key not in open_runs:
            report(planned, failed.get(planned.key, "done"))
    notebook = home() / "notebooks" / NOTEBOOK
    if open_runs and not notebook.is_file():
        raise ValueError(f"no notebook {notebook}: ablations are run in the project's folder")
    jobs = [_job(planned, notebook) for planned in open_runs.values()]
    try:
        for key, error in executor.run(jobs, poll):
            error = error or _store(open_runs[key])
            if error:
                failed[key] = error
            report(open_runs[key], error or "done")
    except KeyboardInterrupt as interrupt:
        executor.stop()
        raise type(interrupt)(
            "stopped; the active runs are saved. The same command continues them"
        ) from None
    except Exception:
        executor.stop()
        raise
    poll()
    return failed


def _job(planned: PlannedRun, notebook: Path) -> Job:
    folder = planned.run.folder.resolve()
    return Job(planned.key, folder, notebook.resolve(), planned.experiment.to_json())


def _store(planned: PlannedRun) -> str | None:
    """Store the result of a run; return why there is none, or None."""
    status = planned.run.overview()
    if status["state"] != "finished":
        return status.get("error") or f"ended in state {status['state']!r}"
    write_result(collect(planned.run, planned.data))
    return None


def _missing_data_hint(profile: Profile) -> str:
    """Return the next step if the data of a profile are missing; else an empty string."""
    spec = profile.base.data
    source = source_of(spec)
    if source.drawn or source.find(data_root(spec), "train") is not None:
        return ""
    smoke = "--profile smoke for a quick check"
    if profile.full:  # such a profile accepts no other data
        return f"; without photographs: {smoke}"
    return f"; without photographs: --dataset synthetic, or {smoke}"


def _deviation(runs: Sequence[PlannedRun], results: Sequence[Mapping]) -> tuple[float, str]:
    """Return the standard deviation of scores over seeds, and its source.

    It is pooled over the rows of the runs that have results of several seeds.
    """
    rows = {_row_key(configuration(run.experiment)) for run in runs}
    groups: dict[str, list[float]] = {}
    for result in results:
        row = _row_key(result["configuration"])
        if row in rows:
            metrics = result["metrics"]
            groups.setdefault(row, []).append(metrics["metrics"][metrics["primary_metric"]])
    deviations = [spread(scores) for scores in groups.values() if len(scores) > 1]
    if not deviations:
        return _DEFAULT_DEVIATION
    pooled = statistics.fmean(deviation**2 for deviation in deviations) ** 0.5
    return pooled, f"pooled over {len(deviations)} rows with several seeds"


def _row_key(config: Mapping) -> str:
    return json.dumps(without_seed(config), sort_keys=True)

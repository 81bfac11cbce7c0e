"""The command `posenfs ablate`: plan, runs and tables of an ablation."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from posenfs.data.datasets.catalogue import data_root, source_of
from posenfs.data.sample import DataError
from posenfs.evaluation.seeds import spread
from posenfs.search.checkpoints import RunError
from posenfs.study.ablation import Planned, ablate, plan, state_of
from posenfs.study.calibration import LoadMeter
from posenfs.study.executors import LocalEngine, RayEngine
from posenfs.study.experiments import (
    TABLES,
    Profile,
    beginning_networks,
    choose_profile,
    experiment_of,
)
from posenfs.study.planning import estimate, plan_text
from posenfs.study.results import DataFingerprints, configuration, read_results, without_seed
from posenfs.study.rows import outcomes
from posenfs.study.tables import write_table
from posenfs.study.watching import LiveTable

_DEFAULT_DEVIATION = (
    1.5,
    "as in reports/LOG.md for short searches of LSP-extended; none of these rows has two seeds yet",
)


def run_tables(
    tables: Sequence[str],
    profile_name: str,
    seeds: int,
    engine: str,
    jobs: int | None,
    gpus_per_run: float | None,
    address: str | None,
    device: str,
    changes: Mapping[str, Any],
    weights: Sequence[str],
    rows: Sequence[str] = (),
    retry: bool = False,
    only_plan: bool = False,
    quiet: bool = False,
    write: Callable[..., Sequence[Path]] = write_table,
    publish: bool = False,
) -> None:
    """Plan and execute an ablation, and write its tables.

    Args:
        tables: Names in TABLES, or "all".
        profile_name: A name in PROFILES.
        seeds: Seeds of each row: 0, 1, …
        engine: local or ray.
        jobs: Runs at a time.
        gpus_per_run: Share of a GPU for a run.
        address: Address of a Ray cluster.
        device: auto, cpu, cuda or cuda:N.
        changes: Changes of the profile; see `choose_profile`.
        weights: Initial weights, "NETWORK=FILE".
        rows: Rows to run; none: all.
        retry: Whether runs that failed before are run again.
        only_plan: Whether only the plan is printed.
        quiet: Whether to print errors only.
        write: Writes the files of a table, from its name, the profile's name, its rows and
            `publish`; the first file is printed.
        publish: Whether the committed tables are written; see `tables_home`.

    Raises:
        ValueError: The ablation cannot be planned.
        RunError: Some runs failed. All other runs were executed, and the tables were written.
    """
    tables = list(TABLES) if "all" in tables else list(tables)
    if not tables:
        raise ValueError(f"name tables, or all: {', '.join(TABLES)}")
    profile = choose_profile(profile_name, weights=_parse_weights(weights), **changes)
    data = DataFingerprints(progress=not quiet)
    try:
        runs = plan(tables, profile, seeds, data, rows)
    except DataError as error:
        raise DataError(f"{error}{_missing_data_hint(profile)}") from None
    local = None
    if engine != "ray":
        local = LocalEngine(jobs, 1.0 if gpus_per_run is None else gpus_per_run, device)
    results = read_results()
    done = {result["fingerprint"] for result in results}
    states = {run.key: state_of(run, done) for run in runs}
    left = [run for run in runs if states[run.key] != "done"]
    if only_plan or (left and not quiet):
        meter = LoadMeter()
        threads = local.threads if local else 1  # Ray gives each run one CPU
        estimates = estimate(left, data, device, threads, not quiet)
        load = meter.read() if left else None
        parallel_jobs = local.jobs if local else jobs or 1
        deviation = _deviation(runs, results)
        text = plan_text(runs, estimates, states, seeds, parallel_jobs, deviation, load)
        print(text, flush=True)
    if only_plan:
        return
    chosen_engine = local or RayEngine(address, gpus_per_run=gpus_per_run)
    live_table = LiveTable(runs, quiet)
    try:
        failed = ablate(runs, chosen_engine, retry, live_table.say, live_table.look)
    finally:
        if isinstance(chosen_engine, RayEngine):
            chosen_engine.close()
    results = read_results()
    for table in tables:
        table_results = _of_these_data(results, table, profile, data)
        files = write(table, profile_name, outcomes(table, profile, table_results), publish=publish)
        if not quiet:
            print(f"{TABLES[table].title}: {files[0]}")
    if failed:
        titles = {run.key: run.words for run in runs}
        reasons = "\n  ".join(f"{titles[key]}: {reason}" for key, reason in failed.items())
        raise RunError(
            f"{len(failed)} of {len(runs)} runs failed; --retry runs them again\n  {reasons}"
        )


def _of_these_data(
    results: Sequence[dict], table: str, profile: Profile, data: DataFingerprints
) -> list[dict]:
    """Return the results with the data and initial weights of this ablation."""
    rows = [row for row in TABLES[table].rows.values() if not row.quoted]
    fingerprints = [data.of(experiment_of(row, profile)) for row in rows]
    return [result for result in results if result["data"] in fingerprints]


def _parse_weights(assignments: Sequence[str]) -> dict[str, str]:
    """Parse ["mobilenet_v2=weights.pth", …] into files by network."""
    weights = {}
    known = beginning_networks()
    for assignment in assignments:
        network, equals, file = assignment.partition("=")
        if not equals:
            raise ValueError(f"--weights {assignment}: write it as NETWORK=FILE")
        if network not in known:
            raise ValueError(
                f"--weights {network}={file}: unknown network {network!r}; "
                f"known: {', '.join(known)}"
            )
        if file != "imagenet" and not Path(file).is_file():
            raise ValueError(
                f"--weights {network}={file}: no weights at {file!r}; give a file, or imagenet"
            )
        weights[network] = file
    return weights


def _missing_data_hint(profile: Profile) -> str:
    """Return the next step if the data of a profile are missing; else an empty string."""
    spec = profile.base.data
    source = source_of(spec)
    if source.drawn or source.find(data_root(spec), "train") is not None:
        return ""
    smoke = "--profile smoke for a try"
    if profile.full:  # such a profile accepts no other data
        return f"; without photographs: {smoke}"
    return f"; without photographs: --dataset synthetic, or {smoke}"


def _deviation(runs: Sequence[Planned], results: Sequence[Mapping]) -> tuple[float, str]:
    """Return the standard deviation of scores over seeds, and its source.

    It is pooled over the rows of the runs that have results of several seeds.
    """
    rows = {repr(without_seed(configuration(run.experiment))) for run in runs}
    groups: dict[str, list[float]] = {}
    for result in results:
        row = repr(without_seed(result["configuration"]))
        if row in rows:
            metrics = result["metrics"]
            groups.setdefault(row, []).append(metrics["metrics"][metrics["primary_metric"]])
    deviations = [spread(scores) for scores in groups.values() if len(scores) > 1]
    if not deviations:
        return _DEFAULT_DEVIATION
    pooled = statistics.fmean(deviation**2 for deviation in deviations) ** 0.5
    return pooled, f"of {len(deviations)} rows that have several"

"""An ablation as a command: its plan, its runs, its tables."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from posenfs.data.datasets.catalogue import data_root, source_of
from posenfs.data.sample import DataError
from posenfs.evaluation.seeds import spread
from posenfs.search.run import RunError
from posenfs.study.ablation import Planned, ablate, plan, state_of
from posenfs.study.calibration import LoadMeter
from posenfs.study.engines import LocalEngine, RayEngine
from posenfs.study.experiments import TABLES, Profile, beginning_networks, choose_profile, experiment_of
from posenfs.study.planning import estimate, plan_text
from posenfs.study.results import DataFingerprints, configuration, read_results, without_seed
from posenfs.study.rows import outcomes
from posenfs.study.tables import write_table
from posenfs.study.watching import LiveTable

_DEVIATION = 1.5, "as in reports/LOG.md for short searches of LSP-extended; none of these rows has two seeds yet"


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
    """Plan, run and write tables (all: every one of TABLES); see `posenfs ablate` for the arguments. `write`: what
    makes the files of a table of its name, the profile's and its rows, and of `publish` (see `tables_home`); the first
    one is named.

    Raises ValueError for what cannot be planned, and RunError naming what failed, after everything else was run."""
    tables = list(TABLES) if "all" in tables else list(tables)
    if not tables:
        raise ValueError(f"name tables, or all: {', '.join(TABLES)}")
    profile = choose_profile(profile_name, weights=_weights(weights), **changes)
    data = DataFingerprints(progress=not quiet)
    try:
        runs = plan(tables, profile, seeds, data, rows)
    except DataError as error:
        raise DataError(f"{error}{_without_photographs(profile)}") from None
    results = read_results()
    done = {own["fingerprint"] for own in results}
    states = {own.key: state_of(own, done) for own in runs}
    local = None if engine == "ray" else LocalEngine(jobs, 1.0 if gpus_per_run is None else gpus_per_run, device)
    left = [run for run in runs if states[run.key] != "done"]
    if only_plan or (left and not quiet):
        meter = LoadMeter()
        estimates = estimate(left, data, device, local.threads if local else 1, not quiet)  # Ray gives a run one CPU
        load = meter.read() if left else None
        at_once = local.jobs if local else jobs or 1
        print(plan_text(runs, estimates, states, seeds, at_once, _deviation(runs, results), load), flush=True)
    if only_plan:
        return
    chosen = local or RayEngine(address, gpus_per_run=gpus_per_run)
    watched = LiveTable(runs, quiet)
    try:
        failed = ablate(runs, chosen, retry, watched.say, watched.look)
    finally:
        if isinstance(chosen, RayEngine):
            chosen.close()
    results = read_results()
    for table in tables:
        rows_with_results = outcomes(table, profile, _of_these_data(results, table, profile, data))
        files = write(table, profile_name, rows_with_results, publish=publish)
        if not quiet:
            print(f"{TABLES[table].title}: {files[0]}")
    if failed:
        words = {own.key: own.words for own in runs}
        told = "\n  ".join(f"{words[key]}: {why}" for key, why in failed.items())
        raise RunError(f"{len(failed)} of {len(runs)} runs failed; --retry runs them again\n  {told}")


def _of_these_data(results: Sequence[dict], table: str, profile: Profile, data: DataFingerprints) -> list[dict]:
    """The results on the people, and from the weights, that this command names: not others of the same rows."""
    rows = [row for row in TABLES[table].rows.values() if not row.quoted]
    named = [data.of(experiment_of(row, profile)) for row in rows]
    return [own for own in results if own["data"] in named]


def _weights(given: Sequence[str]) -> dict[str, str]:
    """["mobilenet_v2=weights.pth", …] by network."""
    if wrong := [own for own in given if "=" not in own]:
        raise ValueError(f"--weights {wrong[0]}: write it as NETWORK=FILE")
    weights, known = dict(own.split("=", 1) for own in given), beginning_networks()
    for network, file in weights.items():
        if network not in known:
            raise ValueError(f"--weights {network}={file}: unknown network {network!r}; known: {', '.join(known)}")
        if file != "imagenet" and not Path(file).is_file():
            raise ValueError(f"--weights {network}={file}: no weights at {file!r}; give a file, or imagenet")
    return weights


def _without_photographs(profile: Profile) -> str:
    """What to do where a profile's data are not there."""
    spec = profile.base.data
    if source_of(spec).drawn or source_of(spec).find(data_root(spec), "train") is not None:
        return ""
    others = "--profile smoke for a try"
    if profile.full:  # which refuses another folder or other data
        return f"; without photographs: {others}"
    return f"; without photographs: --dataset synthetic, or {others}"


def _deviation(runs: Sequence[Planned], results: Sequence[Mapping]) -> tuple[float, str]:
    """The standard deviation of scores over seeds, pooled over the rows that have several, and where it is from."""
    asked = {repr(without_seed(configuration(own.experiment))) for own in runs}
    groups: dict[str, list[float]] = {}
    for own in results:
        alike = repr(without_seed(own["configuration"]))
        if alike in asked:
            groups.setdefault(alike, []).append(own["metrics"]["metrics"][own["metrics"]["headline"]])
    spreads = [spread(scores) for scores in groups.values() if len(scores) > 1]
    if not spreads:
        return _DEVIATION
    return statistics.fmean(own**2 for own in spreads) ** 0.5, f"of {len(spreads)} rows that have several"

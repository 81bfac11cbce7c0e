"""Plan of an ablation: the runs of its tables, and which of them are done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from posenfs.messages import unknown_entry
from posenfs.search.experiment import Experiment
from posenfs.search.run_dir import RunDir, runs_home
from posenfs.study.fingerprints import DataFingerprints, fingerprint
from posenfs.study.profiles import Profile, experiment_of
from posenfs.study.rows import TABLES


@dataclass(frozen=True)
class PlannedRun:
    """One run of an ablation.

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
    def title(self) -> str:
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
) -> list[PlannedRun]:
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
    runs: dict[str, PlannedRun] = {}
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
                runs[key] = PlannedRun(
                    key, experiment, fingerprints, (*earlier_rows, (table, name))
                )
    return list(runs.values())


def state_of(planned: PlannedRun, done: set[str]) -> str:
    """Return the state of a run: done, finished, failed, broken, running, begun, or new.

    Args:
        planned: The run.
        done: Fingerprints of the stored results.
    """
    if planned.key in done:
        return "done"
    state = planned.run.overview()["state"]
    if planned.run.in_use():
        return "running"
    if state in ("finished", "failed", "broken"):
        return state
    return "new" if state == "not begun" else "begun"

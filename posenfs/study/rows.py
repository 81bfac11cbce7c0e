"""The rows of a table, and what their runs found: scores and architectures by seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas

from posenfs.evaluation.seeds import holm
from posenfs.model.architecture import Architecture
from posenfs.model.space import FabricSpec
from posenfs.search.experiment import Experiment
from posenfs.study.distinctness import Distinctness
from posenfs.study.experiments import TABLES, Profile, Row, experiment_of
from posenfs.study.results import architectures_of, of_row, read_results


@dataclass(frozen=True)
class Outcome:
    """One row of a table, and the results of its runs by seed; of a quoted row nothing is asked."""

    name: str
    row: Row
    asked: Experiment | None
    results: Mapping[int, Mapping]

    def scores(self, metric: str) -> dict[int, float]:
        """By seed, in percent; without those whose data do not give this metric."""
        found = {seed: own["metrics"]["metrics"].get(metric) for seed, own in self.results.items()}
        return {seed: score for seed, score in found.items() if score is not None}


def outcomes(table: str, profile: Profile, results: Sequence[Mapping] | None = None) -> list[Outcome]:
    """The rows of a table in a profile, with what is in reports/results (or among these results). Raises ValueError for
    an unknown table, RunError where one row's results are of different data."""
    if table not in TABLES:
        raise ValueError(f"unknown table {table!r}; known: {', '.join(TABLES)}")
    results = read_results() if results is None else results
    found = []
    for name, row in TABLES[table].rows.items():
        asked = None if row.quoted else experiment_of(row, profile)
        found.append(Outcome(name, row, asked, {} if asked is None else of_row(results, asked)))
    return found


def headline_of(rows: Sequence[Outcome]) -> str:
    """The metric that stands for these results; PCKh@0.5 where there are none yet."""
    return next((own["metrics"]["headline"] for row in rows for own in row.results.values()), "pckh@0.5")


def mean_architectures(rows: Sequence[Outcome]) -> tuple[dict[str, FabricSpec], dict[str, Architecture]]:
    """Where parts were searched: the spec of each row's parts, and their weights, the mean over seeds; by row and part
    ("P = 3, head")."""
    specs, found = {}, {}
    for label, (spec, seeds) in _searched(rows).items():
        for part in next(iter(seeds.values())):
            name = f"{label}, {part.removesuffix('_part').replace('_', ' ')}"
            specs[name], found[name] = spec, Architecture.mean(own[part] for own in seeds.values())
    return specs, found


def searched_rows(rows: Sequence[Outcome]) -> dict[str, tuple[FabricSpec, dict[int, dict[str, Architecture]]]]:
    """By row, where at least two parts were searched with at least two seeds: their spec, and by seed each part's
    architecture."""
    found = _searched(rows)
    return {label: own for label, own in found.items() if len(own[1]) > 1 and len(next(iter(own[1].values()))) > 1}


def _searched(rows: Sequence[Outcome]) -> dict[str, tuple[FabricSpec, dict[int, dict[str, Architecture]]]]:
    found = {}
    for own in rows:
        seeds = {seed: _of_parts(result) for seed, result in own.results.items()}
        if any(seeds.values()):
            found[own.row.label] = own.asked.fabric, seeds
    return found


def _of_parts(result: Mapping) -> dict[str, Architecture]:
    """Those of the heads: a backbone that is a fabric has another spec."""
    return {name: own for name, own in architectures_of(result).items() if name != "backbone"}


def distinctness_table(tested: Mapping[str, Mapping[str, Distinctness]]) -> pandas.DataFrame:
    """Rows whose parts were tested by part_distinctness, a line for each kind of weights; p also by Holm's correction
    over all of them."""
    found = [(label, own) for label, kinds in tested.items() for own in kinds.values()]
    lines = [
        {
            "row": label,
            "weights of": own.kind,
            "between parts": sum(own.between) / len(own.between),
            "within a part": sum(own.within) / len(own.within),
            "p": own.p,
            "p (Holm)": adjusted,
            "least p": own.least_p,
            "verdict": "parts differ" if adjusted <= 0.05 else "not distinguishable from the noise of seeds",
        }
        for (label, own), adjusted in zip(found, holm([own.p for _, own in found]), strict=True)
    ]
    return pandas.DataFrame(lines, columns=None if lines else ["row", "p"]).set_index("row")

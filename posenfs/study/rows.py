"""The rows of a table, and what their runs found: scores and architectures by seed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas

from posenfs.body.words import plain_name, unknown_entry
from posenfs.evaluation.seeds import holm
from posenfs.model.architecture import Architecture
from posenfs.model.space import FabricSpec
from posenfs.search.experiment import Experiment
from posenfs.study.distinctness import ALPHA, Distinctness
from posenfs.study.experiments import TABLES, Profile, Row, experiment_of
from posenfs.study.results import architectures_of, of_row, read_results, seed_of


@dataclass(frozen=True)
class Outcome:
    """One row of a table, and the results of its runs by seed; of a quoted row nothing is asked. `left_out`: results of
    the same experiment on other data, or from other initial weights, which cannot stand beside these."""

    name: str
    row: Row
    asked: Experiment | None
    results: Mapping[int, Mapping]
    left_out: int = 0

    def final_losses(self) -> dict[int, float]:
        """By seed: the mean training loss of the last fortieth of the run (Eq. 6)."""
        return {seed: own["losses"][-1][1] for seed, own in self.results.items()}

    def scores(self, metric: str) -> dict[int, float]:
        """By seed, in percent; without those whose data do not give this metric."""
        found = {seed: own["metrics"]["metrics"].get(metric) for seed, own in self.results.items()}
        return {seed: score for seed, score in found.items() if score is not None}


def outcomes(table: str, profile: Profile, results: Sequence[Mapping] | None = None) -> list[Outcome]:
    """The rows of a table in a profile, with what is in reports/results (or among these results). Where they are of
    several sets of people, the table shows the set of most runs, and of initial weights likewise: what else there is is
    left out, and counted. Raises ValueError for an unknown table."""
    if table not in TABLES:
        raise ValueError(unknown_entry("table", table, TABLES))
    results = read_results() if results is None else results
    rows = TABLES[table].rows
    asked = {name: None if row.quoted else experiment_of(row, profile) for name, row in rows.items()}
    every = {name: [] if own is None else of_row(results, own) for name, own in asked.items()}
    people = Counter(_data(own)[:2] for found in every.values() for own in found)
    weights = Counter(_data(own) for found in every.values() for own in found)
    most = max(people, key=lambda own: (people[own], own), default=None)
    told = []
    for name, found in every.items():
        begun = [_data(own) for own in found if _data(own)[:2] == most]
        chosen = max(begun, key=lambda own: (weights[own], own), default=None)
        shown = {seed_of(own): own for own in found if _data(own) == chosen}
        told.append(Outcome(name, rows[name], asked[name], shown, len(found) - len(shown)))
    return told


def _data(result: Mapping) -> tuple[str, str, str]:
    """On what a result was trained and judged, and what it began with: three fingerprints."""
    own = result["data"]
    return own["train"], own["valid"], own["weights"] or ""


def device_words(taken: Mapping) -> str:
    """Where a result was computed, of its `time`."""
    threads = taken["threads"]
    return f"{taken['device']}, {threads} thread{'s' if threads != 1 else ''}"


def headline_of(rows: Sequence[Outcome]) -> str:
    """The metric that stands for these results; PCKh@0.5 where there are none yet."""
    return next((own["metrics"]["headline"] for row in rows for own in row.results.values()), "pckh@0.5")


def mean_architectures(rows: Sequence[Outcome]) -> tuple[dict[str, FabricSpec], dict[str, Architecture]]:
    """Where parts were searched: the spec of each row's parts, and their weights, the mean over seeds; by row and part
    ("P = 3, head")."""
    specs, found = {}, {}
    for label, (spec, seeds) in _searched(rows).items():
        for part in next(iter(seeds.values())):
            name = f"{label}, {plain_name(part)}"
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
            "verdict": _verdict(own, adjusted),
        }
        for (label, own), adjusted in zip(found, holm([own.p for _, own in found]), strict=True)
    ]
    return pandas.DataFrame(lines, columns=None if lines else ["row", "p"]).set_index("row")


def _verdict(own: Distinctness, adjusted: float) -> str:
    if adjusted <= ALPHA:
        return "parts differ"
    if own.p <= own.least_p:
        return "as far apart as so few seeds can show: not enough to tell"
    return "not distinguishable from the noise of seeds"

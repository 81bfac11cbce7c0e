"""The rows of a table with the results of their runs: scores and architectures by seed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from posenfs.messages import plain_name, unknown_entry
from posenfs.model.architecture import Architecture
from posenfs.model.space import FabricSpec
from posenfs.search.experiment import Experiment
from posenfs.study.profiles import Profile, experiment_of
from posenfs.study.results import architectures_of, of_row, read_results, seed_of
from posenfs.study.rows import TABLES
from posenfs.study.table import Row


@dataclass(frozen=True)
class Outcome:
    """One row of a table with the results of its runs.

    Attributes:
        name: The name of the row in its table.
        row: The row.
        experiment: Its experiment; None for a quoted row.
        results: Its results by seed.
        left_out: How many results of the same experiment are left out because they have other data
            or other initial weights.
    """

    name: str
    row: Row
    experiment: Experiment | None
    results: Mapping[int, Mapping]
    left_out: int = 0

    def final_losses(self) -> dict[int, float]:
        """Return by seed the mean training loss (Eq. 6) of the last fortieth of the run."""
        return {seed: result["losses"][-1][1] for seed, result in self.results.items()}

    def scores(self, metric: str) -> dict[int, float]:
        """Return the scores by seed, in percent, of the results that have this metric.

        Args:
            metric: The metric, such as pckh@0.5.
        """
        scores = {
            seed: result["metrics"]["metrics"].get(metric) for seed, result in self.results.items()
        }
        return {seed: score for seed, score in scores.items() if score is not None}


def outcomes(
    table: str, profile: Profile, results: Sequence[Mapping] | None = None
) -> list[Outcome]:
    """Return the rows of a table in a profile with their results.

    A table compares results on the same data. If there are several data sets, the one with the most
    runs is shown, and likewise the initial weights with the most runs. The others are left out and
    counted.

    Args:
        table: Its name in TABLES.
        profile: The profile.
        results: The results to choose from; None: those in reports/results.

    Raises:
        ValueError: The table is unknown.
    """
    if table not in TABLES:
        raise ValueError(unknown_entry("table", table, TABLES))
    results = read_results() if results is None else results
    rows = TABLES[table].rows
    experiments: dict[str, Experiment | None] = {}
    candidates: dict[str, list[Mapping]] = {}
    for name, row in rows.items():
        experiment = None if row.quoted else experiment_of(row, profile)
        experiments[name] = experiment
        candidates[name] = [] if experiment is None else of_row(results, experiment)
    all_data = [_data(result) for group in candidates.values() for result in group]
    people_counts = Counter(data[:2] for data in all_data)
    counts = Counter(all_data)
    people = max(people_counts, key=lambda data: (people_counts[data], data), default=None)
    selection = []
    for name, group in candidates.items():
        data_of_row = [_data(result) for result in group if _data(result)[:2] == people]
        chosen = max(data_of_row, key=lambda data: (counts[data], data), default=None)
        shown = {seed_of(result): result for result in group if _data(result) == chosen}
        left_out = len(group) - len(shown)
        selection.append(Outcome(name, rows[name], experiments[name], shown, left_out))
    return selection


def _data(result: Mapping) -> tuple[str, str, str]:
    """Return the fingerprints of training data, validation data and initial weights."""
    data = result["data"]
    return data["train"], data["valid"], data["weights"] or ""


def device_title(time: Mapping) -> str:
    """Describe the device that computed a result.

    Args:
        time: The value of `time` of the result.
    """
    threads = time["threads"]
    return f"{time['device']}, {threads} thread{'s' if threads != 1 else ''}"


def primary_metric_of(rows: Sequence[Outcome]) -> str:
    """Return the primary metric of the results; PCKh@0.5 where there are none yet.

    Args:
        rows: The rows with their results.
    """
    for outcome in rows:
        for result in outcome.results.values():
            return result["metrics"]["primary_metric"]
    return "pckh@0.5"


def mean_architectures(
    rows: Sequence[Outcome],
) -> tuple[dict[str, FabricSpec], dict[str, Architecture]]:
    """Return the mean architecture over seeds of each searched part.

    Args:
        rows: The rows with their results.

    Returns:
        The specs and the mean architectures, by row and part ("P = 3, head").
    """
    specs, means = {}, {}
    for label, (spec, by_seed) in _searched(rows).items():
        first = next(iter(by_seed.values()))
        for part in first:
            name = f"{label}, {plain_name(part)}"
            specs[name] = spec
            means[name] = Architecture.mean(parts[part] for parts in by_seed.values())
    return specs, means


def searched_rows(
    rows: Sequence[Outcome],
) -> dict[str, tuple[FabricSpec, dict[int, dict[str, Architecture]]]]:
    """Return the rows in which at least two parts were searched with at least two seeds.

    Args:
        rows: The rows with their results.

    Returns:
        By label the spec, and by seed the architecture of each part.
    """
    searched = {}
    for label, (spec, by_seed) in _searched(rows).items():
        first = next(iter(by_seed.values()))
        if len(by_seed) > 1 and len(first) > 1:
            searched[label] = spec, by_seed
    return searched


def _searched(
    rows: Sequence[Outcome],
) -> dict[str, tuple[FabricSpec, dict[int, dict[str, Architecture]]]]:
    searched = {}
    for outcome in rows:
        by_seed = {seed: _part_architectures(result) for seed, result in outcome.results.items()}
        if outcome.experiment is not None and any(by_seed.values()):
            searched[outcome.row.label] = outcome.experiment.fabric, by_seed
    return searched


def _part_architectures(result: Mapping) -> dict[str, Architecture]:
    """Return the architectures of the heads; a fabric backbone has another spec."""
    architectures = architectures_of(result)
    architectures.pop("backbone", None)
    return architectures

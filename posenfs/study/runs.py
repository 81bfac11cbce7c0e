"""Runs side by side: a table of their configuration, state, score and cost, and a paired test."""

import time
from collections.abc import Sequence

import pandas

from posenfs.data.datasets.catalogue import skeleton_of
from posenfs.evaluation.metrics import metric_title
from posenfs.evaluation.pck import counted_keypoints
from posenfs.evaluation.stats import Comparison, compare_pck
from posenfs.search.checkpoints import RunError
from posenfs.search.run_dir import RunDir

COLUMNS = (
    "run", "state", "data", "model", "strategy", "parts", "d", "seed", "score", "metric", "GMAC",
    "params", "age",
)  # fmt: skip


def runs_table(runs: Sequence[RunDir]) -> pandas.DataFrame:
    """Return a row for each run, with COLUMNS; unknown values are None.

    The score is in percent; the age is in hours since the run's last update.

    Args:
        runs: The runs.
    """
    return pandas.DataFrame([_row(run) for run in runs], columns=list(COLUMNS))


def _row(run: RunDir) -> dict:
    status = run.overview()
    if status["state"] == "broken":  # it must not hide the others
        return dict.fromkeys(COLUMNS) | {"run": run.name, "state": f"broken: {status['error']}"}
    experiment, metrics = run.experiment(), run.metrics()
    metric = metrics.get("primary_metric", status.get("primary_metric"))
    scores = metrics.get("metrics") or status.get("metrics") or {}
    parts = experiment.parts
    age = None
    if "heartbeat" in status:
        age = (time.time() - status["heartbeat"]) / 3600
    return {
        "run": run.name,
        "state": status["state"],
        "data": experiment.data.name,
        "model": experiment.backbone if experiment.model == "pose_nfs" else experiment.model,
        "strategy": experiment.search.strategy,
        "parts": parts if isinstance(parts, int) else len(parts),
        "d": experiment.vector_dim,
        "seed": experiment.training.seed,
        "score": scores.get(metric),
        "metric": metric_title(metric) if metric else None,
        "GMAC": metrics["multiply_adds"] / 1e9 if "multiply_adds" in metrics else None,
        "params": metrics.get("params"),
        "age": age,
    }


def compare_runs(run: RunDir, other: RunDir) -> tuple[Comparison, str]:
    """Compare the scores of two runs from the stored errors of each person.

    The interval describes the variation over people, not over seeds.

    Args:
        run: The first run.
        other: The second run.

    Returns:
        The comparison (second minus first), and the name of the metric.

    Raises:
        RunError: A run is not finished.
        ValueError: The runs were not evaluated on the same people by the same metric.
    """
    metric, other_metric = _metric(run), _metric(other)
    if metric != other_metric:
        raise ValueError(
            f"{run.name} is evaluated by {metric}, {other.name} by {other_metric}: "
            "they cannot be compared"
        )
    if _validation_data(run) != _validation_data(other):
        raise ValueError(f"{run.name} and {other.name} were not evaluated on the same people")
    measure, _, threshold = metric.partition("@")
    counted = counted_keypoints(skeleton_of(run.experiment().data), measure)
    errors, other_errors = run.errors()[:, counted], other.errors()[:, counted]
    return compare_pck(errors, other_errors, float(threshold)), metric_title(metric)


def _metric(run: RunDir) -> str:
    """Return the metric of the run's interval over people."""
    interval = run.metrics().get("interval")
    if interval is None:
        raise RunError(f"{run.name} has no result yet; finish it: posenfs resume {run.argument}")
    return interval["metric"]


def _validation_data(run: RunDir) -> str:
    """Return the fingerprint of the run's validation split."""
    provenance = run.provenance()
    if not provenance:
        raise RunError(f"{run.folder} has no provenance.json, which says on whom it was evaluated")
    return list(provenance["data"].values())[-1]["fingerprint"]

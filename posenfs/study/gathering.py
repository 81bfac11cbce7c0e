"""A table of runs: configuration, state, score and cost."""

import time
from collections.abc import Sequence

import pandas

from posenfs.evaluation.metrics import metric_title
from posenfs.search.run_dir import RunDir

COLUMNS = (
    "run",
    "state",
    "data",
    "model",
    "strategy",
    "parts",
    "d",
    "seed",
    "score",
    "metric",
    "GMAC",
    "params",
    "age",
)


def runs_table(runs: Sequence[RunDir]) -> pandas.DataFrame:
    """Return a row for each run, with COLUMNS; unknown values are None.

    The score is in percent; the age is in hours since the run's last update.

    Args:
        runs: The runs.
    """
    return pandas.DataFrame([_row(run) for run in runs], columns=list(COLUMNS))


def _row(run: RunDir) -> dict:
    try:
        experiment = run.experiment()
    except ValueError:  # a run of another version, or a damaged one, must not hide the others
        return dict.fromkeys(COLUMNS) | {"run": run.name, "state": "unreadable"}
    status, metrics = run.status(), run.metrics()
    metric = metrics.get("primary_metric", status.get("primary_metric"))
    scores = metrics.get("metrics") or status.get("metrics") or {}
    parts = experiment.parts
    age = None
    if "heartbeat" in status:
        age = (time.time() - status["heartbeat"]) / 3600
    return {
        "run": run.name,
        "state": run.state(status),
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

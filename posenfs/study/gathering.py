"""All runs of a folder as a table: what was asked, where each stands, what it found, and what it costs."""

import time
from collections.abc import Sequence

import pandas

from posenfs.evaluation.metrics import metric_title
from posenfs.search.run import Run

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


def runs_table(runs: Sequence[Run]) -> pandas.DataFrame:
    """A row for each run, COLUMNS; score in percent, age in hours since its last sign of life. What is unknown is
    None."""
    return pandas.DataFrame([_row(run) for run in runs], columns=list(COLUMNS))


def _row(run: Run) -> dict:
    try:
        own = run.experiment()
    except ValueError:  # of another version, or damaged: the others are to be seen
        return dict.fromkeys(COLUMNS) | {"run": run.name, "state": "unreadable"}
    status, found = run.status(), run.metrics()
    metric = found.get("headline", status.get("headline"))
    score = (found.get("metrics") or status.get("metrics") or {}).get(metric)
    return {
        "run": run.name,
        "state": run.state(status),
        "data": own.data.name,
        "model": own.model if own.model != "pose_nfs" else own.backbone,
        "strategy": own.run.strategy,
        "parts": own.parts if isinstance(own.parts, int) else len(own.parts),
        "d": own.vector_dim,
        "seed": own.run.seed,
        "score": score,
        "metric": metric_title(metric) if metric else None,
        "GMAC": found["multiply_adds"] / 1e9 if "multiply_adds" in found else None,
        "params": found.get("params"),
        "age": (time.time() - status["heartbeat"]) / 3600 if "heartbeat" in status else None,
    }

"""Results of runs as small JSON files that outlive the runs' folders."""

import json
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch

from posenfs.data.datasets.catalogue import home
from posenfs.data.files import write_atomic
from posenfs.model.architecture import Architecture
from posenfs.search.checkpoints import RunError
from posenfs.search.experiment import Experiment
from posenfs.search.migration import migrate_result
from posenfs.search.run_dir import RunDir
from posenfs.study.fingerprints import (
    configuration,
    digest,
    fingerprint,
    numerics,
    without_seed,
)

_POINTS = 200  # points of the loss curve that a result keeps


def results_home() -> Path:
    """Return the folder of the results, reports/results of the project."""
    return home() / "reports" / "results"


def collect(run: RunDir, data: Mapping[str, str | None]) -> dict:
    """Return the result of a finished run.

    Args:
        run: The run.
        data: The fingerprints of its data and initial weights.

    Returns:
        Configuration, metrics (the content of metrics.json), the last alpha and beta of each
        fabric, the loss curve, the primary metric of each epoch, time, and provenance.

    Raises:
        RunError: The run is not finished.
    """
    status = run.status()
    if status.get("state") != "finished":
        state = status.get("state", "not begun")
        raise RunError(f"{run.folder} is not finished ({state}): it has no result yet")
    experiment, history, metrics = run.experiment(), run.history(), run.metrics()
    metric = metrics["primary_metric"]
    provenance = run.provenance()
    provenance.pop("initial_weights", None)
    return {
        "fingerprint": fingerprint(experiment, data),
        "numerics": numerics(experiment.model),
        "name": run.name,
        "configuration": configuration(experiment),
        "data": dict(data),
        "metrics": metrics,
        "architectures": _last_architectures(run),
        "losses": _loss_curve([row for row in history if "loss" in row]),
        "epochs": [[row["step"], row[metric]] for row in history if metric in row],
        "time": training_time(run),
        "provenance": provenance,
    }


def _last_architectures(run: RunDir) -> dict[str, dict[str, list]]:
    _, architectures = run.architectures()
    return {
        name: {
            "alpha": np.round(logged.alpha[-1].numpy(), 6).tolist(),
            "beta": np.round(logged.beta[-1].numpy(), 6).tolist(),
        }
        for name, logged in architectures.items()
    }


def _loss_curve(rows: list[dict]) -> list[list]:
    """Return some steps, the last one included, with the mean loss of the steps up to each.

    The mean is over a window of a fortieth of all steps.
    """
    losses = [row["loss"] for row in rows]
    window = max(len(rows) // 40, 1)
    every = max(-(-len(rows) // _POINTS), 1)
    curve = []
    for number in range((len(rows) - 1) % every, len(rows), every):
        mean = statistics.fmean(losses[max(number + 1 - window, 0) : number + 1])
        curve.append([rows[number]["step"], round(mean, 5)])
    return curve


def training_time(run: RunDir) -> dict:
    """Return how long a run trained, and where.

    Args:
        run: The run.

    Returns:
        Median images per second, hours of training steps, share of the time spent waiting for
        data, peak memory in MB, device and threads. Values that are unknown are None.
    """
    rows, provenance = run.timing(), run.provenance()
    rates = [row["images_per_s"] for row in rows if row["images_per_s"] > 0]
    images = run.status()["step"] * run.experiment().training.batch_size
    rate = statistics.median(rates) if rates else None
    return {
        "images_per_s": rate,
        "hours": images / rate / 3600 if rate else None,
        "wait_share": statistics.fmean(row["wait_share"] for row in rows) if rows else None,
        "peak_mb": max((row["peak_mb"] for row in rows), default=None),
        "device": provenance["device"],
        "threads": provenance["threads"],
    }


def write_result(result: Mapping, folder: Path | None = None) -> Path:
    """Write a result atomically.

    Args:
        result: The result.
        folder: Where it is written; None: reports/results.

    Returns:
        The file.
    """
    folder = folder or results_home()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result['name']}.json"
    write_atomic(path, json.dumps(result, indent=1) + "\n")
    return path


def read_results(folder: Path | None = None) -> list[dict]:
    """Read all results of the current version of the numerics, ordered by their names.

    Results of earlier versions of posenfs get today's field names. The fingerprint is computed from
    the content: the stored one, and the name of the file, may be those of an earlier version.

    Args:
        folder: Where they are; None: reports/results.

    Raises:
        RunError: A file cannot be read.
    """
    results: dict[str, dict] = {}  # by fingerprint: a result may exist in two versions
    for path in sorted((folder or results_home()).glob("*.json")):
        try:
            stored = json.loads(path.read_text())
            if stored["numerics"] == numerics(stored["configuration"]["model"]):
                result = migrate_result(stored)
                key = digest(result["configuration"], result["data"], result["numerics"])
                results[key] = result | {"fingerprint": key}
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{path} is not a result ({error!r}); delete it: posenfs ablate creates it again"
            ) from None
    return list(results.values())


def architectures_of(result: Mapping) -> dict[str, Architecture]:
    """Return the last alpha and beta of a result, by fabric.

    Args:
        result: The result.
    """
    return {
        name: Architecture(torch.tensor(logits["alpha"]), torch.tensor(logits["beta"]))
        for name, logits in result["architectures"].items()
    }


def of_row(results: Iterable[Mapping], experiment: Experiment) -> list[Mapping]:
    """Return the results of an experiment with any seed, data and initial weights, by seed.

    Args:
        results: The results to choose from.
        experiment: The experiment.
    """
    row = without_seed(configuration(experiment))
    matches = [result for result in results if without_seed(result["configuration"]) == row]
    return sorted(matches, key=seed_of)


def seed_of(result: Mapping) -> int:
    """Return the seed of a result.

    Args:
        result: The result.
    """
    return result["configuration"]["training"]["seed"]

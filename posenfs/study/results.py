"""Results of runs as small JSON files that outlive the runs' folders, identified by a fingerprint.

The fingerprint covers configuration, data and the version of the numerics. The commit is recorded
but not compared.
"""

import hashlib
import json
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from posenfs.data.datasets.catalogue import DataSpec, home, open_data
from posenfs.data.files import write_atomic
from posenfs.model.architecture import Architecture
from posenfs.search.checkpoints import RunError
from posenfs.search.configuration import CheckpointConfig, RuntimeConfig
from posenfs.search.experiment import Experiment
from posenfs.search.run_dir import RunDir

# Increase a version when the same experiment on the same data gives other numbers.
NUMERICS = 1  # of PoseNFS
BASELINE_NUMERICS = 2  # of the other models

_POINTS = 200  # points of the loss curve that a result keeps


def results_home() -> Path:
    """Return the folder of the results, reports/results of the project."""
    return home() / "reports" / "results"


def numerics(model: str) -> int:
    """Return the version of a model's numerics.

    Args:
        model: A name in MODELS.
    """
    return NUMERICS if model == "pose_nfs" else BASELINE_NUMERICS


def configuration(experiment: Experiment) -> dict:
    """Return the part of an experiment that decides its numbers, as plain data.

    Name, data folder, checkpoints and runtime have their defaults. Of pretrained weights it holds only
    whether there are any; the data fingerprints identify the file.

    Args:
        experiment: The experiment.
    """
    stripped = replace(
        experiment,
        name="run",
        data=replace(experiment.data, root=None),
        backbone_weights=None if experiment.backbone_weights is None else "pretrained",
        checkpoints=CheckpointConfig(),
        runtime=RuntimeConfig(),
    )
    return json.loads(stripped.to_json())


def without_seed(asked: Mapping) -> dict:
    """Return a configuration without its seed, which the runs of one row have in common.

    Args:
        asked: What `configuration` returns.
    """
    training = {name: value for name, value in asked["training"].items() if name != "seed"}
    return {**asked, "training": training}


def weights_digest(weights: str | None) -> str | None:
    """Return twelve hexadecimal digits of a weight file's content.

    Args:
        weights: A file, or another value ("imagenet", None), which is returned as it is.
    """
    if weights is None or not Path(weights).is_file():
        return weights
    return hashlib.sha256(Path(weights).read_bytes()).hexdigest()[:12]


class DataFingerprints:
    """Fingerprints and sizes of data sets, each of which is opened once."""

    def __init__(self, progress: bool = True):
        self.progress = progress
        self._data: dict[DataSpec, tuple[dict[str, str], tuple[int, int]]] = {}

    def of(self, experiment: Experiment) -> dict[str, str | None]:
        """Return the fingerprints of the data and the initial weights of an experiment.

        Args:
            experiment: The experiment.

        Returns:
            The fingerprints `train`, `valid` and `weights`.

        Raises:
            DataError: The files cannot be used.
        """
        weights = weights_digest(experiment.backbone_weights)
        return self._open(experiment.data)[0] | {"weights": weights}

    def people(self, experiment: Experiment) -> tuple[int, int]:
        """Return the number of training people and of validation people.

        Args:
            experiment: The experiment.
        """
        return self._open(experiment.data)[1]

    def _open(self, spec: DataSpec) -> tuple[dict[str, str], tuple[int, int]]:
        if spec not in self._data:
            train, valid = open_data(spec, self.progress)
            fingerprints = {"train": train.fingerprint(), "valid": valid.fingerprint()}
            self._data[spec] = fingerprints, (len(train), len(valid))
        return self._data[spec]


def fingerprint(experiment: Experiment, data: Mapping[str, str | None]) -> str:
    """Return sixteen hexadecimal digits that identify the numbers of an experiment.

    Args:
        experiment: The experiment.
        data: The fingerprints of its data and initial weights.
    """
    content = {
        "configuration": configuration(experiment),
        "data": dict(data),
        "numerics": numerics(experiment.model),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def collect(run: RunDir, own: str, data: Mapping[str, str | None]) -> dict:
    """Return the result of a finished run.

    Args:
        run: The run.
        own: Its fingerprint.
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
        "fingerprint": own,
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

    Args:
        folder: Where they are; None: reports/results.

    Raises:
        RunError: A file cannot be read.
    """
    results = []
    for path in sorted((folder or results_home()).glob("*.json")):
        try:
            result = json.loads(path.read_text())
            if result["numerics"] == numerics(result["configuration"]["model"]):
                results.append(result)
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{path} is not a result ({error!r}); delete it: posenfs ablate creates it again"
            ) from None
    return results


def architectures_of(result: Mapping) -> dict[str, Architecture]:
    """Return the last alpha and beta of a result, by fabric.

    Args:
        result: The result.
    """
    return {
        name: Architecture(torch.tensor(logits["alpha"]), torch.tensor(logits["beta"]))
        for name, logits in result["architectures"].items()
    }


def of_row(results: Iterable[Mapping], asked: Experiment) -> list[Mapping]:
    """Return the results of an experiment with any seed, data and initial weights, by seed.

    Args:
        results: The results to choose from.
        asked: The experiment.
    """
    row = without_seed(configuration(asked))
    matches = [result for result in results if without_seed(result["configuration"]) == row]
    return sorted(matches, key=seed_of)


def seed_of(result: Mapping) -> int:
    """Return the seed of a result.

    Args:
        result: The result.
    """
    return result["configuration"]["training"]["seed"]

"""What must outlive a run's folder: its result as one small JSON file, found again by a fingerprint.

The fingerprint is configuration, data and a hand-kept version of the numerics; the commit is recorded, not compared.
"""

import hashlib
import json
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from posenfs.data.datasets.catalogue import DataSpec, home, open_data
from posenfs.data.files import write_whole
from posenfs.model.architecture import Architecture
from posenfs.search.experiment import Experiment, RunConfig
from posenfs.search.run import Run, RunError

# Raise it when the same experiment on the same data comes to other numbers: that of PoseNFS, or of the other models.
NUMERICS, BASELINE_NUMERICS = 1, 2

# Fields of a run that change how it is kept, looked at, or how fast it is, and no number.
_HOUSEKEEPING = ("log_every", "snapshot_every", "keep_snapshots", "snapshot_gb", "recompute")
_POINTS = 200  # of the curve of the loss that are kept


def results_home() -> Path:
    """Where results live: reports/results of the project."""
    return home() / "reports" / "results"


def numerics(model: str) -> int:
    """The version of the numerics of a model."""
    return NUMERICS if model == "pose_nfs" else BASELINE_NUMERICS


def configuration(experiment: Experiment) -> dict:
    """What an experiment asks, as plain data: without its name, without where files lie, without housekeeping; of
    pretrained weights only whether there are any (which ones, the data say)."""
    plain = {field: getattr(RunConfig(), field) for field in _HOUSEKEEPING}
    bare = replace(
        experiment,
        name="run",
        data=replace(experiment.data, root=None),
        backbone_weights=None if experiment.backbone_weights is None else "pretrained",
        run=replace(experiment.run, **plain),
    )
    return json.loads(bare.to_json())


def without_seed(asked: Mapping) -> dict:
    """A configuration, whatever its seed: what runs of one row have in common."""
    return {**asked, "run": {name: value for name, value in asked["run"].items() if name != "seed"}}


def weights_digest(weights: str | None) -> str | None:
    """Of a file of pretrained weights twelve hexadecimal digits of its content; other words as they are."""
    if weights is None or not Path(weights).is_file():
        return weights
    return hashlib.sha256(Path(weights).read_bytes()).hexdigest()[:12]


class DataFingerprints:
    """Fingerprints of the people of data sets, and how many there are, each set opened once."""

    def __init__(self, progress: bool = True):
        self.progress = progress
        self._found: dict[DataSpec, tuple[dict[str, str], tuple[int, int]]] = {}

    def of(self, experiment: Experiment) -> dict[str, str | None]:
        """train, valid, and weights: on what an experiment is trained and judged, and what its network begins with.

        Raises DataError for files that cannot be used."""
        return self._open(experiment.data)[0] | {"weights": weights_digest(experiment.backbone_weights)}

    def people(self, experiment: Experiment) -> tuple[int, int]:
        """How many are trained on, and how many judge."""
        return self._open(experiment.data)[1]

    def _open(self, spec: DataSpec) -> tuple[dict[str, str], tuple[int, int]]:
        if spec not in self._found:
            train, valid = open_data(spec, self.progress)
            prints = {"train": train.fingerprint(), "valid": valid.fingerprint()}
            self._found[spec] = prints, (len(train), len(valid))
        return self._found[spec]


def fingerprint(experiment: Experiment, data: Mapping[str, str | None]) -> str:
    """Sixteen hexadecimal digits: the same for experiments that come to the same numbers."""
    whole = {"configuration": configuration(experiment), "data": dict(data), "numerics": numerics(experiment.model)}
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:16]


def collect(run: Run, own: str, data: Mapping[str, str | None]) -> dict:
    """The result of a finished run, `own` being its fingerprint: configuration, metrics (metrics.json), the last alpha
    and beta by fabric, the curve of the loss and each epoch's headline, time, and how all that came about.

    Raises RunError where the run is not finished.
    """
    status = run.status()
    if status.get("state") != "finished":
        raise RunError(f"{run.folder} is not finished ({status.get('state', 'not begun')}): it has no result yet")
    asked, history, metrics = run.experiment(), run.history(), run.metrics()
    losses = [row for row in history if "loss" in row]
    epochs = [row for row in history if metrics["headline"] in row]
    return {
        "fingerprint": own,
        "numerics": numerics(asked.model),
        "name": run.name,
        "configuration": configuration(asked),
        "data": dict(data),
        "metrics": metrics,
        "architectures": _last(run),
        "losses": _curve(losses),
        "epochs": [[row["step"], row[metrics["headline"]]] for row in epochs],
        "time": training_time(run),
        "provenance": {name: value for name, value in run.provenance().items() if name != "initial_weights"},
    }


def _last(run: Run) -> dict[str, dict[str, list]]:
    _, found = run.architectures()
    return {
        name: {"alpha": np.round(a.alpha[-1].numpy(), 6).tolist(), "beta": np.round(a.beta[-1].numpy(), 6).tolist()}
        for name, a in found.items()
    }


def _curve(rows: list[dict]) -> list[list]:
    """Of some steps, the last among them: its number, and the mean loss of it and those before, a fortieth of all."""
    window, losses = max(len(rows) // 40, 1), [row["loss"] for row in rows]
    every = max(-(-len(rows) // _POINTS), 1)
    chosen = range((len(rows) - 1) % every, len(rows), every)
    return [[rows[n]["step"], round(statistics.fmean(losses[max(n + 1 - window, 0) : n + 1]), 5)] for n in chosen]


def training_time(run: Run) -> dict:
    """Median images/s, hours of training steps, share of waiting, and where: device and threads."""
    rows, where = run.timing(), run.provenance()
    rates = [row["images_per_s"] for row in rows if row["images_per_s"] > 0]
    images = run.status()["step"] * run.experiment().run.batch_size
    rate = statistics.median(rates) if rates else None
    return {
        "images_per_s": rate,
        "hours": images / rate / 3600 if rate else None,
        "wait_share": statistics.fmean(row["wait_share"] for row in rows) if rows else None,
        "peak_mb": max((row["peak_mb"] for row in rows), default=None),
        "device": where["device"],
        "threads": where["threads"],
    }


def write_result(result: Mapping, folder: Path | None = None) -> Path:
    """Write a result into reports/results (or a folder), whole or not at all; returns its file."""
    folder = folder or results_home()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result['name']}.json"
    write_whole(path, json.dumps(result, indent=1) + "\n")
    return path


def read_results(folder: Path | None = None) -> list[dict]:
    """All results of reports/results (or a folder) of this version of the numerics, in the order of their names. Raises
    RunError naming a file that cannot be read."""
    found = []
    for path in sorted((folder or results_home()).glob("*.json")):
        try:
            own = json.loads(path.read_text())
            if own["numerics"] == numerics(own["configuration"]["model"]):
                found.append(own)
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"{path} is no result ({error!r}); delete it, and ablate makes it anew") from None
    return found


def architectures_of(result: Mapping) -> dict[str, Architecture]:
    """The last alpha and beta of a result, by fabric."""
    from torch import tensor

    return {
        name: Architecture(tensor(own["alpha"]), tensor(own["beta"])) for name, own in result["architectures"].items()
    }


def of_row(results: Iterable[Mapping], asked: Experiment) -> list[Mapping]:
    """The results of an experiment whatever its seed, by seed; those of other data or initial weights among them."""
    wanted = without_seed(configuration(asked))
    found = [own for own in results if without_seed(own["configuration"]) == wanted]
    return sorted(found, key=seed_of)


def seed_of(result: Mapping) -> int:
    return result["configuration"]["run"]["seed"]

"""Fingerprints that identify the numbers of an experiment.

They cover configuration, data and the version of the numerics, not the commit.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from posenfs.data.datasets.catalogue import DataSpec, open_data, with_definition
from posenfs.search.configuration import CheckpointConfig, RuntimeConfig
from posenfs.search.experiment import Experiment

# Increase a version when the same experiment on the same data gives other numbers.
NUMERICS = 1  # of PoseNFS
BASELINE_NUMERICS = 2  # of the other models


def numerics(model: str) -> int:
    """Return the version of a model's numerics.

    Args:
        model: A name in MODELS.
    """
    return NUMERICS if model == "pose_nfs" else BASELINE_NUMERICS


def configuration(experiment: Experiment) -> dict:
    """Return the part of an experiment that decides its numbers, as plain data.

    Name, data folder, checkpoints and runtime have their defaults. It only records whether there
    are pretrained weights; the data fingerprints identify the file. `rules.always_entries` is left
    out unless its default changes the network, so that results of versions without it stay valid.

    Args:
        experiment: The experiment.
    """
    stripped = replace(
        experiment,
        name="run",
        data=replace(with_definition(experiment.data), root=None),
        backbone_weights=None if experiment.backbone_weights is None else "pretrained",
        checkpoints=CheckpointConfig(),
        runtime=RuntimeConfig(),
    )
    content = json.loads(stripped.to_json())
    if experiment.rules.always_entries or not experiment.fits_backbone:
        del content["rules"]["always_entries"]
    return content


def without_seed(config: Mapping) -> dict:
    """Return a configuration without its seed; it is the same for all runs of a row.

    Args:
        config: What `configuration` returns.
    """
    training = {name: value for name, value in config["training"].items() if name != "seed"}
    return {**config, "training": training}


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
        """Return the number of training and of validation annotations.

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
    return digest(configuration(experiment), data, numerics(experiment.model))


def digest(config: Mapping, data: Mapping[str, str | None], version: int) -> str:
    """Return the fingerprint of an experiment from its stored configuration.

    Args:
        config: What `configuration` returns.
        data: The fingerprints of its data and initial weights.
        version: The version of its numerics.
    """
    content = {"configuration": config, "data": dict(data), "numerics": version}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

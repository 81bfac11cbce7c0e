"""Small drawn data and small experiments that tests share."""

from pathlib import Path

import pytest
import torch

from posenfs.data.datasets.catalogue import DataSpec
from posenfs.data.datasets.synthetic import write_synthetic
from posenfs.model.space import FabricSpec
from posenfs.search.experiment import Experiment, RunConfig

torch.set_num_threads(1)  # small tensors: more threads only wait for each other


@pytest.fixture(scope="session")
def drawn(tmp_path_factory) -> Path:
    """A folder with a few drawn people in MPII's files; treat as read-only."""
    return write_synthetic(tmp_path_factory.mktemp("drawn"), train=12, valid=6, processes=1, progress=False)


@pytest.fixture(scope="session")
def tiny(drawn) -> Experiment:
    """A search of seconds: two epochs of three steps at 64 px."""
    return Experiment(
        name="tiny",
        data=DataSpec("mpii", str(drawn)),
        image_size=(64, 64),
        fabric=FabricSpec(width=2),
        run=RunConfig(epochs=2, batch_size=6, log_every=2),
    )

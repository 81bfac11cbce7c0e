"""Small drawn data and small experiments that tests share."""

import os
from collections.abc import Callable
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
    """A folder with a few drawn people in MPII's and COCO's files; treat as read-only."""
    return write_synthetic(tmp_path_factory.mktemp("drawn"), train=12, valid=6, processes=1, progress=False)


@pytest.fixture(scope="session")
def real() -> Callable[[str], Path]:
    """A folder of real data by its name, below POSENFS_DATA or ../shared/data; without it the test is skipped."""
    home = Path(os.environ.get("POSENFS_DATA", Path(__file__).parents[2] / "shared" / "data"))

    def folder(name: str) -> Path:
        if not (home / name).is_dir():
            pytest.skip(f"no {name} in {home}; set POSENFS_DATA to the folder of real data")
        return home / name

    return folder


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

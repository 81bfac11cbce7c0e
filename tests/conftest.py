"""Small drawn data and small experiments that tests share."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from posenfs.data.datasets.catalogue import DataSpec
from posenfs.data.synthetic.writer import write_synthetic
from posenfs.model.space import FabricSpec
from posenfs.search.configuration import RuntimeConfig, TrainingConfig
from posenfs.search.experiment import Experiment

settings.register_profile(
    "posenfs", deadline=None
)  # no test is timed: other work may run on the machine
settings.load_profile("posenfs")
torch.set_num_threads(1)  # small tensors: more threads only wait for each other


@pytest.fixture(scope="session", autouse=True)
def kept_crops(tmp_path_factory) -> Path:
    """Where crops are kept, in notebooks and processes of their own too."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["POSENFS_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def drawn(tmp_path_factory) -> Path:
    """A folder with a few drawn people in MPII's and COCO's files; treat as read-only."""
    return write_synthetic(
        tmp_path_factory.mktemp("drawn"), train=12, valid=6, processes=1, progress=False
    )


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
        training=TrainingConfig(epochs=2, batch_size=6),
        runtime=RuntimeConfig(log_every=2),
    )


_NAMES = [
    "nose",
    "left_wrist",
    "right_wrist",
    "left_ankle",
    "right_ankle",
]  # of COCO's: 0, 9, 10, 15, 16
_TOML = """
name = "tips"
category = "acrobat"
train = "train.json"
valid = "valid.json"
images = "IMAGES"
keypoints = ["nose", "left_wrist", "right_wrist", "left_ankle", "right_ankle"]
limbs = [["nose", "left_wrist"], ["nose", "right_wrist"]]
mirrored = [["left_wrist", "right_wrist"], ["left_ankle", "right_ankle"]]
sigmas = [0.026, 0.062, 0.062, 0.089, 0.089]

[parts]
hands = ["nose", "left_wrist", "right_wrist"]
feet = ["left_ankle", "right_ankle"]
"""


@pytest.fixture
def own(drawn, tmp_path) -> Path:
    """The drawn people's COCO files with five of the keypoints, under another category."""
    for split, name in (("train", "train"), ("valid", "val")):
        content = json.loads((drawn / "annotations" / f"person_keypoints_{name}.json").read_text())
        for annotation in content["annotations"]:
            points = np.array(annotation["keypoints"]).reshape(-1, 3)[[0, 9, 10, 15, 16]]
            annotation["keypoints"] = points.ravel().tolist()
        content["categories"] = [{"id": 1, "name": "acrobat", "keypoints": _NAMES}]
        (tmp_path / f"{split}.json").write_text(json.dumps(content))
    (tmp_path / "own.toml").write_text(_TOML.replace("IMAGES", str(drawn / "images")))
    return tmp_path / "own.toml"

"""An experiment: everything that rebuilds a search from its config.json."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError

from posenfs.body.parts import PartScheme, part_scheme
from posenfs.data import augment
from posenfs.data.augment import Augmentation
from posenfs.data.datasets.catalogue import DataSpec, open_data
from posenfs.data.sample import People
from posenfs.model.backbones import BACKBONES
from posenfs.model.network import PoseNFS, check_image_size
from posenfs.model.space import PAPER, FabricSpec, Rules


@dataclass(frozen=True)
class RunConfig:
    """How the search is run; the defaults are the paper's.

    Learning rates are multiplied by `lr_factor` at the `lr_drops`, given as shares of the run's epochs
    (90, 120, 150 of 200). `precision`: auto (bfloat16 on CUDA, else float32), float32 or bfloat16.
    """

    strategy: str = "synchronous"
    epochs: int = 200
    batch_size: int = 24
    lr: float = 1e-3
    lr_drops: tuple[float, ...] = (0.45, 0.6, 0.75)
    lr_factor: float = 0.25
    seed: int = 0
    precision: str = "auto"
    log_every: int = 10
    keep_snapshots: int = 5

    def __post_init__(self):
        for name in ("epochs", "batch_size", "log_every", "keep_snapshots", "lr"):
            if getattr(self, name) <= 0:
                raise ValueError(f"run.{name} must be above 0; got {getattr(self, name)}")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise ValueError(f"unknown precision {self.precision!r}; known: auto, float32, bfloat16")

    def lr_at(self, epoch: int) -> float:
        """The learning rate of an epoch (0 first)."""
        return self.lr * self.lr_factor ** sum(epoch >= round(share * self.epochs) for share in self.lr_drops)


@dataclass(frozen=True)
class Experiment:
    """One search: data, network and how it is run.

    `parts` is P of Table I (1, 3, 5, 8) or one's own parts as {name: keypoint names}; `image_size` is (height, width)
    in px; `backbone_weights` a file with pretrained weights, "imagenet" (downloaded by torchvision) or none.
    """

    name: str = "search"
    data: DataSpec = field(default_factory=DataSpec)
    image_size: tuple[int, int] = (256, 256)
    augmentation: Augmentation = augment.PAPER
    backbone: str = "mobilenet_v2"
    backbone_weights: str | None = None
    parts: int | dict[str, tuple[str, ...]] = 3
    vector_dim: int = 8
    fabric: FabricSpec = field(default_factory=FabricSpec)
    rules: Rules = PAPER
    run: RunConfig = field(default_factory=RunConfig)

    __pydantic_config__ = ConfigDict(extra="forbid")

    def __post_init__(self):
        if not self.name or Path(self.name).name != self.name or self.name.startswith("."):
            raise ValueError(f"an experiment's name is a folder's name, without slashes; got {self.name!r}")
        if self.backbone not in BACKBONES:
            raise ValueError(f"unknown backbone {self.backbone!r}; known: {', '.join(BACKBONES)}")
        check_image_size(*self.image_size, self.fabric)

    def to_json(self) -> str:
        return _ADAPTER.dump_json(self, indent=2, warnings=False).decode()  # lists become tuples when read

    @staticmethod
    def from_json(text: str, source: str = "experiment") -> "Experiment":
        """Raises ValueError naming the source, the field and its value."""
        try:
            return _ADAPTER.validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise ValueError(f"{source}: {place or 'JSON'}: {first['msg']} (got {first['input']!r:.80})") from None


_ADAPTER = TypeAdapter(Experiment)


@dataclass(frozen=True)
class Built:
    """What an experiment builds: the network, its parts, and the people to train on and to validate on."""

    model: PoseNFS
    parts: PartScheme
    train: People
    valid: People


def build(experiment: Experiment, progress: bool = True) -> Built:
    """Model and data of an experiment; the initial weights depend on its seed alone.

    Raises ValueError for what the experiment asks wrongly and DataError for files that cannot be used.
    """
    train, valid = open_data(experiment.data, progress)
    if len(train) < experiment.run.batch_size:
        raise ValueError(f"{train.name} has {len(train)} people, fewer than one batch of {experiment.run.batch_size}")
    parts = part_scheme(train.skeleton, experiment.parts)
    return Built(build_model(experiment, parts), parts, train, valid)


def build_model(experiment: Experiment, parts: PartScheme) -> PoseNFS:
    """The network alone, on the CPU."""
    with torch.random.fork_rng(devices=[]):  # leaves the caller's random numbers as they were
        torch.manual_seed(experiment.run.seed)
        backbone = BACKBONES[experiment.backbone](experiment.backbone_weights, experiment.rules)
        return PoseNFS(backbone, parts, experiment.fabric, experiment.vector_dim, experiment.rules)


def data_fingerprint(people: People) -> str:
    """Twelve hexadecimal digits that change with any annotation or image name."""
    digest = hashlib.sha256("\n".join(people.images).encode())
    for array in (people.image_index, people.keypoints_image, people.visibility, people.boxes):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:12]

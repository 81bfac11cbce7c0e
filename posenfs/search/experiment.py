"""An experiment: everything that rebuilds a search from its config.json."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path

import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError
from torch import nn

from posenfs.body.parts import PartScheme
from posenfs.body.words import unknown_entry
from posenfs.data import augment
from posenfs.data.augment import Augmentation
from posenfs.data.cache import CROPS
from posenfs.data.datasets.catalogue import DataSpec, open_data, parts_of
from posenfs.data.sample import People
from posenfs.model.architecture import Genotype
from posenfs.model.backbones import BACKBONES, of_fabric
from posenfs.model.baselines import Branchnet, HRNetPose, SimpleBaseline
from posenfs.model.network import PoseNetwork, PoseNFS, check_image_size
from posenfs.model.prune import PrunedNFS, prune
from posenfs.model.space import PAPER, FabricSpec, Rules
from posenfs.model.tensors import fill, read_tensors

TENSORS = "model.safetensors"  # the weights, beside the config.json that builds their network


COMPILE = ("no", "default", "reduce-overhead")


@dataclass(frozen=True)
class RunConfig:
    """How the search is run; the defaults are the paper's."""

    strategy: str = "synchronous"  # or random, first_order, second_order, gumbel: how w, alpha and beta are found
    epochs: int = 200
    batch_size: int = 24
    lr: float = 1e-3  # Adam's learning rate at the start
    # where it drops, as shares of the epochs (90, 120, 150 of 200)
    lr_drops: tuple[float, ...] = (0.45, 0.6, 0.75)
    lr_factor: float = 0.25  # what it is multiplied by at each drop
    # that of alpha and beta; none: the strategy's (w's; 3e-3 on people held out)
    architecture_lr: float | None = None
    # whether it drops too; none: the strategy's (yes; no on people held out)
    architecture_lr_drops: bool | None = None
    # none: the strategy's (0; 1e-3 on people held out)
    architecture_weight_decay: float | None = None
    warmup: int = 0  # epochs for which alpha and beta are frozen
    # of softmax(alpha), softmax(beta): in the first and the last epoch
    temperature: tuple[float, float] = (1.0, 1.0)
    # expected GMAC an image, above which the loss of alpha and beta grows
    cost_budget: float | None = None
    cost_weight: float = 10.0  # by how much, where the cost is twice the budget
    # share of the training pictures kept from w; none: the strategy's (0, or a half)
    held_out: float | None = None
    # epochs without a better score after which it ends; the best epoch is what it found
    patience: int | None = None
    judged: float = 0.0  # share of the training pictures, not trained on, whose score that is; 0: validation people
    accumulate: int = 1  # parts in which a batch goes through the network, where memory is short
    seed: int = 0  # of initial weights, order and augmentation
    crops: str = "cached"  # kept on disk once and warped from there; at half the resolution; or plain: nothing is kept
    precision: str = "auto"  # float32, bfloat16, or auto: bfloat16 on CUDA, float32 elsewhere
    # or by torch.compile: default, or reduce-overhead (CUDA graphs); last digits differ
    compile: str = "no"
    # what backbone and heads computed, again on the way back: less memory, more time
    recompute: bool = False
    log_every: int = 10  # steps between looks at the loss, and between records of alpha and beta
    snapshot_every: int | None = None  # steps between snapshots; one follows each epoch in any case
    # how many of the last ones stay; besides the best, and that of every tenth epoch
    keep_snapshots: int = 5
    # how much room they may take: the oldest go first, the last and the best stay
    snapshot_gb: float = 10.0

    def __post_init__(self):
        for name in (
            "epochs",
            "batch_size",
            "log_every",
            "keep_snapshots",
            "lr",
            "lr_factor",
            "snapshot_gb",
        ):
            if getattr(self, name) <= 0:
                raise ValueError(f"run.{name} must be above 0; got {getattr(self, name)}")
        if self.accumulate < 1 or self.accumulate > self.batch_size:
            raise ValueError(
                f"run.accumulate is from 1 to the batch size {self.batch_size}; got {self.accumulate}"
            )
        for name in ("architecture_lr", "cost_budget", "snapshot_every", "patience"):
            if (value := getattr(self, name)) is not None and not value > 0:
                raise ValueError(f"run.{name} must be above 0; got {value}")
        for name in ("warmup", "cost_weight"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"run.{name} must not be negative; got {getattr(self, name)}")
        if not min(self.temperature) > 0:
            raise ValueError(f"run.temperature must be above 0; got {self.temperature}")
        for name in ("held_out", "judged"):
            if (value := getattr(self, name)) is not None and not 0 <= value < 1:
                raise ValueError(
                    f"run.{name} is a share of the training pictures, below 1; got {value}"
                )
        if self.judged and self.patience is None:
            raise ValueError(
                f"run.judged is for a search with run.patience, which has none; got {self.judged}"
            )
        if self.seed < 0:
            raise ValueError(f"run.seed must not be negative; got {self.seed}")
        if self.crops not in CROPS:
            raise ValueError(f"unknown crops {self.crops!r}; known: {', '.join(CROPS)}")
        if self.compile not in COMPILE:
            raise ValueError(f"unknown run.compile {self.compile!r}; known: {', '.join(COMPILE)}")
        if self.recompute and self.compile != "no":
            raise ValueError(
                f"run.recompute does not go together with run.compile; got compile {self.compile!r}"
            )
        if self.compile == "reduce-overhead" and (
            self.accumulate > 1 or self.strategy == "second_order"
        ):
            raise ValueError(  # what a CUDA graph leaves, gradients too, the next one writes over
                "run.compile reduce-overhead takes one forward and backward pass a step: not run.accumulate above 1, "
                f"not second_order; got {self.accumulate} and {self.strategy}"
            )
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise ValueError(
                f"unknown precision {self.precision!r}; known: auto, float32, bfloat16"
            )

    def lr_at(self, epoch: int) -> float:
        """The learning rate of an epoch (0 first)."""
        return self.lr * self.lr_factor ** sum(
            epoch >= max(1, round(share * self.epochs)) for share in self.lr_drops
        )

    def temperature_at(self, epoch: int) -> float:
        """The temperature of an epoch (0 first): geometric from the first to the last."""
        first, last = self.temperature
        return first * (last / first) ** (epoch / max(self.epochs - 1, 1))


@dataclass(frozen=True)
class Experiment:
    """One search: data, network and how it is run."""

    name: str = "search"  # of the run's folder
    data: DataSpec = field(default_factory=DataSpec)
    image_size: tuple[int, int] = (256, 256)  # height and width of a crop, px
    augmentation: Augmentation = augment.PAPER
    # or a network that is not searched: simple_baseline_50, simple_baseline_101, simple_baseline_152, hrnet_w32,
    # hrnet_w48, branchnet_1 or branchnet_2
    model: str = "pose_nfs"
    backbone: str = "mobilenet_v2"  # or resnet50, hrnet_w32, fabric_1, fabric_2, fabric_3
    backbone_fabric: FabricSpec | None = None  # a fabric of one's own in the place of that backbone
    # a file with pretrained weights, or "imagenet": torchvision downloads them
    backbone_weights: str | None = None
    # P of Table I (1, 3, 5, 8), or parts of one's own: keypoints by name
    parts: int | dict[str, tuple[str, ...]] = 3
    vector_dim: int = 8  # d, the components of the vector in each pixel; 1: a plain score map
    fabric: FabricSpec = field(default_factory=FabricSpec)
    rules: Rules = PAPER
    # by fabric: the network is this discrete child; nothing is searched
    genotype: dict[str, Genotype] | None = None
    # a run's or saved model's folder, whose weights the network starts with
    start: str | None = None
    run: RunConfig = field(default_factory=RunConfig)

    __pydantic_config__ = ConfigDict(extra="forbid")

    def __post_init__(self):
        if not self.name or Path(self.name).name != self.name or self.name.startswith("."):
            raise ValueError(
                f"an experiment's name is a folder's name, without slashes; got {self.name!r}"
            )
        if self.backbone not in BACKBONES:
            raise ValueError(unknown_entry("backbone", self.backbone, BACKBONES))
        if self.model not in MODELS:
            raise ValueError(unknown_entry("model", self.model, MODELS))
        check_image_size(*self.image_size, self.fabric.strides[-1])

    def to_json(self) -> str:
        return _ADAPTER.dump_json(
            self, indent=2, warnings=False
        ).decode()  # lists become tuples when read

    @staticmethod
    def from_json(text: str, source: str = "experiment") -> "Experiment":
        """Raises ValueError naming the source, the field and its value."""
        try:
            return _ADAPTER.validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise ValueError(
                f"{source}: {place or 'JSON'}: {first['msg']} (got {first['input']!r:.80})"
            ) from None


_ADAPTER = TypeAdapter(Experiment)


def differences(
    before: object, after: object, place: str = ""
) -> Iterator[tuple[str, object, object]]:
    """Compare two experiments field by field.

    Yields:
        The option of `posenfs search` whose value differs, its value in `before` and its value in `after`.
    """
    if is_dataclass(before) and type(before) is type(after):
        for each in fields(before):
            option = f"{place}{'.' if place else '--'}{each.name.replace('_', '-')}"
            yield from differences(getattr(before, each.name), getattr(after, each.name), option)
    elif repr(before) != repr(after):  # the order of one's own parts matters, which == does not see
        yield place, before, after


@dataclass(frozen=True)
class Built:
    """What an experiment builds: the network, its parts, and the people to train on and to validate on."""

    model: PoseNetwork
    parts: PartScheme
    train: People
    valid: People


def build(experiment: Experiment, progress: bool = True, strict: bool = False) -> Built:
    """Model and data of an experiment; the initial weights depend on its seed alone.

    People whose pictures are broken are left out, and named; if strict, they are an error. Raises ValueError for what
    the experiment asks wrongly and DataError for files that cannot be used.
    """
    parts = parts_of(experiment.data, experiment.parts)
    model = build_model(experiment, parts)  # before the data, which may have to be drawn first
    return Built(model, parts, *open_data(experiment.data, progress, strict))


def build_model(experiment: Experiment, parts: PartScheme) -> PoseNetwork:
    """The network alone, on the CPU. Raises ValueError where the start's weights or the genotype do not fit it."""
    with torch.random.fork_rng(devices=[]):  # leaves the caller's random numbers as they were
        torch.manual_seed(experiment.run.seed)
        model = MODELS[experiment.model](experiment, parts)
    if experiment.start is not None:
        path = Path(experiment.start) / TENSORS
        fill(model, read_tensors(path)[0], path)
        model.initial_weights = f"saved in {experiment.start}"
    return model if experiment.genotype is None else child(model, experiment.genotype)


def child(model: PoseNetwork, genotypes: Mapping[str, Genotype]) -> PrunedNFS:
    """The discrete network that a soft one becomes by the genotype of each of its fabrics; with its weights."""
    fabrics = model.fabrics()
    if set(fabrics) != set(genotypes) or not isinstance(model, PoseNFS):
        raise ValueError(
            f"genotypes of {', '.join(genotypes)} for fabrics {', '.join(fabrics) or '(none)'}"
        )
    discrete = {name: genotypes[name].architecture(fabric.spec) for name, fabric in fabrics.items()}
    return prune(model.with_architectures(discrete), "one-hot")


def _backbone(experiment: Experiment) -> nn.Module:
    own = experiment.backbone_fabric
    make = BACKBONES[experiment.backbone] if own is None else of_fabric(own)
    return make(experiment.backbone_weights, experiment.rules)


# Networks by name: a function of the experiment and its parts. To add one, add a line.
MODELS: dict[str, Callable[[Experiment, PartScheme], PoseNetwork]] = {
    "pose_nfs": lambda e, parts: PoseNFS(_backbone(e), parts, e.fabric, e.vector_dim, e.rules),
    "simple_baseline_50": lambda e, parts: SimpleBaseline(
        parts, 50, e.vector_dim, e.backbone_weights
    ),
    "simple_baseline_101": lambda e, parts: SimpleBaseline(
        parts, 101, e.vector_dim, e.backbone_weights
    ),
    "simple_baseline_152": lambda e, parts: SimpleBaseline(
        parts, 152, e.vector_dim, e.backbone_weights
    ),
    "hrnet_w32": lambda e, parts: HRNetPose(parts, 32, e.vector_dim, e.backbone_weights),
    "hrnet_w48": lambda e, parts: HRNetPose(parts, 48, e.vector_dim, e.backbone_weights),
    "branchnet_1": lambda e, parts: Branchnet(
        _backbone(e), parts, 400, 8, e.vector_dim
    ),  # of Table VI: P = 3, HRNet
    "branchnet_2": lambda e, parts: Branchnet(
        _backbone(e), parts, 296, 8, e.vector_dim
    ),  # of Table VI: P = 5, HRNet
}

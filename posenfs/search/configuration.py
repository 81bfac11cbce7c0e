"""Configuration groups of an experiment: frozen dataclasses by subject.

`TrainingConfig` and `SearchConfig` decide the numbers of a run; `CheckpointConfig` and
`RuntimeConfig` do not. The comment above a field is its help text on the command line.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from posenfs.data.cache import CROPS

COMPILE_MODES = ("no", "default", "reduce-overhead")
PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class TrainingConfig:
    """Optimisation of the network's weights. The defaults are the paper's (section IV)."""

    # Number of epochs.
    epochs: int = 200
    # Images per training step, over all processes.
    batch_size: int = 24
    # Number of chunks into which a batch is split, to save memory.
    accumulate: int = 1
    # Learning rate of Adam in the first epoch.
    lr: float = 1e-3
    # Epochs at which the learning rate drops, as fractions of the epochs (90, 120, 150 of 200).
    lr_drops: tuple[float, ...] = (0.45, 0.6, 0.75)
    # Factor of the learning rate at each drop.
    lr_factor: float = 0.25
    # Early stopping: epochs without a better score before the search ends; the best epoch's
    # network is the result. None: no early stopping.
    patience: int | None = None
    # Early-stopping split: fraction of the training images that is not trained on and chooses
    # the best epoch. 0: the validation split chooses it.
    early_stopping_split: float = 0.0
    # Source of the crops: cached (cut once at full resolution and warped from there), half
    # (the same at half the resolution) or plain (cut from the image file at every step).
    crops: str = "cached"
    # float32, bfloat16, or auto: bfloat16 on CUDA, float32 elsewhere.
    precision: str = "auto"
    # torch.compile mode: no, default, or reduce-overhead (CUDA graphs). The last digits of
    # the numbers differ.
    compile: str = "no"
    # Seed of the initial weights, the order of the samples, the augmentation and the splits.
    seed: int = 0

    def __post_init__(self):
        _check_positive("training", self, "epochs", "batch_size", "lr", "lr_factor", "patience")
        if not 1 <= self.accumulate <= self.batch_size:
            raise ValueError(
                f"training.accumulate is from 1 to the batch size {self.batch_size}; "
                f"got {self.accumulate}"
            )
        _check_fraction("training.early_stopping_split", self.early_stopping_split)
        if self.early_stopping_split and self.patience is None:
            raise ValueError(
                "training.early_stopping_split needs training.patience, which is not set; "
                f"got {self.early_stopping_split}"
            )
        if self.seed < 0:
            raise ValueError(f"training.seed must not be negative; got {self.seed}")
        _check_choice("training.crops", self.crops, CROPS)
        _check_choice("training.precision", self.precision, PRECISIONS)
        _check_choice("training.compile", self.compile, COMPILE_MODES)

    def lr_at(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 0."""
        drops = sum(epoch >= max(1, round(share * self.epochs)) for share in self.lr_drops)
        return self.lr * self.lr_factor**drops


@dataclass(frozen=True)
class SearchConfig:
    """Search of the logits alpha and beta (section III-F)."""

    # How alpha and beta are optimised: synchronous, random, first_order, second_order or gumbel.
    strategy: str = "synchronous"
    # Learning rate of alpha and beta. None: the strategy's (training.lr, or 3e-3 for
    # first_order and second_order).
    lr: float | None = None
    # Whether that rate drops together with that of the weights. None: the strategy's (yes; no for
    # first_order and second_order).
    lr_drops: bool | None = None
    # Weight decay of alpha and beta. None: the strategy's (0, or 1e-3 for first_order and
    # second_order).
    weight_decay: float | None = None
    # Number of initial epochs in which alpha and beta are frozen.
    warmup: int = 0
    # Softmax temperature of alpha and beta in the first and in the last epoch; geometric in
    # between.
    temperature: tuple[float, float] = (1.0, 1.0)
    # Budget of the expected cost, in GMAC per image, above which the loss of alpha and beta
    # grows. None: no budget.
    cost_budget: float | None = None
    # Loss that is added where the expected cost is twice the budget.
    cost_weight: float = 10.0
    # Architecture-validation split: fraction of the training images that the weights are not
    # trained on. None: the strategy's (0, or 0.5 for first_order and second_order).
    validation_split: float | None = None

    def __post_init__(self):
        _check_positive("search", self, "lr", "cost_budget")
        for name in ("warmup", "cost_weight"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"search.{name} must not be negative; got {getattr(self, name)}")
        if not min(self.temperature) > 0:
            raise ValueError(f"search.temperature must be above 0; got {self.temperature}")
        if self.validation_split is not None:
            _check_fraction("search.validation_split", self.validation_split)

    def temperature_at(self, epoch: int, epochs: int) -> float:
        """Return the temperature of an epoch, counted from 0, of a run of `epochs` epochs."""
        first, last = self.temperature
        return first * (last / first) ** (epoch / max(epochs - 1, 1))


@dataclass(frozen=True)
class CheckpointConfig:
    """When checkpoints are written and how many are kept. It does not change the numbers."""

    # Training steps between checkpoints, besides the one after each epoch. None: only those.
    every: int | None = None
    # Number of latest checkpoints to keep, besides the best one and that of every tenth epoch.
    keep: int = 5
    # Disk space for checkpoints, in GB. Over it the oldest are deleted; the latest and the
    # best are kept.
    max_gb: float = 10.0

    def __post_init__(self):
        _check_positive("checkpoints", self, "every", "keep", "max_gb")


@dataclass(frozen=True)
class RuntimeConfig:
    """Logging and memory. It does not change the numbers."""

    # Training steps between records of the loss, alpha and beta.
    log_every: int = 10
    # Recompute the activations of backbone and heads in the backward pass: less memory, more time.
    recompute: bool = False

    def __post_init__(self):
        _check_positive("runtime", self, "log_every")


def _check_positive(group: str, config: object, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if value is not None and not value > 0:
            raise ValueError(f"{group}.{name} must be above 0; got {value}")


def _check_fraction(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{name} is a fraction of the training images, below 1; got {value}")


def _check_choice(name: str, value: str, known: Iterable[str]) -> None:
    if value not in known:
        raise ValueError(f"unknown {name} {value!r}; known: {', '.join(known)}")

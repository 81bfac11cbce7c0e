"""Splits and batches of a search."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from posenfs.data.cache import CROPS, CacheRequest, CropCache
from posenfs.data.cache_files import build_caches
from posenfs.data.loader import Crops, Loader
from posenfs.data.sample import Annotations, Batch
from posenfs.search.distributed import ProcessGroup
from posenfs.search.experiment import Experiment
from posenfs.search.strategies import STRATEGIES, with_defaults

# Added to the seed of the architecture-validation split, so that its augmentation differs from that
# of the training split for every seed.
_VALIDATION_SEED = 2**32


@dataclass(frozen=True)
class LoadingOptions:
    """How a search reads its data; nothing here changes its numbers.

    Attributes:
        workers: Number of processes that decode images.
        progress: Whether to show progress bars and notes.
        strict: Whether a broken image is an error.
        cache_gb: Disk space for cached crops, in GB.
    """

    workers: int = 0
    progress: bool = True
    strict: bool = False
    cache_gb: float = 20.0


class BatchSource:
    """The splits of a search and their batches, which depend on the training step alone.

    The training images are divided by image into the training split, the architecture-validation
    split (for alpha and beta) and the early-stopping split (which chooses the best epoch).

    Args:
        experiment: The experiment.
        train: The training annotations, before they are divided.
        valid: The validation split.
        group: The processes that share every batch.
        device: Device of the batches.
        options: How the data are read.

    Attributes:
        train: The training split.
        architecture_validation: The architecture-validation split, or None.
        early_stopping: The early-stopping split; the validation split where there is none.
        wait_seconds: Time spent waiting for batches so far, s.

    Raises:
        ValueError: A split is smaller than one batch, or the processes cannot share it evenly.
    """

    def __init__(
        self,
        experiment: Experiment,
        train: Annotations,
        valid: Annotations,
        group: ProcessGroup,
        device: torch.device,
        options: LoadingOptions = LoadingOptions(),
    ):
        self.experiment, self.group, self.device, self.options = experiment, group, device, options
        self.annotations, self.valid = train, valid
        strategy = STRATEGIES[experiment.search.strategy]
        search = with_defaults(experiment.search, strategy)
        self._reads_validation = strategy.validation_split > 0
        self._divide(search.validation_split or 0.0, experiment.training.early_stopping_split)
        self._check_sizes()
        self.steps_per_epoch = len(self.train) // experiment.training.batch_size
        self.wait_seconds = 0.0
        self.caches: dict[str, CropCache | None] = {"valid": None, "early_stopping": None}
        self._loaders: tuple[Loader, Loader | None] | None = None
        self.seek(0)

    def _divide(self, validation_share: float, early_stopping_share: float) -> None:
        annotations, seed = self.annotations, self.experiment.training.seed
        validation = annotations.sample_images(validation_share, seed)
        stopping = annotations.sample_images(early_stopping_share, seed, after=validation_share)
        self._masks = {"train": ~validation & ~stopping, "validation": validation}
        self._held_out = validation_share + early_stopping_share
        self.train, self.architecture_validation = annotations, None
        self.early_stopping = self.valid
        if self._held_out:
            self.train = annotations.select(self._masks["train"])
        if validation_share:
            title = (
                f"{validation_share:.0%} of {annotations.name} by image, architecture validation"
            )
            self.architecture_validation = self._split(validation, title)
        if early_stopping_share:
            title = f"{early_stopping_share:.0%} of {annotations.name} by image, early stopping"
            self.early_stopping = self._split(stopping, title)

    def _split(self, mask: np.ndarray, title: str) -> Annotations:
        seed = self.experiment.training.seed
        return replace(self.annotations.select(mask), name=f"{title} (seed {seed})")

    def _check_sizes(self) -> None:
        size, processes = self.experiment.training.batch_size, self.group.world_size
        for split in self.training_splits:
            if len(split) >= size:
                continue
            count = f"{len(split)} people"
            if self._held_out:
                count += (
                    f" left of {len(self.annotations)}, as other splits take "
                    f"{self._held_out:.0%} of the images"
                )
            raise ValueError(
                f"{self.annotations.label} has {count}: fewer than one batch of {size}; lower "
                "--training.batch-size"
            )
        if size % processes:
            raise ValueError(f"{processes} processes cannot share a batch of {size} evenly")
        if min(len(self.early_stopping), len(self.valid)) < processes:
            raise ValueError(
                f"{processes} processes cannot share the {len(self.early_stopping)} and "
                f"{len(self.valid)} people to evaluate on"
            )

    @property
    def training_splits(self) -> list[Annotations]:
        """The training split and, if there is one, the architecture-validation split."""
        validation = self.architecture_validation
        return [self.train] if validation is None else [self.train, validation]

    def open(self) -> None:
        """Cache the crops that are not cached yet, and create the loaders.

        Raises:
            CacheBudgetError: The crops need more disk space than `cache_gb`.
            DataError: An image cannot be read, or the disk is full.
        """
        size = self.experiment.image_size
        training, augmentation = self.experiment.training, self.experiment.augmentation
        density, cache = CROPS[training.crops], None
        if density is not None:
            requests = [
                CacheRequest(self.annotations, size, augmentation, density),
                CacheRequest(self.valid, size),
            ]
            if self.early_stopping is not self.valid:
                requests.append(CacheRequest(self.early_stopping, size))
            cache, *others = build_caches(requests, self.options.cache_gb, self.options.progress)
            self.caches = {"valid": others[0], "early_stopping": others[-1]}
            cache.preload(self.device)

        def loader(split: Annotations, name: str, seed: int) -> Loader:
            split_cache = None if cache is None else cache.select(self._masks[name].nonzero()[0])
            crops = Crops(split, size, augmentation, seed)
            rows = self.group.rows(training.batch_size)
            return Loader(
                crops, training.batch_size, self.options.workers, split_cache, self.device, rows
            )

        train = loader(self.train, "train", training.seed)
        validation = None
        if self._reads_validation and self.architecture_validation is not None:
            seed = training.seed + _VALIDATION_SEED
            validation = loader(self.architecture_validation, "validation", seed)
        self._loaders = train, validation

    def seek(self, step: int) -> None:
        """Continue with this training step, counted from 0."""
        self._step = step
        self._iterators: list[Iterator[Batch] | None] = [None, None]

    def next(self) -> tuple[Batch, Batch | None]:
        """Return the training batch and the architecture-validation batch of the next step.

        The second is None where the strategy does not use that split.
        """
        if self._loaders is None:
            self.open()
        assert self._loaders is not None
        started = time.perf_counter()
        batch = self._next(0, self._loaders[0])
        validation = self._loaders[1]
        validation_batch = None if validation is None else self._next(1, validation)
        self._step += 1
        self.wait_seconds += time.perf_counter() - started
        return batch, validation_batch

    def _next(self, number: int, loader: Loader) -> Batch:
        epoch, within = divmod(self._step, loader.steps)
        iterator = self._iterators[number]
        if iterator is None or within == 0:
            iterator = self._iterators[number] = loader.epoch(epoch, start=within)
        return next(iterator).to(self.device)

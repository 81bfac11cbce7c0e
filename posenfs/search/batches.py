"""What a search reads: batches of the people it trains on, batches of people held out, and those it is judged on."""

import time
from dataclasses import replace

import numpy as np
import torch

from posenfs.data.cache import CROPS, CacheRequest, CropCache
from posenfs.data.cache_files import build_caches
from posenfs.data.geometry import ImageSize, crop_to_heatmap
from posenfs.data.heatmaps import encode
from posenfs.data.loader import Crops, Loader
from posenfs.data.sample import Annotations, Batch, normalise
from posenfs.search._legacy import legacy
from posenfs.search.distributed import ProcessGroup
from posenfs.search.experiment import Experiment
from posenfs.search.strategies import STRATEGIES, Examples

_HELD_OUT = 2**32  # apart from all seeds: people held out are turned and scaled by other draws


class Feed:
    """Batches by the number of the training step alone, so that a search can begin at any.

    `train`, `held_out` (for alpha and beta) and `judges` (by whom the best epoch is found) are parts of the training
    people by image; without a share there is nobody held out, and the judges are the validation people. `seconds` is
    the time spent waiting for batches so far.
    """

    def __init__(
        self,
        experiment: Experiment,
        people: Annotations,
        valid: Annotations,
        ranks: ProcessGroup,
        device: torch.device,
        workers: int = 0,
        cache_gb: float = 20.0,
        progress: bool = True,
    ):
        """Raises ValueError where less than a batch of people is left, or the processes cannot share one evenly."""
        run, kind = legacy(experiment), STRATEGIES[experiment.search.strategy]
        share = kind.held_out if run.held_out is None else run.held_out
        if kind.held_out and not share:
            raise ValueError(
                f"strategy {run.strategy} needs people held out; search.validation_split is {share:g}"
            )
        self._reads_held_out = kind.held_out > 0
        self.experiment, self.ranks, self.device, self.workers = experiment, ranks, device, workers
        self.people, self.valid, self.cache_gb, self.progress = people, valid, cache_gb, progress
        held = people.sample_images(share, run.seed)
        judging = people.sample_images(run.judged, run.seed, after=share)
        self._masks = {"train": ~held & ~judging, "held out": held, "judges": judging}
        self.train, self.held_out, self.judges = people, None, valid
        if share or run.judged:
            self.train = people.select(self._masks["train"])
        if share:
            self.held_out = self._named(held, f"{share:.0%} of {people.name} by image, held out")
        if run.judged:
            self.judges = self._named(
                judging, f"{run.judged:.0%} of {people.name} by image, not trained on"
            )
        for own in self.parts:
            if len(own) < run.batch_size:
                apart = (
                    f" left of {len(people)}, {share + run.judged:.0%} of the images being held out"
                )
                found = f"{len(own)} people{'' if own is people else apart}"
                raise ValueError(
                    f"{people.label} has {found}, fewer than one batch of {run.batch_size}; lower --training.batch-size"
                )
        if run.batch_size % ranks.world_size:
            raise ValueError(
                f"a batch of {run.batch_size} cannot be shared by {ranks.world_size} processes evenly"
            )
        if min(len(self.judges), len(valid)) < ranks.world_size:
            raise ValueError(
                f"{len(self.judges)} and {len(valid)} people to evaluate on, for {ranks.world_size} processes"
            )
        self.steps_per_epoch = len(self.train) // run.batch_size
        self.seconds = 0.0
        self.valid_cache: CropCache | None = None
        self.judges_cache: CropCache | None = None
        self._loaders: tuple[Loader, Loader | None] | None = None
        self.seek(0)

    def _named(self, mask: np.ndarray, name: str) -> Annotations:
        return replace(
            self.people.select(mask), name=f"{name} (seed {self.experiment.training.seed})"
        )

    @property
    def parts(self) -> list[Annotations]:
        """The people to train on and, if any, those held out for alpha and beta."""
        return [self.train] if self.held_out is None else [self.train, self.held_out]

    def open(self) -> None:
        """Keep what crops are not kept yet. Raises ValueError or DataError where there is no room for them."""
        size = self.experiment.image_size
        run, change = legacy(self.experiment), self.experiment.augmentation
        density, cache = CROPS[run.crops], None
        if density is not None:
            wanted = [
                CacheRequest(self.people, size, change, density),
                CacheRequest(self.valid, size),
            ]
            if run.judged:
                wanted.append(CacheRequest(self.judges, size))
            cache, self.valid_cache, *others = build_caches(wanted, self.cache_gb, self.progress)
            self.judges_cache = others[0] if others else self.valid_cache
            cache.preload(self.device)

        def loader(people: Annotations, part: str, seed: int) -> Loader:
            own = None if cache is None else cache.select(self._masks[part].nonzero()[0])
            crops = Crops(people, size, change, seed)
            rows = self.ranks.rows(run.batch_size)
            return Loader(crops, run.batch_size, self.workers, own, self.device, rows)

        held = (
            loader(self.held_out, "held out", run.seed + _HELD_OUT)
            if self._reads_held_out
            else None
        )
        self._loaders = loader(self.train, "train", run.seed), held

    def seek(self, step: int) -> None:
        """Begin with this training step (0 first)."""
        self._step, self._batches = step, [None, None]

    def next(self) -> tuple[Examples, Examples | None]:
        """What the next training step sees, on the device: people to train on, and people held out where the strategy
        looks at them."""
        if self._loaders is None:
            self.open()
        started = time.perf_counter()
        batches = [
            None if loader is None else self._next(n, loader)
            for n, loader in enumerate(self._loaders)
        ]
        self._step += 1
        self.seconds += time.perf_counter() - started
        stride = self.experiment.fabric.strides[0]
        train, held_out = batches
        return examples_of(train, stride), None if held_out is None else examples_of(
            held_out, stride
        )

    def _next(self, number: int, loader: Loader) -> Batch:
        epoch, within = divmod(self._step, loader.steps)
        if self._batches[number] is None or within == 0:
            self._batches[number] = loader.epoch(epoch, start=within)
        return next(self._batches[number]).to(self.device)


def examples_of(batch: Batch, stride: int) -> Examples:
    """A batch as a strategy takes it; target maps have one pixel for so many of a crop's, each way."""
    height, width = batch.images.shape[-2:]
    size = ImageSize(height // stride, width // stride)
    target = encode(crop_to_heatmap(batch.keypoints_crop, stride), size)
    return Examples(normalise(batch.images, batch.gains), target, batch.visibility)

"""Batches of crops. Order and augmentation depend on (seed, epoch, index) only."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from posenfs.data.augment import Augmentation, augment, colour_gains, epoch_order
from posenfs.data.cache import CropCache
from posenfs.data.geometry import (
    Crop,
    ImageSize,
    crop_of_box,
    cut_crop,
    image_to_crop,
    mirror_keypoints,
)
from posenfs.data.pixels import load_image
from posenfs.data.sample import Annotations, Batch, DataError
from posenfs.data.workers import fitting_workers, worker_error


@dataclass(frozen=True)
class Crops(Dataset):
    """The crops of people, indexed by (epoch, person); each is a batch of one.

    Crops without augmentation are upright.
    """

    annotations: Annotations
    size: ImageSize  # crop px
    augmentation: Augmentation | None = None
    seed: int = 0

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        epoch, person = key
        batch = self.labels(epoch, np.array([person]))
        size = self.annotations.annotated_size(self.annotations.image_index[person])
        image = load_image(self.annotations.image_path(person), size)
        return replace(batch, images=cut_crop(image, batch.crop[0])[None])

    def labels(self, epoch: int, index: np.ndarray) -> Batch:
        """Return a batch without pixels: its images are [B, 3, 0, 0].

        Args:
            epoch: The epoch, which determines the augmentation.
            index: Indices [B] of the people.
        """
        crop = crop_of_box(self.annotations.boxes[index], self.size)
        gains = np.ones((len(index), 3), np.float32)
        if self.augmentation is not None:
            crop = augment(crop, self.augmentation, self.seed, epoch, index)
            gains = colour_gains(self.augmentation, self.seed, epoch, index)
        keypoints, visibility = keypoints_of_crop(self.annotations, index, crop)
        return Batch(
            torch.empty(len(index), 3, 0, 0, dtype=torch.uint8),
            torch.from_numpy(keypoints.astype(np.float32)),
            torch.from_numpy(visibility),
            index,
            crop,
            torch.from_numpy(gains),
        )


def keypoints_of_crop(
    annotations: Annotations, index: np.ndarray, crop: Crop
) -> tuple[np.ndarray, np.ndarray]:
    """Map annotated keypoints into crops. A flipped crop swaps left and right.

    Args:
        annotations: The annotations of N people.
        index: Indices [B] of people.
        crop: Their crops, fields with a leading [B].

    Returns:
        Keypoints [B, K, 2] crop px and visibility [B, K]. Keypoints outside the crop are not
        labelled; unlabelled keypoints are zero.
    """
    upright = replace(crop, flip=np.zeros_like(crop.flip))
    keypoints = image_to_crop(annotations.keypoints_image[index], upright)
    inside = ((keypoints > -0.5) & (keypoints < crop.size.xy - 0.5)).all(-1)
    visibility = np.where(inside, annotations.visibility[index], 0).astype(np.uint8)
    mirrored_keypoints, mirrored_visibility = mirror_keypoints(
        keypoints, visibility, annotations.skeleton.flip_order, crop.size.width
    )
    keypoints = np.where(crop.flip[:, None, None], mirrored_keypoints, keypoints)
    visibility = np.where(crop.flip[:, None], mirrored_visibility, visibility)
    return np.where(visibility[..., None] > 0, keypoints, 0.0), visibility


def collate(samples: list[Batch]) -> Batch:
    """Concatenate batches to one batch."""
    crops = [sample.crop for sample in samples]
    names = ("center", "scale", "rotation", "flip")
    fields = {name: np.concatenate([getattr(crop, name) for crop in crops]) for name in names}
    return Batch(
        torch.cat([sample.images for sample in samples]),
        torch.cat([sample.keypoints_crop for sample in samples]),
        torch.cat([sample.visibility for sample in samples]),
        np.concatenate([sample.index for sample in samples]),
        Crop(size=crops[0].size, **fields),
        torch.cat([sample.gains for sample in samples]),
    )


def crop_people(annotations: Annotations, size: ImageSize) -> Batch:
    """Return the upright crops of all people as one batch.

    Args:
        annotations: The annotations of a few people.
        size: Size of the crops in px.
    """
    crops = Crops(annotations, size)
    return collate([crops[0, index] for index in range(len(annotations))])


def _collate_shared(samples: list[Batch]) -> Batch:
    """Concatenate batches in shared memory.

    A DataLoader moves tensors there in a thread: if that fails, it waits for the batch forever.
    """
    batch = collate(samples)
    for tensor in (batch.images, batch.keypoints_crop, batch.visibility, batch.gains):
        tensor.share_memory_()
    return batch


def _ignore_interrupts(worker: int) -> None:
    """Ignore Ctrl-C, which reaches every process of the terminal; the main process handles it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class Loader:
    """Loader of batches of crops, which do not depend on the number of worker processes.

    With a cache the crops are warped out of it on the device, and no image is decoded.
    """

    def __init__(
        self,
        crops: Crops,
        batch_size: int,
        workers: int = 0,
        cache: CropCache | None = None,
        device: torch.device | str = "cpu",
        rows: slice = slice(None),
    ):
        """Create a loader.

        Args:
            crops: The crops to load.
            batch_size: Number of crops in a batch.
            workers: Number of processes that decode images; 0 decodes in this process. Fewer are
                used, with a note, where shared memory is too small for their batches.
            cache: The cached crops of the same people.
            device: Device on which crops are warped out of the cache.
            rows: The rows of every training batch that this process loads, where several
                processes share a batch.
        """
        self.crops = crops
        self.batch_size = batch_size
        self.cache = cache
        self.device = torch.device(device)
        self.rows = rows
        self._keys: list[list[tuple[int, int]]] = []  # the DataLoader's batches of the current pass
        if cache is None and workers:
            in_batch = len(range(min(batch_size, len(crops.annotations)))[rows])
            workers = fitting_workers(workers, 3 * crops.size.height * crops.size.width * in_batch)
        self._workers = workers
        self._loader = self._data_loader()

    def _data_loader(self) -> DataLoader:
        return DataLoader(
            self.crops,
            batch_sampler=self._keys,
            collate_fn=_collate_shared if self._workers else collate,
            num_workers=self._workers,
            # Forked workers of a process with threads can hang; a fork server starts clean ones.
            multiprocessing_context="forkserver" if self._workers else None,
            persistent_workers=self._workers > 0,
            worker_init_fn=_ignore_interrupts,
        )

    @property
    def steps(self) -> int:
        """Number of full batches in a training epoch; a smaller rest is not used."""
        return len(self.crops.annotations) // self.batch_size

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Return the batches of a training epoch in random order.

        Args:
            epoch: The epoch.
            start: Number of batches to skip.
        """
        indices = epoch_order(self.crops.seed, epoch, len(self.crops.annotations))
        batches = indices[: self.steps * self.batch_size].reshape(self.steps, self.batch_size)
        batches = batches[start:, self.rows]
        return self._batches([[(epoch, int(person)) for person in batch] for batch in batches])

    def once(self) -> Iterator[Batch]:
        """Return batches of all people in order; the last batch may be smaller."""
        keys = [(0, person) for person in range(len(self.crops.annotations))]
        starts = range(0, len(keys), self.batch_size)
        return self._batches([keys[start : start + self.batch_size] for start in starts])

    def _batches(self, keys: list[list[tuple[int, int]]]) -> Iterator[Batch]:
        """The batches of (epoch, person) keys, from the cache or from the images.

        Raises:
            DataError: An image cannot be read.
            WorkerError: A worker process has ended, or shared memory is full.
        """
        if self.cache is not None:
            for batch_keys in keys:
                epoch = batch_keys[0][0]
                index = np.array([person for _, person in batch_keys])
                batch = self.crops.labels(epoch, index).to(self.device)
                images = self.cache.warp(batch.index, batch.crop, self.device)
                yield replace(batch, images=images)
            return
        self._keys[:] = keys
        try:
            yield from self._loader
        except DataError as error:  # a worker process adds its traceback to the message
            raise DataError(str(error).rpartition("DataError: ")[2].strip()) from None
        except (RuntimeError, OSError, EOFError) as error:
            failure = worker_error(error) if self._workers else None
            if failure is None:
                raise
            self._loader = self._data_loader()  # the next pass starts new workers
            raise failure from None

"""People to batches of crops, in an order and with an augmentation that depend on (seed, epoch, index) alone."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from posenfs.data.augment import Augmentation, augment, colour_gains, order
from posenfs.data.cache import CropCache
from posenfs.data.geometry import Crop, crop_of_box, cut_crop, image_to_crop, mirror_keypoints
from posenfs.data.sample import Batch, DataError, People, load_image


@dataclass(frozen=True)
class Crops(Dataset):
    """Random access by (epoch, index) to one person's crop as a batch of one; no augmentation: upright crops."""

    people: People
    size: tuple[int, int]  # (width, height) crop px
    augmentation: Augmentation | None = None
    seed: int = 0

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        epoch, index = key
        placed = self.place(epoch, np.array([index]))
        return replace(placed, images=cut_crop(load_image(self.people.image_path(index)), placed.crop[0])[None])

    def place(self, epoch: int, index: np.ndarray) -> Batch:
        """All of the batch of the people with this index [B] but its pixels: images are [B, 3, 0, 0]."""
        crop, gains = crop_of_box(self.people.boxes[index], self.size), np.ones((len(index), 3), np.float32)
        if self.augmentation is not None:
            crop = augment(crop, self.augmentation, self.seed, epoch, index)
            gains = colour_gains(self.augmentation, self.seed, epoch, index)
        keypoints, visibility = keypoints_of_crop(self.people, index, crop)
        return Batch(
            torch.empty(len(index), 3, 0, 0, dtype=torch.uint8),
            torch.from_numpy(keypoints.astype(np.float32)),
            torch.from_numpy(visibility),
            index,
            crop,
            torch.from_numpy(gains),
        )


def keypoints_of_crop(people: People, index: np.ndarray, crop: Crop) -> tuple[np.ndarray, np.ndarray]:
    """For the people with this index [B] and their crops: keypoints [B, K, 2] crop px and visibility [B, K]; a mirrored
    crop swaps left and right.

    A keypoint outside the crop counts as not labelled; what is not labelled holds zeros.
    """
    upright = replace(crop, flip=np.zeros_like(crop.flip))
    keypoints, visibility = image_to_crop(people.keypoints_image[index], upright), people.visibility[index]
    inside = ((keypoints > -0.5) & (keypoints < np.asarray(crop.size) - 0.5)).all(-1)
    visibility = np.where(inside, visibility, 0).astype(np.uint8)
    mirrored = mirror_keypoints(keypoints, visibility, people.skeleton.flip_order, crop.size[0])
    keypoints = np.where(crop.flip[:, None, None], mirrored[0], keypoints)
    visibility = np.where(crop.flip[:, None], mirrored[1], visibility)
    return np.where(visibility[..., None] > 0, keypoints, 0.0), visibility


def collate(samples: list[Batch]) -> Batch:
    """Batches, one after the other -> one batch."""
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


def crop_people(people: People, size: tuple[int, int]) -> Batch:
    """All of these few people, cropped upright at their boxes, as one batch."""
    crops = Crops(people, size)
    return collate([crops[0, index] for index in range(len(people))])


def _leave_interrupts_to_the_search(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of the terminal


class Loader:
    """Batches of crops; the same ones whatever the number of worker processes.

    With a cache crops come out of it, made on the device, and no picture is read.
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
        """`rows`: those of every training batch that are wanted here, where several processes share it."""
        self.crops, self.batch_size, self.cache, self.device = crops, batch_size, cache, torch.device(device)
        self.rows = rows
        self._keys: list[list[tuple[int, int]]] = []  # what the data loader reads next; refilled for every pass
        self._loader = DataLoader(
            crops,
            batch_sampler=self._keys,
            collate_fn=collate,
            num_workers=workers,
            # forked workers of a process with threads can hang; a fork server starts clean ones
            multiprocessing_context="forkserver" if workers else None,
            persistent_workers=workers > 0,
            worker_init_fn=_leave_interrupts_to_the_search,
        )

    @property
    def steps(self) -> int:
        """Batches in a training epoch: whole ones only, so that batch-norm never sees a remnant."""
        return len(self.crops.people) // self.batch_size

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of a training epoch in random order, from batch number `start` on."""
        people = order(self.crops.seed, epoch, len(self.crops.people))
        chunks = people[: self.steps * self.batch_size].reshape(self.steps, self.batch_size)[:, self.rows]
        return self._batches([[(epoch, int(i)) for i in chunk] for chunk in chunks[start:]])

    def once(self) -> Iterator[Batch]:
        """Everybody once, in order, the last batch perhaps smaller."""
        people = range(len(self.crops.people))
        keys = [(0, i) for i in people]
        return self._batches([keys[i : i + self.batch_size] for i in people[:: self.batch_size]])

    def _batches(self, keys: list[list[tuple[int, int]]]) -> Iterator[Batch]:
        if self.cache is not None:
            for chunk in keys:
                epoch, index = chunk[0][0], np.array([index for _, index in chunk])
                placed = self.crops.place(epoch, index).to(self.device)
                yield replace(placed, images=self.cache.warp(placed.index, placed.crop, self.device))
            return
        self._keys[:] = keys
        try:
            yield from self._loader
        except DataError as error:  # a worker process adds its traceback: keep the message alone
            raise DataError(str(error).rpartition("DataError: ")[2].strip()) from None

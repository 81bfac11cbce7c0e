"""Latency: how long a model takes from images to score maps, measured where it stands."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from posenfs.model.network import evaluating

_LEAST = 3  # runs to warm up, and runs measured however long they take


@dataclass(frozen=True)
class Latency:
    """Seconds that a batch of so many images takes: the median of `repeats` runs, and their 10 % (`low_s`) and 90 %
    (`high_s`) quantiles."""

    batch_size: int
    median_s: float
    low_s: float
    high_s: float
    repeats: int

    @property
    def images_per_s(self) -> float:
        return self.batch_size / self.median_s


def measure_latency(
    model: nn.Module,
    batch_sizes: Iterable[int] = (1, 8),
    height: int = 256,
    width: int = 256,
    repeats: int = 50,
    seconds: float = 5.0,
) -> list[Latency]:
    """The latency of each batch size on random images [B, 3, height, width], in eval mode without gradients.

    The images have the model's device, type and memory format, and stand there already; the threads are torch's. For
    each batch size three runs warm up, then up to `repeats` are measured, until `seconds` have passed, though never
    fewer than three (or `repeats`). The model is left in its mode. Raises ValueError for a number below 1, and what the
    model raises for an image that it cannot take.
    """
    batch_sizes = tuple(batch_sizes)
    if min((repeats, *batch_sizes)) < 1:
        raise ValueError(f"batch sizes and repeats must be at least 1; got {batch_sizes} and {repeats}")
    with evaluating(model):
        return [_latency(model, _images(model, size, height, width), repeats, seconds) for size in batch_sizes]


def _images(model: nn.Module, batch_size: int, height: int, width: int) -> Tensor:
    """Random images as the model's weights are: their device, type and memory format."""
    weights = list(model.parameters())
    generator = torch.Generator().manual_seed(0)  # of its own: a search that runs goes on as if nothing had been
    images = torch.randn(batch_size, 3, height, width, generator=generator)
    memory_format = torch.channels_last if any(map(_channels_last, weights)) else torch.contiguous_format
    return images.to(weights[0].device, weights[0].dtype, memory_format=memory_format)


def _channels_last(weight: Tensor) -> bool:
    """Whether it is in channels-last and nothing else; weights of 1x1 convolutions are in both formats at once."""
    if weight.dim() != 4:
        return False
    return weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()


@torch.inference_mode()
def _latency(model: nn.Module, images: Tensor, repeats: int, seconds: float) -> Latency:
    for _ in range(_LEAST):
        _run(model, images)
    times: list[float] = []
    while len(times) < repeats and (len(times) < _LEAST or sum(times) < seconds):
        times.append(_run(model, images))
    low, median, high = np.quantile(times, (0.1, 0.5, 0.9)).tolist()
    return Latency(len(images), median, low, high, len(times))


def _run(model: nn.Module, images: Tensor) -> float:
    """Seconds of one run; a GPU has finished what it was given before the clock starts and before it stops."""
    wait_for(images.device)
    started = time.perf_counter()
    model(images)
    wait_for(images.device)
    return time.perf_counter() - started


def wait_for(device: torch.device) -> None:
    """Until it has finished what it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)

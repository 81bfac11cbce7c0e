"""Latency: the time of a model's forward pass, measured on its device."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from posenfs.model.network import evaluating

_MINIMUM_RUNS = 3  # of the warm-up, and of the measurement even beyond the time limit


@dataclass(frozen=True)
class Latency:
    """The latency of a batch in seconds, over several runs.

    Attributes:
        batch_size: The number of images.
        median_s: The median of the runs.
        low_s: The 10 % quantile of the runs.
        high_s: The 90 % quantile of the runs.
        repeats: The number of runs.
    """

    batch_size: int
    median_s: float
    low_s: float
    high_s: float
    repeats: int

    @property
    def images_per_s(self) -> float:
        """Images per second at the median."""
        return self.batch_size / self.median_s


def measure_latency(
    model: nn.Module,
    batch_sizes: Iterable[int] = (1, 8),
    height: int = 256,
    width: int = 256,
    repeats: int = 50,
    seconds: float = 5.0,
) -> list[Latency]:
    """Measure the latency of each batch size in eval mode without gradients.

    The images are random, with the device, type and memory format of the model. Three runs warm
    up; then at most `repeats` runs are measured until `seconds` have passed, but at least three
    (or `repeats`).

    Args:
        model: The network; it keeps its mode.
        batch_sizes: The batch sizes.
        height: The height of the images in px.
        width: The width of the images in px.
        repeats: The greatest number of measured runs for each batch size.
        seconds: The time limit for each batch size.

    Raises:
        ValueError: A batch size or `repeats` is below 1, or the model rejects the image size.
    """
    batch_sizes = tuple(batch_sizes)
    if min((repeats, *batch_sizes)) < 1:
        raise ValueError(
            f"batch sizes and repeats must be at least 1; got {batch_sizes} and {repeats}"
        )
    with evaluating(model):
        return [
            _latency(model, _images(model, size, height, width), repeats, seconds)
            for size in batch_sizes
        ]


def _images(model: nn.Module, batch_size: int, height: int, width: int) -> Tensor:
    """Return random images with the device, type and memory format of the model's weights."""
    weights = list(model.parameters())
    # A separate generator leaves the random numbers of a running search unchanged.
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch_size, 3, height, width, generator=generator)
    channels_last = any(_is_channels_last(weight) for weight in weights)
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    return images.to(weights[0].device, weights[0].dtype, memory_format=memory_format)


def _is_channels_last(weight: Tensor) -> bool:
    """Whether a weight is channels-last only; weights of 1x1 convolutions have both formats."""
    if weight.dim() != 4:
        return False
    channels_last = weight.is_contiguous(memory_format=torch.channels_last)
    return channels_last and not weight.is_contiguous()


@torch.inference_mode()
def _latency(model: nn.Module, images: Tensor, repeats: int, seconds: float) -> Latency:
    for _ in range(_MINIMUM_RUNS):
        _run(model, images)
    times: list[float] = []
    while len(times) < repeats and (len(times) < _MINIMUM_RUNS or sum(times) < seconds):
        times.append(_run(model, images))
    low, median, high = np.quantile(times, (0.1, 0.5, 0.9)).tolist()
    return Latency(len(images), median, low, high, len(times))


def _run(model: nn.Module, images: Tensor) -> float:
    """Return the seconds of one run; the device is idle at its start and at its end."""
    wait_for(images.device)
    started = time.perf_counter()
    model(images)
    wait_for(images.device)
    return time.perf_counter() - started


def wait_for(device: torch.device) -> None:
    """Wait until the device has finished all its work."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)

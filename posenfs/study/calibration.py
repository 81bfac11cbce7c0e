"""Time of training steps on this machine, and the load of its other processes meanwhile."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import psutil
import torch

from posenfs.model.network import PoseNetwork
from posenfs.model.vectors import heatmap_loss
from posenfs.search.experiment import Experiment

_WARM_UP = 2  # steps that are not counted: they allocate memory and choose kernels
_MIN_STEPS, _MAX_STEPS = 5, 20  # counted steps of a network
_SECONDS = 3.0  # after _MIN_STEPS, no further step starts after this time
_BATCH = 8  # images of a step, at most
_IDLE = 0.05  # share of the cores that other processes use on an idle machine, at most


@dataclass(frozen=True)
class Duration:
    """A range of seconds: 10th percentile, median and 90th percentile of the measured steps."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Duration":
        """Summarise measured seconds.

        Args:
            seconds: The seconds of each step.
        """
        return cls(*np.quantile(seconds, (0.1, 0.5, 0.9)).tolist())

    def __mul__(self, factor: float) -> "Duration":
        return Duration(self.low * factor, self.median * factor, self.high * factor)

    def __add__(self, other: "Duration") -> "Duration":
        return Duration(self.low + other.low, self.median + other.median, self.high + other.high)


@dataclass(frozen=True)
class Load:
    """The load of the machine's other processes during a measurement."""

    others: float  # cores that other processes used, on average
    cores: int
    average: float  # the load average of the last minute, at the beginning

    @property
    def idle(self) -> bool:
        """Whether the measured times are those of an idle machine."""
        return self.others < _IDLE * self.cores


class LoadMeter:
    """Measures the processor time of all other processes, starting at its construction."""

    def __init__(self) -> None:
        self._average = psutil.getloadavg()[0]
        self._start = _processor_times()

    def read(self) -> Load:
        """Return the load since the construction."""
        times = zip(_processor_times(), self._start, strict=True)
        clock, all_processes, this_process = [now - start for now, start in times]
        cores = psutil.cpu_count() or 1
        others = min(max(all_processes - this_process, 0.0) / max(clock, 1e-9), cores)
        return Load(others, cores, self._average)


def _processor_times() -> tuple[float, float, float]:
    """Return seconds: the clock, processor time of all processes, and of this process."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    # user and nice already include the guests
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    return time.monotonic(), sum(times) - idle - guests, time.process_time()


@dataclass(frozen=True)
class Calibration:
    """Seconds per image.

    Attributes:
        step: Of a training step.
        prediction: Of a prediction.
        processor: Processor time of both on one thread; None on a GPU.
    """

    step: Duration
    prediction: Duration
    processor: tuple[float, float] | None


def calibrate(model: PoseNetwork, experiment: Experiment, device: torch.device) -> Calibration:
    """Time training steps and predictions on random images, after a warm-up.

    Args:
        model: The network; it is moved to the device.
        experiment: Gives image and batch size.
        device: The device.
    """
    size = min(_BATCH, experiment.training.batch_size)
    height, width = experiment.image_size
    model = model.to(device, memory_format=torch.channels_last).train()
    images = torch.randn(size, 3, height, width, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    shape = (size, model.keypoints, height // 4, width // 4)
    target = torch.rand(shape, device=device)
    visible = torch.ones(shape[:2], device=device)

    def step() -> None:
        heatmap_loss(model(images), target, visible).backward()

    @torch.no_grad()
    def predict() -> None:
        model(images)

    steps, predictions = [], []
    start = time.monotonic()
    for number in range(_WARM_UP + _MAX_STEPS):
        if number >= _WARM_UP + _MIN_STEPS and time.monotonic() > start + _SECONDS:
            break
        steps.append(_timed(step, device))
        predictions.append(_timed(predict, device))
    processor = None
    if device.type == "cpu":
        processor = _processor_seconds(step) / size, _processor_seconds(predict) / size
    per_image = 1 / size
    return Calibration(
        Duration.of(steps[_WARM_UP:]) * per_image,
        Duration.of(predictions[_WARM_UP:]) * per_image,
        processor,
    )


def _timed(work: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def _processor_seconds(work: Callable[[], object]) -> float:
    """Return the median processor time on one thread.

    Several threads that wait for each other on a busy machine would use processor time, too.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = []
        for _ in range(_WARM_UP + _MIN_STEPS):
            start = time.process_time()
            work()
            times.append(time.process_time() - start)
    finally:
        torch.set_num_threads(threads)
    return float(np.median(times[_WARM_UP:]))

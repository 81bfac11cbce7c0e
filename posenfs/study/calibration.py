"""How long training steps take on this machine, and what its other processes do meanwhile."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import psutil
import torch

from posenfs.model.losses import heatmap_loss
from posenfs.model.network import PoseNetwork
from posenfs.search.experiment import Experiment

_WARM_UP = 2  # calibration steps that are not counted: they allocate memory and choose kernels
_MIN_STEPS, _MAX_STEPS = 5, 20  # counted calibration steps of a network
_SECONDS = 3.0  # after which no further calibration step begins, once _MIN_STEPS are counted
_BATCH = 8  # images of such a step, at most
_IDLE = 0.05  # share of the cores below which other processes are not mentioned as a load


@dataclass(frozen=True)
class Duration:
    """Seconds as a range: the 10th percentile, the median and the 90th percentile of the measured steps."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Duration":
        return cls(*np.quantile(seconds, (0.1, 0.5, 0.9)).tolist())

    def __mul__(self, factor: float) -> "Duration":
        return Duration(self.low * factor, self.median * factor, self.high * factor)

    def __add__(self, other: "Duration") -> "Duration":
        return Duration(self.low + other.low, self.median + other.median, self.high + other.high)


@dataclass(frozen=True)
class Load:
    """What the other processes of this machine did while something was measured."""

    others: float  # cores that other processes used, on average
    cores: int
    average: float  # the load average of the last minute, at the beginning

    @property
    def idle(self) -> bool:
        """Whether other processes used so little that the measured times are those of an idle machine."""
        return self.others < _IDLE * self.cores


class LoadMeter:
    """Measures the processor time of all other processes from its construction on."""

    def __init__(self) -> None:
        self._average = psutil.getloadavg()[0]
        self._start = _processor_times()

    def read(self) -> Load:
        """The load from the construction until now."""
        wall, busy, own = (now - then for now, then in zip(_processor_times(), self._start, strict=True))
        cores = psutil.cpu_count() or 1
        others = min(max(busy - own, 0.0) / max(wall, 1e-9), cores)
        return Load(others, cores, self._average)


def _processor_times() -> tuple[float, float, float]:
    """Seconds: the clock, the processor time of all processes, and that of this process."""
    times = psutil.cpu_times()
    waiting = times.idle + getattr(times, "iowait", 0.0)
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)  # counted in user and nice already
    return time.monotonic(), sum(times) - waiting - guests, time.process_time()


@dataclass(frozen=True)
class Calibration:
    """Seconds per image of a training step and of a prediction; both in processor time on one thread (None: a GPU)."""

    step: Duration
    prediction: Duration
    processor: tuple[float, float] | None


def calibrate(model: PoseNetwork, experiment: Experiment, device: torch.device) -> Calibration:
    """Time training steps and predictions of random images, without the warm-up."""
    size = min(_BATCH, experiment.run.batch_size)
    height, width = experiment.image_size
    model = model.to(device, memory_format=torch.channels_last).train()
    images = torch.randn(size, 3, height, width, device=device).contiguous(memory_format=torch.channels_last)
    shape = (size, model.keypoints, height // 4, width // 4)
    target, visible = torch.rand(shape, device=device), torch.ones(shape[:2], device=device)

    def step() -> None:
        heatmap_loss(model(images), target, visible).backward()

    @torch.no_grad()
    def predict() -> None:
        model(images)

    steps, predictions = [], []
    started = time.monotonic()
    for number in range(_WARM_UP + _MAX_STEPS):
        if number >= _WARM_UP + _MIN_STEPS and time.monotonic() > started + _SECONDS:
            break
        steps.append(_timed(step, device))
        predictions.append(_timed(predict, device))
    processor = None
    if device.type == "cpu":
        processor = _processor_seconds(step) / size, _processor_seconds(predict) / size
    per_image = 1 / size
    return Calibration(
        Duration.of(steps[_WARM_UP:]) * per_image, Duration.of(predictions[_WARM_UP:]) * per_image, processor
    )


def _timed(work: Callable[[], object], device: torch.device) -> float:
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def _processor_seconds(work: Callable[[], object]) -> float:
    """The median processor time on one thread.

    Several threads that wait for each other on a busy machine use processor time too, so that theirs is no measure.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = []
        for _ in range(_WARM_UP + _MIN_STEPS):
            started = time.process_time()
            work()
            times.append(time.process_time() - started)
    finally:
        torch.set_num_threads(threads)
    return float(np.median(times[_WARM_UP:]))

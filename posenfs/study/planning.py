"""What an ablation will take, before it begins: runs, hours, memory, and how many seeds would tell a difference."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import psutil
import torch
from tqdm import tqdm

from posenfs.data.datasets.catalogue import parts_of
from posenfs.evaluation.seeds import least_difference, seeds_needed
from posenfs.model.cost import honest_cost
from posenfs.model.losses import heatmap_loss
from posenfs.model.memory import training_memory
from posenfs.model.network import PoseNetwork
from posenfs.search.experiment import Experiment, build_model
from posenfs.search.provenance import find_device
from posenfs.study.ablation import Planned
from posenfs.study.results import DataFingerprints, configuration, without_seed

_WARM_UP = 2  # calibration steps that are not counted: they allocate memory and choose kernels
_MIN_STEPS, _MAX_STEPS = 5, 20  # counted calibration steps of a network
_SECONDS = 3.0  # after which no further calibration step begins, once _MIN_STEPS are counted
_BATCH = 8  # images of such a step, at most
_OVERHEAD = 30.0  # s that a notebook takes beside its search
_PASSES = {"first_order": 2.0, "second_order": 5.0}  # training passes a step takes, where it is not one
_DIFFERENCES = (1.0, 2.0, 5.0)  # percentage points
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
class Estimate:
    """What one run takes: its duration, bytes of memory of a training step, honest parameters and multiply-adds.

    `processor` is the processor time of the run on one thread, in seconds, which other processes hardly change; None
    on a GPU.
    """

    planned: Planned
    duration: Duration
    processor: float | None
    memory: int
    params: int
    multiply_adds: int

    @property
    def seconds(self) -> float:
        """The median of the duration."""
        return self.duration.median


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


def estimate(
    runs: Sequence[Planned],
    data: DataFingerprints,
    device: str = "auto",
    threads: int | None = None,
    progress: bool = True,
) -> list[Estimate]:
    """Estimate what each run takes, from the cost of its network and from training steps timed here.

    Args:
        runs: The runs; networks that several of them share are timed once.
        data: Counts the people of each data set.
        device: auto, cpu, cuda or cuda:N.
        threads: As many as a run will have; None: those of this process.
        progress: Whether a progress bar is shown.

    Returns:
        An estimate for each run.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        return _estimates(runs, data, find_device(device), progress)
    finally:
        torch.set_num_threads(before)


def _estimates(runs: Sequence[Planned], data: DataFingerprints, device: torch.device, progress: bool) -> list[Estimate]:
    calibrated: dict[str, tuple[_Calibration, int, int, int]] = {}
    estimates = []
    for planned in tqdm(runs, "calibrating", unit="run", disable=not progress):
        e, alike = planned.experiment, repr(without_seed(configuration(planned.experiment)) | {"run": None})
        if alike not in calibrated:
            model = build_model(replace(e, backbone_weights=None), parts_of(e.data, e.parts))
            cost, memory = honest_cost(model, *e.image_size), training_memory(model, e.run.batch_size, *e.image_size)
            calibrated[alike] = (_calibrate(model, e, device), memory.total, cost.params, cost.multiply_adds)
        calibration, memory, params, multiply_adds = calibrated[alike]
        train, valid = data.people(e)
        passes = _PASSES.get(e.run.strategy, 1.0)
        trained = train if e.run.strategy not in _PASSES else train // 2
        images = e.run.epochs * trained * passes, e.run.epochs * 2 * valid  # the mirror images are predicted too
        duration = calibration.step * images[0] + calibration.prediction * images[1]
        processor = None
        if calibration.processor is not None:
            processor = float(np.dot(images, calibration.processor)) + _OVERHEAD
        overhead = Duration(_OVERHEAD, _OVERHEAD, _OVERHEAD)
        estimates.append(Estimate(planned, duration + overhead, processor, memory, params, multiply_adds))
    return estimates


@dataclass(frozen=True)
class _Calibration:
    """Seconds per image of a training step and of a prediction; both in processor time on one thread (None: a GPU)."""

    step: Duration
    prediction: Duration
    processor: tuple[float, float] | None


def _calibrate(model: PoseNetwork, experiment: Experiment, device: torch.device) -> _Calibration:
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
    return _Calibration(
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


def plan_text(
    runs: Sequence[Planned],
    estimates: Sequence[Estimate],
    states: Mapping[str, str],
    seeds: int,
    jobs: int,
    deviation: tuple[float, str],
    load: Load | None = None,
) -> str:
    """Write the plan: a line for each network, the sum, and which differences so many seeds would tell.

    Args:
        runs: All runs of the ablation.
        estimates: Of those that are left to do.
        states: The state of each run by its key ("done" where nothing is left to do).
        seeds: How many each row has.
        jobs: How many runs go on at a time.
        deviation: The standard deviation of scores over seeds, in points, and where it is known from.
        load: What other processes did while the estimates were measured.

    Returns:
        The lines of the plan.
    """
    lines = [f"{'row':46} {'seeds':>5} {'to do':>5} {'params M':>9} {'GMAC':>7} {'memory GB':>10} {'hours':>13}"]
    by_key = {one.planned.key: one for one in estimates}
    by_row: dict[tuple, list[Planned]] = {}
    for run in runs:
        by_row.setdefault(run.rows, []).append(run)
    for rows, group in by_row.items():
        left = [by_key[run.key] for run in group if states[run.key] != "done"]
        names = ", ".join(f"{table} {row}" for table, row in rows)
        line = f"{names:46.46} {len(group):5} {len(left):5}"
        if left:
            first = left[0]
            line += f" {first.params / 1e6:9.2f} {first.multiply_adds / 1e9:7.3f} {first.memory / 1e9:10.2f}"
            line += f" {_hours(left, '.2f'):>13}"
        lines.append(line)
    left = [by_key[run.key] for run in runs if states[run.key] != "done"]
    if left:
        memory = jobs * max(one.memory for one in left) / 1e9
        at_once = f"; {jobs} at a time: {_hours(left, '.1f', jobs)} h where each has its own cores or GPU"
        lines.append(
            f"{len(left)} runs of {len(runs)} to do: {_hours(left, '.1f')} h{at_once * (jobs > 1)}, "
            f"{memory:.1f} GB at most"
        )
        lines.append("hours: from the 10th to the 90th percentile of the training steps that were timed")
    else:
        lines.append(f"0 runs of {len(runs)} to do")
    lines += [_load_line(load, left)] if load and left else []
    lines += _power_lines(seeds, *deviation)
    return "\n".join(lines)


def _load_line(load: Load, estimates: Sequence[Estimate]) -> str:
    """What other processes used, and what that means for the hours."""
    line = (
        f"other processes used {load.others:.1f} of {load.cores} cores while this was measured (load average before: "
        f"{load.average:.1f})"
    )
    if load.idle:
        return f"{line}: the hours are those of an otherwise idle machine"
    line += ": the hours include that load and change with it"
    if any(one.processor is None for one in estimates):
        return f"{line}; repeat the plan on an idle machine for the hours without it"
    hours = sum(one.processor for one in estimates) / 3600
    return (
        f"{line}; on an idle machine expect at most about {hours:.1f} h, the processor time of all runs on one thread"
    )


def _hours(estimates: Sequence[Estimate], digits: str, jobs: int = 1) -> str:
    """The sum as a range, "0.31–0.42"; one number where both ends round to it."""
    ends = [[one.duration.low for one in estimates], [one.duration.high for one in estimates]]
    return "–".join(dict.fromkeys(f"{sum(end) / 3600 / jobs:{digits}}" for end in ends))


def _power_lines(seeds: int, deviation: float, source: str) -> Iterable[str]:
    yield f"scores of seeds differ by {deviation:.1f} points (standard deviation; {source})"
    if seeds > 1:
        least = least_difference(deviation, seeds)
        told = f"{seeds} seeds a row would tell a difference of {least:.1f} points"
        yield f"{told} (power 80 %, level 5 %, one comparison by Student's test; Welch's has 70 % at 3 seeds)"
    needed = {points: seeds_needed(points, deviation) for points in _DIFFERENCES}
    words = ", ".join(f"{points:g} points: {n or 'more than 200'}" for points, n in needed.items())
    yield f"seeds a row that would tell {words}"

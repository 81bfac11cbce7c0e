"""Plan of an ablation: runs, hours, memory, and the differences that the seeds can detect."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from tqdm import tqdm

from posenfs.data.datasets.catalogue import parts_of
from posenfs.evaluation.power import least_difference, seeds_needed
from posenfs.model.cost import measured_cost
from posenfs.model.memory import training_memory
from posenfs.search.build import build_model
from posenfs.search.experiment import Experiment
from posenfs.search.provenance import find_device
from posenfs.study.calibration import Calibration, Duration, Load, calibrate
from posenfs.study.fingerprints import DataFingerprints, configuration
from posenfs.study.plan import PlannedRun

_OVERHEAD = 30.0  # s that a notebook takes in addition to its search
_PASSES = {"first_order": 2.0, "second_order": 5.0}  # training passes of a step; 1 for all others
_DIFFERENCES = (1.0, 2.0, 5.0)  # percentage points


@dataclass(frozen=True)
class Estimate:
    """What one run takes.

    Attributes:
        planned: The run.
        duration: Its duration, s.
        processor: Its processor time on one thread, s, which hardly depends on other processes;
            None on a GPU.
        memory: Memory of a training step, bytes.
        params: Parameters of the network.
        multiply_adds: Multiply-adds of the network for one crop.
    """

    planned: PlannedRun
    duration: Duration
    processor: float | None
    memory: int
    params: int
    multiply_adds: int

    @property
    def seconds(self) -> float:
        """The median of the duration."""
        return self.duration.median


def estimate(
    runs: Sequence[PlannedRun],
    data: DataFingerprints,
    device: str = "auto",
    threads: int | None = None,
    progress: bool = True,
) -> list[Estimate]:
    """Estimate the duration and memory of runs from training steps that are timed here.

    Args:
        runs: The runs; networks that several of them share are timed once.
        data: Counts the annotations of each data set.
        device: auto, cpu, cuda or cuda:N.
        threads: CPU threads of a run; None: those of this process.
        progress: Whether to show a progress bar.

    Returns:
        An estimate for each run.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        return _estimates(runs, data, find_device(device), progress)
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class _NetworkCost:
    """The measured cost of a network at an image and batch size."""

    calibration: Calibration
    memory: int  # bytes of a training step
    params: int
    multiply_adds: int


def _network_cost(experiment: Experiment, device: torch.device) -> _NetworkCost:
    untrained = replace(experiment, backbone_weights=None)
    model = build_model(untrained, parts_of(experiment.data, experiment.parts))
    cost = measured_cost(model, *experiment.image_size)
    memory = training_memory(model, experiment.training.batch_size, *experiment.image_size)
    calibration = calibrate(model, experiment, device)
    return _NetworkCost(calibration, memory.total, cost.params, cost.multiply_adds)


def _estimates(
    runs: Sequence[PlannedRun], data: DataFingerprints, device: torch.device, progress: bool
) -> list[Estimate]:
    costs: dict[str, _NetworkCost] = {}
    estimates = []
    for planned in tqdm(runs, "calibrating", unit="run", disable=not progress):
        experiment = planned.experiment
        network = repr(configuration(experiment) | {"training": None, "search": None})
        if network not in costs:
            costs[network] = _network_cost(experiment, device)
        cost = costs[network]
        calibration = cost.calibration
        train, valid = data.people(experiment)
        strategy, epochs = experiment.search.strategy, experiment.training.epochs
        passes = _PASSES.get(strategy, 1.0)
        trained = train // 2 if strategy in _PASSES else train
        trained_images = epochs * trained * passes
        predicted_images = epochs * 2 * valid  # with the mirror images
        duration = calibration.step * trained_images + calibration.prediction * predicted_images
        processor = None
        if calibration.processor is not None:
            images = trained_images, predicted_images
            processor = float(np.dot(images, calibration.processor)) + _OVERHEAD
        duration = duration + Duration(_OVERHEAD, _OVERHEAD, _OVERHEAD)
        estimates.append(
            Estimate(planned, duration, processor, cost.memory, cost.params, cost.multiply_adds)
        )
    return estimates


def plan_text(
    runs: Sequence[PlannedRun],
    estimates: Sequence[Estimate],
    states: Mapping[str, str],
    seeds: int,
    jobs: int,
    deviation: tuple[float, str],
    load: Load | None = None,
) -> str:
    """Format a plan: a line for each network, the sum, and the differences that seeds can detect.

    Args:
        runs: All runs of the ablation.
        estimates: Estimates of the runs that are left to do.
        states: The state of each run by its key ("done" where nothing is left to do).
        seeds: Number of seeds of each row.
        jobs: Runs that are executed at a time.
        deviation: The standard deviation of scores over seeds, in points, and its source.
        load: The load of other processes during the estimation.
    """
    lines = [
        f"{'row':46} {'seeds':>5} {'to do':>5} {'params M':>9} {'GMAC':>7} {'memory GB':>10} "
        f"{'hours':>13}"
    ]
    by_key = {estimate.planned.key: estimate for estimate in estimates}
    by_row: dict[tuple, list[PlannedRun]] = {}
    for run in runs:
        by_row.setdefault(run.rows, []).append(run)
    for rows, group in by_row.items():
        left = [by_key[run.key] for run in group if states[run.key] != "done"]
        names = ", ".join(f"{table} {row}" for table, row in rows)
        line = f"{names:46.46} {len(group):5} {len(left):5}"
        if left:
            first = left[0]
            line += f" {first.params / 1e6:9.2f} {first.multiply_adds / 1e9:7.3f}"
            line += f" {first.memory / 1e9:10.2f} {_hours(left, '.2f'):>13}"
        lines.append(line)
    left = [by_key[run.key] for run in runs if states[run.key] != "done"]
    lines += _sum_lines(left, len(runs), jobs)
    if load and left:
        lines.append(_load_line(load, left))
    lines += _power_lines(seeds, *deviation)
    return "\n".join(lines)


def _sum_lines(left: Sequence[Estimate], runs: int, jobs: int) -> list[str]:
    if not left:
        return [f"0 runs of {runs} to do"]
    parallel = ""
    if jobs > 1:
        hours = _hours(left, ".1f", jobs)
        parallel = f"; {jobs} at a time: {hours} h where each has its own cores or GPU"
    memory = jobs * max(estimate.memory for estimate in left) / 1e9
    return [
        f"{len(left)} runs of {runs} to do: {_hours(left, '.1f')} h{parallel}, "
        f"{memory:.1f} GB at most",
        "hours: from the 10th to the 90th percentile of the training steps that were timed",
    ]


def _load_line(load: Load, estimates: Sequence[Estimate]) -> str:
    """Describe the load of other processes and its effect on the hours."""
    line = (
        f"other processes used {load.others:.1f} of {load.cores} cores while this was measured "
        f"(load average before: {load.average:.1f})"
    )
    if load.idle:
        return f"{line}: the hours are those of an otherwise idle machine"
    line += ": the hours include that load and change with it"
    processor = [estimate.processor for estimate in estimates if estimate.processor is not None]
    if len(processor) < len(estimates):
        return f"{line}; repeat the plan on an idle machine for the hours without it"
    return (
        f"{line}; on an idle machine expect at most about {sum(processor) / 3600:.1f} h, the "
        "processor time of all runs on one thread"
    )


def _hours(estimates: Sequence[Estimate], digits: str, jobs: int = 1) -> str:
    """Format the sum as a range, "0.31–0.42", or as one number if both ends round to it."""
    low = sum(estimate.duration.low for estimate in estimates)
    high = sum(estimate.duration.high for estimate in estimates)
    return "–".join(dict.fromkeys(f"{end / 3600 / jobs:{digits}}" for end in (low, high)))


def _power_lines(seeds: int, deviation: float, source: str) -> Iterable[str]:
    yield f"scores of seeds differ by {deviation:.1f} points (standard deviation; {source})"
    if seeds > 1:
        least = least_difference(deviation, seeds)
        yield (
            f"{seeds} seeds per row detect a difference of {least:.1f} points (power 80 %, "
            "level 5 %, one comparison by Student's test; Welch's has 70 % at 3 seeds)"
        )
    needed = {points: seeds_needed(points, deviation) for points in _DIFFERENCES}
    counts = ", ".join(
        f"{points:g} points: {count or 'more than 200'}" for points, count in needed.items()
    )
    yield f"seeds per row that detect {counts}"

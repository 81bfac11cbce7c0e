"""What an ablation will take, before it begins: runs, hours, memory, and how many seeds would tell a difference."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from tqdm import tqdm

from posenfs.data.datasets.catalogue import parts_of
from posenfs.evaluation.seeds import least_difference, seeds_needed
from posenfs.model.cost import honest_cost
from posenfs.model.memory import training_memory
from posenfs.search.experiment import build_model
from posenfs.search.provenance import find_device
from posenfs.study.ablation import Planned
from posenfs.study.calibration import Calibration, Duration, Load, calibrate
from posenfs.study.results import DataFingerprints, configuration, without_seed

_OVERHEAD = 30.0  # s that a notebook takes beside its search
_PASSES = {"first_order": 2.0, "second_order": 5.0}  # training passes a step takes, where it is not one
_DIFFERENCES = (1.0, 2.0, 5.0)  # percentage points


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
    calibrated: dict[str, tuple[Calibration, int, int, int]] = {}
    estimates = []
    for planned in tqdm(runs, "calibrating", unit="run", disable=not progress):
        e, alike = planned.experiment, repr(without_seed(configuration(planned.experiment)) | {"run": None})
        if alike not in calibrated:
            model = build_model(replace(e, backbone_weights=None), parts_of(e.data, e.parts))
            cost, memory = honest_cost(model, *e.image_size), training_memory(model, e.run.batch_size, *e.image_size)
            calibrated[alike] = (calibrate(model, e, device), memory.total, cost.params, cost.multiply_adds)
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
    processor = [one.processor for one in estimates if one.processor is not None]
    if len(processor) < len(estimates):
        return f"{line}; repeat the plan on an idle machine for the hours without it"
    return (
        f"{line}; on an idle machine expect at most about {sum(processor) / 3600:.1f} h, the processor time of all "
        "runs on one thread"
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

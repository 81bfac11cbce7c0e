"""What an ablation will take, before it begins: runs, hours, memory, and how many seeds would tell a difference."""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

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

_STEPS = 3  # of the calibration, the first of which is not counted
_BATCH = 8  # images of such a step, at most
_OVERHEAD = 30.0  # s that a notebook takes beside its search
_PASSES = {"first_order": 2.0, "second_order": 5.0}  # training passes a step takes, where it is not one
_DIFFERENCES = (1.0, 2.0, 5.0)  # percentage points


@dataclass(frozen=True)
class Estimate:
    """What one run takes: seconds, bytes of memory of a training step, honest parameters and multiply-adds a crop."""

    planned: Planned
    seconds: float
    memory: int
    params: int
    multiply_adds: int


def estimate(
    runs: Sequence[Planned],
    data: DataFingerprints,
    device: str = "auto",
    threads: int | None = None,
    progress: bool = True,
) -> list[Estimate]:
    """What each run takes, from the cost of its network and from a few training steps of each network, timed here with
    as many threads as a run will have."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        return _estimates(runs, data, find_device(device), progress)
    finally:
        torch.set_num_threads(before)


def _estimates(runs: Sequence[Planned], data: DataFingerprints, device: torch.device, progress: bool) -> list[Estimate]:
    known: dict[str, tuple[float, float, int, int, int]] = {}
    found = []
    for own in tqdm(runs, "calibrating", unit="run", disable=not progress):
        e, alike = own.experiment, repr(without_seed(configuration(own.experiment)) | {"run": None})
        if alike not in known:
            model = build_model(replace(e, backbone_weights=None), parts_of(e.data, e.parts))
            cost, memory = honest_cost(model, *e.image_size), training_memory(model, e.run.batch_size, *e.image_size)
            known[alike] = (
                *_seconds_an_image(model, e, device),
                memory.total,
                cost.params,
                cost.multiply_adds,
            )
        step, look, memory, params, multiply_adds = known[alike]
        train, valid = data.people(e)
        passes = _PASSES.get(e.run.strategy, 1.0)
        trained = train if e.run.strategy not in _PASSES else train // 2
        seconds = e.run.epochs * (trained * passes * step + 2 * valid * look) + _OVERHEAD  # flipped ones too
        found.append(Estimate(own, seconds, memory, params, multiply_adds))
    return found


def _seconds_an_image(model: PoseNetwork, experiment: Experiment, device: torch.device) -> tuple[float, float]:
    """Of a training step and of a prediction."""
    size = min(_BATCH, experiment.run.batch_size)
    height, width = experiment.image_size
    model = model.to(device, memory_format=torch.channels_last).train()
    images = torch.randn(size, 3, height, width, device=device).contiguous(memory_format=torch.channels_last)
    shape = (size, model.keypoints, height // 4, width // 4)
    target, visible = torch.rand(shape, device=device), torch.ones(shape[:2], device=device)
    taken, looked = [], []
    for _ in range(_STEPS):
        taken.append(_timed(lambda: heatmap_loss(model(images), target, visible).backward(), device))
        with torch.no_grad():
            looked.append(_timed(lambda: model(images), device))
    return statistics.median(taken[1:]) / size, statistics.median(looked[1:]) / size


def _timed(work: Callable[[], object], device: torch.device) -> float:
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def plan_text(
    estimates: Sequence[Estimate], states: Mapping[str, str], seeds: int, jobs: int, deviation: tuple[float, str]
) -> str:
    """The plan in words: a line for each network, the sum, and what so many seeds would tell; `deviation`: of scores
    over seeds, in points, and where that is known from."""
    lines = [f"{'row':46} {'seeds':>5} {'to do':>5} {'params M':>9} {'GMAC':>7} {'memory GB':>10} {'hours':>7}"]
    by_row: dict[tuple, list[Estimate]] = {}
    for own in estimates:
        by_row.setdefault(own.planned.rows, []).append(own)
    for rows, group in by_row.items():
        left = [own for own in group if states[own.planned.key] != "done"]
        names = ", ".join(f"{table} {row}" for table, row in rows)
        first = group[0]
        lines.append(
            f"{names:46.46} {len(group):5} {len(left):5} {first.params / 1e6:9.2f} {first.multiply_adds / 1e9:7.3f} "
            f"{first.memory / 1e9:10.2f} {sum(own.seconds for own in left) / 3600:7.2f}"
        )
    left = [own for own in estimates if states[own.planned.key] != "done"]
    hours, most = sum(own.seconds for own in left) / 3600, max((own.memory for own in left), default=0)
    at_once = f"; {jobs} at a time: about {hours / jobs:.1f} h where each has its own cores or GPU" if jobs > 1 else ""
    lines.append(
        f"{len(left)} runs of {len(estimates)} to do: about {hours:.1f} h{at_once}, {jobs * most / 1e9:.1f} GB at most"
    )
    lines += _power_lines(seeds, *deviation)
    return "\n".join(lines)


def _power_lines(seeds: int, deviation: float, source: str) -> Iterable[str]:
    yield f"scores of seeds differ by {deviation:.1f} points (standard deviation; {source})"
    if seeds > 1:
        least = least_difference(deviation, seeds)
        told = f"{seeds} seeds a row would tell a difference of {least:.1f} points"
        yield f"{told} (power 80 %, level 5 %, one comparison by Student's test; Welch's has 70 % at 3 seeds)"
    needed = {points: seeds_needed(points, deviation) for points in _DIFFERENCES}
    words = ", ".join(f"{points:g} points: {n or 'more than 200'}" for points, n in needed.items())
    yield f"seeds a row that would tell {words}"

"""Where the time of a training step goes: kinds of operations, how often each is called, and what is between them.

python -m benchmarks.profile_step                    Table II's network, 4 images of 256 px on the CPU, 128 on a GPU
python -m benchmarks.profile_step --network p8       another one of benchmarks.speed
"""

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
import tyro
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.speed.implementations import KINDS
from benchmarks.speed.works import BATCHES, NETWORKS, Work
from posenfs.model.latency import wait_for
from posenfs.model.memory import keep_freed_memory
from posenfs.search.provenance import find_device

# The first kind of which a word is in the name of an operation, or of a GPU's kernel, is its own.
KINDS_OF_OPERATIONS = {
    "batch-norm": ("batch_norm", "batchnorm", "bn_"),
    "convolution": ("conv", "gemm", "cutlass", "cudnn", "wgrad", "dgrad"),
    "Adam": ("adam", "foreach"),
    "ReLU": ("relu", "threshold", "hardtanh", "clamp"),
    "bilinear": ("upsample",),
    "pool": ("pool",),
    "copy": ("clone", "copy", "cat", "fill", "memcpy", "memset"),
    "sum and product": ("add", "mul", "sum", "reduce"),
}


def main(
    network: str = "table_2",
    size: int = 256,
    batch: int | None = None,
    dtype: str = "float32",
    compile: str = "no",
    device: str = "auto",
    steps: int = 10,
) -> None:
    """`batch`: images of a step; none: as benchmarks.speed."""
    place = find_device(device)
    experiment = NETWORKS[network]
    experiment = replace(experiment, training=replace(experiment.training, compile=compile))
    work = Work("training step", experiment, size, batch or BATCHES[place.type][size], dtype)
    if place.type == "cpu":
        keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        run = KINDS[work.kind][1](work, place, Path(folder)).run
    for _ in range(6):
        run()
    whole = _seconds(run, steps, place)
    seconds, calls = (_on_gpu if place.type == "cuda" else _on_cpu)(
        lambda: _seconds(run, steps, place)
    )
    print(
        f"{work.batch} x {size}², {dtype}, {place}: {whole / steps * 1e3:.1f} ms a step, unobserved"
    )
    kinds = {operation: _kind(operation) for operation in seconds}
    for kind in sorted(set(kinds.values()), key=lambda own: -_of(own, kinds, seconds)):
        own, count = _of(kind, kinds, seconds), _of(kind, kinds, calls)
        print(
            f"{kind:16} {own / whole:6.1%} {own / steps * 1e3:8.2f} ms {count / steps:8.0f} calls a step"
        )
    print(f"{'between them':16} {1 - seconds.total() / whole:6.1%}")


def _of(kind: str, kinds: Mapping[str, str], numbers: Counter) -> float:
    return sum(number for operation, number in numbers.items() if kinds[operation] == kind)


def _kind(operation: str) -> str:
    named = (
        kind
        for kind, words in KINDS_OF_OPERATIONS.items()
        if any(word in operation.lower() for word in words)
    )
    return next(named, "other")


class _Clock(TorchDispatchMode):
    """Times every operation; torch.profiler's records of them slow a step on the CPU down by a third."""

    def __init__(self):
        super().__init__()
        self.seconds, self.calls = Counter(), Counter()

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        started = time.perf_counter()
        made = function(*arguments, **(options or {}))
        self.seconds[str(function)] += time.perf_counter() - started
        self.calls[str(function)] += 1
        return made


def _on_cpu(run: Callable[[], object]) -> tuple[Counter, Counter]:
    """Seconds and calls by operation."""
    with _Clock() as clock:
        run()
    return clock.seconds, clock.calls


def _on_gpu(run: Callable[[], object]) -> tuple[Counter, Counter]:
    """Seconds and calls by kernel; what is between kernels the GPU waits for."""
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        run()
    events = profiled.key_averages()
    seconds = Counter({event.key: event.self_device_time_total / 1e6 for event in events})
    return seconds, Counter({event.key: event.count for event in events})


def _seconds(run: Callable[[], object], steps: int, device: torch.device) -> float:
    wait_for(device)
    started = time.perf_counter()
    for _ in range(steps):
        run()
    wait_for(device)
    return time.perf_counter() - started


if __name__ == "__main__":
    tyro.cli(main)

"""Functions that run in the process of the reference or of the fast implementation."""

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from joblib.externals.loky import get_reusable_executor
from torch import Tensor
from torch._ops import OpOverload
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.speed.implementations import KINDS, KINDS_WITH_DATA, PreparedWork, build_network
from benchmarks.speed.works import Work
from posenfs.model.cost import measured_cost
from posenfs.model.latency import wait_for
from posenfs.model.memory import keep_freed_memory, peak_bytes

_SYNCHRONISE_EVERY = 8  # runs that may be queued on a GPU before the clock waits for it
_prepared: list[PreparedWork] = []  # filled by `prepare` in this process


@dataclass(frozen=True)
class Limits:
    """What a machine reaches on one large matrix product and on one large memory copy."""

    flops_per_s: float
    bytes_per_s: float


def prepare(
    work: Work, is_reference: bool, device: str, threads: int, folder: str
) -> tuple[int, int]:
    """Prepare the work and run it three times; return its operations and the bytes moved."""
    os.environ["POSENFS_CACHE"] = str(Path(folder) / "cache")
    torch.set_num_threads(threads)
    if device == "cpu" and not is_reference:
        keep_freed_memory()
    torch.manual_seed(0)
    make_reference, make_fast = KINDS[work.kind]
    current = (make_reference if is_reference else make_fast)(
        work, torch.device(device), Path(folder)
    )
    _prepared.append(current)
    current.run()
    # Operations inside compiled code are not visible, so the counted run is eager.
    with torch.compiler.set_stance("force_eager"), _MovedBytes() as moved:
        current.run()
    current.run()
    return _operations(work), moved.bytes


def take_turn(seconds: float) -> tuple[float, float | None]:
    """Return the seconds of one run, and the share of the turn spent waiting for data."""
    current = _prepared[-1]
    on_gpu = current.device.type == "cuda"
    if on_gpu:
        current.run()  # allocates again the memory that the last turn released
    start = time.perf_counter()
    waited_before = 0.0 if current.batches is None else current.batches.wait_seconds
    run_seconds = _time(current.run, seconds, current.device)
    wait_share = None
    if current.batches is not None:
        wait_share = (current.batches.wait_seconds - waited_before) / (time.perf_counter() - start)
    if on_gpu:
        torch.cuda.empty_cache()  # leaves the memory to the other process
    return run_seconds, wait_share


def finish(work: Work) -> tuple[int, str]:
    """Return the peak of memory, bytes, and the mode in which torch.compile ran."""
    if work.kind in KINDS_WITH_DATA:
        get_reusable_executor().shutdown()  # joblib's idle workers would keep this process alive
    current = _prepared[-1]
    return peak_bytes(current.device), "no" if current.forward is None else current.forward.compiled


def machine_limits(device: str, dtype: str = "float32") -> Limits:
    """Measure the limits of this machine, each as the best of several attempts.

    The matrix product is computed by torch.matmul and as a 1x1 convolution, which uses another
    library: on AMD CPUs it is more than twice as fast.

    Args:
        device: cpu, cuda or cuda:N.
        dtype: Precision of the matrix product.
    """
    torch_device = torch.device(device)
    side = 2048 if device == "cpu" else 8192
    left, right = torch.randn(2, side, side, device=torch_device, dtype=getattr(torch, dtype))
    image = left.T.reshape(1, side, side // 32, 32).to(memory_format=torch.channels_last)
    kernel = right[..., None, None]
    source = torch.empty(2**26, device=torch_device)  # 256 MiB, larger than any cache
    target = torch.empty_like(source)
    products = (lambda: left @ right, lambda: F.conv2d(image, kernel))
    product_s = min(_time(product, 0.1, torch_device) for _ in range(5) for product in products)
    copy_s = min(_time(lambda: target.copy_(source), 0.1, torch_device) for _ in range(5))
    return Limits(2 * side**3 / product_s, 2 * source.nbytes / copy_s)


def _operations(work: Work) -> int:
    """Return the floating-point operations of one run, from the multiply-adds of the network."""
    if work.kind == "data":
        return 0
    cost = measured_cost(build_network(work), work.size, work.size)
    passes = 1 if work.kind == "inference" else 3
    return 2 * cost.multiply_adds * work.batch * passes


def _time(run: Callable[[], object], seconds: float, device: torch.device) -> float:
    """Return the mean seconds of a run, repeated for so long and at least twice."""
    runs = 0
    wait_for(device)
    start = time.perf_counter()
    while runs < 2 or time.perf_counter() - start < seconds:
        run()
        runs += 1
        if runs % _SYNCHRONISE_EVERY == 0:
            wait_for(device)
    wait_for(device)
    return (time.perf_counter() - start) / runs


class _MovedBytes(TorchDispatchMode):
    """Counts the bytes of every tensor that an operation reads or creates."""

    bytes = 0

    def __torch_dispatch__(
        self,
        function: OpOverload,
        types: Iterable[type],
        arguments: tuple = (),
        options: dict | None = None,
    ) -> Any:
        result = function(*arguments, **(options or {}))
        if not function.is_view and "empty" not in str(function):
            leaves = tree_leaves((arguments, options, result))
            self.bytes += sum(leaf.nbytes for leaf in leaves if isinstance(leaf, Tensor))
        return result

"""Measurements in which reference and fast implementation take turns, each in its own process."""

import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
from tqdm import tqdm

from benchmarks.speed.implementations import KINDS, KINDS_WITH_DATA
from benchmarks.speed.process import finish, machine_limits, prepare, take_turn
from benchmarks.speed.works import Work
from posenfs.data.synthetic.writer import write_synthetic


@dataclass(frozen=True)
class Speed:
    """Result of one measurement: medians over rounds in which reference and fast alternate.

    Attributes:
        compiled: The mode in which torch.compile ran; "no" also where compilation failed.
        ratio: Median of the rounds' ratios reference / fast; `ratio_low` and `ratio_high` are their
            range.
        reference_peak_mb: Peak memory of the reference's process, or of the GPU's allocator.
        peak_mb: The same of the fast implementation.
        gflop: Twice the measured multiply-adds of the batch; three times that with a backward pass.
        gbyte: Bytes read and written by all operations of the fast implementation.
        share_of_limit: gflop / fast_s, relative to the machine's matrix product.
        share_of_copy: gbyte / fast_s, relative to the machine's memory copy; above 1 where caches
            serve the reads.
        wait_share: Of a search step, the share of time spent waiting for data.
    """

    work: str
    network: str
    size: int
    batch: int
    threads: int
    dtype: str
    compiled: str
    device: str
    reference_s: float
    fast_s: float
    ratio: float
    ratio_low: float
    ratio_high: float
    images_per_s: float
    reference_peak_mb: float
    peak_mb: float
    gflop: float
    gbyte: float
    share_of_limit: float
    share_of_copy: float
    limit_gflops: float
    limit_gbytes: float
    wait_share: float | None = None

    def json(self) -> dict:
        """Return the fields as a dict for JSON."""
        return asdict(self)


def measure_speeds(
    works: Sequence[Work],
    device: str = "cpu",
    threads: int | None = None,
    rounds: int = 7,
    seconds: float = 1.0,
    progress: bool = True,
    failed: Callable[[Work, Exception], None] | None = None,
) -> Iterator[Speed]:
    """Run measurements one after the other and yield their results.

    Args:
        works: The measurements.
        device: cpu, cuda or cuda:N.
        threads: CPU threads; None: as many as torch uses.
        rounds: Rounds in which reference and fast alternate; one more warms up.
        seconds: Length of each turn, which has at least two runs.
        progress: Whether to show progress bars.
        failed: Called with a measurement that fails (out of memory, say), before the next one
            starts; None: the error is raised.

    Raises:
        ValueError: A kind of work is unknown.
    """
    if unknown := [work.kind for work in works if work.kind not in KINDS]:
        raise ValueError(f"unknown work {unknown[0]!r}; known: {', '.join(KINDS)}")
    threads = threads or torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        if any(work.kind in KINDS_WITH_DATA for work in works):
            write_synthetic(Path(folder), 400, 16, 0, "default", progress=progress)
        for work in tqdm(works, "speed", disable=not progress):
            try:
                speed = _measure_work(work, device, threads, rounds, seconds, folder)
            except (RuntimeError, MemoryError, OSError) as error:
                if failed is None:
                    raise
                failed(work, error)
            else:
                yield speed


def _new_process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn"))


def _measure_work(
    work: Work, device: str, threads: int, rounds: int, seconds: float, folder: str
) -> Speed:
    """Time reference and fast in two processes, which do not share memory or allocator state.

    The processes alternate, and the first of each round changes. The first round is the warm-up.
    """
    with _new_process() as reference, _new_process() as fast:
        reference.submit(prepare, work, True, device, threads, folder).result()
        flops, moved_bytes = fast.submit(prepare, work, False, device, threads, folder).result()
        reference_seconds: list[float] = []
        fast_seconds: list[float] = []
        wait_shares: list[float] = []
        for number in range(rounds + 1):
            turns = {}
            for process in (reference, fast) if number % 2 else (fast, reference):
                turns[process] = process.submit(take_turn, seconds).result()
            if number == 0:
                continue
            reference_seconds.append(turns[reference][0])
            fast_seconds.append(turns[fast][0])
            wait_share = turns[fast][1]
            if wait_share is not None:
                wait_shares.append(wait_share)
        reference_peak, _ = reference.submit(finish, work).result()
        peak, compiled = fast.submit(finish, work).result()
        limits = fast.submit(machine_limits, device, work.dtype).result()
    fast_s = statistics.median(fast_seconds)
    ratios = [slow / quick for slow, quick in zip(reference_seconds, fast_seconds, strict=True)]
    return Speed(
        work=work.kind,
        network=work.experiment.name,
        size=work.size,
        batch=work.batch,
        threads=threads,
        dtype=work.dtype,
        compiled=compiled,
        device=device,
        reference_s=statistics.median(reference_seconds),
        fast_s=fast_s,
        ratio=statistics.median(ratios),
        ratio_low=min(ratios),
        ratio_high=max(ratios),
        images_per_s=work.batch / fast_s,
        reference_peak_mb=reference_peak / 2**20,
        peak_mb=peak / 2**20,
        gflop=flops / 1e9,
        gbyte=moved_bytes / 1e9,
        share_of_limit=flops / fast_s / limits.flops_per_s,
        share_of_copy=moved_bytes / fast_s / limits.bytes_per_s,
        limit_gflops=limits.flops_per_s / 1e9,
        limit_gbytes=limits.bytes_per_s / 1e9,
        wait_share=statistics.median(wait_shares) if wait_shares else None,
    )


SPEED_HEAD = (
    f"{'work':13} {'network':18} {'batch':>10} {'dtype':8} {'reference':>11} {'fast':>9} "
    f"{'ratio':>18} {'images/s':>9} {'memory, MB':>13} {'GFLOP/s':>8} {'of limit':>8} "
    f"{'GB/s':>5} {'of copy':>7}"
)


def speed_line(speed: Speed) -> str:
    """Format a result as one row below SPEED_HEAD."""
    batch = f"{speed.batch} x {speed.size}²"
    waits = "" if speed.wait_share is None else f"  waits {speed.wait_share:.1%}"
    ratio = f"{speed.ratio:.2f} [{speed.ratio_low:.2f}, {speed.ratio_high:.2f}]"
    return (
        f"{speed.work:13} {speed.network:18} {batch:>10} {speed.dtype:8} "
        f"{speed.reference_s:>9.4f} s {speed.fast_s:>7.4f} s {ratio:>18} "
        f"{speed.images_per_s:>9.1f} {speed.reference_peak_mb:>5.0f} -> {speed.peak_mb:>4.0f} "
        f"{speed.gflop / speed.fast_s:>8.0f} {speed.share_of_limit:>8.0%} "
        f"{speed.gbyte / speed.fast_s:>5.0f} {speed.share_of_copy:>7.0%}{waits}"
    )

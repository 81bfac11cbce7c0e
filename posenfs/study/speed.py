"""How fast networks train and predict, beside a plain reference in turns, and beside what a machine can do at most."""

import copy
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from joblib.externals.loky import get_reusable_executor
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from tqdm import tqdm

from posenfs.data.datasets.catalogue import DataSpec, open_data, parts_of
from posenfs.data.datasets.synthetic import write_synthetic
from posenfs.data.loader import Crops, Loader
from posenfs.model.cost import honest_cost
from posenfs.model.folded import fold
from posenfs.model.latency import wait_for
from posenfs.model.losses import heatmap_loss
from posenfs.model.memory import keep_freed_memory, peak_bytes
from posenfs.model.network import PoseNetwork, PoseNFS
from posenfs.model.reference import ReferenceNFS
from posenfs.model.space import FabricSpec
from posenfs.search.engine import Search
from posenfs.search.experiment import Experiment, build_model
from posenfs.search.feed import Feed, examples_of
from posenfs.search.forward import Forward
from posenfs.search.ranks import Ranks
from posenfs.search.strategies import Examples, Synchronous

_COCO = DataSpec("synthetic_coco")

# What is timed by default: name -> its network.
NETWORKS: dict[str, Experiment] = {
    own.name: own
    for own in (
        Experiment("table_2"),
        Experiment("p1", parts=1),
        Experiment("p5", parts=5),
        Experiment("p8", parts=8),
        Experiment("ours_1", _COCO, fabric=FabricSpec(width=16)),
        Experiment("ours_b", backbone="hrnet_w32", parts=5, fabric=FabricSpec(width=16)),
        Experiment("simple_baseline_50", model="simple_baseline_50", parts=1, vector_dim=1),
        Experiment("hrnet_w32", model="hrnet_w32", parts=1, vector_dim=1),
    )
}
BATCHES = {"cpu": {128: 16, 256: 4}, "cuda": {128: 256, 256: 128}}  # images of a training step, by their size


@dataclass(frozen=True)
class Work:
    """What is timed: one of KINDS, by the network of an experiment, with a batch of square images; `dtype` (float32 or
    bfloat16) is the fast one's: the reference is float32 (a GPU's convolutions, of either, then are TF32, as PyTorch
    comes)."""

    kind: str
    experiment: Experiment
    size: int
    batch: int
    dtype: str = "float32"

    @property
    def own(self) -> Experiment:
        """The experiment at this size, batch and precision, without an end."""
        run = replace(self.experiment.run, batch_size=self.batch, precision=self.dtype, epochs=10**6)
        return replace(self.experiment, image_size=(self.size, self.size), run=run)


@dataclass(frozen=True)
class Limits:
    """What a machine reaches on one large matrix product, and on one large copy: operations/s and bytes/s."""

    flops_per_s: float
    bytes_per_s: float


@dataclass(frozen=True)
class Speed:
    """Medians over rounds in which reference and fast take turns, and of the rounds' ratios, with their range.

    `gflop` is twice the honest multiply-adds of the batch, thrice that where there is a backward pass; `gbyte` is what
    goes in and out of all operations of the fast one. `share_of_limit` is gflop by the time taken over what the
    machine's matrix product reaches, `share_of_copy` gbyte by the time taken over its memory copy (above 1 where caches
    serve). `wait_share`: of a search step, the share of waiting for data. Memory is the peak of the process, or of the
    GPU's allocator. `compiled`: how torch.compile really ran; "no" where it failed.
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
        return asdict(self)


def default_works(
    device: str = "cpu",
    quick: bool = False,
    dtypes: Sequence[str] = ("float32",),
    compiled: str = "no",
    batch: int | None = None,
) -> list[Work]:
    """A training step and inference (by twice the batch) of every network of NETWORKS at 128 and 256 px, and the data
    path and the whole search step of the first; if quick those four of the first network at 128 px alone. `batch`:
    another one than that of BATCHES. Raises ValueError for a device that there is none for."""
    kind, works = torch.device(device).type, []
    if kind not in BATCHES:
        raise ValueError(f"what a {kind} device does is not timed; devices: {', '.join(BATCHES)}")
    for size, usual in BATCHES[kind].items():
        for name, experiment in NETWORKS.items():
            first = name == "table_2"
            if quick and (size > 128 or not first):
                continue
            for dtype in dtypes:
                own, count = replace(experiment, run=replace(experiment.run, compile=compiled)), batch or usual
                works += [
                    Work("training step", own, size, count, dtype),
                    Work("inference", own, size, 2 * count, dtype),
                ]
                if first:
                    works += [Work("data", own, size, count)] * (dtype == dtypes[0])
                    works += [Work("search step", own, size, count, dtype)]
    return works


def bench(
    works: Sequence[Work],
    device: str = "cpu",
    threads: int | None = None,
    rounds: int = 7,
    seconds: float = 1.0,
    progress: bool = True,
    failed: Callable[[Work, Exception], None] | None = None,
) -> Iterator[Speed]:
    """Time each, one after the other, in so many rounds of so many seconds (at least two runs) for reference and fast.

    Where one fails (no memory, say), `failed` is told, and the others follow; without it the error is raised. Raises
    ValueError for an unknown kind of work.
    """
    if unknown := [work.kind for work in works if work.kind not in KINDS]:
        raise ValueError(f"unknown work {unknown[0]!r}; known: {', '.join(KINDS)}")
    threads = threads or torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        if any(work.kind in _WITH_DATA for work in works):
            write_synthetic(Path(folder), 400, 16, 0, "default", progress=progress)
        for work in tqdm(works, "bench", disable=not progress):
            try:
                found = _measure(work, device, threads, rounds, seconds, folder)
            except (RuntimeError, MemoryError, OSError) as error:
                if failed is None:
                    raise
                failed(work, error)
            else:
                yield found


def _measure(work: Work, device: str, threads: int, rounds: int, seconds: float, folder: str) -> Speed:
    """Reference and fast each in a process of its own (so that neither has the other's memory, nor its allocator's
    ways), which wait for each other and begin by turns; the first round warms up."""
    one = dict(max_workers=1, mp_context=get_context("spawn"))
    with ProcessPoolExecutor(**one) as slow, ProcessPoolExecutor(**one) as fast:
        slow.submit(_open, work, True, device, threads, folder).result()
        flops, moved = fast.submit(_open, work, False, device, threads, folder).result()
        pools, turns = (slow, fast), []
        for number in range(rounds + 1):
            order = (0, 1) if number % 2 else (1, 0)
            took = {n: pools[n].submit(_turn, seconds).result() for n in order}
            turns.append((took[0], took[1]))
        slow_s, fast_s = (statistics.median(seconds for seconds, _ in own) for own in zip(*turns[1:], strict=True))
        ratios = [reference / own for (reference, _), (own, _) in turns[1:]]
        waits = [share for _, (_, share) in turns[1:] if share is not None]
        (slow_peak, _), (peak, compiled) = (pool.submit(_close, work).result() for pool in pools)
        limits = fast.submit(machine_limits, device, work.dtype).result()
    return Speed(
        work.kind, work.experiment.name, work.size, work.batch, threads, work.dtype, compiled, device,
        slow_s, fast_s, statistics.median(ratios), min(ratios), max(ratios), work.batch / fast_s,
        reference_peak_mb=slow_peak / 2**20,
        peak_mb=peak / 2**20,
        gflop=flops / 1e9,
        gbyte=moved / 1e9,
        share_of_limit=flops / fast_s / limits.flops_per_s,
        share_of_copy=moved / fast_s / limits.bytes_per_s,
        limit_gflops=limits.flops_per_s / 1e9,
        limit_gbytes=limits.bytes_per_s / 1e9,
        wait_share=statistics.median(waits) if waits else None,
    )  # fmt: skip


def machine_limits(device: str, dtype: str = "float32") -> Limits:
    """Measured here and now, by the best of some tries. The product is taken by torch.matmul and as a 1x1 convolution,
    whose library is another one: on a CPU of AMD's it is more than twice as fast."""
    place, side = torch.device(device), 2048 if device == "cpu" else 8192
    a, b = (torch.randn(side, side, device=place, dtype=getattr(torch, dtype)) for _ in range(2))
    as_map, as_weights = a.T.reshape(1, side, side // 32, 32).to(memory_format=torch.channels_last), b[..., None, None]
    source = torch.empty(2**26, device=place)  # 256 MiB, beyond any cache
    target = torch.empty_like(source)
    ways = (lambda: a @ b, lambda: F.conv2d(as_map, as_weights))
    product = min(_time(way, 0.1, place) for _ in range(5) for way in ways)
    copied = min(_time(lambda: target.copy_(source), 0.1, place) for _ in range(5))
    return Limits(2 * side**3 / product, 2 * source.nbytes / copied)


SPEED_HEAD = (
    f"{'work':13} {'network':18} {'batch':>10} {'dtype':8} {'reference':>11} {'fast':>9} {'ratio':>18} {'images/s':>9} "
    f"{'memory, MB':>13} {'GFLOP/s':>8} {'of limit':>8} {'GB/s':>5} {'of copy':>7}"
)


def speed_line(own: Speed) -> str:
    """One row of the table."""
    batch, waits = f"{own.batch} x {own.size}²", "" if own.wait_share is None else f"  waits {own.wait_share:.1%}"
    ratio = f"{own.ratio:.2f} [{own.ratio_low:.2f}, {own.ratio_high:.2f}]"
    return (
        f"{own.work:13} {own.network:18} {batch:>10} {own.dtype:8} {own.reference_s:>9.4f} s {own.fast_s:>7.4f} s "
        f"{ratio:>18} {own.images_per_s:>9.1f} {own.reference_peak_mb:>5.0f} -> {own.peak_mb:>4.0f} "
        f"{own.gflop / own.fast_s:>8.0f} {own.share_of_limit:>8.0%} {own.gbyte / own.fast_s:>5.0f} "
        f"{own.share_of_copy:>7.0%}{waits}"
    )


# -- in a process of its own ----------------------------------------------------------------------------------------


@dataclass
class _Bench:
    """What a process has to do again and again, by which forward pass; `feed` tells how long it waited for data."""

    run: Callable[[], object]
    device: torch.device
    forward: Forward | None = None
    feed: Feed | None = None


_HERE: _Bench | None = None


def _open(work: Work, plain: bool, device: str, threads: int, folder: str) -> tuple[int, int]:
    """Get ready, and do the work thrice; its operations, and the bytes that went through the second time."""
    global _HERE
    os.environ["POSENFS_CACHE"] = str(Path(folder) / "cache")
    torch.set_num_threads(threads)
    if device == "cpu" and not plain:
        keep_freed_memory()
    torch.manual_seed(0)
    _HERE = KINDS[work.kind][0 if plain else 1](work, torch.device(device), Path(folder))
    _HERE.run()
    with torch.compiler.set_stance("force_eager"), _Moved() as moved:  # of compiled code nothing would be seen
        _HERE.run()
    _HERE.run()
    return _flops(work), moved.bytes


def _flops(work: Work) -> int:
    if work.kind == "data":
        return 0
    cost = honest_cost(_model(work), work.size, work.size)
    return 2 * cost.multiply_adds * work.batch * (1 if work.kind == "inference" else 3)


def _turn(seconds: float) -> tuple[float, float | None]:
    """Seconds of one run, and the share of the turn that it waited for data."""
    gpu, feed = _HERE.device.type == "cuda", _HERE.feed
    if gpu:
        _HERE.run()  # takes the memory again
    began, waited = time.perf_counter(), 0.0 if feed is None else feed.seconds
    took = _time(_HERE.run, seconds, _HERE.device)
    share = None if feed is None else (feed.seconds - waited) / (time.perf_counter() - began)
    if gpu:
        torch.cuda.empty_cache()  # for the other process
    return took, share


def _close(work: Work) -> tuple[int, str]:
    """The peak of memory, and how torch.compile ran."""
    if work.kind in _WITH_DATA:
        get_reusable_executor().shutdown()  # joblib's processes, which wait for more, would keep this one from ending
    return peak_bytes(_HERE.device), "no" if _HERE.forward is None else _HERE.forward.compiled


def _time(run: Callable[[], object], seconds: float, device: torch.device) -> float:
    """The mean time of one of as many runs as take so long, or of two."""
    times = 0
    wait_for(device)
    started = time.perf_counter()
    while times < 2 or time.perf_counter() - started < seconds:
        run()
        times += 1
        if times % _QUEUED == 0:
            wait_for(device)
    wait_for(device)
    return (time.perf_counter() - started) / times


_QUEUED = 8  # runs that a GPU may be behind: it would take a thousand more operations than it has time for


class _Moved(TorchDispatchMode):
    """Counts the bytes of every tensor that an operation reads or makes."""

    bytes = 0

    def __torch_dispatch__(
        self, function: OpOverload, types: Iterable[type], arguments: tuple = (), options: dict | None = None
    ) -> Any:
        made = function(*arguments, **(options or {}))
        if not function.is_view and "empty" not in str(function):
            tensors = (t for t in tree_leaves((arguments, options, made)) if isinstance(t, Tensor))
            self.bytes += sum(t.nbytes for t in tensors)
        return made


def _model(work: Work) -> PoseNetwork:
    return build_model(work.own, parts_of(work.experiment.data, work.experiment.parts))


def reference_of(model: PoseNetwork) -> nn.Module:
    """The plain network with a searched network's weights, alpha and beta; of others it is the network itself."""
    if not isinstance(model, PoseNFS):
        return model
    head = model.heads[0]
    plain = ReferenceNFS(copy.deepcopy(model.backbone), model.parts, model.spec, head.vector_dim, head.fabric.rules)
    plain.to(head.vectors.weight).load_state_dict(model.state_dict())
    return plain


def _examples(work: Work, keypoints: int, device: torch.device) -> Examples:
    maps = work.size // 4
    return Examples(
        torch.randn(work.batch, 3, work.size, work.size, device=device),
        torch.rand(work.batch, keypoints, maps, maps, device=device),
        torch.full((work.batch, keypoints), 2, device=device),
    )


def plain_step(model: nn.Module) -> Callable[[Examples], Tensor]:
    """A training step as it is commonly written, by Adam as it comes; it returns the loss before it."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step(examples: Examples) -> Tensor:
        optimizer.zero_grad()
        loss = heatmap_loss(model(examples.images), examples.target, examples.visibility)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def _plain_training(work: Work, device: torch.device, folder: Path) -> _Bench:
    model = _model(work)
    step, examples = plain_step(reference_of(model).to(device).train()), _examples(work, model.keypoints, device)
    return _Bench(lambda: step(examples), device)


def _fast_training(work: Work, device: torch.device, folder: Path) -> _Bench:
    """As a search does it, without its data."""
    model = _model(work).to(device, memory_format=torch.channels_last).train()
    examples, strategy = _examples(work, model.keypoints, device), Synchronous(model, work.own.run)
    strategy.set_epoch(0)
    forward = Forward(model, work.own.run, device)
    return _Bench(lambda: strategy.step(forward, examples, None, 0), device, forward)


def _plain_inference(work: Work, device: torch.device, folder: Path) -> _Bench:
    model = _model(work)
    plain, images = reference_of(model).to(device).eval(), _examples(work, model.keypoints, device).images
    return _Bench(torch.no_grad()(lambda: plain(images)), device)


def _fast_inference(work: Work, device: torch.device, folder: Path) -> _Bench:
    model = _model(work).to(device, memory_format=torch.channels_last)
    images = _examples(work, model.keypoints, device).images.to(memory_format=torch.channels_last)
    forward = Forward(fold(model), replace(work.own.run, compile="no"), device)  # prediction is never compiled
    return _Bench(torch.no_grad()(lambda: forward(images)), device)


def _drawn(work: Work, folder: Path, name: str) -> Experiment:
    return replace(work.own, name=name, data=DataSpec("mpii", str(folder)))


def _plain_examples(work: Work, device: torch.device, folder: Path) -> Iterator[Examples]:
    """Every picture decoded and cut again: beside a GPU by processes that read ahead, on a CPU, all of whose cores
    train, by the one that trains."""
    experiment = _drawn(work, folder, "plain")
    people, _ = open_data(experiment.data, progress=False)
    workers = (os.cpu_count() or 1) - 1 if device.type == "cuda" else 0
    loader = Loader(Crops(people, experiment.image_size, experiment.augmentation), work.batch, workers)
    for epoch in count():
        for batch in loader.epoch(epoch):
            examples = examples_of(batch.to(device), experiment.fabric.strides[0])
            yield replace(examples, images=examples.images.contiguous())  # a search's are channels-last


def _plain_data(work: Work, device: torch.device, folder: Path) -> _Bench:
    examples = _plain_examples(work, device, folder)
    return _Bench(lambda: next(examples), device)


def _fast_data(work: Work, device: torch.device, folder: Path) -> _Bench:
    """From kept crops, as a search feeds itself."""
    experiment = _drawn(work, folder, "fast")
    feed = Feed(experiment, *open_data(experiment.data, progress=False), Ranks(device), device, progress=False)
    return _Bench(feed.next, device)


def _plain_search(work: Work, device: torch.device, folder: Path) -> _Bench:
    step, examples = plain_step(reference_of(_model(work)).to(device).train()), _plain_examples(work, device, folder)
    return _Bench(lambda: step(next(examples)), device)


def _fast_search(work: Work, device: torch.device, folder: Path) -> _Bench:
    target = tempfile.mkdtemp(dir=folder)
    search = Search(_drawn(work, folder, "fast"), Path(target) / "run", str(device), progress=False)
    search.steps_per_epoch = sys.maxsize  # the feed goes on and on: neither evaluation nor snapshot is timed
    return _Bench(search.step, device, search.forward, search.feed)


# Kinds of work by name: what the reference does, and what is fast.
KINDS: Mapping[str, tuple[Callable[[Work, torch.device, Path], _Bench], ...]] = {
    "training step": (_plain_training, _fast_training),
    "inference": (_plain_inference, _fast_inference),
    "data": (_plain_data, _fast_data),
    "search step": (_plain_search, _fast_search),
}
_WITH_DATA = ("data", "search step")

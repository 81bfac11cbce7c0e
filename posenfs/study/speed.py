"""Time training and prediction against a plain reference and against the machine's limits."""

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
from posenfs.data.geometry import ImageSize
from posenfs.data.loader import Crops, Loader
from posenfs.data.synthetic.writer import write_synthetic
from posenfs.model.cost import measured_cost
from posenfs.model.folded import fold
from posenfs.model.latency import wait_for
from posenfs.model.losses import heatmap_loss
from posenfs.model.memory import keep_freed_memory, peak_bytes
from posenfs.model.network import PoseNetwork, PoseNFS
from posenfs.model.reference import ReferenceNFS
from posenfs.model.space import FabricSpec
from posenfs.search._legacy import legacy
from posenfs.search.batches import Feed, examples_of
from posenfs.search.build import build_model
from posenfs.search.distributed import ProcessGroup
from posenfs.search.experiment import Experiment
from posenfs.search.forward import Forward
from posenfs.search.session import Search
from posenfs.search.strategies import Examples, Synchronous

_COCO = DataSpec("synthetic_coco")

# The networks that are timed by default, by name.
NETWORKS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
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
# Images of a training step, by device and image size.
BATCHES = {"cpu": {128: 16, 256: 4}, "cuda": {128: 256, 256: 128}}
_SYNCHRONISE_EVERY = 8  # runs that may be queued on a GPU before the clock waits for it


@dataclass(frozen=True)
class Work:
    """One measurement: a kind of work, a network, and a batch of square images.

    Attributes:
        kind: One of KINDS.
        experiment: The experiment whose network is timed.
        size: Height and width of the images, px.
        batch: Images in a batch.
        dtype: float32 or bfloat16, of the fast implementation. The reference runs in float32, whose
            convolutions are TF32 on a GPU (PyTorch's default).
    """

    kind: str
    experiment: Experiment
    size: int
    batch: int
    dtype: str = "float32"

    @property
    def timed_experiment(self) -> Experiment:
        """The experiment at this size, batch and precision, with practically endless epochs."""
        training = replace(
            self.experiment.training, batch_size=self.batch, precision=self.dtype, epochs=10**6
        )
        return replace(
            self.experiment, image_size=ImageSize(self.size, self.size), training=training
        )


@dataclass(frozen=True)
class Limits:
    """What a machine reaches on one large matrix product and on one large memory copy."""

    flops_per_s: float
    bytes_per_s: float


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


def default_works(
    device: str = "cpu",
    quick: bool = False,
    dtypes: Sequence[str] = ("float32",),
    compiled: str = "no",
    batch: int | None = None,
) -> list[Work]:
    """List the default measurements of a device.

    These are a training step and inference (with twice the batch) of every network in NETWORKS at
    128 and 256 px; of the first network also the data path and the whole search step.

    Args:
        device: cpu or cuda, with or without a number.
        quick: Whether only the first network at 128 px is timed.
        dtypes: Precisions of the fast implementation.
        compiled: A mode of torch.compile, or "no".
        batch: Images of a training step; None: as in BATCHES.

    Raises:
        ValueError: The device is of another kind.
    """
    device_type = torch.device(device).type
    if device_type not in BATCHES:
        raise ValueError(
            f"a {device_type} device cannot be timed; supported devices: {', '.join(BATCHES)}"
        )
    works: list[Work] = []
    for size, default_batch in BATCHES[device_type].items():
        images = batch or default_batch
        for name, network in NETWORKS.items():
            is_first = name == "table_2"
            if quick and (size > 128 or not is_first):
                continue
            experiment = replace(network, training=replace(network.training, compile=compiled))
            for dtype in dtypes:
                works.append(Work("training step", experiment, size, images, dtype))
                works.append(Work("inference", experiment, size, 2 * images, dtype))
                if is_first and dtype == dtypes[0]:
                    works.append(Work("data", experiment, size, images))
                if is_first:
                    works.append(Work("search step", experiment, size, images, dtype))
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
        if any(work.kind in _WITH_DATA for work in works):
            write_synthetic(Path(folder), 400, 16, 0, "default", progress=progress)
        for work in tqdm(works, "bench", disable=not progress):
            try:
                speed = _measure(work, device, threads, rounds, seconds, folder)
            except (RuntimeError, MemoryError, OSError) as error:
                if failed is None:
                    raise
                failed(work, error)
            else:
                yield speed


def _process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn"))


def _measure(
    work: Work, device: str, threads: int, rounds: int, seconds: float, folder: str
) -> Speed:
    """Time reference and fast in two processes, which do not share memory or allocator state.

    The processes alternate, and the first of each round changes. The first round is the warm-up.
    """
    with _process() as reference, _process() as fast:
        reference.submit(_open, work, True, device, threads, folder).result()
        flops, moved_bytes = fast.submit(_open, work, False, device, threads, folder).result()
        reference_seconds: list[float] = []
        fast_seconds: list[float] = []
        wait_shares: list[float] = []
        for number in range(rounds + 1):
            turns = {}
            for process in (reference, fast) if number % 2 else (fast, reference):
                turns[process] = process.submit(_turn, seconds).result()
            if number == 0:
                continue
            reference_seconds.append(turns[reference][0])
            fast_seconds.append(turns[fast][0])
            wait_share = turns[fast][1]
            if wait_share is not None:
                wait_shares.append(wait_share)
        reference_peak, _ = reference.submit(_close, work).result()
        peak, compiled = fast.submit(_close, work).result()
        limits = fast.submit(machine_limits, device, work.dtype).result()
    fast_s = statistics.median(fast_seconds)
    ratios = [plain / fast for plain, fast in zip(reference_seconds, fast_seconds, strict=True)]
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


# -- Functions below run in the process of the reference or of the fast implementation ------------


@dataclass
class _Bench:
    """The work that a process repeats, with its forward pass and, where it has one, its feed."""

    run: Callable[[], object]
    device: torch.device
    forward: Forward | None = None
    feed: Feed | None = None


_benches: list[_Bench] = []  # filled by _open in this process


def _open(work: Work, plain: bool, device: str, threads: int, folder: str) -> tuple[int, int]:
    """Prepare the work and run it three times; return its operations and the bytes moved."""
    os.environ["POSENFS_CACHE"] = str(Path(folder) / "cache")
    torch.set_num_threads(threads)
    if device == "cpu" and not plain:
        keep_freed_memory()
    torch.manual_seed(0)
    make_plain, make_fast = KINDS[work.kind]
    current = (make_plain if plain else make_fast)(work, torch.device(device), Path(folder))
    _benches.append(current)
    current.run()
    # Operations inside compiled code are not visible, so the counted run is eager.
    with torch.compiler.set_stance("force_eager"), _MovedBytes() as moved:
        current.run()
    current.run()
    return _flops(work), moved.bytes


def _flops(work: Work) -> int:
    if work.kind == "data":
        return 0
    cost = measured_cost(_model(work), work.size, work.size)
    passes = 1 if work.kind == "inference" else 3
    return 2 * cost.multiply_adds * work.batch * passes


def _turn(seconds: float) -> tuple[float, float | None]:
    """Return the seconds of one run, and the share of the turn spent waiting for data."""
    current = _benches[-1]
    on_gpu = current.device.type == "cuda"
    if on_gpu:
        current.run()  # allocates again the memory that the last turn released
    start = time.perf_counter()
    waited_before = 0.0 if current.feed is None else current.feed.seconds
    run_seconds = _time(current.run, seconds, current.device)
    wait_share = None
    if current.feed is not None:
        wait_share = (current.feed.seconds - waited_before) / (time.perf_counter() - start)
    if on_gpu:
        torch.cuda.empty_cache()  # leaves the memory to the other process
    return run_seconds, wait_share


def _close(work: Work) -> tuple[int, str]:
    """Return the peak of memory, bytes, and the mode in which torch.compile ran."""
    if work.kind in _WITH_DATA:
        get_reusable_executor().shutdown()  # joblib's idle workers would keep this process alive
    current = _benches[-1]
    return peak_bytes(current.device), "no" if current.forward is None else current.forward.compiled


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


def _model(work: Work) -> PoseNetwork:
    return build_model(work.timed_experiment, parts_of(work.experiment.data, work.experiment.parts))


def reference_of(model: PoseNetwork) -> nn.Module:
    """Return the plain implementation of a network, with the same weights, alpha and beta.

    Args:
        model: A network. Only searched networks have a plain implementation; others are returned
            as they are.
    """
    if not isinstance(model, PoseNFS):
        return model
    head = model.heads[0]
    backbone = copy.deepcopy(model.backbone)
    plain = ReferenceNFS(backbone, model.parts, model.spec, head.vector_dim, head.fabric.rules)
    plain.to(head.vectors.weight).load_state_dict(model.state_dict())
    return plain


def _examples(work: Work, keypoints: int, device: torch.device) -> Examples:
    map_size = work.size // 4
    return Examples(
        torch.randn(work.batch, 3, work.size, work.size, device=device),
        torch.rand(work.batch, keypoints, map_size, map_size, device=device),
        torch.full((work.batch, keypoints), 2, device=device),
    )


def plain_step(model: nn.Module) -> Callable[[Examples], Tensor]:
    """Return a training step as it is commonly written, with torch's default Adam.

    Args:
        model: The network to train.

    Returns:
        A function that trains on examples and returns the loss before the step.
    """
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
    step = plain_step(reference_of(model).to(device).train())
    examples = _examples(work, model.keypoints, device)
    return _Bench(lambda: step(examples), device)


def _fast_training(work: Work, device: torch.device, folder: Path) -> _Bench:
    """Train as a search does, on one batch."""
    model = _model(work).to(device, memory_format=torch.channels_last).train()
    examples = _examples(work, model.keypoints, device)
    strategy = Synchronous(model, legacy(work.timed_experiment))
    strategy.set_epoch(0)
    forward = Forward(model, work.timed_experiment.training, device)
    return _Bench(lambda: strategy.step(forward, examples, None, 0), device, forward)


def _plain_inference(work: Work, device: torch.device, folder: Path) -> _Bench:
    model = _model(work)
    plain = reference_of(model).to(device).eval()
    images = _examples(work, model.keypoints, device).images
    return _Bench(torch.no_grad()(lambda: plain(images)), device)


def _fast_inference(work: Work, device: torch.device, folder: Path) -> _Bench:
    model = _model(work).to(device, memory_format=torch.channels_last)
    images = _examples(work, model.keypoints, device).images
    images = images.to(memory_format=torch.channels_last)
    run = replace(work.timed_experiment.training, compile="no")  # prediction is never compiled
    forward = Forward(fold(model), run, device)
    return _Bench(torch.no_grad()(lambda: forward(images)), device)


def _synthetic(work: Work, folder: Path, name: str) -> Experiment:
    """Return the experiment on the synthetic images in the folder."""
    return replace(work.timed_experiment, name=name, data=DataSpec("mpii", str(folder)))


def _plain_examples(work: Work, device: torch.device, folder: Path) -> Iterator[Examples]:
    """Yield batches from images that are decoded and cropped again in every epoch.

    Beside a GPU other processes read ahead. On a CPU, where training uses all cores, the training
    process reads.
    """
    experiment = _synthetic(work, folder, "plain")
    people, _ = open_data(experiment.data, progress=False)
    workers = (os.cpu_count() or 1) - 1 if device.type == "cuda" else 0
    crops = Crops(people, experiment.image_size, experiment.augmentation)
    loader = Loader(crops, work.batch, workers)
    for epoch in count():
        for batch in loader.epoch(epoch):
            examples = examples_of(batch.to(device), experiment.fabric.strides[0])
            # A search uses channels-last images; the reference uses PyTorch's default format.
            yield replace(examples, images=examples.images.contiguous())


def _plain_data(work: Work, device: torch.device, folder: Path) -> _Bench:
    examples = _plain_examples(work, device, folder)
    return _Bench(lambda: next(examples), device)


def _fast_data(work: Work, device: torch.device, folder: Path) -> _Bench:
    """Read cached crops, as a search does."""
    experiment = _synthetic(work, folder, "fast")
    train, valid = open_data(experiment.data, progress=False)
    feed = Feed(experiment, train, valid, ProcessGroup(device), device, progress=False)
    return _Bench(feed.next, device)


def _plain_search(work: Work, device: torch.device, folder: Path) -> _Bench:
    step = plain_step(reference_of(_model(work)).to(device).train())
    examples = _plain_examples(work, device, folder)
    return _Bench(lambda: step(next(examples)), device)


def _fast_search(work: Work, device: torch.device, folder: Path) -> _Bench:
    run_folder = Path(tempfile.mkdtemp(dir=folder)) / "run"
    search = Search(_synthetic(work, folder, "fast"), run_folder, str(device), progress=False)
    search.steps_per_epoch = sys.maxsize  # evaluation and checkpoints are not timed
    return _Bench(search.step, device, search.forward, search.feed)


_Factory = Callable[[Work, torch.device, Path], _Bench]
# Kinds of work by name: the reference and the fast implementation.
KINDS: Mapping[str, tuple[_Factory, _Factory]] = {
    "training step": (_plain_training, _fast_training),
    "inference": (_plain_inference, _fast_inference),
    "data": (_plain_data, _fast_data),
    "search step": (_plain_search, _fast_search),
}
_WITH_DATA = ("data", "search step")

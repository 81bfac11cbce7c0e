"""Both ways from images to crops, in one run: images/s, and the share of a step that waits for data.

    python -m benchmarks.data_paths                                   drawn people, 128 px
    python -m benchmarks.data_paths --data.name lsp --data.root DIR   people of one's own choice

Plain (decode, cut) and cached (warped from kept crops) take turns, round by round; the table has medians, and the
median of the rounds' ratios. Writes benchmarks/results/data_paths_<data>_<size>.json.
"""

import json
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import torch
import tyro

from posenfs.data.augment import PAPER
from posenfs.data.cache import CacheRequest
from posenfs.data.cache_files import build_caches
from posenfs.data.datasets.catalogue import DataSpec, open_data
from posenfs.data.geometry import ImageSize
from posenfs.data.loader import Crops, Loader
from posenfs.search.configuration import RuntimeConfig, TrainingConfig
from posenfs.search.experiment import Experiment
from posenfs.search.session import Search

_BATCH = 16


@dataclass(frozen=True)
class Options:
    data: DataSpec = field(default_factory=lambda: DataSpec(images=(400, 40)))
    size: int = 128  # height and width of the crops, px
    rounds: int = 5
    batches: int = 8  # in each round
    steps: int = 20  # of training, in which waiting is measured


def main(options: Options) -> None:
    train, _ = open_data(options.data)
    size = ImageSize(options.size, options.size)
    started = time.perf_counter()
    kept = build_caches([CacheRequest(train, size, PAPER)])[0]
    making = time.perf_counter() - started
    crops = Crops(train, size, PAPER)
    paths = {"plain": Loader(crops, _BATCH), "cached": Loader(crops, _BATCH, cache=kept)}
    rates: dict[str, list[float]] = {name: [] for name in paths}
    for number in range(options.rounds + 1):
        for name, loader in paths.items():
            started = time.perf_counter()
            count = sum(len(batch.index) for batch in islice(loader.epoch(number), options.batches))
            if number:  # the first round warms up
                rates[name].append(count / (time.perf_counter() - started))
    result = {
        "data": options.data.name,
        "people": len(train),
        "size": options.size,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "seconds to keep or open the crops": round(making, 1),
        "kilobytes a person": round(kept.regions.bytes / len(train) / 1000),
        "images/s": {name: round(statistics.median(found), 1) for name, found in rates.items()},
        "cached / plain": round(
            statistics.median(c / p for p, c in zip(rates["plain"], rates["cached"], strict=True)),
            2,
        ),
        "share of a step that waits": {name: _waiting(options, name) for name in paths},
    }
    target = (
        Path(__file__).parent / "results" / f"data_paths_{options.data.name}_{options.size}.json"
    )
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(result, indent=2) + "\n")
    for key, value in result.items():
        print(f"{key:36} {value}")


def _waiting(options: Options, crops: str) -> float:
    """Return the share of a step of the paper's search (Table II) that waits for crops."""
    training = TrainingConfig(epochs=1, batch_size=_BATCH, crops=crops)
    runtime = RuntimeConfig(log_every=options.steps // 2)
    experiment = Experiment(
        "benchmark",
        options.data,
        ImageSize(options.size, options.size),
        training=training,
        runtime=runtime,
    )
    with tempfile.TemporaryDirectory() as folder:
        search = Search(experiment, Path(folder) / "run", progress=False)
        for _ in range(options.steps):
            search.step()
        rows = search.run.timing()
        search.close()
    return rows[-1]["wait_share"]  # of the later half


if __name__ == "__main__":
    main(tyro.cli(Options))

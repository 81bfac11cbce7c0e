"""The command `python -m benchmarks.speed`."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional, arg

from benchmarks.speed.implementations import KINDS
from benchmarks.speed.measure import SPEED_HEAD, measure_speeds, speed_line
from benchmarks.speed.works import NETWORKS, Work, default_works
from posenfs.data.files import check_writable, write_atomic
from posenfs.errors import PosenfsError
from posenfs.messages import error_message, error_reason
from posenfs.search.provenance import find_device


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an error that a user can cause is one message and exit code 1."""
    try:
        tyro.cli(speed, prog="python -m benchmarks.speed", args=arguments)
    except (PosenfsError, ValueError, OSError) as error:
        sys.exit(f"benchmarks.speed: {error_message(error)}")


def speed(
    work: Positional[tuple[str, ...]] = (),
    network: tuple[str, ...] = (),
    size: tuple[int, ...] = (),
    dtype: tuple[Literal["float32", "bfloat16"], ...] = ("float32",),
    compile: Literal["no", "default", "reduce-overhead"] = "no",
    quick: bool = False,
    device: str = "auto",
    threads: int | None = None,
    rounds: int | None = None,
    seconds: float = 1.0,
    batch: int | None = None,
    output: Path | None = None,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Measure the speed of training, prediction, data and search against the reference.

    Both implementations take turns on this machine. All measurements take an hour on two cores,
    with `--quick` a minute or two; no other program should run at the same time.

    Args:
        work: What to measure: training step, inference, data, search step; by default all.
        network: The networks (table_2, p1, p5, p8, ours_1, ours_b, simple_baseline_50, hrnet_w32);
            by default all.
        size: The sizes of crops: 128, 256 (px); by default both.
        dtype: The data types of the fast implementation; the reference is float32.
        compile: The mode of torch.compile for training with the fast implementation.
        quick: Measure only Table II's network at 128 px.
        device: The device to measure on: auto, cpu, cuda or cuda:N.
        threads: The number of CPU threads; by default torch's.
        rounds: The number of rounds, in each of which both take a turn; by default 7, or 3 with
            --quick.
        seconds: The length of a turn, which has at least two repetitions.
        batch: The number of images in a training step; prediction takes twice as many. By default
            16 at 128 px and 4 at 256 px on a CPU, 256 and 128 on a GPU.
        output: The JSON file to write, after each measurement.
        as_json: Print the measurements as JSON.
    """
    if rounds is not None and rounds < 1:
        raise ValueError(f"--rounds is at least 1; got {rounds}")
    _check_known(work, KINDS)
    _check_known(network, NETWORKS)
    device = str(find_device(device))
    works = [
        candidate
        for candidate in default_works(device, quick, dtype, compile, batch)
        if (not work or candidate.kind in work)
        and (not network or candidate.experiment.name in network)
        and (not size or candidate.size in size)
    ]
    if not works:
        raise ValueError("nothing of that kind, network and size is timed")
    if output is not None:
        check_writable(output)
    failures: list[str] = []

    def add_failure(work: Work, error: Exception) -> None:
        title = f"{work.kind} of {work.experiment.name}, {work.batch} x {work.size}²"
        failures.append(f"{title}: {error_reason(error)}")

    if not as_json:
        print(SPEED_HEAD)
    if rounds is None:
        rounds = 3 if quick else 7
    results: list[dict] = []
    progress = sys.stderr.isatty()
    for result in measure_speeds(works, device, threads, rounds, seconds, progress, add_failure):
        results.append(result.json())
        if output is not None:
            write_atomic(output, json.dumps(results, indent=2) + "\n")
        if not as_json:
            print(speed_line(result), flush=True)
    if as_json:
        print(json.dumps(results, indent=2))
    if failures:
        raise ValueError(f"not measured (a smaller --batch may fit): {'; '.join(failures)}")


def _check_known(names: Sequence[str], known: dict) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"unknown {name!r}; known: {', '.join(known)}")


if __name__ == "__main__":
    main()

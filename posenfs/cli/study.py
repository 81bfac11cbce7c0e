"""Commands that run ablations, compute costs and measure speed."""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg


def ablate(
    tables: Positional[tuple[str, ...]],
    profile: Literal["paper", "paper_text", "study", "smoke"] = "study",
    seeds: int = 3,
    rows: tuple[str, ...] = (),
    engine: Literal["local", "ray"] = "local",
    jobs: int | None = None,
    gpus_per_run: float | None = None,
    address: str | None = None,
    device: str = "auto",
    image_size: int | None = None,
    epochs: int | None = None,
    dataset: str | None = None,
    root: str | None = None,
    images: tuple[int, int] | None = None,
    weights: tuple[str, ...] = (),
    retry: bool = False,
    plan: bool = False,
    publish: bool = False,
    quiet: bool = False,
) -> None:
    """Run the rows of the paper's tables and figures with several seeds, and write the tables.

    Each run is a notebook. Finished runs are not repeated: the same command continues after Ctrl-C,
    and a larger number of seeds adds runs.

    Args:
        tables: The tables and figures: table_2 to table_7, figure_6, figure_7, rules; or all.
        profile: The size of the runs: paper (full size, by the rules of the released code),
            paper_text (full size, by the rules of the text), study (small, on photographs), or
            smoke (seconds a run, on drawn people).
        seeds: The number of seeds of each row: 0, 1, …
        rows: The names of the rows to run; by default all.
        engine: The executor: processes of this machine (local), or tasks of a Ray cluster (ray).
        jobs: The number of simultaneous local runs; by default as many as the GPUs hold, or one.
        gpus_per_run: The share of a GPU per run; by default 1 where there are GPUs.
        address: The address of a Ray cluster; by default one is started on this machine.
        device: The device of local runs: auto, cpu or cuda.
        image_size: The size of crops (px); by default the profile's.
        epochs: The number of epochs; by default the profile's.
        dataset: The data set (lsp, mpii, synthetic, …); by default the profile's.
        root: The data set's folder.
        images: The numbers of drawn training and validation images.
        weights: The initial weights of networks: NETWORK=FILE or NETWORK=imagenet, for example
            mobilenet_v2=weights.pth.
        retry: Repeat the runs that failed before.
        plan: Only print the plan: the runs, their expected duration (a range, and the load by other
            processes while it was measured), and the differences that the seeds can detect.
        publish: Write the tables into reports/tables, which is committed; otherwise they go into
            reports/drafts, which git ignores.
        quiet: Show no progress, and no plan without --plan.
    """
    from posenfs.study.campaign import run_tables
    from posenfs.viz.table_page import write_table_page

    changes = {
        "image_size": image_size, "epochs": epochs, "dataset": dataset, "root": root,
        "images": images,
    }  # fmt: skip
    run_tables(
        tables, profile, seeds, engine, jobs, gpus_per_run, address, device, changes, weights, rows,
        retry, plan, quiet, write_table_page, publish,
    )  # fmt: skip


def cost(
    items: Positional[tuple[str, ...]] = (),
    modules: bool = False,
    measure: tuple[int, ...] = (),
    device: str = "auto",
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Print the costs of Tables II to VIII: the paper's, recomputed by its rule, and measured.

    Args:
        items: The rows: names of the paper's rows, runs (name or folder), or models' folders; by
            default all rows of the paper.
        modules: Also print the measured cost of every module.
        measure: Batch sizes for which to print the estimated memory of a training step and the
            measured latency.
        device: The device to measure latency on: auto, cpu, cuda or cuda:N.
        as_json: Print the costs as JSON.
    """
    from posenfs.search.provenance import find_device
    from posenfs.study.costs import (
        chosen_items,
        cost_rows,
        cost_text,
        measured_rows,
        measured_text,
        module_text,
    )

    chosen = chosen_items(items)
    rows = cost_rows(chosen, modules, progress=sys.stderr.isatty())
    measured = measured_rows(chosen, measure, find_device(device)) if measure else []
    if as_json:
        if measure:
            rows = [row | {"measured": values} for row, values in zip(rows, measured, strict=True)]
        print(json.dumps(rows, indent=2))
        return
    print(cost_text(rows, chosen))
    if modules:
        print("\n".join(f"\n{row['item']}\n{module_text(row['modules'])}" for row in rows))
    if measure:
        print(f"\n{measured_text(rows, measured)}")


def bench(
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
    from posenfs.data.files import check_output_file, write_atomic
    from posenfs.messages import error_reason
    from posenfs.search.provenance import find_device
    from posenfs.study.speed import KINDS, NETWORKS, SPEED_HEAD, Work, default_works, speed_line
    from posenfs.study.speed import bench as measure

    if rounds is not None and rounds < 1:
        raise ValueError(f"--rounds is at least 1; got {rounds}")
    for names, known in ((work, KINDS), (network, NETWORKS)):
        for name in names:
            if name not in known:
                raise ValueError(f"unknown {name!r}; known: {', '.join(known)}")
    found_device = str(find_device(device))
    works = [
        candidate
        for candidate in default_works(found_device, quick, dtype, compile, batch)
        if (not work or candidate.kind in work)
        and (not network or candidate.experiment.name in network)
        and (not size or candidate.size in size)
    ]
    if not works:
        raise ValueError("nothing of that kind, network and size is timed")
    if output is not None:
        check_output_file(output)
        output.parent.mkdir(parents=True, exist_ok=True)
    results: list[dict] = []
    failures: list[str] = []

    def add_failure(work: Work, error: Exception) -> None:
        title = f"{work.kind} of {work.experiment.name}, {work.batch} x {work.size}²"
        failures.append(f"{title}: {error_reason(error)}")

    if not as_json:
        print(SPEED_HEAD)
    if rounds is None:
        rounds = 3 if quick else 7
    progress = sys.stderr.isatty()
    for speed in measure(works, found_device, threads, rounds, seconds, progress, add_failure):
        results.append(speed.json())
        if output is not None:
            write_atomic(output, json.dumps(results, indent=2) + "\n")
        if not as_json:
            print(speed_line(speed), flush=True)
    if as_json:
        print(json.dumps(results, indent=2))
    if failures:
        raise ValueError(f"not measured (a smaller --batch may fit): {'; '.join(failures)}")

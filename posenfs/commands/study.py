"""Many runs, and what networks cost: ablations, cost columns, speed."""

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
    pictures: tuple[int, int] | None = None,
    weights: tuple[str, ...] = (),
    retry: bool = False,
    plan: bool = False,
    publish: bool = False,
    quiet: bool = False,
) -> None:
    """Run the rows of tables and figures of the paper, several seeds each, as notebooks, and write the tables.

    What is done is not done again; more seeds later add to it. Ctrl-C leaves all of it to go on with.

    Args:
        tables: table_2 to table_7, figure_6, figure_7, rules; or all.
        profile: The paper's own size (paper: by the released code's rules; paper_text: by the text's), study (small,
            for photographs), or smoke (seconds a run, drawn people).
        seeds: 0, 1, …: so many of each row.
        rows: Some of the tables' rows, by name; none: all.
        engine: Processes of this machine, or tasks of a Ray cluster.
        jobs: At a time, on this machine; none: as many as its GPUs hold, or one.
        gpus_per_run: A run's share of a GPU; none: 1 where there are any.
        address: Of an existing Ray cluster; none: one of this machine is begun.
        device: Of local runs: auto, cpu, cuda.
        image_size: Pixels of crops, other than the profile's.
        epochs: Other than the profile's.
        dataset: Other than the profile's: lsp, mpii, synthetic, …
        root: The data set's folder.
        pictures: Of drawn people: to train and to validate on.
        weights: What networks begin with, NETWORK=FILE, or =imagenet: mobilenet_v2=weights.pth
        retry: Run those that failed before again.
        plan: Only print the plan: what would run, for how long (a range, and what other processes used while it was
            measured), and how many seeds would tell which difference.
        publish: Write the tables into reports/tables, which is committed; otherwise into reports/drafts, which git
            ignores.
        quiet: No progress, and no plan unless --plan asks for it.
    """
    from posenfs.show.table_page import write_table_page
    from posenfs.study.campaign import run_tables

    run_tables(
        tables, profile, seeds, engine, jobs, gpus_per_run, address, device,
        {"image_size": image_size, "epochs": epochs, "dataset": dataset, "root": root, "pictures": pictures},
        weights, rows, retry, plan, quiet, write_table_page, publish,
    )  # fmt: skip


def cost(
    items: Positional[tuple[str, ...]] = (),
    modules: bool = False,
    measure: tuple[int, ...] = (),
    device: str = "auto",
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Print the cost columns of Tables II to VIII: the paper's numbers, its rule recomputed, the honest count.

    Args:
        items: Some of the rows, by name, and runs or models of your own (a run's name, or a folder); none: all rows.
        modules: Also the honest cost of every module.
        measure: Batch sizes: for each also the estimated memory of a training step, and the measured latency.
        device: Where latency is measured: auto, cpu, cuda or cuda:N.
        as_json: Print JSON.
    """
    from posenfs.search.provenance import find_device
    from posenfs.study.costs import chosen_items, cost_rows, cost_text, measured_rows, measured_text, module_text

    chosen = chosen_items(items)
    rows = cost_rows(chosen, modules, progress=sys.stderr.isatty())
    measured = measured_rows(chosen, measure, find_device(device)) if measure else []
    if as_json:
        print(
            json.dumps([row | ({"measured": measured[n]} if measure else {}) for n, row in enumerate(rows)], indent=2)
        )
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
    """Time training, prediction, data and whole search steps beside the plain reference, in turns, on this machine.

    Everything takes an hour on two cores, `--quick` a minute or two; nothing else should run meanwhile.

    Args:
        work: training step, inference, data, search step; none: all.
        network: Some networks by name (table_2, p1, p5, p8, ours_1, ours_b, simple_baseline_50, hrnet_w32); none: all.
        size: 128, 256; none: both.
        dtype: That of the fast one; the reference is float32.
        compile: How the fast one trains, by torch.compile.
        quick: Table II's network at 128 px alone.
        device: auto, cpu, cuda or cuda:N.
        threads: On the CPU; none: as many as torch takes.
        rounds: In each, both take turns; none: 7, quick 3.
        seconds: How long a turn is, at least two runs.
        batch: Images of a training step; prediction takes twice as many. None: 16 at 128 px and 4 at 256 px on a CPU,
            256 and 128 on a GPU.
        output: A JSON file to write, as far as it has come, after each.
        as_json: Print JSON.
    """
    from posenfs.body.words import reason_of
    from posenfs.data.files import check_writable, write_whole
    from posenfs.search.provenance import find_device
    from posenfs.study.speed import KINDS, NETWORKS, SPEED_HEAD, Work, default_works, speed_line
    from posenfs.study.speed import bench as measure

    if rounds is not None and rounds < 1:
        raise ValueError(f"--rounds is at least 1; got {rounds}")
    for given, known in ((work, KINDS), (network, NETWORKS)):
        if unknown := [name for name in given if name not in known]:
            raise ValueError(f"unknown {unknown[0]!r}; known: {', '.join(known)}")
    place = str(find_device(device))
    works = [
        own
        for own in default_works(place, quick, dtype, compile, batch)
        if (not work or own.kind in work)
        and (not network or own.experiment.name in network)
        and (not size or own.size in size)
    ]
    if not works:
        raise ValueError("nothing of that kind, network and size is timed")
    if output is not None:
        check_writable(output)
    found, failures = [], []

    def failed(work: Work, error: Exception) -> None:
        what = f"{work.kind} of {work.experiment.name}, {work.batch} x {work.size}²"
        failures.append(f"{what}: {reason_of(error)}")

    if not as_json:
        print(SPEED_HEAD)
    rounds, progress = rounds or (3 if quick else 7), sys.stderr.isatty()
    for speed in measure(works, place, threads, rounds, seconds, progress, failed):
        found.append(speed.json())
        if output is not None:
            write_whole(output, json.dumps(found, indent=2) + "\n")
        if not as_json:
            print(speed_line(speed), flush=True)
    if as_json:
        print(json.dumps(found, indent=2))
    if failures:
        raise ValueError(f"not timed (a smaller --batch may fit): {'; '.join(failures)}")

"""Commands that run ablations and compute costs."""

import json
import sys
from typing import Annotated, Literal

from tyro.conf import Positional, arg


def ablate(
    tables: Positional[tuple[str, ...]],
    profile: Literal["paper", "paper_text", "study", "smoke"] = "study",
    seeds: int = 3,
    rows: tuple[str, ...] = (),
    executor: Literal["local", "ray"] = "local",
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
        executor: What executes the runs: processes of this machine (local), or tasks of a Ray
            cluster (ray).
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
        plan: Only print the plan: the runs, their expected duration (a range, and the load of other
            processes while it was measured), and the differences that the seeds can detect.
        publish: Write the tables into reports/tables, which is committed; otherwise they go into
            reports/drafts, which git ignores.
        quiet: Show no progress, and no plan without --plan.
    """
    from posenfs.study.ablation import Ablation, ExecutorOptions, run_ablation
    from posenfs.study.profiles import choose_profile, parse_weights
    from posenfs.viz.table_page import write_table_page

    chosen_profile = choose_profile(
        profile,
        image_size,
        epochs,
        dataset=dataset,
        root=root,
        images=images,
        weights=parse_weights(weights),
    )
    ablation = Ablation(
        tables=tables,
        profile_name=profile,
        profile=chosen_profile,
        seeds=seeds,
        rows=rows,
        executor=ExecutorOptions(executor, jobs, gpus_per_run, address, device),
        retry=retry,
        publish=publish,
        quiet=quiet,
    )
    run_ablation(ablation, plan, write_table_page)


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
    from posenfs.study.cost_items import chosen_items
    from posenfs.study.costs import cost_rows, cost_text, measured_rows, measured_text, module_text

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

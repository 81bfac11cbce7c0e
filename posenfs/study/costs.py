"""Costs of networks, counted and measured, and their tables as text (`posenfs cost`)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import torch
from tqdm import tqdm

from posenfs.model.cost import module_costs
from posenfs.model.latency import measure_latency
from posenfs.model.memory import training_memory
from posenfs.study.cost_items import ITEMS, CostItem


def cost_rows(
    items: Mapping[str, CostItem] = ITEMS, modules: bool = False, progress: bool = False
) -> list[dict]:
    """Count parameters and multiply-adds of networks.

    Args:
        items: The networks by name.
        modules: Whether to return the cost of each module, too.
        progress: Whether to show a progress bar.

    Returns:
        For each network: item, params and gmac (measured), params_paper_rule and gflops_paper_rule
        (by the paper's counting rule), paper_params_m and paper_gflops (printed), note; and
        `modules`: module, params, multiply_adds of each.
    """
    rows = []
    networks = tqdm(items.items(), "counting", unit="network", disable=not progress, leave=False)
    for name, item in networks:
        with torch.device("meta"):  # only shapes are needed
            model = item.build()
        costs, paper = module_costs(model, *item.size), item.rule(model, *item.size)
        row: dict[str, object] = {
            "item": name,
            "params": costs[""].params,
            "gmac": costs[""].gmac,
            "params_paper_rule": paper.params,
            "gflops_paper_rule": paper.gflops,
            "paper_params_m": item.params_m,
            "paper_gflops": item.gflops,
            "note": item.note,
        }
        if modules:
            row["modules"] = [
                {"module": module, "params": cost.params, "multiply_adds": cost.multiply_adds}
                for module, cost in costs.items()
            ]
        rows.append(row)
    return rows


def measured_rows(
    items: Mapping[str, CostItem], batch_sizes: Sequence[int], device: torch.device
) -> list[list[dict]]:
    """Measure forward passes of networks in eval mode, and estimate the memory of training.

    Args:
        items: The networks by name.
        batch_sizes: Images in a batch.
        device: The device of the measurement.

    Returns:
        For each network and batch size: batch_size, median_s, low_s and high_s (10th and 90th
        percentile), images_per_s, and training_bytes (a training step in float32).
    """
    measurements = []
    for item in items.values():
        model = item.build()
        memory = [training_memory(model, size, *item.size).total for size in batch_sizes]
        model = model.to(device, memory_format=torch.channels_last)
        latencies = measure_latency(model, batch_sizes, *item.size)
        measurements.append(
            [
                {
                    "training_bytes": training_bytes,
                    **asdict(latency),
                    "images_per_s": latency.images_per_s,
                }
                for training_bytes, latency in zip(memory, latencies, strict=True)
            ]
        )
    return measurements


def module_text(modules: Sequence[Mapping]) -> str:
    """Format modules as a table, with the share of each in all multiply-adds.

    Args:
        modules: The `modules` of a row of `cost_rows`. Names of more than three parts are left out.
    """
    total = modules[0]["multiply_adds"]
    lines = [f"{'module':44} {'parameters':>12} {'multiply-adds':>15} {'share':>7}"]
    for module in modules:
        name, multiply_adds = module["module"], module["multiply_adds"]
        if name.count(".") < 3:
            share = multiply_adds / total
            lines.append(
                f"{name or '(all)':44} {module['params']:12,} {multiply_adds:15,} {share:7.1%}"
            )
    return "\n".join(lines)


def measured_text(rows: Sequence[Mapping], measured: Sequence[Sequence[Mapping]]) -> str:
    """Format measurements as a table.

    Args:
        rows: What `cost_rows` returns.
        measured: What `measured_rows` returns for the same networks.
    """
    lines = [
        f"{'item':27} {'batch':>5} {'training step':>14} "
        f"{'forward pass: median (10-90 %)':>32} {'images/s':>9}"
    ]
    for row, measurements in zip(rows, measured, strict=True):
        for m in measurements:
            low, median, high = (1e3 * m[name] for name in ("low_s", "median_s", "high_s"))
            times = f"{median:.1f} ms ({low:.1f}-{high:.1f})"
            memory = f"{m['training_bytes'] / 2**20:.0f} MiB"
            lines.append(
                f"{row['item']:27} {m['batch_size']:5} {memory:>14} {times:>32} "
                f"{m['images_per_s']:9.1f}"
            )
    lines.append(
        "training step: estimated memory, float32; forward pass: measured here, warm, eval mode"
    )
    return "\n".join(lines)


def cost_text(rows: Sequence[Mapping], items: Mapping[str, CostItem] = ITEMS) -> str:
    """Format costs as a table: printed, by the paper's rule, their difference, and measured.

    Args:
        rows: What `cost_rows` returns.
        items: The networks by name.
    """
    columns = f"{'paper':>6} {'rule':>7} {'diff':>7} {'measured':>8}"
    lines = [
        f"{'':27} {'':10} {'':10} | {'parameters, M':^31} | {'multiply-adds, G':^31} |",
        f"{'item':27} {'table':10} {'input px':>10} | {columns} | {columns} | note",
    ]
    for row in rows:
        item = items[row["item"]]
        size = f"{item.size.height} x {item.size.width}"
        params = _columns(
            row["paper_params_m"], row["params_paper_rule"] / 1e6, row["params"] / 1e6
        )
        multiply_adds = _columns(row["paper_gflops"], row["gflops_paper_rule"], row["gmac"])
        line = f"{row['item']:27} {item.where:10} {size:>10} | {params} | {multiply_adds}"
        lines.append(f"{line} | {row['note']}".rstrip(" |"))
    lines.append(
        "rule: the paper's way of counting, recomputed (parameters of some operations twice; "
        "billions of 1024^3); measured: every parameter in use once; 1e9"
    )
    return "\n".join(lines)


def _columns(printed: float | None, rule: float, measured: float) -> str:
    if printed is None:
        return f"{'-':>6} {rule:7.3f} {'-':>7} {measured:8.3f}"
    return f"{printed:6.1f} {rule:7.3f} {100 * (rule / printed - 1):+6.1f}% {measured:8.3f}"

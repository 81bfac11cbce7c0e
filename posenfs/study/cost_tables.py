"""Costs of the rows of a table: parameters, multiply-adds, training time, and latency."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import pandas
import torch
from torch import nn

from posenfs.data.datasets.catalogue import parts_of
from posenfs.model.cost import Cost, PaperCost, measured_cost, summary_cost
from posenfs.model.latency import measure_latency
from posenfs.search.build import build_model
from posenfs.search.experiment import Experiment
from posenfs.study.cost_items import ITEMS
from posenfs.study.outcomes import Outcome, device_title
from posenfs.study.profiles import PROFILES, experiment_of
from posenfs.study.table import Row


def cost_table(rows: Sequence[Outcome]) -> pandas.DataFrame:
    """Return the cost of each row.

    Parameters and multiply-adds are those at the paper's size: as printed, by the paper's counting
    rule (billions of 1024^3), and measured (1e9). The other columns hold the multiply-adds at the
    row's own size, and the training speed, hours and device of the runs. Quoted rows hold what the
    paper prints alone.

    Args:
        rows: The rows with their results.
    """
    lines = [_printed_costs(outcome.row) | _our_costs(outcome) for outcome in rows]
    frame = pandas.DataFrame(lines, columns=_COLUMNS).set_index("row")
    unused = [name for name in _SELDOM if not frame[name].replace("", None).notna().any()]
    return frame.drop(columns=unused)


_COLUMNS = (
    *("row", "network, paper"),
    *("params M, paper", "params M by its rule", "params M measured"),
    *("G, paper", "G by its rule", "GMAC measured", "GMAC of our crop"),
    *("GPU days, paper", "images/s", "hours of training", "where", "note"),
)
_SELDOM = ("network, paper", "GPU days, paper")  # left out where the paper prints none


def _our_costs(outcome: Outcome) -> dict:
    """Return what is counted and measured of a row; nothing for a quoted row."""
    if outcome.experiment is None:
        return {}
    item = ITEMS.get(outcome.row.item or "")
    measured, rule = _full_costs(_full(outcome), item.rule if item else summary_cost)
    results = list(outcome.results.values())
    times = [result["time"] for result in results if result["time"]["images_per_s"]]
    return {
        "params M by its rule": rule.params / 1e6,
        "params M measured": measured.params / 1e6,
        "G by its rule": rule.gflops,
        "GMAC measured": measured.gmac,
        "GMAC of our crop": results[0]["metrics"]["multiply_adds"] / 1e9 if results else None,
        "images/s": _mean([time["images_per_s"] for time in times]),
        "hours of training": _mean([time["hours"] for time in times]),
        "where": "; ".join(sorted({device_title(time) for time in times})),
        "note": item.note if item else "",
    }


def _printed_costs(row: Row) -> dict:
    """Return the costs that the paper prints in a row, or elsewhere for the same network."""
    item = ITEMS.get(row.item or "")
    return {
        "row": row.label,
        "network, paper": row.network,
        "params M, paper": row.costs.get("params_m", item and item.params_m),
        "G, paper": row.costs.get("gflops", item and item.gflops),
        "GPU days, paper": row.costs.get("gpu_days"),
    }


def full_cost(outcome: Outcome) -> Cost:
    """Return the measured cost of a row's network at the paper's size.

    Args:
        outcome: The row.
    """
    return _full_costs(_full(outcome), summary_cost)[0]


def _full(outcome: Outcome) -> str:
    """Return the experiment of the row at the paper's size, as JSON."""
    experiment = experiment_of(outcome.row, PROFILES["paper"])
    return replace(experiment, name="full", backbone_weights=None).to_json()


@cache  # several tables hold the same network
def _full_costs(
    experiment_json: str, rule: Callable[[nn.Module, int, int], PaperCost]
) -> tuple[Cost, PaperCost]:
    experiment = Experiment.from_json(experiment_json)
    model = build_model(experiment, parts_of(experiment.data, experiment.parts))
    return measured_cost(model, *experiment.image_size), rule(model, *experiment.image_size)


def latency_table(rows: Sequence[Outcome], batch_sizes: Sequence[int] = (1, 8)) -> pandas.DataFrame:
    """Measure the median time of a forward pass of each row's network on this machine, in ms.

    Args:
        rows: The rows; quoted ones are left out.
        batch_sizes: Images in a batch, one column for each.
    """
    lines = []
    for outcome in rows:
        if outcome.experiment is not None:
            latencies = _latency(outcome.experiment, tuple(batch_sizes))
            columns = {f"ms, batch of {size}": ms for size, ms in latencies.items()}
            lines.append({"row": outcome.row.label, **columns})
    return pandas.DataFrame(lines).set_index("row")


def latency_ms(outcome: Outcome, full: bool = False) -> float:
    """Measure the median time of a forward pass on one crop on this machine, in ms.

    Args:
        outcome: The row.
        full: Whether the crop has the paper's size instead of the row's own.
    """
    experiment = Experiment.from_json(_full(outcome)) if full else outcome.experiment
    if experiment is None:
        raise ValueError(f"{outcome.row.label!r} is quoted from its publication: it is not run")
    return _latency(experiment, (1,))[1]


@cache  # a table and a figure hold the same network
def _measured_latency(experiment_json: str, batch_sizes: tuple[int, ...]) -> dict[int, float]:
    experiment = Experiment.from_json(experiment_json)
    model = build_model(experiment, parts_of(experiment.data, experiment.parts))
    model = model.to(memory_format=torch.channels_last)
    height, width = experiment.image_size
    latencies = measure_latency(model, batch_sizes, height, width, repeats=20, seconds=1.0)
    return {latency.batch_size: 1e3 * latency.median_s for latency in latencies}


def _latency(experiment: Experiment, batch_sizes: tuple[int, ...]) -> dict[int, float]:
    timed = replace(experiment, name="timed", backbone_weights=None)
    return _measured_latency(timed.to_json(), batch_sizes)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None

"""What the rows of a table cost: on paper, and in time."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import pandas
import torch
from torch import nn

from posenfs.data.datasets.catalogue import parts_of
from posenfs.model.cost import Cost, PaperCost, honest_cost, summary_cost
from posenfs.model.latency import measure_latency
from posenfs.search.experiment import Experiment, build_model
from posenfs.study.costs import ITEMS
from posenfs.study.experiments import FRONTIER, PROFILES, experiment_of
from posenfs.study.rows import Outcome, device_words


def cost_table(rows: Sequence[Outcome]) -> pandas.DataFrame:
    """Parameters and multiply-adds at the paper's size: as printed, by its own rule recomputed (billions of 1024^3),
    and honestly (1e9); our crop's multiply-adds; and what the search took: images/s, hours of its training steps,
    where. Of quoted rows what their authors publish."""
    lines = []
    for own in rows:
        if own.asked is None:
            published = next(one for one in FRONTIER if one.name == own.row.item)
            lines.append(
                {
                    "row": own.row.label, "params M, paper": published.params_m, "GMAC honest": published.gmac,
                    "note": "as its authors publish it",
                }
            )  # fmt: skip
            continue
        item = ITEMS.get(own.row.item or "")
        honest, rule = _full_costs(_full(own), item.rule if item else summary_cost)
        times = [result["time"] for result in own.results.values() if result["time"]["images_per_s"]]
        ours = next(iter(own.results.values()), None)
        lines.append(
            {
                "row": own.row.label,
                "params M, paper": item and item.params_m,
                "by its rule": rule.params / 1e6,
                "honest": honest.params / 1e6,
                "G, paper": item and item.gflops,
                "G by its rule": rule.gflops,
                "GMAC honest": honest.gmac,
                "GMAC of our crop": ours and ours["metrics"]["multiply_adds"] / 1e9,
                "images/s": _mean([own["images_per_s"] for own in times]),
                "hours of training": _mean([own["hours"] for own in times]),
                "where": "; ".join(sorted({device_words(own) for own in times})),
                "note": item.note if item else "",
            }
        )
    return pandas.DataFrame(lines).set_index("row")


def full_cost(own: Outcome) -> Cost:
    """Honestly counted, of a row's network at the paper's own size."""
    return _full_costs(_full(own), summary_cost)[0]


def _full(own: Outcome) -> str:
    """The row at the paper's own size, as JSON."""
    asked = experiment_of(own.row, PROFILES["paper"])
    return replace(asked, name="full", backbone_weights=None).to_json()


@cache  # a network stands in several tables
def _full_costs(asked: str, rule: Callable[[nn.Module, int, int], PaperCost]) -> tuple[Cost, PaperCost]:
    experiment = Experiment.from_json(asked)
    model = build_model(experiment, parts_of(experiment.data, experiment.parts))
    return honest_cost(model, *experiment.image_size), rule(model, *experiment.image_size)


def latency_table(rows: Sequence[Outcome], batch_sizes: Sequence[int] = (1, 8)) -> pandas.DataFrame:
    """Measured here: one forward pass of each row's network at our size, in ms (median), by batch size."""
    lines = []
    for own in rows:
        if own.asked is not None:
            found = _latency(own.asked, tuple(batch_sizes))
            lines.append({"row": own.row.label, **{f"ms, batch of {size}": ms for size, ms in found.items()}})
    return pandas.DataFrame(lines).set_index("row")


def latency_ms(own: Outcome, full: bool = False) -> float:
    """Measured here: a row's network on one crop of our size, or of the paper's, in ms (median)."""
    return _latency(Experiment.from_json(_full(own)) if full else own.asked, (1,))[1]


@cache  # a network stands in the table and in the picture
def _measured(asked: str, batch_sizes: tuple[int, ...]) -> dict[int, float]:
    experiment = Experiment.from_json(asked)
    model = build_model(experiment, parts_of(experiment.data, experiment.parts)).to(memory_format=torch.channels_last)
    found = measure_latency(model, batch_sizes, *experiment.image_size, repeats=20, seconds=1.0)
    return {one.batch_size: 1e3 * one.median_s for one in found}


def _latency(asked: Experiment, batch_sizes: tuple[int, ...]) -> dict[int, float]:
    return _measured(replace(asked, name="timed", backbone_weights=None).to_json(), batch_sizes)


def frontier_table() -> pandas.DataFrame:
    """Other systems as their authors publish them."""
    frame = pandas.DataFrame([vars(own) for own in FRONTIER]).set_index("name")
    frame.columns = ["input px", "params M", "GMAC", "COCO val AP", "MPII val PCKh@0.5", "note"]
    frame.insert(3, "GMAC at 256 x 256 (MPII)", [own.square_gmac for own in FRONTIER])
    return frame


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None

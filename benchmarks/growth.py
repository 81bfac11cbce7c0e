"""How the time and memory of a training step grow with parts, hidden nodes, width and pixels, beside the reference.

    python -m benchmarks.growth        Table II's network, one of the four varied at a time; a quarter of an hour

Writes benchmarks/results/growth.json and growth.svg.
"""

import json
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import torch
import tyro

from benchmarks.speed.measure import SPEED_HEAD, measure_speeds, speed_line
from benchmarks.speed.works import NETWORKS, Work
from posenfs.model.space import FabricSpec
from posenfs.search.provenance import find_device

HERE = Path(__file__).parent / "results"
START = NETWORKS["table_2"]
VARIED = {
    "parts P": {p: (replace(START, parts=p), 128) for p in (1, 3, 5, 8)},
    "hidden nodes H": {
        h: (replace(START, fabric=FabricSpec(hidden_nodes=h)), 128) for h in (1, 2, 3)
    },
    "width C": {c: (replace(START, fabric=FabricSpec(width=c)), 128) for c in (4, 8, 12, 16, 24)},
    "side of an image, px": {s: (START, s) for s in (64, 128, 192, 256)},
}


def main(device: str = "auto", batch: int = 8, rounds: int = 5) -> None:
    """`batch`: images of a step, whatever their size."""
    place, found = str(find_device(device)), {}
    print(SPEED_HEAD)
    for what, values in VARIED.items():
        works = [
            Work("training step", experiment, size, batch) for experiment, size in values.values()
        ]
        for value, speed in zip(
            values, measure_speeds(works, place, rounds=rounds, progress=False), strict=True
        ):
            found.setdefault(what, []).append({"value": value, **speed.json()})
            print(f"{speed_line(speed)}  {what} = {value}", flush=True)
    HERE.mkdir(exist_ok=True)
    (HERE / "growth.json").write_text(json.dumps(found, indent=2) + "\n")
    draw(found).savefig(HERE / "growth.svg")


def draw(found: dict[str, list[dict]]) -> plt.Figure:
    """Seconds of a step, reference and fast, and what the multiply-adds would take at the machine's matrix product."""
    figure, axes = plt.subplots(
        1, len(found), figsize=(3.2 * len(found), 3.2), layout="constrained"
    )
    for ax, (what, rows) in zip(axes, found.items(), strict=True):
        values = [row["value"] for row in rows]
        for name, key in (("reference", "reference_s"), ("fast", "fast_s")):
            ax.plot(values, [row[key] for row in rows], "o-", label=name)
        ax.plot(
            values,
            [row["gflop"] / row["limit_gflops"] for row in rows],
            "k:",
            label="matrix product alone",
        )
        ax.set(xlabel=what, xticks=values, ylim=(0, None))
    axes[0].set_ylabel("training step, s")
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False
    )
    row = found[next(iter(found))][0]
    figure.suptitle(
        f"{row['batch']} images, {row['device']}, {row['threads']} threads, torch {torch.__version__}"
    )
    return figure


if __name__ == "__main__":
    tyro.cli(main)

"""What the paper prints (Tables II to VIII), and other systems as their authors publish them.

All numbers are in published.json, as printed; here they get the names and units of this project.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PUBLISHED: Mapping[str, Any] = json.loads(
    Path(__file__).with_name("published.json").read_text(encoding="utf-8")
)
_TABLES = PUBLISHED["paper"]["tables"]
_COSTS = ("params_m", "gflops", "gpu_days")
_NETWORK = ("backbone", "network_head")
_SPREAD = "_spread"  # ending of the column with the number after +-
# Metrics of the paper's columns. Its PCKh@0.1 was computed at 0.11 (see evaluation/metrics.py).
_METRICS = {
    "pckh_0.5": "pckh@0.5",
    "pckh_0.1": "pckh@0.11",
    "pckh_0.5_hard": "pckh@0.5/hard",
    "total": "pckh@0.5",
    **{
        column: f"pckh@0.5/{column}"
        for column in ("head", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    },
    "AP": "ap",
    **{
        column: f"ap/{column}"
        for column in ("AP50", "AP75", "AP_M", "AP_L", "AR", "AR50", "AR75", "AR_M", "AR_L")
    },
}


def paper_row(table: str, name: str) -> dict[str, Any]:
    """Return what the paper prints in a row, as fields of a `Row`.

    Args:
        table: table_2, …, table_7.
        name: The name of the row in published.json.

    Returns:
        `printed`, the scores in percent by metric; `spreads`, the numbers after ± by metric, and
        `printed_seeds`, over how many seeds; `costs`: params_m (millions), gflops (the paper's
        billions), gpu_days; `network`, what Table VI says of it. What the paper does not print is
        left out.

    Raises:
        KeyError: The table or the row is unknown.
    """
    content = _TABLES[table]
    cells = dict(zip(content["columns"], content["rows"][name], strict=True))
    values = {column: value for column, value in cells.items() if value is not None}
    return {
        "printed": {
            _METRICS[column]: _percent(column, value)
            for column, value in values.items()
            if column in _METRICS
        },
        "spreads": {
            _METRICS[column.removesuffix(_SPREAD)]: value
            for column, value in values.items()
            if column.endswith(_SPREAD)
        },
        "printed_seeds": values.get("seeds"),
        "costs": {column: values[column] for column in _COSTS if column in values},
        "network": " + ".join(values[name] for name in _NETWORK if name in values),
    }


def _percent(column: str, value: float) -> float:
    """Return a score in percent; the paper prints COCO's as shares of three digits."""
    return round(100 * value, 1) if _METRICS[column].startswith("ap") else value


def paper_rows(table: str) -> list[str]:
    """Return the names of the rows of a table of the paper, in its order."""
    return list(_TABLES[table]["rows"])


def printed_fabric(name: str) -> str:
    """Return what the paper prints of a fabric backbone: its line of Table VIII and its parameters.

    Args:
        name: Fabric-1, Fabric-2 or Fabric-3.
    """
    content = _TABLES["table_8"]
    cells = dict(zip(content["columns"], content["rows"][name], strict=True))
    params_m = PUBLISHED["paper"]["backbone_params_m"][name]
    return (
        f"{name} ({params_m}M): L = {cells['L']}, C = {cells['C']}, H = {cells['H']}, the first "
        f"{cells['layers_reserved']} layers, {cells['cells']} cells"
    )


def printed_on(table: str) -> str:
    """Return the data on which the paper computed the scores of a table."""
    return _TABLES[table]["data"]


@dataclass(frozen=True)
class System:
    """A system with its score and its cost, as published.

    Attributes:
        name: Its name.
        data: The data of the score: MPII validation, COCO validation or COCO test-dev.
        score: Mean PCKh@0.5 or OKS-AP, percent.
        source: Where the numbers are published.
        strict_score: PCKh@0.11 (headed @0.1), percent.
        input: Height and width of the input, px; None where the source is silent.
        params_m: Parameters in millions.
        gflops: Multiply-adds at `gflops_input`, in the billions of the source.
        gflops_input: The input of the published cost; None for `input`.
        gmac: Multiply-adds at `input`, counted by posenfs, in billions (1e9).
        in_paper: Whether it is a row of the paper, and `ours` whether it is one of its networks.
        note: A remark.
    """

    name: str
    data: str
    score: float
    source: str
    strict_score: float | None = None
    input: tuple[int, int] | None = None
    params_m: float | None = None
    gflops: float | None = None
    gflops_input: tuple[int, int] | None = None
    gmac: float | None = None
    in_paper: bool = False
    ours: bool = False
    note: str = ""

    @property
    def cost(self) -> float | None:
        """Multiply-adds at `input`, in the billions of the source.

        Where they are published for another size they are scaled by the pixels, which is exact
        for convolutions.
        """
        if self.gflops is None or self.input is None or self.gflops_input is None:
            return self.gflops
        height, width = self.gflops_input
        return self.gflops * self.input[0] * self.input[1] / (height * width)


def _other_systems() -> tuple[System, ...]:
    others = PUBLISHED["others"]
    systems = []
    for row in others["rows"]:
        cells = dict(zip(others["columns"], row, strict=True))
        sources = "; ".join(others["sources"][name] for name in cells.pop("sources"))
        sizes = {
            column: tuple(size) if (size := cells.pop(column)) else None
            for column in ("input", "gflops_input")
        }
        name, strict_score = cells.pop("system"), cells.pop("score_0.1")
        systems.append(System(name, source=sources, strict_score=strict_score, **sizes, **cells))
    return tuple(systems)


# Systems of other publications; all numbers are quoted.
OTHERS = _other_systems()

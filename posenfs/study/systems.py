"""The systems of Figure 7: the paper's rows, and others as their authors publish them."""

from collections.abc import Iterator
from functools import cache

import pandas

from posenfs.study.cost_items import ITEMS
from posenfs.study.costs import cost_rows
from posenfs.study.published import OTHERS, System
from posenfs.study.rows import TABLES
from posenfs.study.table import Row

# The panels of Figure 7: their tables of the paper, and their data, the paper's first.
PANELS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "mpii": (("table_4", "table_6", "table_3"), ("MPII validation",)),
    "coco": (("table_7",), ("COCO test-dev", "COCO validation")),
}
_SCORES = {"mpii": "pckh@0.5", "coco": "ap"}
_NOT_PRINTED = "costs by the paper's counting rule, not printed"


def systems_of(panel: str) -> list[System]:
    """Return the systems of a panel of Figure 7.

    They are the rows of the paper (Tables III, IV and VI on MPII, Table VII on COCO), each network
    once, and the systems of other publications on the same data; on COCO, also those that are
    scored on the validation set. A system that the paper quotes occurs twice, with both sources.

    Args:
        panel: mpii (a) or coco (b).

    Raises:
        ValueError: There is no such panel.
    """
    if panel not in PANELS:
        raise ValueError(f"Figure 7 has the panels {', '.join(PANELS)}; got {panel!r}")
    tables, sets = PANELS[panel]
    systems = [_system(table, row, sets[0]) for table, row in _networks(tables, _SCORES[panel])]
    return systems + [system for name in sets for system in OTHERS if system.data == name]


def _networks(tables: tuple[str, ...], metric: str) -> Iterator[tuple[str, Row]]:
    """Yield the rows with a printed score and their tables, each network once."""
    seen: list[object] = []
    for table in tables:
        for row in TABLES[table].rows.values():
            network = row.label if row.quoted else row.changes
            if metric in row.printed and network not in seen:
                seen.append(network)
                yield table, row


def _system(table: str, row: Row, data: str) -> System:
    params_m, gflops, note = row.costs.get("params_m"), row.costs.get("gflops"), ""
    if not row.costs and row.item is not None:
        params_m, gflops = _counted(row.item)
        note = _NOT_PRINTED
    score = row.printed.get("pckh@0.5", row.printed.get("ap"))
    assert score is not None
    return System(
        row.label,
        data,
        score,
        f"the paper, {TABLES[table].title.partition(':')[0]}",
        row.printed.get("pckh@0.11"),
        params_m=params_m,
        gflops=gflops,
        in_paper=True,
        ours=_is_ours(row),
        note=note,
    )


@cache  # a figure and a table hold the same networks
def _counted(item: str) -> tuple[float, float]:
    """Return parameters in millions and multiply-adds by the paper's counting rule."""
    row = cost_rows({item: ITEMS[item]})[0]
    return row["params_paper_rule"] / 1e6, row["gflops_paper_rule"]


def _is_ours(row: Row) -> bool:
    """Return whether the paper's authors searched the network of a row."""
    return not row.quoted and "model" not in row.changes


def systems_table(panel: str) -> pandas.DataFrame:
    """Return the systems of a panel of Figure 7 with their sources.

    Args:
        panel: mpii (a) or coco (b).

    Raises:
        ValueError: There is no such panel.
    """
    title = {"mpii": "PCKh@0.5", "coco": "OKS-AP"}[panel] if panel in PANELS else ""
    lines = []
    for system in systems_of(panel):
        size = "" if system.input is None else f"{system.input[0]} x {system.input[1]}"
        lines.append(
            {
                "system": system.name,
                "data": system.data,
                "input px": size,
                title: system.score,
                "PCKh@0.11 (headed @0.1)": system.strict_score,
                "params M": system.params_m,
                "G as published": system.gflops,
                "G at this input": system.cost,
                "GMAC counted here": system.gmac,
                "source": system.source,
                "note": system.note,
            }
        )
    return pandas.DataFrame(lines).set_index("system").dropna(axis="columns", how="all")

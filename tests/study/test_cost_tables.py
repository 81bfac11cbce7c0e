"""Tests of the costs of rows, and of published systems."""

import pytest

from posenfs.study.cost_tables import cost_table, latency_ms, latency_table
from posenfs.study.published import FRONTIER, frontier_table


def test_costs(rows):
    table = cost_table(rows)
    line = table.loc["synchronous"]
    assert line["params M, paper"] == 3.3 and line["G, paper"] == 1.2
    assert (
        round(line["params M by its rule"], 3) == 3.319 and round(line["G by its rule"], 3) == 1.164
    )
    assert round(line["params M measured"], 3) == 2.895 and round(line["GMAC measured"], 3) == 1.250
    assert (
        line["images/s"] == 21.0
        and line["hours of training"] == 0.5
        and line["where"] == "x86_64, 1 thread"
    )
    assert line["GMAC of our crop"] == 0.024
    times = latency_table(rows[:1], (1, 2))
    assert (times[["ms, batch of 1", "ms, batch of 2"]] > 0).all().all()
    assert times.iloc[0, 0] != latency_ms(rows[0]) > 0  # each batch is measured by itself
    others = frontier_table()
    assert len(others) == len(FRONTIER)
    square = others["GMAC at 256 x 256 (MPII)"]  # as published for that size
    assert square["HRNet-W32"] == pytest.approx(10.2, abs=0.05) and square[
        "Lite-HRNet-30"
    ] == pytest.approx(0.42, abs=0.01)

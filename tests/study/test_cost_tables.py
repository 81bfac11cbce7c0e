"""Tests of the costs of rows."""

import numpy as np

from posenfs.study.cost_tables import cost_table, latency_ms, latency_table
from posenfs.study.outcomes import outcomes
from tests.study.table_results import PROFILE


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


def test_printed_costs_are_those_of_the_row():
    """Table VI prints another number of parameters for HRNet-W32 than Table IV, and only Table II prints GPU days."""
    four, six, two = (
        cost_table([o for o in outcomes(table, PROFILE, []) if o.name in names])
        for table, names in (
            ("table_4", ("hrnet", "d4")),
            ("table_6", ("hrnet", "stacked_pbns")),
            ("table_2", ("random", "first_order")),
        )
    )
    columns = ["params M, paper", "G, paper"]
    assert four.loc["HRNet-W32", columns].tolist() == [28.5, 9.5]
    assert four.loc["d = 4", columns].tolist() == [3.3, 1.1]
    assert six.loc["HRNet-W32", columns].tolist() == [27.8, 9.5]
    assert six.loc["Stacked PBNs", "params M, paper"] == 26.7
    assert np.isnan(six.loc["Stacked PBNs", "params M measured"])
    assert two["GPU days, paper"].tolist() == [0.8, 0.9]
    assert "GPU days, paper" not in four and "network, paper" not in four
    assert six["network, paper"].tolist() == [
        "stem to stage 3 (8.1M) + stage 4 (19.7M)",
        "Stacked Hourglass + Stacked Branchnets",
    ]
    assert list(six)[:3] == ["network, paper", "params M, paper", "params M by its rule"]

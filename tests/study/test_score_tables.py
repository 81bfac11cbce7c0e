"""Tests of tables: their numbers computed another way, missing results, and written files."""

import numpy as np
import pytest
import scipy.stats

from posenfs.study.cost_tables import cost_table
from posenfs.study.outcomes import outcomes, primary_metric_of
from posenfs.study.score_tables import comparison_table, loss_comparison_table, score_table
from posenfs.study.table_files import caption
from tests.study.table_results import PROFILE, SCORES, result


def test_scores(rows):
    table = score_table(rows)
    for row, label in (("random", "random"), ("first_order", "first order")):
        line, scores = table.loc[label], SCORES[row]
        assert line["ours PCKh@0.5"] == pytest.approx(np.mean(scores))
        assert line["sd over seeds"] == pytest.approx(np.std(scores, ddof=1)) and line["seeds"] == 3
        low, high = scipy.stats.t.interval(0.95, 2, np.mean(scores), scipy.stats.sem(scores))
        assert line["95 % for the mean"] == f"{low:.1f} to {high:.1f}"
        assert line["95 % over people, first seed"] == f"{scores[0] - 2:.1f} to {scores[0] + 2:.1f}"
        assert line["ours PCKh@0.11"] == pytest.approx(np.mean(scores) / 4)
    assert table.loc["synchronous", "paper PCKh@0.5"] == 87.0
    assert np.isnan(table.loc["random", "paper PCKh@0.5"])


def test_comparisons(rows):
    table = comparison_table(rows)
    test = scipy.stats.ttest_ind(SCORES["first_order"], SCORES["synchronous"], equal_var=False)
    line = table.loc["first order"]
    assert line["minus"] == "synchronous" and line["p"] == pytest.approx(test.pvalue)
    assert line["p (Holm)"] == pytest.approx(min(1, 2 * test.pvalue)) and line[
        "verdict"
    ].startswith("worse by 9.1")
    assert table.loc["synchronous", "verdict"] == "not distinguishable at n = 3"
    paired = comparison_table(rows, paired=True).loc["first order"]
    assert paired["p"] == pytest.approx(
        scipy.stats.ttest_rel(SCORES["first_order"], SCORES["synchronous"]).pvalue
    )


def test_missing_results():
    some = outcomes("table_2", PROFILE, [result("random", 0, 50.0)])
    table = score_table(some)
    assert (
        table["seeds"].tolist() == [1, "missing", "missing"]
        and primary_metric_of(some) == "pckh@0.5"
    )
    verdicts = comparison_table(some)["verdict"].tolist()
    assert verdicts == ["no result: nothing can be said", "no result: nothing can be said"]
    assert "no run yet." in caption("table_2", outcomes("table_2", PROFILE, []))
    assert "1 run, evaluated on 60 people" in " ".join(caption("table_2", some).split())
    assert score_table(outcomes("table_7", PROFILE, []))["seeds"].tolist()[-2:] == [
        "quoted",
        "quoted",
    ]


def test_quoted_rows_and_other_printed_metrics():
    rows = outcomes("table_7", PROFILE, [])
    scores, costs = score_table(rows), cost_table(rows)
    assert (
        scores["paper OKS-AP"].dropna().tolist() == [67.4, 70.9, 72.3, 70.4, 74.4]
        and "paper PCKh@0.5" not in scores
    )
    assert costs.loc["HRNet-W32, 256 x 192", ["params M, paper", "GMAC measured"]].tolist() == [
        28.5,
        7.65,
    ]
    assert (
        costs.loc["SimpleBaseline-50", "G, paper"] == 8.9
        and "256 x 192" in costs.loc["SimpleBaseline-50", "note"]
    )
    assert comparison_table(rows)["minus"].tolist() == ["SimpleBaseline-50"] * 3
    assert set(comparison_table(outcomes("table_5", PROFILE, []))["minus"]) == {
        "MobileNet-V2, P = 3 (Table II's)"
    }


def test_comparison_of_final_losses():
    results = [
        result(row, seed, 50.0) for row in ("synchronous", "first_order") for seed in range(3)
    ]
    for entry, loss in zip(results, (1.0, 1.1, 1.2, 0.5, 0.6, 0.8), strict=True):
        entry["losses"][-1][1] = loss
    line = loss_comparison_table(outcomes("table_2", PROFILE, results)).loc["first order"]
    test = scipy.stats.ttest_ind((0.5, 0.6, 0.8), (1.0, 1.1, 1.2), equal_var=False)
    assert line["ours"] == pytest.approx(-1.4 / 3) and line["p"] == pytest.approx(test.pvalue)
    assert line["verdict"] == "lower by 0.5"

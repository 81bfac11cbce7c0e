"""Tests of tables: their numbers computed another way, missing results, and written files."""

import numpy as np
import pytest
import scipy.stats

from posenfs.study.cost_tables import cost_table
from posenfs.study.outcomes import outcomes, primary_metric_of
from posenfs.study.score_tables import (
    comparison_table,
    loss_comparison_table,
    printed_table,
    score_table,
)
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
    assert table["paper PCKh@0.5"].tolist() == [87.1, 87.0, 87.1]
    assert table["paper PCKh@0.11 (headed @0.1)"].tolist() == [35.2, 34.6, 34.7]
    assert table["paper ± of PCKh@0.5"].tolist() == ["0.2 (5 seeds)", "", ""]
    assert table["paper ± of PCKh@0.11"].tolist() == ["0.4 (5 seeds)", "", ""]


def test_comparisons(rows):
    table = comparison_table(rows)
    test = scipy.stats.ttest_ind(SCORES["first_order"], SCORES["synchronous"], equal_var=False)
    line = table.loc["first order"]
    assert line["minus"] == "synchronous" and line["p"] == pytest.approx(test.pvalue)
    assert line["p (Holm)"] == pytest.approx(min(1, 2 * test.pvalue)) and line[
        "verdict"
    ].startswith("worse by 9.1")
    assert table.loc["synchronous", "verdict"] == "not distinguishable at n = 3"
    assert table["paper"].tolist() == [-0.1, 0.1]  # 87.0 - 87.1, 87.1 - 87.0
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
    seeds = score_table(outcomes("table_7", PROFILE, []))["seeds"].tolist()
    assert seeds == ["quoted"] * 12 + ["missing"] * 4


def test_quoted_rows_and_other_printed_metrics():
    rows = outcomes("table_7", PROFILE, [])
    scores, costs = score_table(rows), cost_table(rows)
    assert scores["paper OKS-AP"].tolist() == [
        *(61.8, 63.1, 65.5, 67.8, 68.0, 68.5, 68.7, 69.6, 72.1, 73.7, 74.9, 75.5),
        *(70.2, 67.4, 70.9, 72.3),
    ]
    assert "paper PCKh@0.5" not in scores
    assert costs.loc["HRNet-W32", ["params M, paper", "G, paper"]].tolist() == [28.5, 16.0]
    assert (
        costs.loc["SimpleBaseline-50", "G, paper"] == 8.9
        and "256 x 192" in costs.loc["SimpleBaseline-50", "note"]
    )
    assert comparison_table(rows)["minus"].tolist() == ["SimpleBaseline-50"] * 3
    assert set(comparison_table(outcomes("table_5", PROFILE, []))["minus"]) == {
        "MobileNet-V2, P = 3 (Table II's)"
    }


def test_all_printed_scores_beside_ours():
    run = result("ours_b", 0, 50.0, "table_6")
    run["metrics"]["metrics"]["pckh@0.5/hard"] = 41.0
    table = printed_table(outcomes("table_6", PROFILE, [run]))
    hard = "PCKh@0.5, ten hard keypoints (†)"
    assert (
        table.loc["Stacked PBNs", "scores"] == "paper" and table.loc["Stacked PBNs", hard] == 88.14
    )
    paper, ours = table.loc["ours-b"].to_dict("records")
    assert paper["PCKh@0.5"] == 90.1 and paper["PCKh@0.11"] == 39.4 and np.isnan(paper[hard])
    assert ours["scores"] == "ours, n = 1"
    assert (ours["PCKh@0.5"], ours["PCKh@0.11"], ours[hard]) == (50.0, 12.5, 41.0)
    by_keypoint = printed_table(outcomes("table_5", PROFILE, []))
    assert list(by_keypoint) == [
        *("scores", "head", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "PCKh@0.5")
    ]
    assert len(by_keypoint) == 11
    assert printed_table(outcomes("table_3", PROFILE, [])).empty  # all in the table of scores


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

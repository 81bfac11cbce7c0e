"""Tests of tables: their numbers computed another way, missing results, and written files."""

import csv
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from posenfs.study.distinctness import Distinctness
from posenfs.study.experiments import FRONTIER, PROFILES, TABLES, choose_profile, experiment_of
from posenfs.study.results import configuration, numerics
from posenfs.study.row_costs import cost_table, frontier_table, latency_ms, latency_table
from posenfs.study.rows import (
    distinctness_table,
    mean_architectures,
    outcomes,
    primary_metric_of,
    searched_rows,
)
from posenfs.study.tables import (
    as_markdown,
    caption,
    comparison_table,
    loss_comparison_table,
    page_stem,
    score_table,
    write_table,
)

PROFILE = PROFILES["smoke"]
SCORES = {
    "random": (50.0, 47.0, 48.3),
    "synchronous": (50.5, 50.9, 48.2),
    "first_order": (41.4, 41.5, 39.3),
}


def result(row: str, seed: int, score: float, table: str = "table_2") -> dict:
    """Return a result as `collect` does."""
    experiment = experiment_of(TABLES[table].rows[row], PROFILE, seed)
    spec, generator = experiment.fabric, np.random.default_rng(seed)
    parts = ("upper_limb_part", "head_part", "lower_limb_part")
    return {
        "fingerprint": f"{row}{seed}",
        "numerics": numerics(experiment.model),
        "name": f"smoke_{row}{seed}",
        "configuration": json.loads(json.dumps(configuration(experiment))),
        "data": {"train": "a", "valid": "b", "weights": None},
        "metrics": {
            "primary_metric": "pckh@0.5",
            "metrics": {"pckh@0.5": score, "pckh@0.11": score / 4, "pckh@0.1": score / 5},
            "people": 75,  # 60 of them are evaluated
            "boxes": "annotated",
            "head_size": "0.6 x head-box diagonal",
            "intervals": {
                "pckh@0.5": {
                    "value": score,
                    "low": score - 2,
                    "high": score + 2,
                    "confidence": 0.95,
                    "people": 60,
                }
            },
            "params": 1_000_000,
            "multiply_adds": 24_000_000,
        },
        "architectures": {
            part: {
                "alpha": generator.normal(size=spec.alpha_shape).tolist(),
                "beta": generator.normal(size=spec.beta_shape).tolist(),
            }
            for part in parts
        },
        "losses": [[1, 4.0], [2, 3.0]],
        "epochs": [[2, score]],
        "provenance": {"created": "2026-01-01T00:00:00", "commit": "abc"},
        "time": {
            "images_per_s": 20.0 + seed,
            "hours": 0.5,
            "device": "x86_64",
            "threads": 1,
            "peak_mb": 900,
        },
    }


@pytest.fixture
def rows():
    results = [
        result(row, seed, score)
        for row, scores in SCORES.items()
        for seed, score in enumerate(scores)
    ]
    return outcomes("table_2", PROFILE, results)


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
    assert line["less"] == "synchronous" and line["p"] == pytest.approx(test.pvalue)
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
    assert "1 run, judged on 60 people" in " ".join(caption("table_2", some).split())
    assert score_table(outcomes("table_7", PROFILE, []))["seeds"].tolist()[-2:] == [
        "quoted",
        "quoted",
    ]


def test_costs(rows):
    table = cost_table(rows)
    line = table.loc["synchronous"]
    assert line["params M, paper"] == 3.3 and line["G, paper"] == 1.2
    assert round(line["by its rule"], 3) == 3.319 and round(line["G by its rule"], 3) == 1.164
    assert round(line["honest"], 3) == 2.895 and round(line["GMAC honest"], 3) == 1.250
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


def test_quoted_rows_and_other_printed_metrics():
    rows = outcomes("table_7", PROFILE, [])
    scores, costs = score_table(rows), cost_table(rows)
    assert (
        scores["paper OKS-AP"].dropna().tolist() == [67.4, 70.9, 72.3, 70.4, 74.4]
        and "paper PCKh@0.5" not in scores
    )
    assert costs.loc["HRNet-W32, 256 x 192", ["params M, paper", "GMAC honest"]].tolist() == [
        28.5,
        7.65,
    ]
    assert (
        costs.loc["SimpleBaseline-50", "G, paper"] == 8.9
        and "256 x 192" in costs.loc["SimpleBaseline-50", "note"]
    )
    assert comparison_table(rows)["less"].tolist() == ["SimpleBaseline-50"] * 3
    assert set(comparison_table(outcomes("table_5", PROFILE, []))["less"]) == {
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


def test_results_of_other_people_or_weights_are_left_out():
    most = [result("random", seed, 50.0) for seed in range(3)] + [result("synchronous", 0, 51.0)]
    others = [result("synchronous", seed, 60.0) for seed in range(2)]
    begun = result("synchronous", 1, 70.0)
    for entry in others:
        entry["data"] = {**entry["data"], "valid": "other people"}
    begun["data"] = {**begun["data"], "weights": "another file"}
    random, synchronous, first_order = outcomes("table_2", PROFILE, [*others, begun, *most])
    assert random.scores("pckh@0.5") == {0: 50.0, 1: 50.0, 2: 50.0} and random.left_out == 0
    assert synchronous.scores("pckh@0.5") == {0: 51.0} and synchronous.left_out == 3
    assert first_order.results == {} and "Left out: 3" in caption(
        "table_2", [random, synchronous, first_order]
    )


def test_verdicts_with_few_seeds():
    shown = Distinctness(
        "operations", (0.1,), (0.2,), 0.1, p=1 / 36, permutations=36, least_p=1 / 36
    )
    even = replace(shown, p=0.5)
    verdicts = distinctness_table({"P = 3": {"operations": shown, "sources": even}})[
        "verdict"
    ].tolist()
    assert verdicts[0].startswith("as far apart as so few seeds can show")
    assert verdicts[1] == "not distinguishable from the noise of seeds"
    alone = distinctness_table({"P = 3": {"operations": shown}})
    assert alone["verdict"].tolist() == ["parts differ"]


def test_architectures(rows):
    specs, means = mean_architectures(rows)
    assert list(specs) == list(means) and len(means) == 9 and "first order, head" in means
    seeds = [entry["architectures"]["head_part"]["alpha"] for entry in rows[0].results.values()]
    weights = np.exp(seeds) / np.exp(seeds).sum(-1, keepdims=True)
    np.testing.assert_allclose(
        means["random, head"].operation_weights.numpy(), weights.mean(0), atol=1e-6
    )
    assert {label: len(seeds) for label, (_, seeds) in searched_rows(rows).items()} == {
        "random": 3,
        "synchronous": 3,
        "first order": 3,
    }
    assert searched_rows(outcomes("table_2", PROFILE, [result("random", 0, 50.0)])) == {}


def test_each_size_has_its_own_files():
    profile = choose_profile("smoke", image_size=96, epochs=7, images=(30, 9))
    names = {
        page_stem("table_2", "smoke", outcomes("table_2", variant, []))
        for variant in (PROFILE, profile)
    }
    assert names == {"table_2_smoke", "table_2_smoke_30_9_images_96x96_7_epochs"}
    study = choose_profile("study", dataset="mpii", root="somewhere", batch_size=4)
    assert (
        page_stem("table_2", "study", outcomes("table_2", study, []))
        == "table_2_study_mpii_batch_4"
    )


def test_written_files(rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page, *tables = write_table("table_2", "smoke", rows)
    text = page.read_text()
    assert (
        text.startswith("# Table II: search strategies") and "| first order | synchronous |" in text
    )
    assert (
        "head size: 0.6 x head-box diagonal" in " ".join(text.split())
        and "not distinguishable at n = 3" in text
    )
    with open(tables[0]) as file:
        lines = list(csv.DictReader(file))
    assert [line["row"] for line in lines] == ["random", "synchronous", "first order"]
    assert float(lines[0]["ours PCKh@0.5"]) == pytest.approx(np.mean(SCORES["random"]))
    assert "| --- |" in as_markdown(score_table(rows))


def test_results_of_other_sizes_are_not_shown(rows):
    base = replace(PROFILE.base, image_size=(96, 96))
    other = outcomes(
        "table_2",
        replace(PROFILE, base=base),
        [result for row in rows for result in row.results.values()],
    )
    assert not any(outcome.results for outcome in other)
    with pytest.raises(ValueError, match="unknown table 'table_9'"):
        outcomes("table_9", PROFILE, [])


@pytest.mark.skipif(shutil.which("git") is None, reason="no git here")
def test_only_published_tables_are_seen_by_git(rows, tmp_path, monkeypatch):
    def changed() -> list[str]:
        command = ["git", "status", "--porcelain", "--untracked-files=all"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[
            1::2
        ]

    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").write_text("")
    shutil.copy(Path(__file__).parents[2] / ".gitignore", tmp_path)
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "--quiet"], check=True)
    before = changed()
    write_table("table_2", "study", rows)
    assert changed() == before
    page, *_ = write_table("table_2", "study", rows, publish=True)
    assert (
        page == tmp_path / "reports" / "tables" / page.name
        and f"reports/tables/{page.name}" in changed()
    )

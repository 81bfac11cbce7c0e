"""Tables: what stands in them is what the results hold, computed another way; missing is missing; what is written."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from posenfs.study.experiments import FRONTIER, PROFILES, TABLES, experiment_of
from posenfs.study.results import NUMERICS, configuration
from posenfs.study.row_costs import cost_table, frontier_table, latency_table
from posenfs.study.rows import headline_of, mean_architectures, outcomes, searched_rows
from posenfs.study.tables import as_markdown, caption, comparison_table, score_table, write_table

PROFILE = PROFILES["smoke"]
SCORES = {"random": (50.0, 47.0, 48.3), "synchronous": (50.5, 50.9, 48.2), "first_order": (41.4, 41.5, 39.3)}


def result(row: str, seed: int, score: float, table: str = "table_2") -> dict:
    """As `collect` makes it."""
    asked = experiment_of(TABLES[table].rows[row], PROFILE, seed)
    spec, generator = asked.fabric, np.random.default_rng(seed)
    parts = ("upper_limb_part", "head_part", "lower_limb_part")
    return {
        "fingerprint": f"{row}{seed}",
        "numerics": NUMERICS,
        "name": f"smoke_{row}{seed}",
        "configuration": json.loads(json.dumps(configuration(asked))),
        "data": {"train": "a", "valid": "b", "weights": None},
        "metrics": {
            "headline": "pckh@0.5",
            "metrics": {"pckh@0.5": score, "pckh@0.11": score / 4, "pckh@0.1": score / 5},
            "people": 60,
            "boxes": "annotated",
            "head_size": "0.6 x head-box diagonal",
            "intervals": {
                "pckh@0.5": {"value": score, "low": score - 2, "high": score + 2, "confidence": 0.95, "people": 60}
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
        "time": {"images_per_s": 20.0 + seed, "hours": 0.5, "device": "x86_64", "threads": 1, "peak_mb": 900},
    }


@pytest.fixture
def rows():
    found = [result(row, seed, score) for row, scores in SCORES.items() for seed, score in enumerate(scores)]
    return outcomes("table_2", PROFILE, found)


def test_scores(rows):
    table = score_table(rows)
    for row, label in (("random", "random"), ("first_order", "first order")):
        own, scores = table.loc[label], SCORES[row]
        assert own["ours PCKh@0.5"] == pytest.approx(np.mean(scores))
        assert own["sd over seeds"] == pytest.approx(np.std(scores, ddof=1)) and own["seeds"] == 3
        low, high = scipy.stats.t.interval(0.95, 2, np.mean(scores), scipy.stats.sem(scores))
        assert own["95 % for the mean"] == f"{low:.1f} to {high:.1f}"
        assert own["95 % over people, first seed"] == f"{scores[0] - 2:.1f} to {scores[0] + 2:.1f}"
        assert own["ours PCKh@0.11"] == pytest.approx(np.mean(scores) / 4)
    assert table.loc["synchronous", "paper PCKh@0.5"] == 87.0
    assert np.isnan(table.loc["random", "paper PCKh@0.5"])


def test_comparisons(rows):
    table = comparison_table(rows)
    found = scipy.stats.ttest_ind(SCORES["first_order"], SCORES["synchronous"], equal_var=False)
    own = table.loc["first order"]
    assert own["less"] == "synchronous" and own["p"] == pytest.approx(found.pvalue)
    assert own["p (Holm)"] == pytest.approx(min(1, 2 * found.pvalue)) and own["verdict"].startswith("worse by 9.1")
    assert table.loc["synchronous", "verdict"] == "not distinguishable at n = 3"
    paired = comparison_table(rows, paired=True).loc["first order"]
    assert paired["p"] == pytest.approx(scipy.stats.ttest_rel(SCORES["first_order"], SCORES["synchronous"]).pvalue)


def test_missing_is_missing():
    some = outcomes("table_2", PROFILE, [result("random", 0, 50.0)])
    table = score_table(some)
    assert table["seeds"].tolist() == [1, "missing", "missing"] and headline_of(some) == "pckh@0.5"
    verdicts = comparison_table(some)["verdict"].tolist()
    assert verdicts == ["no result: nothing can be said", "no result: nothing can be said"]
    assert "none yet" in caption("table_2", outcomes("table_2", PROFILE, []))
    assert score_table(outcomes("table_7", PROFILE, []))["seeds"].tolist()[-2:] == ["quoted", "quoted"]


def test_costs(rows):
    table = cost_table(rows)
    own = table.loc["synchronous"]
    assert own["params M, paper"] == 3.3 and own["G, paper"] == 1.2
    assert round(own["by its rule"], 3) == 3.319 and round(own["G by its rule"], 3) == 1.164
    assert round(own["honest"], 3) == 2.895 and round(own["GMAC honest"], 3) == 1.250
    assert own["images/s"] == 21.0 and own["hours a run"] == 0.5 and own["where"] == "x86_64, 1 threads"
    assert own["GMAC of our crop"] == 0.024
    times = latency_table(rows[:1], (1, 2))
    assert (times[["ms, batch of 1", "ms, batch of 2"]] > 0).all().all()
    assert len(frontier_table()) == len(FRONTIER)


def test_architectures(rows):
    specs, found = mean_architectures(rows)
    assert list(specs) == list(found) and len(found) == 9 and "first order, head" in found
    seeds = [own["architectures"]["head_part"]["alpha"] for own in rows[0].results.values()]
    weights = np.exp(seeds) / np.exp(seeds).sum(-1, keepdims=True)
    np.testing.assert_allclose(found["random, head"].operation_weights.numpy(), weights.mean(0), atol=1e-6)
    assert {label: len(own) for label, (_, own) in searched_rows(rows).items()} == {
        "random": 3,
        "synchronous": 3,
        "first order": 3,
    }
    assert searched_rows(outcomes("table_2", PROFILE, [result("random", 0, 50.0)])) == {}


def test_what_is_written(rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page, *tables = write_table("table_2", "smoke", rows)
    text = page.read_text()
    assert text.startswith("# Table II: search strategies") and "| first order | synchronous |" in text
    assert "head size: 0.6 x head-box diagonal" in text and "not distinguishable at n = 3" in text
    with open(tables[0]) as file:
        lines = list(csv.DictReader(file))
    assert [line["row"] for line in lines] == ["random", "synchronous", "first order"]
    assert float(lines[0]["ours PCKh@0.5"]) == pytest.approx(np.mean(SCORES["random"]))
    assert "| --- |" in as_markdown(score_table(rows))


def test_other_sizes_are_other_rows(rows):
    base = replace(PROFILE.base, image_size=(96, 96))
    other = outcomes("table_2", replace(PROFILE, base=base), [own for row in rows for own in row.results.values()])
    assert not any(own.results for own in other)
    with pytest.raises(ValueError, match="unknown table 'table_9'"):
        outcomes("table_9", PROFILE, [])

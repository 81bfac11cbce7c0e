"""Figures of ablations show every seed, the paper's scores, and empty rows."""

from dataclasses import replace

import pytest

from posenfs.study.outcomes import outcomes
from posenfs.study.profiles import PROFILES
from posenfs.viz.ablations import accuracy_against_cost, run_curves, run_list, score_dots
from tests.study.table_results import SCORES


def test_score_dots_show_every_seed(rows):
    seeds, means, paper, lines = score_dots(rows).data
    assert sorted(seeds.x) == sorted([*SCORES["random"], *SCORES["synchronous"], 41.4])
    assert list(means.y) == ["random", "synchronous", "first order"]
    assert means.error_x.array[2] == 0.0 < means.error_x.array[0]
    assert list(paper.x) == [87.1, 87.0, 87.1]
    assert list(paper.y) == ["random", "synchronous", "first order"]
    assert lines.y == means.y and set(lines.x) == {None}


def test_run_curves_show_every_run(rows):
    figure = run_curves(rows)
    assert len(figure.data) == 2 * 7
    assert [trace.name for trace in figure.data if trace.showlegend] == [
        "random",
        "synchronous",
        "first order",
    ]
    assert list(figure.data[0].y) == [4.0, 3.0]
    empty = run_curves([replace(row, results={}) for row in rows])
    assert not empty.data and empty.layout.title.text == "No runs yet"


def test_accuracy_against_cost(rows):
    figure = accuracy_against_cost(rows)
    paper, ours = figure.data
    assert list(paper.y) == [87.1, 87.0, 87.1] and paper.x == pytest.approx([1.250] * 3, abs=5e-4)
    assert list(ours.x) == [0.024] * 3
    assert accuracy_against_cost(rows, "params").data[0].x[0] == pytest.approx(2.895, abs=5e-4)
    times = accuracy_against_cost(rows, "latency")
    assert times.data[0].x[0] > times.data[1].x[0] > 0  # on the paper's image size, then on ours
    with pytest.raises(ValueError, match="against gmac, params, latency; got 'time'"):
        accuracy_against_cost(rows, "time")


def test_quoted_rows_have_no_cost_of_ours():
    figure = accuracy_against_cost(outcomes("table_6", PROFILES["smoke"], []), "params")
    assert "Stacked PBNs" not in [text.strip() for text in figure.data[0].text]


def test_run_list_has_every_run(rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = run_list(rows).to_html()
    assert page.count("results/smoke_") == 7 and "notebook" not in page and "abc" in page
    assert run_list(outcomes("table_2", PROFILES["smoke"], [])).to_html()

"""The page of a table has figures of its runs, and none without runs."""

import numpy as np

from posenfs.evaluation.seeds import mean_interval
from posenfs.study.outcomes import outcomes
from posenfs.study.profiles import PROFILES
from posenfs.viz.table_page import draw_runs, write_table_page
from tests.study.table_results import SCORES


def test_runs_figure_has_every_seed_and_interval(rows):
    scores, losses, epochs = draw_runs(rows).axes
    dots = [line for line in scores.lines if line.get_marker() == "o"]
    assert [sorted(line.get_xdata()) for line in dots[:2]] == [
        sorted(SCORES["random"]),
        sorted(SCORES["synchronous"]),
    ]
    (low, high), *_ = (line.get_xdata() for line in scores.lines if line.get_color() == "#222222")
    mean = mean_interval(dict(enumerate(SCORES["random"])))
    np.testing.assert_allclose((low, high), (mean.low, mean.high))
    assert [text.get_text() for text in losses.get_legend().get_texts()] == [
        "random",
        "synchronous",
        "first order",
    ]
    assert len(losses.lines) == len(epochs.lines) == 7


def test_page_shows_its_figures(rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page, *others = write_table_page("table_2", "smoke", rows)
    assert {path.name for path in others} == {
        *(f"table_2_smoke_{name}.csv" for name in ("scores", "comparisons", "costs")),
        "table_2_smoke_runs.png",
        "table_2_smoke_fabrics.svg",
    }
    for name in ("table_2_smoke_runs.png", "table_2_smoke_fabrics.svg"):
        assert f"]({name})" in page.read_text() and (page.parent / name).stat().st_size > 1000
    assert (page.parent / "table_2_smoke_fabrics.svg").read_text().count(">random, head<") == 1


def test_page_without_runs_has_no_figures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = write_table_page("table_2", "smoke", outcomes("table_2", PROFILES["smoke"], []))
    assert {path.suffix for path in files} == {".md", ".csv"} and "![" not in files[0].read_text()

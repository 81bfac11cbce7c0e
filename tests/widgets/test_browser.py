"""The table of runs: filter, sorting, comparison of the selected runs, and reports."""

import shutil
from dataclasses import replace

import nbformat
import pytest

from posenfs.search.run_dir import RunDir
from posenfs.study.runs import COLUMNS, runs_table
from posenfs.widgets.browser import RunBrowser
from tests.widgets.searches import search


@pytest.fixture(scope="module")
def runs(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, strategy, seed in (("one", "synchronous", 0), ("two", "random", 1)):
        settings = {
            "search": replace(tiny.search, strategy=strategy),
            "training": replace(tiny.training, seed=seed),
        }
        finished = search(replace(tiny, name=name, **settings), folder / name)
        finished.finish()
        finished.close()
    unfinished = search(replace(tiny, name="three"), folder / "three")
    unfinished.step()
    unfinished.close()
    return [RunDir(folder / name) for name in ("one", "two", "three")]


def test_table_has_a_row_per_run(runs):
    table = runs_table(runs).set_index("run")
    assert list(table.columns) == list(COLUMNS[1:]) and table.index.tolist() == [
        "one",
        "two",
        "three",
    ]
    assert table.state["one"] == "finished" and table.state["three"] == "gone"
    assert table.score["one"] == runs[0].metrics()["metrics"][runs[0].metrics()["primary_metric"]]
    assert table.GMAC["one"] > 0 and table.isna().loc["three", "GMAC"]
    assert runs_table([]).empty


def test_filter_and_sorting(runs):
    browser = RunBrowser(runs)
    assert all(f">{run.name}<" in browser.table.value for run in runs)
    browser.filter.value = "random FINISHED"
    assert browser.chosen.options == ("two",) and ">one<" not in browser.table.value
    browser.filter.value = "nothing like it"
    assert browser.chosen.options == () and "no such run" in browser.table.value
    browser.filter.value, browser.sort_by.value, browser.descending.value = "", "run", True
    assert browser.chosen.options == ("two", "three", "one")


def test_comparison_of_the_selected_runs(runs):
    browser = RunBrowser(runs)
    browser.chosen.value = ("one",)
    assert (
        "svg" in browser.graph.svg
        and browser.message.value == ""
        and len(browser.curves.figure.data) == 2
    )
    browser.chosen.value = ("one", "two")
    assert (
        "PCKh@0.5 of two less that of one" in browser.facts.value
        and len(browser.curves.figure.data) == 4
    )
    browser.chosen.value = ("one", "three")
    assert "has no logged alpha and beta yet" in browser.message.value
    assert "three has no result yet" in browser.message.value
    browser.chosen.value = ()
    assert browser.graph.svg == ""


def test_report_is_written_and_linked(runs):
    browser = RunBrowser(runs)
    browser.chosen.value = ("one", "two")
    cell = nbformat.v4.new_code_cell("1", outputs=[nbformat.v4.new_output("stream", text="seen")])
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), runs[0].folder / "notebook.ipynb")
    browser.report.click()
    assert "seen" in (runs[0].folder / "notebook.html").read_text()
    assert (
        "notebook.html" in str(browser.reports.outputs)
        and "no executed notebook" in browser.message.value
    )


def test_scores_are_compared_where_the_parts_differ(runs, tiny, tmp_path):
    other = search(replace(tiny, name="one_part", parts=1), tmp_path / "one_part")
    other.finish()
    other.close()
    browser = RunBrowser([runs[0], other.run])
    browser.chosen.value = ("one", "one_part")
    assert "PCKh@0.5 of one_part less that of one" in browser.facts.value and browser.message.value


def test_damaged_run_does_not_hide_other_runs(runs, tmp_path):
    shutil.copytree(runs[0].folder, tmp_path / "<b>odd")
    (tmp_path / "<b>odd" / "config.json").write_text('{"kind": "of another version"}')
    browser = RunBrowser([runs[0], RunDir(tmp_path / "<b>odd")])
    assert "broken: " in browser.table.value and ">one<" in browser.table.value
    assert "&lt;b&gt;odd" in browser.table.value and "<b>odd" not in browser.table.value
    browser.chosen.value = ("<b>odd",)
    assert "config.json" in browser.message.value


def test_damaged_notebook_is_reported(runs, tmp_path):
    shutil.copytree(runs[0].folder, tmp_path / "torn")
    (tmp_path / "torn" / "notebook.ipynb").write_text('{"cells": [')
    browser = RunBrowser([RunDir(tmp_path / "torn")])
    browser.chosen.value = ("torn",)
    browser.report.click()
    assert "is not a notebook" in browser.message.value

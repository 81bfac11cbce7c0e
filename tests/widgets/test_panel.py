"""The panel without a browser: it shows the state of the run's folder."""

import asyncio
import os
import re
import threading
import time
from dataclasses import replace

import pytest

from posenfs.messages import plain_name
from posenfs.search.checkpoints import RunError
from posenfs.search.detached import DetachOptions, detach, send
from posenfs.search.run_dir import RunDir
from posenfs.widgets.panel import SearchPanel
from tests.widgets.searches import search


@pytest.fixture
def panel(tiny, tmp_path):
    panel = SearchPanel(search(tiny, tmp_path / "run"))
    yield panel
    panel.controller.stop()
    panel.controller.wait()


def until(panel, condition, patience=60):
    end = time.monotonic() + patience
    while not condition() and time.monotonic() < end:
        panel.refresh()
        time.sleep(0.02)
    assert condition(), (panel.state.value, panel.message.value)


def press(panel, name):
    until(panel, lambda: not panel.buttons[name].disabled)
    panel.buttons[name].click()


def test_buttons(panel):
    assert "ready" in panel.state.value and panel.buttons["pause"].disabled
    press(panel, "step")
    until(
        panel, lambda: "paused" in panel.state.value and "step <b>1</b> of 8" in panel.state.value
    )
    press(panel, "epoch")
    until(
        panel, lambda: "paused" in panel.state.value and "step <b>4</b> of 8" in panel.state.value
    )
    assert panel.checkpoint.options == [0, 4] and panel.checkpoint.value == 4
    panel.checkpoint.value = 0
    press(panel, "rewind")
    until(panel, lambda: "step <b>0</b> of 8" in panel.state.value and not panel.controller.doing)
    press(panel, "run")
    until(panel, lambda: "finished" in panel.state.value)
    assert (
        panel.buttons["run"].disabled and panel.buttons["stop"].disabled and panel.bar.value == 1.0
    )
    panel.name.value = "side"
    panel.checkpoint.value = 4
    press(panel, "branch")
    panel.controller.wait()
    assert RunDir(panel.run.folder.with_name("side")).status()["step"] == 4


@pytest.mark.parametrize("number", range(7))
def test_every_tab_shows_its_view(panel, number):
    panel.controller.search.finish()
    panel.tabs.selected_index = number
    view = panel.views[number]
    until(panel, lambda: not getattr(view, "busy", False))
    panel.refresh()
    assert panel.message.value == ""
    content = str([vars(view)[key] for key in vars(view)])
    assert len(content) > 300


def test_fabric_of_a_step(panel):
    search = panel.controller.search
    search.finish()
    panel.refresh()
    fabric = panel.views[3]
    panel.tabs.selected_index = 3
    now = fabric.graph.svg
    assert fabric.follow.value and panel.checkpoint.value == 8
    panel.checkpoint.value = 0
    assert fabric.step.value == 0 and not fabric.follow.value and fabric.graph.svg != now
    first_part = plain_name(next(iter(fabric.subject.specs)))
    for label in ("the beginning", "step 4", first_part):
        fabric.subtracted.value = dict(fabric.subtracted.options)[label]
        assert "svg" in fabric.graph.svg
    fabric.cell.value = fabric.cell.options[1][1]
    assert "svg" in fabric.cell_graph.svg
    fabric.cell.value = None
    assert fabric.cell_graph.svg == ""
    part = list(fabric.subject.specs)[1]
    node = re.search(r'class="node cell">\s*<title>(1/[^<]+)</title>', fabric.graph.svg)[1]
    fabric._select_cell(node)  # as a click does
    assert fabric.cell.value[0] == part and "svg" in fabric.cell_graph.svg
    fabric._select_cell(node)
    assert fabric.cell.value is None
    fabric.follow.value = True
    fabric.subtracted.value = None
    assert fabric.graph.svg == now


def test_run_open_in_another_process(panel):
    other = SearchPanel(RunDir(panel.run.folder), "cpu")  # as another notebook has it
    assert (
        "This run is open in" in other.message.value
        and f"process {os.getpid()}" in other.message.value
    )
    assert all(
        other.buttons[name].disabled for name in ("run", "pause", "step", "ten", "epoch", "stop")
    )


def test_run_whose_process_is_gone(tiny, tmp_path):
    closed = search(tiny, tmp_path / "run")
    closed.close()
    panel = SearchPanel(RunDir(closed.run.folder), "cpu")
    assert "exited unexpectedly" in panel.state.value and not panel.buttons["run"].disabled


def test_error_is_shown(panel):
    panel.name.value = "a/b"
    press(panel, "branch")
    panel.controller.wait()
    panel.refresh()
    assert "an experiment&#x27;s name is a folder&#x27;s name" in panel.message.value


def test_new_panel_shows_the_same(panel):
    panel.controller.search.finish()
    panel.refresh()
    other = SearchPanel(RunDir(panel.run.folder), "cpu")
    assert (
        other.state.value == panel.state.value
        and other.checkpoint.options == panel.checkpoint.options
    )


def test_experiment_runs_in_a_separate_process(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "notebooks").mkdir()
    first = SearchPanel(replace(tiny, name="apart"), "cpu")
    assert "ready" in first.state.value and "step <b>0</b> of ?" in first.state.value
    press(first, "step")
    until(
        first, lambda: "paused" in first.state.value and "step <b>1</b> of 8" in first.state.value
    )
    again = SearchPanel(replace(tiny, name="apart"), "cpu")  # as in a new kernel
    assert again.state.value == first.state.value and again.run.status()["pid"] != os.getpid()
    press(again, "stop")
    until(again, lambda: "stopped" in again.state.value and not again.controller.under_way)
    with pytest.raises(RunError, match="holds another experiment"):
        SearchPanel(replace(tiny, name="apart", vector_dim=4))


def test_finished_runs_to_the_end_without_a_kernel(panel, capsys):
    metrics = asyncio.run(panel.finished())
    assert metrics == panel.run.metrics()["metrics"] and panel.controller.search.finished
    assert "svg" in panel.static_html() and "data:image/png" in panel.static_html()


def test_finished_waits_for_the_process_that_runs_the_search(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = DetachOptions("cpu", wait_for_command=True)
    run, results = detach(replace(tiny, name="apart"), None, options), []
    panel = SearchPanel(replace(tiny, name="apart"), "cpu")
    waiting = threading.Thread(target=lambda: results.append(asyncio.run(panel.finished())))
    waiting.start()
    send(run, "resume")
    waiting.join(60)
    assert results == [run.metrics()["metrics"]]

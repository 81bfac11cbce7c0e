"""Commands to a search in this kernel, in another process, and to one that is not running."""

import threading
import time
from dataclasses import replace

import pytest

from posenfs.search.control import Command, CommandFile
from posenfs.search.run_dir import RunDir
from posenfs.widgets.controller import SearchController
from tests.search.test_detached import long, wait_for  # noqa: F401
from tests.search.test_session import same_run, search, undisturbed  # noqa: F401
from tests.sweeps import sweep


def until(condition, patience=60):
    end = time.monotonic() + patience
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    assert condition()


WAYS = ("in this kernel", "in another process")


@pytest.fixture(params=WAYS)
def driver(request, tiny, tmp_path):
    opened = search(tiny, tmp_path / "run")
    if request.param == "in this kernel":
        driver = SearchController(opened)
    else:
        opened.close()
        driver = SearchController(RunDir(opened.run.folder), "cpu")
    yield driver
    driver.stop()
    driver.wait()
    until(lambda: not driver.under_way)


def test_step_pause_rewind_and_run_give_the_same_result(driver, undisturbed):  # noqa: F811
    run = driver.run
    driver.step(1)
    driver.wait()
    until(lambda: run.status()["state"] == "paused" and run.status()["step"] == 1)
    driver.step(3)
    until(lambda: run.status()["state"] == "paused" and run.status()["step"] == 4)
    assert run.history()[-1]["step"] == 4  # a paused search has written its history
    driver.rewind(2)
    driver.wait()
    assert driver.error == "" and run.status()["state"] == "paused" and run.status()["step"] == 2
    driver.go()
    until(lambda: run.status()["state"] == "finished" and not driver.under_way)
    assert driver.error == ""
    same_run(run.folder, undisturbed)
    # Commands of the same kernel go through memory, those to another process through a file.
    assert (run.folder / "control.json").exists() == (driver.search is None)


@pytest.mark.parametrize("driver", sweep(WAYS, fast=WAYS[:1]), indirect=True)
def test_finished_search_is_rewound_and_branched(driver, undisturbed):  # noqa: F811
    run = driver.run
    driver.go()
    until(lambda: run.status().get("state") == "finished" and not driver.under_way)
    driver.branch(3, "other")
    driver.wait()
    assert driver.error == "" and RunDir(run.folder.with_name("other")).status()["step"] == 3
    driver.rewind(1)
    driver.wait()
    assert driver.error == "" and run.status()["step"] == 1 and run.metrics() == {}
    driver.go()
    until(lambda: run.status()["state"] == "finished" and not driver.under_way)
    same_run(run.folder, undisturbed)


def test_last_error_is_kept(driver):
    driver.rewind(99)
    driver.wait()
    assert (
        driver.error
        == "ValueError: this search is at step 0: it can be rewound to step 0 to 0, not 99"
    )
    driver.branch(0, "a/b")
    driver.wait()
    assert "an experiment's name is a folder's name" in driver.error


def test_drivers_of_a_search_share_its_queue(tiny, tmp_path, undisturbed):  # noqa: F811
    """A branch by an editor, or a second panel, does not disturb the running steps."""
    opened = search(tiny, tmp_path / "run")
    first, second = SearchController(opened), SearchController(opened)
    first.step(3)
    first.wait()
    assert second.under_way
    second.branch(0, "side")
    second.wait()
    assert second.error == "" and RunDir(tmp_path / "side").status()["step"] == 0
    until(lambda: first.run.status()["step"] == 3 and second.accepts_commands)
    second.go()
    until(lambda: first.run.status()["state"] == "finished" and not first.under_way)
    assert first.error == second.error == ""
    same_run(opened.run.folder, undisturbed)


@pytest.mark.parametrize("driver", sweep(WAYS, fast=WAYS[:1]), indirect=True)
def test_commands_right_after_the_end(driver, undisturbed):  # noqa: F811
    """While the thread or process of an ended search still exists, commands start a new one."""
    run = driver.run
    driver.step(2)
    until(lambda: run.status()["state"] == "paused" and run.status()["step"] == 2)
    driver.stop()
    until(lambda: run.status()["state"] == "interrupted")
    CommandFile(run.folder).send(
        Command("stop")
    )  # as if pressed twice: no search processes this one
    driver.go()
    until(lambda: run.status()["state"] == "finished")
    driver.rewind(2)
    driver.wait()
    assert driver.error == "" and run.status()["step"] == 2
    driver.go()
    until(lambda: run.status()["state"] == "finished" and not driver.under_way)
    same_run(run.folder, undisturbed)


def test_a_run_open_elsewhere_is_not_waited_for(tiny, tmp_path, monkeypatch):
    """A notebook has a Search on the run, and nobody runs it: nothing can be steered, a branch can begin."""
    monkeypatch.setattr("posenfs.widgets.controller._SETTLING", 0.1)
    held = search(tiny, tmp_path / "run")
    while held.step_number < 4:
        held.step()
    held.checkpoint()
    held.close()
    held = search(tiny, tmp_path / "run")
    driver = SearchController(RunDir(held.run.folder), "cpu")
    driver.rewind(1)
    driver.wait()
    assert (
        "is open in a Python process" in driver.error
        and "does not search: continue there" in driver.error
    )
    driver.branch(4, "side")
    driver.wait()
    assert driver.error == "" and RunDir(tmp_path / "side").status()["step"] == 4
    held.close()


def test_new_search_takes_over_a_paused_run(tiny, tmp_path):
    """When its cell is run again, the old thread ends and writes nothing more."""
    first = SearchController(
        search(replace(tiny, training=replace(tiny.training, epochs=1000)), tmp_path)
    )
    first.step(2)
    until(lambda: first.run.status()["state"] == "paused" and first.run.status()["step"] == 2)
    second = search(first.search.experiment, tmp_path)
    status = second.run.status()
    until(lambda: not first.under_way, patience=20)
    assert "has released" in first.error and second.run.status() == status
    names = [thread.name for thread in threading.enumerate()]
    assert f"search {first.run.name}" not in names
    second.step()
    second.close()


def test_new_search_takes_over_a_running_run(long, tmp_path):  # noqa: F811
    first = SearchController(search(long, tmp_path))
    first.go()
    until(lambda: first.run.status()["step"] > 3)
    second = search(long, tmp_path)
    until(lambda: not first.under_way, patience=20)
    steps = [row["step"] for row in second.run.history() if "loss" in row]
    assert steps == list(range(1, second.step_number + 1))
    second.close()

"""Orders to a search: in this kernel, in another process, and where none is under way."""

import threading
import time
from dataclasses import replace

import pytest

from posenfs.search.run import Run
from posenfs.workbench.driver import Driver
from tests.search.test_detached import long, wait_for  # noqa: F401
from tests.search.test_engine import same_run, search, undisturbed  # noqa: F401
from tests.sweeps import sweep


def until(condition, patience=60):
    end = time.monotonic() + patience
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    assert condition()


WAYS = ("in this kernel", "in another process")


@pytest.fixture(params=WAYS)
def driver(request, tiny, tmp_path):
    going = search(tiny, tmp_path / "run")
    if request.param == "in this kernel":
        own = Driver(going)
    else:
        going.close()
        own = Driver(Run(going.run.folder), "cpu")
    yield own
    own.stop()
    own.wait()
    until(lambda: not own.under_way)


def test_stepped_held_rewound_and_run_to_the_same_end(driver, undisturbed):  # noqa: F811
    run = driver.run
    driver.step(1)
    driver.wait()
    until(lambda: run.status()["state"] == "paused" and run.status()["step"] == 1)
    driver.step(3)
    until(lambda: run.status()["state"] == "paused" and run.status()["step"] == 4)
    assert run.history()[-1]["step"] == 4  # a held search has written what it did
    driver.rewind(2)
    driver.wait()
    assert driver.error == "" and run.status()["state"] == "paused" and run.status()["step"] == 2
    driver.go()
    until(lambda: run.status()["state"] == "finished" and not driver.under_way)
    assert driver.error == ""
    same_run(run.folder, undisturbed)


@pytest.mark.parametrize("driver", sweep(WAYS, fast=WAYS[:1]), indirect=True)
def test_a_finished_search_goes_back_and_branches(driver, undisturbed):  # noqa: F811
    run = driver.run
    driver.go()
    until(lambda: run.status().get("state") == "finished" and not driver.under_way)
    driver.branch(3, "other")
    driver.wait()
    assert driver.error == "" and Run(run.folder.with_name("other")).status()["step"] == 3
    driver.rewind(1)
    driver.wait()
    assert driver.error == "" and run.status()["step"] == 1 and run.metrics() == {}
    driver.go()
    until(lambda: run.status()["state"] == "finished" and not driver.under_way)
    same_run(run.folder, undisturbed)


def test_what_goes_wrong_is_kept(driver):
    driver.rewind(99)
    driver.wait()
    assert driver.error == "ValueError: this search is at step 0: it can go back to one from 0 to that, not 99"
    driver.branch(0, "a/b")
    driver.wait()
    assert "an experiment's name is a folder's name" in driver.error


def test_everyone_who_steers_a_search_has_the_same_hands(tiny, tmp_path, undisturbed):  # noqa: F811
    """An editor's branch, and a panel shown twice, leave the step under way alone."""
    going = search(tiny, tmp_path / "run")
    first, second = Driver(going), Driver(going)
    first.step(3)
    first.wait()
    assert second.under_way
    second.branch(0, "side")
    second.wait()
    assert second.error == "" and Run(tmp_path / "side").status()["step"] == 0
    until(lambda: first.run.status()["step"] == 3 and second.heeds)
    second.go()
    until(lambda: first.run.status()["state"] == "finished" and not first.under_way)
    assert first.error == second.error == ""
    same_run(going.run.folder, undisturbed)


@pytest.mark.parametrize("driver", sweep(WAYS, fast=WAYS[:1]), indirect=True)
def test_orders_right_after_the_end(driver, undisturbed):  # noqa: F811
    """It has ended and its thread or process has not yet: the next order is for a new one, and no old one is."""
    run = driver.run
    driver.step(2)
    until(lambda: run.status()["state"] == "paused" and run.status()["step"] == 2)
    driver.stop()
    until(lambda: run.status()["state"] == "interrupted")
    run.command("stop")  # pressed twice: nobody heeds this one
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
    monkeypatch.setattr("posenfs.workbench.driver._SETTLING", 0.1)
    held = search(tiny, tmp_path / "run")
    while held.step_number < 4:
        held.step()
    held.snapshot()
    held.close()
    held = search(tiny, tmp_path / "run")
    driver = Driver(Run(held.run.folder), "cpu")
    driver.rewind(1)
    driver.wait()
    assert "is open in a Python process" in driver.error and "does not search: go on there" in driver.error
    driver.branch(4, "side")
    driver.wait()
    assert driver.error == "" and Run(tmp_path / "side").status()["step"] == 4
    held.close()


def test_made_anew_it_takes_over(tiny, tmp_path):
    """The cell is run again: the old thread ends and writes nothing more."""
    first = Driver(search(replace(tiny, run=replace(tiny.run, epochs=1000)), tmp_path))
    first.step(2)
    until(lambda: first.run.status()["state"] == "paused" and first.run.status()["step"] == 2)
    second = search(first.search.experiment, tmp_path)
    status = second.run.status()
    until(lambda: not first.under_way, patience=20)
    assert "has let go of" in first.error and second.run.status() == status
    assert not [own for own in threading.enumerate() if own.name == f"search {first.run.name}"]
    second.step()
    second.close()


def test_a_running_one_too(long, tmp_path):  # noqa: F811
    first = Driver(search(long, tmp_path))
    first.go()
    until(lambda: first.run.status()["step"] > 3)
    second = search(long, tmp_path)
    until(lambda: not first.under_way, patience=20)
    steps = [row["step"] for row in second.run.history() if "loss" in row]
    assert steps == list(range(1, second.step_number + 1))
    second.close()

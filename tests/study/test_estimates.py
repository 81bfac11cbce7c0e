"""Tests of the plan: duration, memory, load, and the differences that seeds can show."""

from dataclasses import replace

import pytest
import torch

from posenfs.evaluation.power import power
from posenfs.study import calibration
from posenfs.study.calibration import Load
from posenfs.study.estimates import estimate, plan_text
from posenfs.study.fingerprints import DataFingerprints
from posenfs.study.plan import plan
from posenfs.study.profiles import choose_profile


def test_plan_of_a_table(drawn):
    profile, prints = (
        choose_profile("smoke", dataset="mpii", root=str(drawn)),
        DataFingerprints(progress=False),
    )
    runs = plan(["table_2"], profile, 3, prints)
    threads = torch.get_num_threads()
    estimates = estimate(runs, prints, "cpu", 1, progress=False)
    assert torch.get_num_threads() == threads
    assert len(estimates) == 9 and all(
        estimated.seconds > 30 and estimated.memory > 1e7 for estimated in estimates
    )
    assert len({(estimated.params, estimated.multiply_adds) for estimated in estimates}) == 1
    states = {run.key: "done" if run.experiment.training.seed == 0 else "new" for run in runs}
    left = [estimated for estimated in estimates if states[estimated.planned.key] != "done"]
    text = plan_text(runs, left, states, 3, 2, (1.5, "measured"))
    assert "6 runs of 9 to do" in text and "2 at a time" in text and "table_2 first_order" in text
    assert "(standard deviation; measured)" in text and "3 seeds per row detect" in text
    needed = int(text.rpartition("2 points: ")[2].split(",")[0])
    assert power(2.0, 1.5, needed) >= 0.8 > power(2.0, 1.5, needed - 1)


def test_longer_runs_take_longer(drawn):
    profile, prints = (
        choose_profile("smoke", dataset="mpii", root=str(drawn)),
        DataFingerprints(progress=False),
    )
    (short,) = estimate(
        plan(["table_2"], profile, 1, prints, ["random"]), prints, "cpu", 1, progress=False
    )
    base = replace(profile.base, training=replace(profile.base.training, epochs=1000))
    runs = plan(["table_2"], replace(profile, base=base), 1, prints, ["random"])
    (long,) = estimate(runs, prints, "cpu", 1, progress=False)
    assert long.seconds - 30 > 100 * (short.seconds - 30) and long.memory == short.memory


def test_warm_up_is_excluded_and_durations_are_a_range(drawn, monkeypatch):
    profile, prints = (
        choose_profile("smoke", dataset="mpii", root=str(drawn)),
        DataFingerprints(progress=False),
    )
    runs = plan(["table_2"], profile, 1, prints, ["synchronous"])
    training = runs[0].experiment.training
    # Steps and predictions alternate; after a warm-up of two each, they take 1000 s or 2000 s.
    seconds = iter([1e6] * 4 + [1000.0] * 20 + [2000.0] * 20)
    monkeypatch.setattr(calibration, "_timed", lambda work, device: next(seconds))
    monkeypatch.setattr(calibration, "_SECONDS", 1e9)
    (estimated,) = estimate(runs, prints, "cpu", 1, progress=False)
    train, valid = prints.people(runs[0].experiment)
    steps = 1000 * training.epochs * (train + 2 * valid) / min(8, training.batch_size)
    assert estimated.duration.low == pytest.approx(
        30 + steps
    ) and estimated.duration.high == pytest.approx(30 + 2 * steps)
    assert estimated.seconds == pytest.approx(30 + 1.5 * steps)
    assert 30 < estimated.processor < estimated.duration.low  # really measured on this machine
    low, high = ((30 + k * steps) / 3600 for k in (1, 2))
    text = plan_text(runs, [estimated], {runs[0].key: "new"}, 1, 1, (1.5, "measured"))
    assert (
        f" {low:.2f}–{high:.2f}\n" in text
        and f"1 runs of 1 to do: {low:.1f}–{high:.1f} h, " in text
    )


def test_finished_runs_have_no_hours(drawn):
    profile, prints = (
        choose_profile("smoke", dataset="mpii", root=str(drawn)),
        DataFingerprints(progress=False),
    )
    runs = plan(["table_2"], profile, 2, prints)
    text = plan_text(
        runs, [], {run.key: "done" for run in runs}, 2, 1, (1.5, "measured"), Load(0.0, 2, 0.0)
    )
    assert (
        "0 runs of 6 to do" in text
        and "table_2 random" in text
        and "while this was measured" not in text
    )


def test_the_load_of_a_busy_machine_is_reported(drawn):
    profile, prints = (
        choose_profile("smoke", dataset="mpii", root=str(drawn)),
        DataFingerprints(progress=False),
    )
    runs = plan(["table_2"], profile, 1, prints, ["synchronous"])
    estimates = [
        replace(estimated, processor=7200.0)
        for estimated in estimate(runs, prints, "cpu", 1, progress=False)
    ]
    states = {runs[0].key: "new"}
    busy = plan_text(runs, estimates, states, 1, 1, (1.5, "measured"), Load(1.0, 2, 1.2))
    assert (
        "other processes used 1.0 of 2 cores while this was measured (load average before: 1.2)"
        in busy
    )
    assert "expect at most about 2.0 h" in busy
    assert "otherwise idle" in plan_text(
        runs, estimates, states, 1, 1, (1.5, "measured"), Load(0.02, 2, 0.1)
    )
    on_gpu = [replace(estimated, processor=None) for estimated in estimates]
    assert "on an idle machine for" in plan_text(
        runs, on_gpu, states, 1, 1, (1.5, "measured"), Load(1.0, 2, 1.2)
    )


def test_one_seed_shows_no_difference():
    assert plan_text([], [], {}, 1, 1, (2.0, "measured")).count("detect") == 1
    assert "1 points: 64" in plan_text([], [], {}, 1, 1, (2.0, "measured"))

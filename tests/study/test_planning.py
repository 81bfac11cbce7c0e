"""Plans: sums of what runs take, and which differences seeds would tell."""

from dataclasses import replace

import torch

from posenfs.evaluation.seeds import power
from posenfs.study.ablation import plan
from posenfs.study.experiments import choose_profile
from posenfs.study.planning import estimate, plan_text
from posenfs.study.results import DataFingerprints


def test_what_a_plan_says(drawn):
    profile, prints = choose_profile("smoke", dataset="mpii", root=str(drawn)), DataFingerprints(progress=False)
    runs = plan(["table_2"], profile, 3, prints)
    threads = torch.get_num_threads()
    found = estimate(runs, prints, "cpu", 1, progress=False)
    assert torch.get_num_threads() == threads
    assert len(found) == 9 and all(own.seconds > 30 and own.memory > 1e7 for own in found)
    assert len({(own.params, own.multiply_adds) for own in found}) == 1
    states = {own.key: "done" if own.experiment.run.seed == 0 else "new" for own in runs}
    text = plan_text(found, states, 3, 2, (1.5, "measured"))
    assert "6 runs of 9 to do" in text and "2 at a time" in text and "table_2 first_order" in text
    assert "(standard deviation; measured)" in text and "3 seeds a row would tell" in text
    needed = int(text.rpartition("2 points: ")[2].split(",")[0])
    assert power(2.0, 1.5, needed) >= 0.8 > power(2.0, 1.5, needed - 1)


def test_longer_runs_take_longer(drawn):
    profile, prints = choose_profile("smoke", dataset="mpii", root=str(drawn)), DataFingerprints(progress=False)
    (short,) = estimate(plan(["table_2"], profile, 1, prints, ["random"]), prints, "cpu", 1, progress=False)
    base = replace(profile.base, run=replace(profile.base.run, epochs=1000))
    runs = plan(["table_2"], replace(profile, base=base), 1, prints, ["random"])
    (long,) = estimate(runs, prints, "cpu", 1, progress=False)
    assert long.seconds - 30 > 100 * (short.seconds - 30) and long.memory == short.memory


def test_one_seed_tells_nothing():
    assert plan_text([], {}, 1, 1, (2.0, "measured")).count("would tell") == 1
    assert "1 points: 64" in plan_text([], {}, 1, 1, (2.0, "measured"))

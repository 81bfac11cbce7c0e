"""Tests of the plan: rows with equal experiments share a run."""

import pytest

from posenfs.study.fingerprints import DataFingerprints
from posenfs.study.plan import plan
from posenfs.study.profiles import choose_profile


def test_rows_with_equal_experiments_share_a_run(drawn):
    profile = choose_profile("smoke", dataset="mpii", root=str(drawn))
    runs = plan(
        ["table_2", "table_3", "table_4", "figure_6"], profile, 2, DataFingerprints(progress=False)
    )
    shared = [run for run in runs if ("table_2", "synchronous") in run.rows]
    assert [run.experiment.training.seed for run in shared] == [0, 1]
    assert shared[0].rows == (
        ("table_2", "synchronous"),
        ("table_3", "p3"),
        ("table_4", "d8"),
        ("figure_6", "d8"),
    )
    assert len({run.key for run in runs}) == len(runs) == 2 * (3 + 3 + 7)
    seeds = [run.experiment.training.seed for run in runs]
    assert seeds == sorted(seeds)
    with pytest.raises(ValueError, match="unknown table 'table_1'; known: table_2"):
        plan(["table_1"], profile, 1, DataFingerprints(progress=False))
    chosen = plan(["table_2"], profile, 1, DataFingerprints(progress=False), ["random"])
    assert [run.title for run in chosen] == ["table_2 random, seed 0"]
    with pytest.raises(
        ValueError, match="unknown row 'p3'; known: random, synchronous, first_order"
    ):
        plan(["table_2"], profile, 1, DataFingerprints(progress=False), ["p3"])
    with pytest.raises(ValueError, match="at least 1 seed; got 0"):
        plan(["table_2"], profile, 0, DataFingerprints(progress=False))

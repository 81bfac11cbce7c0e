"""Intervals that hold what they say, and comparisons that find no difference where there is none."""

import numpy as np
import pytest
from scipy.stats import binom

from posenfs.evaluation.metrics import pck
from posenfs.evaluation.stats import compare_pck, pck_interval


def people(random, share, count=200, keypoints=1):
    """Errors of which a share is at most 0.5."""
    errors = np.where(random.random((count, keypoints)) < share, 0.2, 0.9)
    errors[random.random(errors.shape) < 0.1] = np.nan
    return errors


def test_the_value_is_the_metrics():
    errors = people(np.random.default_rng(0), 0.7, keypoints=5)
    assert pck_interval(errors, 0.5).value == pytest.approx(pck(errors, 0.5))
    assert pck_interval(errors, 0.5) == pck_interval(errors, 0.5)


def test_the_interval_is_binomials_where_people_are_coins():
    errors = np.where(np.arange(400)[:, None] < 300, 0.1, 0.9)
    found = pck_interval(errors, 0.5)
    low, high = (100 * binom.ppf(q, 400, 0.75) / 400 for q in (0.025, 0.975))
    assert found.low == pytest.approx(low, abs=0.6) and found.high == pytest.approx(high, abs=0.6)


def test_it_holds_the_truth_as_often_as_it_says():
    random = np.random.default_rng(1)
    intervals = [pck_interval(people(random, 0.8, 150, 3), 0.5) for _ in range(150)]
    held = np.mean([i.low <= 80 <= i.high for i in intervals])
    assert 0.88 <= held <= 1  # 0.95 give or take the chance of 150 draws and of 150 people


def test_people_are_drawn_not_keypoints():
    """A person's keypoints go right or wrong together: as many people, as wide an interval."""
    one = np.where(np.random.default_rng(2).random((200, 1)) < 0.7, 0.2, 0.9)
    alike = pck_interval(np.repeat(one, 10, axis=1), 0.5)
    single = pck_interval(one, 0.5)
    assert (alike.low, alike.high) == pytest.approx((single.low, single.high))


def test_paired_runs():
    random = np.random.default_rng(3)
    errors = people(random, 0.7, 500, 8)
    assert compare_pck(errors, errors, 0.5).difference.value == 0
    assert not compare_pck(errors, errors, 0.5).distinguishable
    better = np.where(
        random.random(errors.shape) < 0.05, np.where(np.isnan(errors), np.nan, 0.1), errors
    )
    found = compare_pck(errors, better, 0.5)
    assert found.distinguishable and found.difference.value == pytest.approx(
        pck(better, 0.5) - pck(errors, 0.5)
    )
    alone = pck_interval(
        errors, 0.5
    )  # far wider than that of the difference: the people are the same
    assert found.difference.high - found.difference.low < 0.5 * (alone.high - alone.low)


def test_runs_that_are_alike_are_told_apart_no_more_often_than_said():
    random = np.random.default_rng(4)
    labelled = np.isfinite(people(random, 0.7, 150, 4))
    draws = [
        [np.where(labelled, (random.random(labelled.shape) > 0.7) + 0.0, np.nan) for _ in "ab"]
        for _ in range(100)
    ]
    assert np.mean([compare_pck(*pair, 0.5).distinguishable for pair in draws]) <= 0.12


def test_nobody_one_person_and_everybody_alike():
    assert np.isnan(pck_interval(np.full((3, 2), np.nan), 0.5).value)
    one = pck_interval(np.array([[0.1, 0.9]]), 0.5)
    assert one.value == 50 and np.isnan(one.low)
    assert not compare_pck(np.array([[0.1, 0.9]]), np.array([[0.9, 0.9]]), 0.5).distinguishable
    alike = pck_interval(np.full((9, 2), 0.1), 0.5)
    assert (alike.low, alike.value, alike.high) == (100, 100, 100)
    with pytest.raises(ValueError, match="not of the same labelled keypoints"):
        compare_pck(np.full((3, 2), 0.1), np.array([[0.1, np.nan]] * 3), 0.5)

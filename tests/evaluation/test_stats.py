"""Coverage of bootstrap intervals, and comparisons of equal and of different runs."""

import numpy as np
import pytest
from scipy.stats import binom

from posenfs.evaluation.pck import pck
from posenfs.evaluation.stats import compare_pck, pck_interval


def random_errors(random, share, count=200, keypoints=1):
    """Return errors of which a share is at most 0.5; a tenth is not labelled."""
    errors = np.where(random.random((count, keypoints)) < share, 0.2, 0.9)
    errors[random.random(errors.shape) < 0.1] = np.nan
    return errors


def test_value_equals_pck():
    errors = random_errors(np.random.default_rng(0), 0.7, keypoints=5)
    assert pck_interval(errors, 0.5).value == pytest.approx(pck(errors, 0.5))
    assert pck_interval(errors, 0.5) == pck_interval(errors, 0.5)


def test_interval_of_independent_people_is_binomial():
    errors = np.where(np.arange(400)[:, None] < 300, 0.1, 0.9)
    interval = pck_interval(errors, 0.5)
    bounds = 100 * binom.ppf([0.025, 0.975], 400, 0.75) / 400
    assert (interval.low, interval.high) == pytest.approx(tuple(bounds), abs=0.6)


def test_interval_covers_the_true_value():
    random = np.random.default_rng(1)
    intervals = [pck_interval(random_errors(random, 0.8, 150, 3), 0.5) for _ in range(150)]
    covered = np.mean([interval.low <= 80 <= interval.high for interval in intervals])
    assert 0.88 <= covered <= 1  # 0.95 within the noise of 150 draws and 150 people


def test_people_are_resampled_not_keypoints():
    """Ten equal keypoints per person give the same interval as one."""
    errors = np.where(np.random.default_rng(2).random((200, 1)) < 0.7, 0.2, 0.9)
    repeated = pck_interval(np.repeat(errors, 10, axis=1), 0.5)
    single = pck_interval(errors, 0.5)
    assert (repeated.low, repeated.high) == pytest.approx((single.low, single.high))


def test_paired_comparison():
    random = np.random.default_rng(3)
    errors = random_errors(random, 0.7, 500, 8)
    assert compare_pck(errors, errors, 0.5).difference.value == 0
    assert not compare_pck(errors, errors, 0.5).distinguishable
    better = np.where(
        random.random(errors.shape) < 0.05, np.where(np.isnan(errors), np.nan, 0.1), errors
    )
    comparison = compare_pck(errors, better, 0.5)
    difference = comparison.difference
    assert comparison.distinguishable
    assert difference.value == pytest.approx(pck(better, 0.5) - pck(errors, 0.5))
    interval = pck_interval(errors, 0.5)  # wider, because the difference is paired by person
    assert difference.high - difference.low < 0.5 * (interval.high - interval.low)


def test_rate_of_false_differences():
    random = np.random.default_rng(4)
    labelled = np.isfinite(random_errors(random, 0.7, 150, 4))

    def run():
        return np.where(labelled, (random.random(labelled.shape) > 0.7) + 0.0, np.nan)

    false = [compare_pck(run(), run(), 0.5).distinguishable for _ in range(100)]
    assert np.mean(false) <= 0.12


def test_no_person_one_person_and_equal_people():
    assert np.isnan(pck_interval(np.full((3, 2), np.nan), 0.5).value)
    single = pck_interval(np.array([[0.1, 0.9]]), 0.5)
    assert single.value == 50 and np.isnan(single.low)
    assert not compare_pck(np.array([[0.1, 0.9]]), np.array([[0.9, 0.9]]), 0.5).distinguishable
    equal = pck_interval(np.full((9, 2), 0.1), 0.5)
    assert (equal.low, equal.value, equal.high) == (100, 100, 100)
    with pytest.raises(ValueError, match="not of the same labelled keypoints"):
        compare_pck(np.full((3, 2), 0.1), np.array([[0.1, np.nan]] * 3), 0.5)

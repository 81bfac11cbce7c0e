"""Statistics over seeds against scipy and closed forms, and their rates of false verdicts."""

import gc
from math import isnan, nan, sqrt

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import stats
from scipy.special import stdtrit

from posenfs.evaluation.seeds import (
    compare_seeds,
    holm,
    mean_interval,
    prediction_interval,
    spread,
    verdict,
)

FIRST = {0: 52.1, 1: 53.4, 2: 51.7, 5: 52.9}


SECOND = {0: 54.0, 1: 55.2, 2: 53.1, 7: 58.3, 8: 54.4}


SCORES = st.lists(st.floats(0, 100), min_size=2, max_size=8)


@pytest.fixture(scope="module", autouse=True)
def _fast_garbage_collection():
    """Keep the garbage collection in every call of statsmodels' multipletests fast."""
    holm([0.5])  # imports statsmodels
    gc.freeze()
    yield
    gc.unfreeze()


def by_seed(values) -> dict[int, float]:
    return dict(enumerate(values))


def is_plausible(count: int, trials: int, rate: float) -> bool:
    """Return whether this rate exceeds the count in more than one of 1000 simulations."""
    return count <= stats.binom.ppf(0.999, trials, rate)


def test_intervals_by_hand():
    """Three seeds 50, 52, 54: mean 52, sd 2, t(0.975, 2) = 4.302653."""
    interval = mean_interval([50, 52, 54])
    reach = 4.302652729911275 * 2 / sqrt(3)
    expected = 52, 52 - reach, 52 + reach
    assert (interval.value, interval.low, interval.high) == pytest.approx(expected)
    assert spread([50, 52, 54]) == pytest.approx(2)
    next_seed = prediction_interval([50, 52, 54])
    assert next_seed.high - 52 == pytest.approx(4.302652729911275 * 2 * sqrt(4 / 3))
    assert next_seed.high - 52 == pytest.approx(52 - next_seed.low)
    assert mean_interval(FIRST) == mean_interval(FIRST.values())  # the seeds' numbers do not count


@given(SCORES, st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_mean_interval_equals_scipys(values, confidence):
    interval = mean_interval(values, confidence)
    bounds = interval.low, interval.high
    if np.ptp(values) > 1e-9:
        expected = stats.ttest_1samp(values, 0).confidence_interval(confidence)
        assert bounds == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-9)
    wider = prediction_interval(values, confidence)
    assert wider.low <= interval.low <= interval.value <= interval.high <= wider.high


def test_intervals_of_few_or_equal_values():
    for interval in (mean_interval, prediction_interval):
        single, empty = interval([53.0]), interval([])
        assert single.value == 53 and isnan(single.low) and isnan(single.high)
        assert isnan(empty.value) and isnan(empty.low) and isnan(empty.high)
        equal = interval([53.1] * 3)
        assert (equal.low, equal.high) == pytest.approx((53.1, 53.1))
    assert isnan(spread([1.0])) and isnan(spread([])) and spread([0.1] * 3) == 0


@pytest.mark.parametrize("n", [2, 3, 5])
def test_prediction_interval_covers_the_next_seed(n):
    random, trials = np.random.default_rng(n), 4000
    covered = 0
    for _ in range(trials):
        interval = prediction_interval(random.normal(50, 2, n))
        covered += interval.low <= random.normal(50, 2) <= interval.high
    assert covered / trials == pytest.approx(0.95, abs=4 * sqrt(0.95 * 0.05 / trials))


@given(SCORES, SCORES, st.sampled_from([0.8, 0.95]))
def test_welchs_test_equals_scipys(first, second, confidence):
    comparison = compare_seeds(by_seed(first), by_seed(second), confidence=confidence)
    if min(np.ptp(first), np.ptp(second)) < 1e-6:
        return  # see test_rows_without_a_test
    expected = stats.ttest_ind(second, first, equal_var=False)
    expected_bounds = expected.confidence_interval(confidence)
    bounds = comparison.difference.low, comparison.difference.high
    assert comparison.p == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
    assert bounds == pytest.approx(tuple(expected_bounds), rel=1e-6, abs=1e-6)
    assert comparison.seeds == (len(first), len(second)) and comparison.test == "Welch's t"


def test_welchs_test_by_its_formula():
    first, second = np.array(list(FIRST.values())), np.array(list(SECOND.values()))
    first_error, second_error = first.var(ddof=1) / 4, second.var(ddof=1) / 5
    error = first_error + second_error
    freedom = error**2 / (first_error**2 / 3 + second_error**2 / 4)
    difference = compare_seeds(FIRST, SECOND, confidence=0.9).difference
    assert difference.value == pytest.approx(second.mean() - first.mean())
    assert difference.high - difference.value == pytest.approx(stdtrit(freedom, 0.95) * sqrt(error))
    p = compare_seeds(FIRST, SECOND).p
    assert p == pytest.approx(2 * stats.t.sf(difference.value / sqrt(error), freedom))
    # At the confidence 1 - p the interval just reaches 0.
    touching = compare_seeds(FIRST, SECOND, confidence=1 - p).difference
    assert touching.low == pytest.approx(0, abs=1e-9)


def test_paired_test_equals_scipys_over_common_seeds():
    comparison = compare_seeds(FIRST, SECOND, paired=True, confidence=0.9)
    expected = stats.ttest_rel([54.0, 55.2, 53.1], [52.1, 53.4, 51.7])
    bounds = comparison.difference.low, comparison.difference.high
    assert comparison.seeds == (3, 3) and comparison.test == "paired t"
    assert comparison.p == pytest.approx(expected.pvalue)
    assert bounds == pytest.approx(tuple(expected.confidence_interval(0.9)))
    reordered = dict(reversed(SECOND.items()))
    assert comparison == compare_seeds(FIRST, reordered, paired=True, confidence=0.9)
    assert comparison.p < compare_seeds(FIRST, SECOND).p  # the effect of the seeds is removed


@given(SCORES, SCORES, st.booleans())
def test_swapped_rows_change_the_sign_only(first, second, paired):
    comparison = compare_seeds(by_seed(first), by_seed(second), paired)
    swapped = compare_seeds(by_seed(second), by_seed(first), paired)
    assert comparison.p == pytest.approx(swapped.p, nan_ok=True)
    assert comparison.seeds == swapped.seeds[::-1]
    assert comparison.difference.value == pytest.approx(-swapped.difference.value)
    assert comparison.difference.low == pytest.approx(-swapped.difference.high, nan_ok=True)


def test_rows_without_a_test():
    for second, difference in (({0: 54.0}, 2.0), ({}, nan)):
        comparison = compare_seeds({0: 51.0, 1: 53.0}, second)
        assert isnan(comparison.p)
        assert isnan(comparison.difference.low) and isnan(comparison.difference.high)
        assert comparison.difference.value == pytest.approx(difference, nan_ok=True)
    assert compare_seeds(FIRST, {7: 1.0, 8: 2.0}, paired=True).seeds == (0, 0)
    equal = compare_seeds({0: 0.1, 1: 0.1, 2: 0.1}, {0: 0.1, 1: 0.1})
    assert equal.p == 1 and (equal.difference.low, equal.difference.high) == (0, 0)
    assert compare_seeds(FIRST, FIRST, paired=True).p == 1
    # The same difference at every seed but for rounding: there is no spread, p = 0 would be wrong.
    shifted = {seed: value + 1.1 for seed, value in FIRST.items()}
    constant = compare_seeds(FIRST, shifted, paired=True)
    assert constant.difference.value == pytest.approx(1.1)
    assert isnan(constant.p) and isnan(constant.difference.low)
    assert isnan(compare_seeds({0: 5.0, 1: 5.0}, {0: 6.0, 1: 6.0}).p)
    assert isnan(compare_seeds(FIRST, {0: nan, 1: 50.0}).p)
    # If only one row varies, its variance is used.
    one_constant = compare_seeds({0: 5.0, 1: 5.0}, {0: 6.0, 1: 6.5})
    assert one_constant.p == pytest.approx(stats.ttest_1samp([1.0, 1.5], 0).pvalue)


@pytest.mark.filterwarnings("error")
def test_constant_rows_raise_no_warning():
    compare_seeds({0: 5.0, 1: 5.0}, {0: 6.0, 1: 6.5})
    compare_seeds({0: 5.0, 1: 5.0}, {0: 6.0, 1: 6.5}, paired=True)


def test_comparison_as_text():
    assert str(compare_seeds({0: 50, 1: 51}, {0: 52, 1: 54, 2: 53})) == (
        "difference 2.5 [0.0, 5.0] points, p = 0.049 (Welch's t, n = 2 and 3)"
    )


def test_holm_by_hand():
    """Four tests: 0.01 · 4, 0.015 · 3, 0.02 · 2 (raised to the one before), 0.5."""
    assert holm([0.02, 0.5, 0.01, 0.015]) == pytest.approx([0.045, 0.5, 0.04, 0.045])
    assert holm([0.4, 0.9, 0.7]) == [1, 1, 1] and holm([]) == []
    with_nan = holm([nan, 0.02, nan, 0.04])
    assert with_nan[1::2] == pytest.approx([0.04, 0.04])
    assert isnan(with_nan[0]) and isnan(with_nan[2]) and isnan(holm([nan])[0])


@given(st.lists(st.floats(0, 1) | st.just(nan), max_size=9), st.sampled_from([0.01, 0.05, 0.3]))
def test_holm_rejects_what_the_textbook_loop_rejects(ps, alpha):
    """Step down: the smallest p against alpha / m, the next against alpha / (m - 1), and so on."""
    tested = sorted(p for p in ps if not isnan(p))
    rejected = 0
    while rejected < len(tested) and tested[rejected] <= alpha / (len(tested) - rejected):
        rejected += 1
    adjusted = holm(ps)
    on_the_bound = any(abs(p - alpha) < 1e-12 for p in adjusted)  # decided by rounding
    assert on_the_bound or sum(p <= alpha for p in adjusted) == rejected
    assert [isnan(p) for p in adjusted] == [isnan(p) for p in ps]
    pairs = sorted((p, q) for p, q in zip(ps, adjusted, strict=True) if not isnan(p))
    assert all(p <= q <= 1 for p, q in pairs)
    assert [q for _, q in pairs] == sorted(q for _, q in pairs)


def test_verdicts():
    assert verdict(0.01, 1.44, (3, 3)) == "better by 1.4 points"
    assert verdict(0.05, -2.0, (3, 5)) == "worse by 2.0 points"
    assert verdict(0.001, 0.02, (9, 9)) == "better by 0.02 points"
    assert verdict(0.051, 4.0, (3, 3)) == "not distinguishable at n = 3"
    assert verdict(0.2, 4.0, (3, 5)) == "not distinguishable at n = 3 and 5"
    assert verdict(0.02, 4.0, (3, 3), alpha=0.01) == "not distinguishable at n = 3"
    assert verdict(nan, 4.0, (1, 3)) == "one seed: nothing can be said"
    assert verdict(nan, 4.0, (2, 3)) == "no spread over seeds to judge by"
    assert verdict(nan, nan, (2, 0)) == "no result: nothing can be said"
    assert verdict(nan, nan, (2, 2)) == "no result: nothing can be said"


def p_values(first, second, paired: bool = False) -> np.ndarray:
    """Return scipy's p-values of rows [trials, n]; those of compare_seeds are equal."""
    if paired:
        p = stats.ttest_rel(second, first, axis=1).pvalue
    else:
        p = stats.ttest_ind(second, first, axis=1, equal_var=False).pvalue
    compared = [
        compare_seeds(by_seed(first[trial]), by_seed(second[trial]), paired).p
        for trial in range(50)
    ]
    assert compared == pytest.approx(p[:50].tolist())
    return p


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("n", [3, 5, 10])
def test_rate_of_false_verdicts(n, paired):
    """Rows of equal distribution differ in at most one of twenty cases."""
    random, trials = np.random.default_rng(10 + n), 4000
    first, second = random.normal(50, 1, (2, trials, n))
    differences = (second - first).mean(1)
    verdicts = [
        verdict(p, difference, (n, n))
        for p, difference in zip(p_values(first, second, paired), differences, strict=True)
    ]
    false = sum(text.startswith(("better", "worse")) for text in verdicts)
    assert is_plausible(false, trials, 0.05)
    assert false > 0.02 * trials  # the test does reject


@pytest.mark.parametrize("n", [3, 5, 10])
def test_rate_of_tables_with_a_false_verdict(n):
    """Four rows against one baseline, so that the tests are dependent; Holm allows for that."""
    random, trials = np.random.default_rng(20 + n), 2000
    rows = random.normal(50, 1, (5, trials, n))
    p = np.stack([p_values(rows[0], row) for row in rows[1:]], 1)  # [trials, 4]
    differences = (rows[1:] - rows[0]).mean(2).T
    false_tables = 0
    for table_p, table_differences in zip(p.tolist(), differences.tolist(), strict=True):
        verdicts = [
            verdict(adjusted, difference, (n, n))
            for adjusted, difference in zip(holm(table_p), table_differences, strict=True)
        ]
        false_tables += any(text.startswith(("better", "worse")) for text in verdicts)
    assert is_plausible(false_tables, trials, 0.05)
    unadjusted_tables = int((p <= 0.05).any(1).sum())
    assert not is_plausible(unadjusted_tables, trials, 0.05)  # Holm's correction is needed


@pytest.mark.parametrize("n", [3, 5, 10])
def test_rate_over_a_million_pairs(n):
    """The rate of scipy's Welch test, which compare_seeds equals, is below 5 %."""
    random = np.random.default_rng(30 + n)
    p = p_values(*random.normal(50, 1, (2, 1_000_000, n)))
    assert stats.binomtest(int((p <= 0.05).sum()), len(p)).proportion_ci(0.99).high < 0.05

"""Over seeds: intervals and tests against scipy and closed forms, and verdicts that find no difference in chance."""

from math import inf, isnan, nan, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats
from scipy.special import stdtrit

from posenfs.evaluation.seeds import (
    compare_seeds,
    holm,
    least_difference,
    mean_interval,
    power,
    prediction_interval,
    seeds_needed,
    spread,
    verdict,
)

OWN, OTHER = {0: 52.1, 1: 53.4, 2: 51.7, 5: 52.9}, {0: 54.0, 1: 55.2, 2: 53.1, 7: 58.3, 8: 54.4}
scores = st.lists(st.floats(0, 100), min_size=2, max_size=8)


def by_seed(values) -> dict[int, float]:
    return dict(enumerate(values))


def row(random, n: int, mean: float = 50.0, sd: float = 1.0) -> dict[int, float]:
    return by_seed(random.normal(mean, sd, n))


def likely(count: int, trials: int, rate: float) -> bool:
    """Whether so many false verdicts are no more than this rate gives but once in a thousand such simulations."""
    return count <= stats.binom.ppf(0.999, trials, rate)


def test_the_means_interval_by_hand():
    """Three seeds 50, 52, 54: mean 52, sd 2, t(0.975, 2) = 4.302653."""
    found = mean_interval([50, 52, 54])
    reach = 4.302652729911275 * 2 / sqrt(3)
    assert (found.value, found.low, found.high) == pytest.approx((52, 52 - reach, 52 + reach))
    assert spread([50, 52, 54]) == pytest.approx(2)
    further = prediction_interval([50, 52, 54])
    assert (
        further.high - 52 == 52 - further.low == pytest.approx(4.302652729911275 * 2 * sqrt(4 / 3))
    )
    assert mean_interval(OWN) == mean_interval(
        OWN.values()
    )  # of a row the values count, not the seeds' numbers


@given(scores, st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_the_means_interval_is_scipys(values, confidence):
    found = mean_interval(values, confidence)
    if np.ptp(values) > 1e-9:
        expected = stats.ttest_1samp(values, 0).confidence_interval(confidence)
        assert (found.low, found.high) == pytest.approx(
            (expected.low, expected.high), rel=1e-9, abs=1e-9
        )
    wider = prediction_interval(values, confidence)
    assert wider.low <= found.low <= found.value <= found.high <= wider.high


def test_too_few_seeds_for_an_interval():
    for interval in (mean_interval, prediction_interval):
        one, none = interval([53.0]), interval([])
        assert one.value == 53 and isnan(one.low) and isnan(one.high)
        assert isnan(none.value) and isnan(none.low) and isnan(none.high)
        assert (interval([53.1] * 3).low, interval([53.1] * 3).high) == pytest.approx((53.1, 53.1))
    assert isnan(spread([1.0])) and isnan(spread([])) and spread([0.1] * 3) == 0


@pytest.mark.parametrize("n", [2, 3, 5])
def test_a_further_seed_lies_where_it_was_said(n):
    random, trials = np.random.default_rng(n), 4000
    held = sum(
        (i := prediction_interval(random.normal(50, 2, n))).low <= random.normal(50, 2) <= i.high
        for _ in range(trials)
    )
    assert held / trials == pytest.approx(0.95, abs=4 * sqrt(0.95 * 0.05 / trials))


@given(scores, scores, st.sampled_from([0.8, 0.95]))
def test_welchs_is_scipys(own, other, confidence):
    found = compare_seeds(by_seed(own), by_seed(other), confidence=confidence)
    if min(np.ptp(own), np.ptp(other)) < 1e-6:
        return  # judged below
    expected = stats.ttest_ind(other, own, equal_var=False)
    bounds = expected.confidence_interval(confidence)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
    assert (found.difference.low, found.difference.high) == pytest.approx(
        (bounds.low, bounds.high), rel=1e-6, abs=1e-6
    )
    assert found.seeds == (len(own), len(other)) and found.test == "Welch's t"


def test_welchs_by_its_formula():
    own, other = np.array(list(OWN.values())), np.array(list(OTHER.values()))
    a, b = own.var(ddof=1) / 4, other.var(ddof=1) / 5
    freedom = (a + b) ** 2 / (a**2 / 3 + b**2 / 4)
    found = compare_seeds(OWN, OTHER, confidence=0.9)
    assert found.difference.value == pytest.approx(other.mean() - own.mean())
    reach = found.difference.high - found.difference.value
    assert reach == pytest.approx(stdtrit(freedom, 0.95) * sqrt(a + b))
    # p is the confidence at which the interval just reaches 0
    touching = compare_seeds(OWN, OTHER, confidence=1 - found.p).difference
    assert touching.low == pytest.approx(0, abs=1e-9)


def test_paired_is_scipys_over_the_seeds_that_both_have():
    found = compare_seeds(OWN, OTHER, paired=True, confidence=0.9)
    expected = stats.ttest_rel([54.0, 55.2, 53.1], [52.1, 53.4, 51.7])
    bounds = expected.confidence_interval(0.9)
    assert (
        found.seeds == (3, 3)
        and found.test == "paired t"
        and found.p == pytest.approx(expected.pvalue)
    )
    assert (found.difference.low, found.difference.high) == pytest.approx((bounds.low, bounds.high))
    assert found == compare_seeds(OWN, dict(reversed(OTHER.items())), paired=True, confidence=0.9)
    assert found.p < compare_seeds(OWN, OTHER).p  # what the seeds have in common is out of the way


@given(scores, scores, st.booleans())
def test_the_other_way_round_it_is_the_same_with_the_sign_turned(own, other, paired):
    one, two = (
        compare_seeds(*(by_seed(row) for row in pair), paired)
        for pair in ((own, other), (other, own))
    )
    assert one.p == pytest.approx(two.p, nan_ok=True) and one.seeds == two.seeds[::-1]
    assert one.difference.value == pytest.approx(-two.difference.value)
    assert one.difference.low == pytest.approx(-two.difference.high, nan_ok=True)


def test_rows_that_cannot_be_judged():
    for other, value in (({0: 54.0}, 2.0), ({}, nan)):
        found = compare_seeds({0: 51.0, 1: 53.0}, other)
        assert isnan(found.p) and isnan(found.difference.low) and isnan(found.difference.high)
        assert found.difference.value == pytest.approx(value, nan_ok=True)
    assert compare_seeds(OWN, {7: 1.0, 8: 2.0}, paired=True).seeds == (0, 0)
    equal = compare_seeds({0: 0.1, 1: 0.1, 2: 0.1}, {0: 0.1, 1: 0.1})
    assert equal.p == 1 and (equal.difference.low, equal.difference.high) == (0, 0)
    assert compare_seeds(OWN, OWN, paired=True).p == 1
    # the same step at every seed, but for rounding: no spread, and p = 0 would be rounding's word
    apart = compare_seeds(OWN, {seed: value + 1.1 for seed, value in OWN.items()}, paired=True)
    assert (
        apart.difference.value == pytest.approx(1.1)
        and isnan(apart.p)
        and isnan(apart.difference.low)
    )
    assert isnan(compare_seeds({0: 5.0, 1: 5.0}, {0: 6.0, 1: 6.0}).p)
    assert isnan(compare_seeds(OWN, {0: nan, 1: 50.0}).p)
    one_sided = compare_seeds(
        {0: 5.0, 1: 5.0}, {0: 6.0, 1: 6.5}
    )  # one row without spread can be judged by the other's
    assert one_sided.p == pytest.approx(stats.ttest_1samp([1.0, 1.5], 0).pvalue)


def test_it_says_what_it_is():
    assert str(compare_seeds({0: 50, 1: 51}, {0: 52, 1: 54, 2: 53})) == (
        "difference 2.5 [0.0, 5.0] points, p = 0.049 (Welch's t, n = 2 and 3)"
    )


def test_holm_by_hand():
    """Four tests: 0.01 · 4, 0.015 · 3, 0.02 · 2 (held up by the one before), 0.5."""
    assert holm([0.02, 0.5, 0.01, 0.015]) == pytest.approx([0.045, 0.5, 0.04, 0.045])
    assert holm([0.4, 0.9, 0.7]) == [1, 1, 1] and holm([]) == []
    with_gaps = holm([nan, 0.02, nan, 0.04])
    assert (
        with_gaps[1::2] == pytest.approx([0.04, 0.04])
        and isnan(with_gaps[0])
        and isnan(with_gaps[2])
    )


@given(st.lists(st.floats(0, 1) | st.just(nan), max_size=9), st.sampled_from([0.01, 0.05, 0.3]))
def test_holm_rejects_what_the_textbooks_loop_rejects(ps, alpha):
    """Step down: the smallest p against alpha / m, the next against alpha / (m - 1), until one fails."""
    tested = sorted(p for p in ps if not isnan(p))
    rejected = 0
    while rejected < len(tested) and tested[rejected] <= alpha / (len(tested) - rejected):
        rejected += 1
    adjusted = holm(ps)
    close = any(abs(a - alpha) < 1e-12 for a in adjusted)  # on the bound: rounding decides
    assert close or sum(a <= alpha for a in adjusted) == rejected
    assert [isnan(a) for a in adjusted] == [isnan(p) for p in ps]
    kept = sorted((p, a) for p, a in zip(ps, adjusted, strict=True) if not isnan(p))
    assert all(p <= a <= 1 for p, a in kept) and [a for _, a in kept] == sorted(a for _, a in kept)


def test_verdicts():
    assert verdict(0.01, 1.44, (3, 3)) == "better by 1.4 points"
    assert verdict(0.05, -2.0, (3, 5)) == "worse by 2.0 points"
    assert verdict(0.001, 0.02, (9, 9)) == "better by 0.02 points"
    assert verdict(0.051, 4.0, (3, 3)) == "not distinguishable at n = 3"
    assert verdict(0.2, 4.0, (3, 5)) == "not distinguishable at n = 3 and 5"
    assert verdict(0.02, 4.0, (3, 3), alpha=0.01) == "not distinguishable at n = 3"
    assert verdict(nan, 4.0, (1, 3)) == "one seed: nothing can be said"
    assert verdict(nan, 4.0, (2, 3)) == "no spread over seeds to judge by"
    assert (
        verdict(nan, nan, (2, 0)) == verdict(nan, nan, (2, 2)) == "no result: nothing can be said"
    )


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("n", [3, 5, 10])
def test_rows_that_are_alike_are_told_apart_in_no_more_than_one_of_twenty(n, paired):
    random, trials = np.random.default_rng(10 + n), 4000
    false = 0
    for _ in range(trials):
        found = compare_seeds(row(random, n), row(random, n), paired)
        false += verdict(found.p, found.difference.value, found.seeds)[:6] in ("better", "worse ")
    assert (
        likely(false, trials, 0.05) and false > 0.02 * trials
    )  # and it is no test that never speaks


@pytest.mark.parametrize("n", [3, 5, 10])
def test_a_table_of_rows_that_are_alike_holds_a_false_verdict_in_no_more_than_one_of_twenty(n):
    """Four rows against one baseline: the rows share its chance, and Holm holds for any dependence."""
    random, trials = np.random.default_rng(20 + n), 2000
    false = single = 0
    for _ in range(trials):
        baseline = row(random, n)
        found = [compare_seeds(baseline, row(random, n)) for _ in range(4)]
        adjusted = holm([own.p for own in found])
        words = [
            verdict(p, own.difference.value, own.seeds)
            for p, own in zip(adjusted, found, strict=True)
        ]
        false += any(said.startswith(("better", "worse")) for said in words)
        single += any(own.p <= 0.05 for own in found)
    assert likely(false, trials, 0.05)
    assert not likely(single, trials, 0.05)  # without Holm the table would say too much


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_rate_over_many_more_trials(n):
    """A million pairs by scipy's Welch, which compare_seeds is: the rate itself is below 5 %, not only not above."""
    random = np.random.default_rng(30 + n)
    pairs = random.normal(50, 1, (2, 1_000_000, n))
    p = stats.ttest_ind(pairs[0], pairs[1], axis=1, equal_var=False).pvalue
    assert stats.binomtest(int((p <= 0.05).sum()), len(p)).proportion_ci(0.99).high < 0.05
    own = [compare_seeds(by_seed(a), by_seed(b)).p for a, b in zip(*pairs[:, :50], strict=True)]
    assert own == pytest.approx(p[:50].tolist())


@pytest.mark.parametrize(
    "difference, sd, n", [(1.0, 1.0, 2), (3.0, 1.0, 3), (1.4, 0.8, 5), (-1.0, 1.0, 20)]
)
def test_power_by_simulation_and_by_integration(difference, sd, n):
    found = power(difference, sd, n)
    random, trials = np.random.default_rng(n), 40_000
    pairs = random.normal(0, sd, (2, trials, n))
    told = (stats.ttest_ind(pairs[0] + difference, pairs[1], axis=1).pvalue <= 0.05).mean()
    assert told == pytest.approx(found, abs=4 * sqrt(found * (1 - found) / trials))
    # t = (shift + Z) / sqrt(chi² / freedom): Z by its distribution function, the spread integrated over
    freedom, shift = 2 * n - 2, difference / sd * sqrt(n / 2)
    bound = stats.t.ppf(0.975, freedom)

    def told_at(s):
        return (
            stats.norm.sf(bound * s - shift) + stats.norm.cdf(-bound * s - shift)
        ) * 2 * freedom * s * stats.chi2.pdf(freedom * s**2, freedom)  # fmt: skip

    assert found == pytest.approx(integrate.quad(told_at, 0, 8, epsabs=1e-12)[0], abs=1e-8)


@given(st.floats(0.1, 5), st.floats(0.2, 3), st.integers(2, 30))
def test_power_grows_with_the_difference_and_with_seeds(difference, sd, n):
    found = power(difference, sd, n)
    assert 0.05 <= found <= 1 and found == power(-difference, sd, n)
    assert (
        found <= power(difference + 0.1, sd, n) + 1e-9
        and found <= power(difference, sd, n + 1) + 1e-9
    )


@given(st.floats(0.2, 5), st.floats(0.2, 3), st.sampled_from([0.5, 0.8, 0.9]))
def test_seeds_and_difference_are_powers_other_way_round(difference, sd, wanted):
    n = seeds_needed(difference, sd, wanted)
    if n is None:
        assert power(difference, sd, 200) < wanted
        return
    assert power(difference, sd, n) >= wanted and (n == 2 or power(difference, sd, n - 1) < wanted)
    assert least_difference(sd, n, wanted) <= difference * (1 + 1e-6)
    assert power(least_difference(sd, n, wanted), sd, n) == pytest.approx(wanted, abs=1e-6)


def test_power_at_its_ends():
    assert (
        power(0.0, 1.0, 5) == pytest.approx(0.05)
        and power(9.0, 1.0, 1) == 0
        and isnan(power(1.0, 0.0, 5))
    )
    assert power(1e4, 1.0, 5) == 1
    assert (
        seeds_needed(1.0, 1.0) == 17
    )  # as in Cohen's tables (1988, two-sided 0.05, power 0.8, d = 1)
    assert seeds_needed(0.5, 1.0) == 64 and seeds_needed(0.5, 1.0, most=63) is None
    assert seeds_needed(0.0, 1.0) is None and seeds_needed(1.0, nan) is None
    assert least_difference(1.0, 1) == inf and isnan(least_difference(nan, 3))
    with pytest.raises(ValueError, match="between alpha"):
        least_difference(1.0, 3, power=0.05)

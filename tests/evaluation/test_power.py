"""Statistical power against simulation, integration and closed forms."""

from math import inf, isnan, nan, sqrt

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import integrate, stats

from posenfs.evaluation.power import least_difference, power, seeds_needed


@pytest.mark.parametrize(
    ("difference", "sd", "n"), [(1.0, 1.0, 2), (3.0, 1.0, 3), (1.4, 0.8, 5), (-1.0, 1.0, 20)]
)
def test_power_by_simulation_and_by_integration(difference, sd, n):
    result = power(difference, sd, n)
    random, trials = np.random.default_rng(n), 40_000
    pairs = random.normal(0, sd, (2, trials, n))
    rejected = stats.ttest_ind(pairs[0] + difference, pairs[1], axis=1).pvalue <= 0.05
    assert rejected.mean() == pytest.approx(result, abs=4 * sqrt(result * (1 - result) / trials))
    # t = (shift + Z) / sqrt(chi² / freedom): Z by its distribution, integrated over the spread.
    freedom, shift = 2 * n - 2, difference / sd * sqrt(n / 2)
    bound = stats.t.ppf(0.975, freedom)

    def density(s):
        rejected = stats.norm.sf(bound * s - shift) + stats.norm.cdf(-bound * s - shift)
        return rejected * 2 * freedom * s * stats.chi2.pdf(freedom * s**2, freedom)

    assert result == pytest.approx(integrate.quad(density, 0, 8, epsabs=1e-12)[0], abs=1e-8)


@given(st.floats(0.1, 5), st.floats(0.2, 3), st.integers(2, 30))
def test_power_grows_with_difference_and_seeds(difference, sd, n):
    result = power(difference, sd, n)
    assert 0.05 <= result <= 1 and result == power(-difference, sd, n)
    assert result <= power(difference + 0.1, sd, n) + 1e-9
    assert result <= power(difference, sd, n + 1) + 1e-9


@given(st.floats(0.2, 5), st.floats(0.2, 3), st.sampled_from([0.5, 0.8, 0.9]))
def test_seeds_needed_and_least_difference_invert_power(difference, sd, goal):
    n = seeds_needed(difference, sd, goal)
    if n is None:
        assert power(difference, sd, 200) < goal
        return
    assert power(difference, sd, n) >= goal and (n == 2 or power(difference, sd, n - 1) < goal)
    assert least_difference(sd, n, goal) <= difference * (1 + 1e-6)
    assert power(least_difference(sd, n, goal), sd, n) == pytest.approx(goal, abs=1e-6)


def test_power_at_its_limits():
    assert power(0.0, 1.0, 5) == pytest.approx(0.05)
    assert power(9.0, 1.0, 1) == 0 and isnan(power(1.0, 0.0, 5))
    assert power(1e4, 1.0, 5) == 1
    assert seeds_needed(1.0, 1.0) == 17  # Cohen's tables (1988): alpha 0.05, power 0.8, d = 1
    assert seeds_needed(0.5, 1.0) == 64 and seeds_needed(0.5, 1.0, most=63) is None
    assert seeds_needed(0.0, 1.0) is None and seeds_needed(1.0, nan) is None
    assert least_difference(1.0, 1) == inf and isnan(least_difference(nan, 3))
    with pytest.raises(ValueError, match="between alpha"):
        least_difference(1.0, 3, power=0.05)

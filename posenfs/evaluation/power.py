"""Statistical power of comparisons over training seeds: how many seeds show which difference.

Differences and standard deviations are in the unit of the values, such as percentage points.
"""

from math import inf, isnan, nan


def power(difference: float, sd: float, n: int, alpha: float = 0.05) -> float:
    """Return the power of Student's two-sided t test with n seeds per row.

    Welch's test, which does not assume equal variances, has slightly less power at few seeds: about
    67 % where this function returns 78 % (n = 3), and 77 % for 79 % (n = 5).

    Args:
        difference: Difference of the expected values.
        sd: Standard deviation over seeds, the same for both rows.
        n: Number of seeds of each row.
        alpha: Significance level.

    Returns:
        The power in [0, 1]; 0 for fewer than two seeds, NaN without a standard deviation.
    """
    return _power(abs(difference) / sd, n, alpha) if sd > 0 else nan


def seeds_needed(
    difference: float, sd: float, power: float = 0.8, alpha: float = 0.05, most: int = 200
) -> int | None:
    """Return the smallest number of seeds per row that reaches a power.

    Args:
        difference: Difference of the expected values.
        sd: Standard deviation over seeds.
        power: Power to reach.
        alpha: Significance level.
        most: Largest number of seeds to try.

    Returns:
        The number of seeds; None if `most` seeds are too few or there is no standard deviation.
    """
    if not sd > 0:
        return None
    for n in range(2, most + 1):
        if _power(abs(difference) / sd, n, alpha) >= power:
            return n
    return None


def least_difference(sd: float, n: int, power: float = 0.8, alpha: float = 0.05) -> float:
    """Return the smallest difference that n seeds per row detect with a given power.

    Args:
        sd: Standard deviation over seeds.
        n: Number of seeds of each row.
        power: Power to reach.
        alpha: Significance level.

    Returns:
        The difference; infinite for fewer than two seeds, NaN without a standard deviation.

    Raises:
        ValueError: The power is not between alpha and 1.
    """
    if not alpha < power < 1:
        raise ValueError(f"the power must lie between alpha ({alpha}) and 1; got {power}")
    if not sd > 0:
        return nan
    if n < 2:
        return inf
    from scipy.optimize import brentq

    high = 1.0
    while _power(high, n, alpha) < power:
        high *= 2
    effect = brentq(lambda effect: _power(effect, n, alpha) - power, 0, high, xtol=1e-10)
    return sd * float(effect)


def _power(effect: float, n: int, alpha: float) -> float:
    """Return the power for a difference of `effect` standard deviations."""
    if n < 2:
        return 0.0
    from statsmodels.stats.power import FTestAnovaPower

    # The two-sided t test is the F test of two groups. TTestIndPower returns NaN where scipy's
    # noncentral t does, at powers as low as 99.4 %; the noncentral F only at a power of 1.
    result = float(FTestAnovaPower().power(effect / 2, 2 * n, alpha, k_groups=2))
    return 1.0 if isnan(result) else result

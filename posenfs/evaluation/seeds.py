"""Statistics over training seeds: intervals, and tests of two table rows.

stats.py measures the uncertainty over people; this module measures the uncertainty over seeds.
Each value belongs to one whole run with its own seed, and values are taken as normally distributed.
Differences are in the unit of the values (percentage points of a score; greater is better).
scipy.stats and statsmodels take about a second to import, so functions import them when called.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan, sqrt

import numpy as np

from posenfs.evaluation.stats import Interval

_ROUNDING = 1e-12  # relative to the greatest value: a smaller spread is a rounding error


@dataclass(frozen=True)
class SeedComparison:
    """The difference between two table rows over seeds.

    Attributes:
        difference: Mean of the second row less mean of the first, with its confidence interval.
        p: Two-sided p-value.
        test: "Welch's t" or "paired t".
        seeds: Number of seeds of each row; in a paired test, of the pairs.
    """

    difference: Interval
    p: float
    test: str
    seeds: tuple[int, int]

    def __str__(self) -> str:
        test = f"{self.test}, {_seed_counts(self.seeds)}"
        return f"difference {self.difference} points, p = {self.p:.2g} ({test})"


def mean_interval(
    values: Iterable[float] | Mapping[int, float], confidence: float = 0.95
) -> Interval:
    """Return the mean over seeds with Student's t interval for the expected value.

    Args:
        values: One value per seed, or {seed: value}.
        confidence: Confidence level of the interval.

    Returns:
        The interval. Its bounds are NaN for fewer than two values, its value is NaN for none.
    """
    row = _array(values)
    return _t_interval(row, 1 / max(len(row), 1), confidence)


def prediction_interval(
    values: Iterable[float] | Mapping[int, float], confidence: float = 0.95
) -> Interval:
    """Return the mean over seeds with the interval for the value of one more seed.

    The interval is the mean ± t · sd · sqrt(1 + 1/n).

    Args:
        values: One value per seed, or {seed: value}.
        confidence: Confidence level of the interval.

    Returns:
        The interval. Its bounds are NaN for fewer than two values, its value is NaN for none.
    """
    row = _array(values)
    return _t_interval(row, 1 + 1 / max(len(row), 1), confidence)


def spread(values: Iterable[float] | Mapping[int, float]) -> float:
    """Return the sample standard deviation over seeds; NaN for fewer than two."""
    return sqrt(_variance(_array(values)))


def compare_seeds(
    values: Mapping[int, float],
    others: Mapping[int, float],
    paired: bool = False,
    confidence: float = 0.95,
) -> SeedComparison:
    """Test whether the expected values of two table rows differ.

    In simulations with equal expected values, Welch's test at alpha = 0.05 finds a difference in
    3.5 % of cases at n = 3 and 4.8 % at n = 10; in 5.6 % at n = 3 if one standard deviation is four
    times the other.

    Args:
        values: {seed: value} of the first row.
        others: {seed: value} of the second row.
        paired: Use the paired t test over the seeds that both rows have, not Welch's t test.
        confidence: Confidence level of the interval.

    Returns:
        The comparison, second row less first. p and the interval are NaN if a row has fewer than
        two seeds, or if neither row varies over seeds but their means differ. p is 1 if neither
        row varies and the means are equal.
    """
    first, second = _array(values), _array(others)
    scale = max(np.abs(np.concatenate([first, second])), default=0.0)
    if paired:
        seeds = [seed for seed in values if seed in others]
        first = _array(values[seed] for seed in seeds)
        second = _array(others[seed] for seed in seeds)
        variances = [_variance(second - first, scale)]
    else:
        variances = [_variance(first, scale), _variance(second, scale)]
    difference = _mean(second) - _mean(first)
    test = "paired t" if paired else "Welch's t"
    counts = len(first), len(second)
    if sum(variances) == 0 and abs(difference) <= _ROUNDING * scale:
        return SeedComparison(Interval(0.0, 0.0, 0.0, confidence), 1.0, test, counts)
    if not sum(variances) > 0:  # 0 or NaN
        return SeedComparison(Interval(difference, nan, nan, confidence), nan, test, counts)
    from scipy.stats import ttest_ind, ttest_rel

    with warnings.catch_warnings():  # scipy warns if one of the rows is constant
        warnings.simplefilter("ignore", RuntimeWarning)
        result = ttest_rel(second, first) if paired else ttest_ind(second, first, equal_var=False)
        bounds = result.confidence_interval(confidence)
    interval = Interval(difference, float(bounds.low), float(bounds.high), confidence)
    return SeedComparison(interval, float(result.pvalue), test, counts)


def holm(ps: Sequence[float]) -> list[float]:
    """Adjust p-values for multiple comparisons by Holm's step-down method.

    The probability of at least one false rejection in a table is then at most alpha.

    Args:
        ps: p-values; NaN marks a comparison without a test, which is not counted.

    Returns:
        The adjusted p-values in the given order; NaN stays NaN.
    """
    adjusted = np.array(ps, float)
    tested = ~np.isnan(adjusted)
    if tested.any():
        from statsmodels.stats.multitest import multipletests

        adjusted[tested] = multipletests(adjusted[tested], method="holm")[1]
    return adjusted.tolist()


def verdict(
    p_adjusted: float, difference: float, seeds: tuple[int, int], alpha: float = 0.05
) -> str:
    """Describe a comparison in a few words.

    Args:
        p_adjusted: p-value; adjusted (see `holm`) if several comparisons are read together.
        difference: Difference of the means, in points.
        seeds: Number of seeds of each row.
        alpha: Significance level.

    Returns:
        "better by 1.4 points", "not distinguishable at n = 3", or why there is no verdict.
    """
    if min(seeds) < 1 or isnan(difference):
        return "no result: nothing can be said"
    if min(seeds) < 2:
        return "one seed: nothing can be said"
    if isnan(p_adjusted):
        return "no spread over seeds to judge by"
    if p_adjusted > alpha:
        return f"not distinguishable at {_seed_counts(seeds)}"
    size = abs(difference)
    digits = ".1f" if size >= 0.1 else ".1g"
    return f"{'better' if difference > 0 else 'worse'} by {size:{digits}} points"


def _array(values: Iterable[float] | Mapping[int, float]) -> np.ndarray:
    return np.array(list(values.values() if isinstance(values, Mapping) else values), float)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else nan


def _variance(values: np.ndarray, scale: float | None = None) -> float:
    """Return the sample variance: NaN for fewer than two values, 0 for mere rounding errors."""
    if len(values) < 2:
        return nan
    scale = np.abs(values).max() if scale is None else scale
    return 0.0 if np.ptp(values) <= _ROUNDING * scale else float(values.var(ddof=1))


def _t_interval(values: np.ndarray, variance_factor: float, confidence: float) -> Interval:
    """Return the mean with Student's t interval for a variance of sd² · variance_factor."""
    mean = _mean(values)
    variance = _variance(values)
    if isnan(variance):
        return Interval(mean, nan, nan, confidence)
    if variance == 0:
        return Interval(mean, mean, mean, confidence)
    from scipy.stats import t

    scale = sqrt(variance * variance_factor)
    low, high = t.interval(confidence, len(values) - 1, loc=mean, scale=scale)
    return Interval(mean, float(low), float(high), confidence)


def _seed_counts(seeds: tuple[int, int]) -> str:
    return f"n = {seeds[0]}" if seeds[0] == seeds[1] else f"n = {seeds[0]} and {seeds[1]}"

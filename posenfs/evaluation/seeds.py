"""How sure a number is over seeds: what other seeds of the training would have given, and two rows of a table compared.

A different question from that of stats.py, which asks about other people. All values are those of whole runs, one for
each seed, taken as normal; differences are in the values' own unit (percentage points of a score, greater is better).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isnan, nan, sqrt

import numpy as np

from posenfs.evaluation.stats import Interval

_ROUNDING = 1e-12  # of the greatest value: a spread below it comes of rounding, not of seeds


@dataclass(frozen=True)
class SeedComparison:
    """The other row less the own, over seeds; `seeds` are how many each has, of a paired test the pairs."""

    difference: Interval
    p: float  # two-sided
    test: str  # Welch's t, or paired t
    seeds: tuple[int, int]

    def __str__(self) -> str:
        return f"difference {self.difference} points, p = {self.p:.2g} ({self.test}, {_counts(self.seeds)})"


def mean_interval(values: Iterable[float] | Mapping[int, float], confidence: float = 0.95) -> Interval:
    """The mean over seeds with Student's t interval: where the mean of ever more seeds would lie. Of one seed there is
    no interval (low and high NaN), of none no value."""
    return _around_mean(values, confidence, lambda n: 1 / n)


def prediction_interval(values: Iterable[float] | Mapping[int, float], confidence: float = 0.95) -> Interval:
    """The mean over seeds, and where the value of one further seed would lie: t · sd · sqrt(1 + 1/n) about it."""
    return _around_mean(values, confidence, lambda n: 1 + 1 / n)


def spread(values: Iterable[float] | Mapping[int, float]) -> float:
    """The standard deviation over seeds (n - 1), NaN of fewer than two."""
    return sqrt(_variance(_array(values)))


def compare_seeds(
    values: Mapping[int, float], others: Mapping[int, float], paired: bool = False, confidence: float = 0.95
) -> SeedComparison:
    """`others` less `values`, both {seed: value}: Welch's t test, or the paired one over the seeds that both have.

    Rows that are alike are told apart in 3.5 % of cases at n = 3, 4.8 % at n = 10 (alpha 0.05); where the means are
    alike but one row is spread four times as far, in 5.6 % at n = 3.
    Below two seeds on a side p and the interval are NaN. Where no seed changes anything, equal rows have p = 1; of
    unequal ones p and the interval are NaN: they have no spread to judge by, and p = 0 would claim too much.
    """
    own, other = _array(values), _array(others)
    scale = max(np.abs(np.concatenate([own, other])), default=0.0)
    if paired:
        both = [seed for seed in values if seed in others]
        own, other = (np.array([row[seed] for seed in both], float) for row in (values, others))
    seeds, test = (len(own), len(other)), "paired t" if paired else "Welch's t"
    difference = _mean(other) - _mean(own)
    if paired:
        error, freedom = _variance(other - own, scale) / max(len(own), 1), len(own) - 1
    else:
        error, freedom = _welch(own, other, scale)
    if error == 0 and abs(difference) <= _ROUNDING * scale:
        return SeedComparison(Interval(0.0, 0.0, 0.0, confidence), 1.0, test, seeds)
    if not error > 0:
        return SeedComparison(Interval(difference, nan, nan, confidence), nan, test, seeds)
    from scipy.special import stdtr

    p = 2 * float(stdtr(freedom, -abs(difference) / sqrt(error)))
    return SeedComparison(_interval(difference, error, freedom, confidence), p, test, seeds)


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's step-down p-values, in the order given: one of them at most alpha by chance alone in no more than alpha of
    all tables. NaN (nothing was tested) stays NaN and does not count."""
    adjusted = [nan] * len(ps)
    tested = sorted((place for place, p in enumerate(ps) if not isnan(p)), key=lambda place: ps[place])
    least = 0.0
    for rank, place in enumerate(tested):
        least = max(least, min((len(tested) - rank) * float(ps[place]), 1.0))
        adjusted[place] = least
    return adjusted


def verdict(p_adjusted: float, difference: float, seeds: tuple[int, int], alpha: float = 0.05) -> str:
    """A comparison in words, of its p (adjusted where several are read together), its difference and its seeds."""
    if min(seeds) < 1 or isnan(difference):
        return "no result: nothing can be said"
    if min(seeds) < 2:
        return "one seed: nothing can be said"
    if isnan(p_adjusted):
        return "no spread over seeds to judge by"
    if p_adjusted > alpha:
        return f"not distinguishable at {_counts(seeds)}"
    size = abs(difference)
    return f"{'better' if difference > 0 else 'worse'} by {size:{'.1f' if size >= 0.1 else '.1g'}} points"


def power(difference: float, sd: float, n: int, alpha: float = 0.05) -> float:
    """How often Student's two-sided t test, n seeds on each side, tells rows whose means differ by so much and whose
    spread is sd alike (noncentral t). 0 below two seeds, NaN without a spread. Welch's test, which does not take the
    spreads for equal, tells a little fewer at few seeds: at n = 3 about 67 % where this says 78 %, at n = 5 77 for 79.
    """
    return _told(abs(difference) / sd, n, alpha) if sd > 0 else nan


def seeds_needed(difference: float, sd: float, power: float = 0.8, alpha: float = 0.05, most: int = 200) -> int | None:
    """The fewest seeds on each side that tell such a difference so often; None where `most` are too few, or there is
    no spread to judge by."""
    if not sd > 0:
        return None
    return next((n for n in range(2, most + 1) if _told(abs(difference) / sd, n, alpha) >= power), None)


def least_difference(sd: float, n: int, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest difference that n seeds on each side tell so often; infinite below two seeds, NaN without a spread.

    Raises ValueError for a power that is not between alpha and 1."""
    if not alpha < power < 1:
        raise ValueError(f"a power lies between alpha ({alpha}) and 1; got {power}")
    if not sd > 0 or n < 2:
        return inf if sd > 0 else nan
    from scipy.optimize import brentq

    high = 1.0
    while _told(high, n, alpha) < power:
        high *= 2
    return sd * float(brentq(lambda effect: _told(effect, n, alpha) - power, 0, high, xtol=1e-10))


def _told(effect: float, n: int, alpha: float) -> float:
    """The power for a difference of so many standard deviations."""
    if n < 2:
        return 0.0
    from scipy.special import ncfdtr, stdtrit

    # by t squared, which is a noncentral F: scipy's noncentral t is NaN in many places (1.17)
    freedom = 2 * n - 2
    missed = float(ncfdtr(1, freedom, effect**2 * n / 2, stdtrit(freedom, 1 - alpha / 2) ** 2))
    return 1.0 if isnan(missed) else 1 - missed  # NaN where less than 1e-14 are missed


def _array(values: Iterable[float] | Mapping[int, float]) -> np.ndarray:
    return np.array(list(values.values() if isinstance(values, Mapping) else values), float)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else nan


def _variance(values: np.ndarray, scale: float | None = None) -> float:
    """With n - 1, NaN of fewer than two; exactly 0 where they differ by rounding alone, beside `scale`."""
    if len(values) < 2:
        return nan
    scale = np.abs(values).max() if scale is None else scale
    return 0.0 if np.ptp(values) <= _ROUNDING * scale else float(values.var(ddof=1))


def _welch(own: np.ndarray, other: np.ndarray, scale: float) -> tuple[float, float]:
    """The squared standard error of the difference of the means, and its degrees of freedom (Welch, Satterthwaite)."""
    if min(len(own), len(other)) < 2:
        return nan, nan
    parts = [_variance(row, scale) / len(row) for row in (own, other)]
    if (error := sum(parts)) == 0:
        return 0.0, nan
    return error, 1 / sum((part / error) ** 2 / (len(row) - 1) for part, row in zip(parts, (own, other), strict=True))


def _around_mean(
    values: Iterable[float] | Mapping[int, float], confidence: float, share: Callable[[int], float]
) -> Interval:
    own = _array(values)
    error = _variance(own) * share(len(own)) if len(own) > 1 else nan
    return _interval(_mean(own), error, len(own) - 1, confidence)


def _interval(value: float, error: float, freedom: float, confidence: float) -> Interval:
    """By Student's t about a value with this squared standard error."""
    if isnan(error):
        return Interval(value, nan, nan, confidence)
    from scipy.special import stdtrit  # a sixth of a second that no other command need wait for

    reach = float(stdtrit(freedom, (1 + confidence) / 2)) * sqrt(error)
    return Interval(value, value - reach, value + reach, confidence)


def _counts(seeds: tuple[int, int]) -> str:
    return f"n = {seeds[0]}" if seeds[0] == seeds[1] else f"n = {seeds[0]} and {seeds[1]}"

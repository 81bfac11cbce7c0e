"""How sure a number is: intervals over people, and two runs compared on the same people."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A value and the interval that holds it with the given confidence."""

    value: float
    low: float
    high: float
    confidence: float = 0.95

    def __str__(self) -> str:
        return f"{self.value:.1f} [{self.low:.1f}, {self.high:.1f}]"


@dataclass(frozen=True)
class Comparison:
    """The second run less the first, on the same people, in percentage points."""

    difference: Interval
    people: int

    @property
    def distinguishable(self) -> bool:
        return self.difference.low > 0 or self.difference.high < 0

    def __str__(self) -> str:
        verdict = "distinguishable" if self.distinguishable else "not distinguishable"
        return f"difference {self.difference} points: {verdict} on {self.people} people"


def pck_interval(errors: np.ndarray, threshold: float, confidence: float = 0.95, seed: int = 0) -> Interval:
    """PCK in percent of errors [N, K] (NaN: not labelled), with a bootstrap interval over people (BCa): what other
    people of the same kind would have given. It says nothing about other seeds of the training."""
    right, labelled = _counts(errors, threshold)
    return _interval((right, labelled), lambda r, n, axis: 100 * r.sum(axis) / n.sum(axis), confidence, seed)


def compare_pck(
    errors: np.ndarray, other: np.ndarray, threshold: float, confidence: float = 0.95, seed: int = 0
) -> Comparison:
    """PCK of `other` less that of `errors`, both [N, K] of the same people in the same order, with a bootstrap interval
    over people. Raises ValueError where they are not of the same people."""
    if errors.shape != other.shape or (np.isfinite(errors) != np.isfinite(other)).any():
        raise ValueError(
            f"errors of {errors.shape} and {other.shape} are not of the same labelled keypoints; "
            "compare runs that were evaluated on the same people"
        )
    right, labelled = _counts(errors, threshold)
    others, _ = _counts(other, threshold)

    def difference(one: np.ndarray, two: np.ndarray, n: np.ndarray, axis: int) -> np.ndarray:
        return 100 * (two.sum(axis) - one.sum(axis)) / n.sum(axis)

    return Comparison(_interval((right, others, labelled), difference, confidence, seed), len(right))


def _counts(errors: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Of each person with a labelled keypoint: how many are right, how many labelled."""
    labelled = np.isfinite(errors)
    judged = labelled.any(1)
    right = np.where(labelled, errors, np.inf) <= threshold
    return right.sum(1)[judged], labelled.sum(1)[judged]


def _interval(
    samples: tuple[np.ndarray, ...], statistic: Callable[..., np.ndarray], confidence: float, seed: int
) -> Interval:
    if not len(samples[0]):
        return Interval(float("nan"), float("nan"), float("nan"), confidence)
    value = float(statistic(*samples, axis=-1))
    if len(samples[0]) == 1:
        return Interval(value, float("nan"), float("nan"), confidence)
    from scipy.stats import DegenerateDataWarning, bootstrap  # half a second that no other command need wait for

    with warnings.catch_warnings(), np.errstate(invalid="ignore"):  # everybody alike: answered below
        warnings.simplefilter("ignore", DegenerateDataWarning)
        found = bootstrap(
            samples, statistic, paired=True, vectorized=True, n_resamples=_RESAMPLES, batch=200,
            confidence_level=confidence, method="BCa", rng=np.random.default_rng(seed),
        )  # fmt: skip
    low, high = found.confidence_interval
    if not np.isfinite([low, high]).all():
        low = high = value
    return Interval(value, float(low), float(high), confidence)

"""Statistics over people: bootstrap intervals of PCK, and two runs compared on the same people."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A value with its confidence interval.

    Attributes:
        value: The estimate.
        low: Lower bound; NaN if there is no interval.
        high: Upper bound; NaN if there is no interval.
        confidence: Confidence level.
    """

    value: float
    low: float
    high: float
    confidence: float = 0.95

    def __str__(self) -> str:
        return f"{self.value:.1f} [{self.low:.1f}, {self.high:.1f}]"


@dataclass(frozen=True)
class Comparison:
    """The difference between two runs on the same people.

    Attributes:
        difference: Second run less first run, in percentage points.
        people: Number of people with at least one labelled keypoint.
    """

    difference: Interval
    people: int

    @property
    def distinguishable(self) -> bool:
        """Whether the interval excludes 0."""
        return self.difference.low > 0 or self.difference.high < 0

    def __str__(self) -> str:
        verdict = "distinguishable" if self.distinguishable else "not distinguishable"
        return f"difference {self.difference} points: {verdict} on {self.people} people"


def pck_interval(
    errors: np.ndarray, threshold: float, confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Return PCK with a bootstrap interval (BCa) over people.

    The interval covers the choice of people; it does not cover the training seed (see seeds.py).

    Args:
        errors: Normalised errors [N, K]; NaN where not labelled.
        threshold: Largest error of a correct keypoint.
        confidence: Confidence level of the interval.
        seed: Seed of the bootstrap.

    Returns:
        PCK in percent. The bounds are NaN for one person, everything is NaN for none.
    """
    correct, labelled = _counts(errors, threshold)

    def share(correct: np.ndarray, labelled: np.ndarray, axis: int) -> np.ndarray:
        return 100 * correct.sum(axis) / labelled.sum(axis)

    return _bootstrap((correct, labelled), share, confidence, seed)


def compare_pck(
    errors: np.ndarray,
    other_errors: np.ndarray,
    threshold: float,
    confidence: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compare the PCK of two runs on the same people, with a bootstrap interval over people.

    Args:
        errors: Normalised errors [N, K] of the first run; NaN where not labelled.
        other_errors: Errors [N, K] of the second run, for the same people in the same order.
        threshold: Largest error of a correct keypoint.
        confidence: Confidence level of the interval.
        seed: Seed of the bootstrap.

    Raises:
        ValueError: The labelled keypoints of the two runs differ.
    """
    same_shape = errors.shape == other_errors.shape
    if not same_shape or (np.isfinite(errors) != np.isfinite(other_errors)).any():
        raise ValueError(
            f"errors of {errors.shape} and {other_errors.shape} are not of the same labelled "
            "keypoints; compare runs that were evaluated on the same people"
        )
    correct, labelled = _counts(errors, threshold)
    other_correct, _ = _counts(other_errors, threshold)

    def difference(
        first: np.ndarray, second: np.ndarray, labelled: np.ndarray, axis: int
    ) -> np.ndarray:
        return 100 * (second.sum(axis) - first.sum(axis)) / labelled.sum(axis)

    samples = correct, other_correct, labelled
    return Comparison(_bootstrap(samples, difference, confidence, seed), len(correct))


def _counts(errors: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Count correct and labelled keypoints of each person with a labelled keypoint."""
    labelled = np.isfinite(errors)
    has_label = labelled.any(1)
    correct = np.where(labelled, errors, np.inf) <= threshold
    return correct.sum(1)[has_label], labelled.sum(1)[has_label]


def _bootstrap(
    samples: tuple[np.ndarray, ...],
    statistic: Callable[..., np.ndarray],
    confidence: float,
    seed: int,
) -> Interval:
    """Return a statistic of paired samples with its BCa interval."""
    if not len(samples[0]):
        return Interval(float("nan"), float("nan"), float("nan"), confidence)
    value = float(statistic(*samples, axis=-1))
    if len(samples[0]) == 1:
        return Interval(value, float("nan"), float("nan"), confidence)
    from scipy.stats import DegenerateDataWarning, bootstrap  # takes half a second to import

    # Without any variation over people the bounds are NaN; they are set to the value below.
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore", DegenerateDataWarning)
        result = bootstrap(
            samples,
            statistic,
            paired=True,
            vectorized=True,
            n_resamples=_RESAMPLES,
            batch=200,
            confidence_level=confidence,
            method="BCa",
            rng=np.random.default_rng(seed),
        )
    low, high = result.confidence_interval
    if not np.isfinite([low, high]).all():
        low = high = value
    return Interval(value, float(low), float(high), confidence)

"""Augmentation of crops. All random numbers are pure functions of (seed, epoch, index)."""

from dataclasses import dataclass, replace

import numpy as np

from posenfs.data.geometry import Crop

_CLIP = 2  # standard deviations at which a Gaussian rotation is clipped


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random changes of a crop; the defaults are the paper's."""

    # Largest rotation to either side, in degrees.
    rotation: float = 45.0
    # Largest change of the scale to either side of 1.
    scale: float = 0.3
    # Probability of mirroring a crop.
    flip: float = 0.5
    # Probability of rotating a crop.
    rotation_probability: float = 1.0
    # Largest change of the factors of red, green and blue to either side of 1.
    colour: float = 0.0
    # Draw rotation and scale from normal distributions with these standard deviations, not from
    # uniform ones; rotations are clipped at 2 standard deviations, scales at 1.
    normal: bool = False

    def __post_init__(self):
        for name, is_valid, requirement in (
            ("rotation", self.rotation >= 0, "must not be negative"),
            ("scale", 0 <= self.scale < 1, "lies in [0, 1)"),
            ("flip", 0 <= self.flip <= 1, "lies in [0, 1]"),
            ("rotation_probability", 0 <= self.rotation_probability <= 1, "lies in [0, 1]"),
            ("colour", 0 <= self.colour < 1, "lies in [0, 1)"),
        ):
            if not is_valid:
                raise ValueError(f"augmentation.{name} {requirement}; got {getattr(self, name)}")

    @property
    def max_rotation(self) -> float:
        """The largest possible rotation in degrees."""
        return self.rotation * (_CLIP if self.normal else 1)


PAPER = Augmentation()
RELEASED = Augmentation(rotation_probability=0.6, normal=True)  # the authors' code

_ORDER = 2**63  # counter of an epoch's order, larger than the index of any person


def generator(seed: int, epoch: int, index: int, stream: int = 0) -> np.random.Generator:
    """Return a counter-based random generator.

    It gives the same numbers in every process and in any order of calls.

    Args:
        seed: Seed of the run.
        epoch: Epoch.
        index: Index of the person.
        stream: Number of an independent stream of the same person.
    """
    key = np.array([seed, epoch], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, stream, index]))


def epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    """Return the random order [count] of an epoch.

    Args:
        seed: Seed of the run.
        epoch: Epoch.
        count: Number of people.
    """
    return generator(seed, epoch, _ORDER).permutation(count)


def augment(
    crop: Crop, augmentation: Augmentation, seed: int, epoch: int, index: np.ndarray
) -> Crop:
    """Change the scale, rotation and flip of crops at random.

    Args:
        crop: Crops, fields with a leading [B].
        augmentation: Ranges of the changes.
        seed: Seed of the run.
        epoch: Epoch.
        index: Indices [B] of the people.
    """
    generators = [generator(seed, epoch, person) for person in index.tolist()]
    probabilities = augmentation.rotation_probability, augmentation.flip
    draws = np.stack([rng.random(2) for rng in generators])
    is_rotated, is_flipped = (draws < probabilities).T
    if augmentation.normal:
        draws = np.stack([rng.standard_normal(2) for rng in generators])
        rotation, zoom = draws.T.clip([[-_CLIP], [-1]], [[_CLIP], [1]])
    else:
        rotation, zoom = np.stack([rng.uniform(-1, 1, 2) for rng in generators]).T
    return replace(
        crop,
        scale=crop.scale * (1 + augmentation.scale * zoom),
        rotation=augmentation.rotation * rotation * is_rotated,
        flip=is_flipped,
    )


def colour_gains(
    augmentation: Augmentation, seed: int, epoch: int, index: np.ndarray
) -> np.ndarray:
    """Draw the factors [B, 3] for red, green and blue of crops.

    Args:
        augmentation: Range of the factors.
        seed: Seed of the run.
        epoch: Epoch.
        index: Indices [B] of the people.
    """
    if not augmentation.colour:
        return np.ones((len(index), 3), np.float32)
    generators = [generator(seed, epoch, person, stream=1) for person in index.tolist()]
    draws = np.stack([rng.uniform(-1, 1, 3) for rng in generators])
    return (1 + augmentation.colour * draws).astype(np.float32)

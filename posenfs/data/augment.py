"""Augmentation, and the random numbers behind it: pure functions of (seed, epoch, index)."""

from dataclasses import dataclass, replace

import numpy as np

from posenfs.data.geometry import Crop


@dataclass(frozen=True)
class Augmentation:
    """Random changes of a crop; the defaults are the paper's."""

    rotation: float = 45.0  # degrees: the range to either side
    scale: float = 0.3  # a share: the range to either side of 1
    flip: float = 0.5  # how many are mirrored
    rotation_probability: float = 1.0  # how many are turned at all
    normal: bool = False  # Gaussian of that deviation, clipped at 2 (rotation) and 1 (scale); else uniform

    def __post_init__(self):
        if not (
            0 <= self.scale < 1 and self.rotation >= 0 and 0 <= self.flip <= 1 and 0 <= self.rotation_probability <= 1
        ):
            raise ValueError(
                f"scale lies in [0, 1), flip and rotation_probability in [0, 1], rotation >= 0; got {self}"
            )


PAPER = Augmentation()
# the authors' code
RELEASED = Augmentation(rotation_probability=0.6, normal=True)
NONE = Augmentation(rotation=0.0, scale=0.0, flip=0.0)

_ORDER = 2**63  # a counter no sample has


def generator(seed: int, epoch: int, index: int) -> np.random.Generator:
    """A counter-based generator: the same numbers in whatever process and order it is asked."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, epoch], np.uint64), counter=[0, 0, 0, index]))


def order(seed: int, epoch: int, people: int) -> np.ndarray:
    """[people]: the order in which an epoch sees the people."""
    return generator(seed, epoch, _ORDER).permutation(people)


def augment(crop: Crop, augmentation: Augmentation, seed: int, epoch: int, index: int) -> Crop:
    """A crop of one person, changed at random."""
    draw = generator(seed, epoch, index)
    turned, mirrored = draw.random() < augmentation.rotation_probability, draw.random() < augmentation.flip
    if augmentation.normal:
        turn, zoom = np.clip(draw.standard_normal(), -2, 2), np.clip(draw.standard_normal(), -1, 1)
    else:
        turn, zoom = draw.uniform(-1, 1), draw.uniform(-1, 1)
    return replace(
        crop,
        scale=crop.scale * (1 + augmentation.scale * zoom),
        rotation=np.float64(augmentation.rotation * turn * turned),
        flip=np.bool_(mirrored),
    )

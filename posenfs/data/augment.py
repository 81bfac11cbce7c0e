"""Augmentation, and the random numbers behind it: pure functions of (seed, epoch, index)."""

from dataclasses import dataclass, replace

import numpy as np

from posenfs.data.geometry import Crop

_CLIP = 2  # deviations at which a Gaussian rotation is cut off


@dataclass(frozen=True)
class Augmentation:
    """Random changes of a crop; the defaults are the paper's."""

    rotation: float = 45.0  # degrees: the range to either side
    scale: float = 0.3  # a share: the range to either side of 1
    flip: float = 0.5  # how many are mirrored
    rotation_probability: float = 1.0  # how many are turned at all
    colour: float = 0.0  # a share: each of red, green, blue is multiplied by 1 +- up to this
    normal: bool = False  # Gaussian of that deviation, clipped at 2 (rotation) and 1 (scale); else uniform

    def __post_init__(self):
        for name, sound, wanted in (
            ("rotation", self.rotation >= 0, "must not be negative"),
            ("scale", 0 <= self.scale < 1, "lies in [0, 1)"),
            ("flip", 0 <= self.flip <= 1, "lies in [0, 1]"),
            ("rotation_probability", 0 <= self.rotation_probability <= 1, "lies in [0, 1]"),
            ("colour", 0 <= self.colour < 1, "lies in [0, 1)"),
        ):
            if not sound:
                raise ValueError(f"augmentation.{name} {wanted}; got {getattr(self, name)}")

    @property
    def most_rotation(self) -> float:
        """Degrees beyond which nothing is turned."""
        return self.rotation * (_CLIP if self.normal else 1)


PAPER = Augmentation()
# the authors' code
RELEASED = Augmentation(rotation_probability=0.6, normal=True)

_ORDER = 2**63  # a counter no sample has


def generator(seed: int, epoch: int, index: int, stream: int = 0) -> np.random.Generator:
    """A counter-based generator: the same numbers in whatever process and order it is asked."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, epoch], np.uint64), counter=[0, 0, stream, index]))


def order(seed: int, epoch: int, people: int) -> np.ndarray:
    """[people]: the order in which an epoch sees the people."""
    return generator(seed, epoch, _ORDER).permutation(people)


def augment(crop: Crop, augmentation: Augmentation, seed: int, epoch: int, index: np.ndarray) -> Crop:
    """The crops [B] of the people with this index [B], each changed at random."""
    draws = [generator(seed, epoch, person) for person in index.tolist()]
    shares = augmentation.rotation_probability, augmentation.flip
    turned, mirrored = (np.stack([draw.random(2) for draw in draws]) < shares).T
    if augmentation.normal:
        turn, zoom = np.stack([draw.standard_normal(2) for draw in draws]).T.clip([[-_CLIP], [-1]], [[_CLIP], [1]])
    else:
        turn, zoom = np.stack([draw.uniform(-1, 1, 2) for draw in draws]).T
    return replace(
        crop,
        scale=crop.scale * (1 + augmentation.scale * zoom),
        rotation=augmentation.rotation * turn * turned,
        flip=mirrored,
    )


def colour_gains(augmentation: Augmentation, seed: int, epoch: int, index: np.ndarray) -> np.ndarray:
    """[B, 3]: what red, green and blue of the crops of the people with this index [B] are multiplied by."""
    if not augmentation.colour:
        return np.ones((len(index), 3), np.float32)
    draws = np.stack([generator(seed, epoch, person, stream=1).uniform(-1, 1, 3) for person in index.tolist()])
    return (1 + augmentation.colour * draws).astype(np.float32)

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
        if not (
            all(0 <= share < 1 for share in (self.scale, self.colour))
            and self.rotation >= 0
            and all(0 <= share <= 1 for share in (self.flip, self.rotation_probability))
        ):
            raise ValueError(
                f"scale and colour lie in [0, 1), flip and rotation_probability in [0, 1], rotation >= 0; got {self}"
            )

    @property
    def most_rotation(self) -> float:
        """Degrees beyond which nothing is turned."""
        return self.rotation * (_CLIP if self.normal else 1)


PAPER = Augmentation()
# the authors' code
RELEASED = Augmentation(rotation_probability=0.6, normal=True)
NONE = Augmentation(rotation=0.0, scale=0.0, flip=0.0)

_ORDER = 2**63  # a counter no sample has


def generator(seed: int, epoch: int, index: int, stream: int = 0) -> np.random.Generator:
    """A counter-based generator: the same numbers in whatever process and order it is asked."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, epoch], np.uint64), counter=[0, 0, stream, index]))


def order(seed: int, epoch: int, people: int) -> np.ndarray:
    """[people]: the order in which an epoch sees the people."""
    return generator(seed, epoch, _ORDER).permutation(people)


def augment(crop: Crop, augmentation: Augmentation, seed: int, epoch: int, index: int) -> Crop:
    """A crop of one person, changed at random."""
    draw = generator(seed, epoch, index)
    turned, mirrored = draw.random() < augmentation.rotation_probability, draw.random() < augmentation.flip
    if augmentation.normal:
        turn, zoom = np.clip(draw.standard_normal(), -_CLIP, _CLIP), np.clip(draw.standard_normal(), -1, 1)
    else:
        turn, zoom = draw.uniform(-1, 1), draw.uniform(-1, 1)
    return replace(
        crop,
        scale=crop.scale * (1 + augmentation.scale * zoom),
        rotation=np.float64(augmentation.rotation * turn * turned),
        flip=np.bool_(mirrored),
    )


def colour_gains(augmentation: Augmentation, seed: int, epoch: int, index: int) -> np.ndarray:
    """[3]: what red, green and blue of one person's crop are multiplied by."""
    if not augmentation.colour:
        return np.ones(3, np.float32)
    return (1 + augmentation.colour * generator(seed, epoch, index, stream=1).uniform(-1, 1, 3)).astype(np.float32)

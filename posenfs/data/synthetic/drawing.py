"""Drawn people: images of articulated figures with exact keypoints.

An image is a pure function of (seed, split, index, difficulty). Drawing uses numpy; this module
does not import torch, so that drawing processes start fast.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from posenfs.data.synthetic import bodies, clothing, scenery
from posenfs.data.synthetic.labelling import DrawnPerson, label_person
from posenfs.data.synthetic.rendering import Canvas, Figure, Shape, bounds, draw_shape, to_pixels

_SHAPES = ((256, 320), (272, 304), (288, 288), (304, 272), (320, 256))  # (height, width) px
_LEVEL_DEPTH = 4000.0  # px of depth between two people: a person at the back is wholly behind
_OCCLUDER = 255  # owner of the pixels of objects
_UPRIGHT = ("standing", "walking", "arms_raised", "arms_out", "hands_on_hips", "waving", "reaching")
_EVERYDAY = (
    *(*_UPRIGHT, "running", "sitting", "squatting", "arms_folded"),
    *("bending", "leaning", "kneeling", "lunging"),
)


@dataclass(frozen=True)
class Difficulty:
    """Difficulty of a set. Pairs are (low, high), both included; angles are in degrees."""

    people: tuple[int, int]  # number of people
    poses: tuple[str, ...]
    turn: float  # largest angle between a person and the direction towards or away from the camera
    camera: float  # largest elevation of the camera, above or below
    tilt: float  # largest rotation of a person in the image plane, beyond that of the pose
    clutter: tuple[int, int]  # number of objects and textures in the background
    occluders: tuple[int, int]  # number of objects in front of people
    cut: float  # share of people who may extend beyond the border of the image
    contrast: tuple[float, float]
    blur: float  # px
    noise: float  # standard deviation, grey levels


DIFFICULTIES = {
    "plain": Difficulty((1, 1), _UPRIGHT, 40, 4, 0, (0, 0), (0, 0), 0.0, (0.95, 1.1), 0.0, 2.0),
    "default": Difficulty(
        (1, 3), _EVERYDAY, 90, 12, 5, (3, 12), (0, 2), 0.12, (0.75, 1.1), 0.7, 6.0
    ),
    "hard": Difficulty(
        (2, 4), bodies.POSES, 90, 25, 25, (8, 20), (1, 3), 0.25, (0.35, 0.85), 1.2, 12.0
    ),
}


@dataclass(frozen=True)
class DrawnImage:
    """A drawn image and its annotations."""

    image: np.ndarray  # uint8 [H, W, 3] RGB
    people: tuple[DrawnPerson, ...]  # from back to front


@dataclass(frozen=True)
class _Scene:
    """The content of an image before rendering."""

    shape: tuple[int, int]  # (height, width) px
    light: np.ndarray  # [3] direction towards the light
    people: list[Figure]  # from back to front
    objects: list[tuple[float, Shape]]  # level and shape; person n is at level n
    rng: Callable[[str], np.random.Generator]  # an independent random generator per name


def draw_image(
    index: int, split: str = "train", seed: int = 0, difficulty: str = "default"
) -> DrawnImage:
    """Draw an image of a set.

    Args:
        index: Number of the image in the split.
        split: train or valid.
        seed: Seed of the set.
        difficulty: plain, default or hard.

    Raises:
        ValueError: The difficulty is unknown, or the index or the seed is negative.
    """
    scene = _compose(index, split, seed, difficulty)
    settings = DIFFICULTIES[difficulty]
    canvas = _render(scene, scene.people, scene.objects, settings)
    people = tuple(
        label_person(person, canvas, n + 1, scene.rng(f"annotator {n}"))
        for n, person in enumerate(scene.people)
    )
    image = scenery.photograph(
        canvas.colour, scene.rng("camera"), settings.contrast, settings.blur, settings.noise
    )
    return DrawnImage(image, people)


def _compose(index: int, split: str, seed: int, difficulty: str) -> _Scene:
    """Choose the content of an image."""
    settings = settings_of(difficulty)
    if index < 0 or seed < 0:
        raise ValueError(f"Index and seed must not be negative, got index {index} and seed {seed}")

    def create_rng(stream: str) -> np.random.Generator:
        # Every person and object has its own stream, so that none depends on another's draws.
        key = [seed, zlib.crc32(difficulty.encode())]
        counter = [0, zlib.crc32(stream.encode()), index, zlib.crc32(split.encode())]
        return np.random.Generator(np.random.Philox(key=key, counter=counter))

    rng = create_rng("stage")
    shape = _SHAPES[rng.integers(len(_SHAPES))]
    light = np.array([rng.uniform(-0.6, 0.6), -0.55, 0.65])
    count = int(rng.integers(*settings.people, endpoint=True))
    slots = rng.permutation(count)
    people = [
        _person(create_rng(f"person {n}"), shape, (slots[n], count), n, settings)
        for n in range(count)
    ]
    objects: list[tuple[float, Shape]] = [
        (level, scenery.seat(person))
        for level, person in enumerate(people)
        if person.pose == "sitting"
    ]
    for n in range(rng.integers(*settings.occluders, endpoint=True)):
        level = int(rng.integers(count)) + 0.5  # in front of one person and behind the next
        person = people[int(level)]
        depth = level * _LEVEL_DEPTH
        shapes = scenery.occluder(create_rng(f"thing {n}"), person, shape[0], depth)
        objects += [(level, shape) for shape in shapes]
    return _Scene(shape, light / np.linalg.norm(light), people, objects, create_rng)


def settings_of(difficulty: str) -> Difficulty:
    """Return the settings of a difficulty.

    Raises:
        ValueError: The difficulty is unknown.
    """
    if difficulty not in DIFFICULTIES:
        known = ", ".join(DIFFICULTIES)
        raise ValueError(f"Unknown difficulty {difficulty!r}; choose one of {known}")
    return DIFFICULTIES[difficulty]


def _person(
    rng: np.random.Generator,
    shape: tuple[int, int],
    slot: tuple[int, int],
    level: int,
    settings: Difficulty,
) -> Figure:
    """A person placed in the image, in slot[0] of slot[1] slots along its width."""
    pose = settings.poses[rng.integers(len(settings.poses))]
    angles = bodies.sample_pose(rng, pose)
    body = bodies.sample_body(rng)
    look = clothing.sample_look(rng)
    angles["roll"] += rng.uniform(-settings.tilt, settings.tilt)
    yaw = 180 * rng.integers(2) + rng.uniform(-settings.turn, settings.turn)
    pitch = rng.uniform(-settings.camera, settings.camera)
    joints, frames = bodies.place_joints(angles, body, bodies.view(yaw, pitch))
    shapes = clothing.dress(joints, frames, body, look)
    (left, bottom), (right, top) = bounds(shapes)
    low, high = np.array([left, -top]), np.array([right, -bottom])
    height, available = rng.uniform(120, 230), np.array(shape[::-1]) - 6
    may_be_cut = rng.random() < settings.cut
    if not may_be_cut:
        height = min(height, *(available / (high - low)))
    # The range of the pelvis; the people of an image share its width.
    first, last = 3 - low * height, available + 3 - high * height
    slack = 0.3 * height * (high - low) * may_be_cut
    first, last = np.minimum(first, last) - slack, np.maximum(first, last) + slack
    share = np.array([(slot[0] + rng.random()) / slot[1], rng.random() ** 0.5])
    x, y = first + share * (last - first)
    origin = np.array([x, y, level * _LEVEL_DEPTH])
    scale = np.array([height, -height, height])
    return Figure(
        pose,
        height,
        body["head"],
        {name: position * scale + origin for name, position in joints.items()},
        [to_pixels(shape, height, origin) for shape in shapes],
    )


def _render(
    scene: _Scene,
    people: list[Figure],
    objects: list[tuple[float, Shape]],
    settings: Difficulty,
) -> Canvas:
    """Draw the background, then people and objects from back to front, a person's paint last."""
    rng = scene.rng("background")
    clutter = int(rng.integers(*settings.clutter, endpoint=True))

    colour = scenery.background(rng, scene.shape, clutter)
    canvas = Canvas(colour, np.full(scene.shape, -1e6, np.float32), np.zeros(scene.shape, np.uint8))
    layers = [(level, _OCCLUDER, part) for level, part in objects]
    layers += [(n, n + 1, part) for n, person in enumerate(people) for part in person.shapes]
    layers.sort(key=lambda layer: (layer[0], layer[2].paint, layer[2].points[:, 2].mean()))
    for _, owner, part in layers:
        draw_shape(canvas, part, owner, scene.light)
    return canvas

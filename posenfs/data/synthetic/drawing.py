"""Drawn people: images of articulated figures with exact keypoints.

An image is a pure function of (seed, split, index, difficulty). Drawing uses numpy; this module
does not import torch, so that drawing processes start fast.

"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from posenfs.body.skeleton import COCO, HEAD_SHARE, MPII
from posenfs.data.synthetic import figures, scenery

_SHAPES = ((256, 320), (272, 304), (288, 288), (304, 272), (320, 256))  # (height, width) px
_LEVEL_DEPTH = 4000.0  # px of depth between two people: a person at the back is wholly behind
_OCCLUDER = 255  # owner of the pixels of objects
_FACE = ("nose", "eye", "ear")
# Position of MPII's annotated centres, lowered by 15 * scale, relative to the middle of the body:
# mean and standard deviation (x, y) over the validation people, in sides of the box 200 * scale.
_CENTER_OFFSET, _CENTER_SPREAD = (0.0, 0.038), (0.051, 0.055)
# Depth of the flesh around a keypoint, in standing heights. A surface further out than this hides
# the keypoint.
_FLESH = {
    "head_top": 0.08, "upper_neck": 0.075, "thorax": 0.11, "pelvis": 0.12, "shoulder": 0.085,
    "elbow": 0.075, "wrist": 0.05, "hip": 0.11, "knee": 0.1, "ankle": 0.06,
    "nose": 0.025, "eye": 0.025, "ear": 0.03,
}  # fmt: skip

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
        (2, 4), figures.POSES, 90, 25, 25, (8, 20), (1, 3), 0.25, (0.35, 0.85), 1.2, 12.0
    ),
}


@dataclass(frozen=True)
class DrawnPerson:
    """A person in an image. Coordinates are 0-based px; an integer is the centre of a pixel.

    Keypoints and visibility have the keys MPII.name and COCO.name. Visibility is 0 outside the
    image, 1 occluded (by an object, a person or the body itself), 2 visible. Occluded keypoints of
    COCO's face are 0, because COCO's annotators do not label the face of a person seen from behind.
    """

    keypoints: dict[str, np.ndarray]  # [K, 2] each
    visibility: dict[str, np.ndarray]  # [K] each
    head_box: np.ndarray  # [2, 2] upper left and lower right corner, not clipped to the image
    box: tuple[float, float, float, float]  # x, y, width, height of the body, clipped to the image
    area: int  # number of visible pixels
    center: tuple[float, float]  # the annotated centre, near the middle of the body


@dataclass(frozen=True)
class DrawnPicture:
    """A drawn image and its annotations."""

    image: np.ndarray  # uint8 [H, W, 3] RGB
    people: tuple[DrawnPerson, ...]  # from back to front


@dataclass(frozen=True)
class _Scene:
    """The content of an image before rendering."""

    shape: tuple[int, int]  # (height, width) px
    light: np.ndarray  # [3] direction towards the light
    people: list[dict]  # see _person; from back to front
    objects: list[tuple[float, figures.Shape]]  # level and shape; person n is at level n
    rng: Callable[[str], np.random.Generator]  # an independent random generator per name


def draw_image(
    index: int, split: str = "train", seed: int = 0, difficulty: str = "default"
) -> DrawnPicture:
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
    people = tuple(_label(scene, n, canvas, n + 1) for n in range(len(scene.people)))
    image = scenery.photograph(
        canvas.colour, scene.rng("camera"), settings.contrast, settings.blur, settings.noise
    )
    return DrawnPicture(image, people)


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
    objects: list[tuple[float, figures.Shape]] = [
        (level, scenery.seat(person))
        for level, person in enumerate(people)
        if person["pose"] == "sitting"
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
) -> dict:
    """A person placed in the image, in slot[0] of slot[1] slots along its width.

    The dict holds the pose, the height (px), the size of the head, and joints and shapes in px with
    depth.
    """
    pose = settings.poses[rng.integers(len(settings.poses))]
    angles = figures.sample_pose(rng, pose)
    body = figures.sample_body(rng)
    look = figures.sample_look(rng)
    angles["roll"] += rng.uniform(-settings.tilt, settings.tilt)
    yaw = 180 * rng.integers(2) + rng.uniform(-settings.turn, settings.turn)
    pitch = rng.uniform(-settings.camera, settings.camera)
    joints, frames = figures.place_joints(angles, body, figures.view(yaw, pitch))
    shapes = figures.dress(joints, frames, body, look)
    (left, bottom), (right, top) = _bounds(shapes)
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
    return {
        "pose": pose,
        "height": height,
        "head": body["head"],
        "joints": {name: position * scale + origin for name, position in joints.items()},
        "shapes": [figures.to_pixels(shape, height, origin) for shape in shapes],
    }


def _bounds(shapes: list[figures.Shape]) -> tuple[np.ndarray, np.ndarray]:
    """The smallest and the largest x and y [2] of shapes without paint."""
    points = np.concatenate([shape.points[:, :2] for shape in shapes if not shape.paint])
    radii = np.concatenate([shape.radii for shape in shapes if not shape.paint])[:, None]
    return (points - radii).min(axis=0), (points + radii).max(axis=0)


def _render(
    scene: _Scene,
    people: list[dict],
    objects: list[tuple[float, figures.Shape]],
    settings: Difficulty,
) -> figures.Canvas:
    """Draw the background, then people and objects from back to front, a person's paint last."""
    rng = scene.rng("background")
    clutter = int(rng.integers(*settings.clutter, endpoint=True))

    colour = scenery.background(rng, scene.shape, clutter)
    canvas = figures.Canvas(
        colour, np.full(scene.shape, -1e6, np.float32), np.zeros(scene.shape, np.uint8)
    )
    layers = [(level, _OCCLUDER, part) for level, part in objects]
    layers += [(n, n + 1, part) for n, person in enumerate(people) for part in person["shapes"]]
    layers.sort(key=lambda layer: (layer[0], layer[2].paint, layer[2].points[:, 2].mean()))
    for _, owner, part in layers:
        figures.draw_shape(canvas, part, owner, scene.light)
    return canvas


def _label(scene: _Scene, number: int, canvas: figures.Canvas, owner: int) -> DrawnPerson:
    """Annotate a person of the scene, whose pixels on the canvas belong to `owner`."""
    person = scene.people[number]
    keypoints, visibility = {}, {}
    for skeleton in (MPII, COCO):
        positions = np.array([person["joints"][name] for name in skeleton.keypoints])
        # Rounding here makes the coordinates in memory equal to those in the files.
        keypoints[skeleton.name] = positions[:, :2].round(3)
        flesh = np.array([_FLESH[_without_side(name)] for name in skeleton.keypoints])
        depth = flesh * person["height"]
        visibility[skeleton.name] = _visibility(positions, depth, canvas, owner)
    is_face = np.array([_without_side(name) in _FACE for name in COCO.keypoints])
    visibility[COCO.name][is_face & (visibility[COCO.name] == 1)] = 0
    low, high = _bounds(person["shapes"])
    low = np.maximum(low, -0.5)
    high = np.minimum(high, np.array(canvas.owner.shape)[::-1] - 0.5)
    (left, top), (width, height) = low.round(3).tolist(), (high - low).round(3).tolist()
    area = int(np.count_nonzero(canvas.owner == owner))
    head_box = _head_box(person)
    side = 200 * mpii_scale(head_box)
    rng = scene.rng(f"annotator {number}")
    offset = rng.normal(_CENTER_OFFSET, _CENTER_SPREAD) * side - [0, 15 * side / 200]
    middle = np.array([left, top]) + np.array([width, height]) / 2
    x, y = (middle + offset).round(3).tolist()
    box = (left, top, width, height)
    return DrawnPerson(keypoints, visibility, head_box, box, area, (x, y))


def _without_side(name: str) -> str:
    return name.removeprefix("left_").removeprefix("right_")


def _visibility(
    positions: np.ndarray, flesh: np.ndarray, canvas: figures.Canvas, owner: int
) -> np.ndarray:
    """Visibility [K] of keypoints [K, 3]: 0 outside the image, 1 occluded, 2 visible.

    A keypoint is visible where its pixel shows the person, at most `flesh` [K] px nearer than it.
    """
    x, y = np.rint(positions[:, :2]).astype(int).T
    height, width = canvas.owner.shape
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    pixel = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    is_near = canvas.depth[pixel] - positions[:, 2] <= flesh
    visible = (canvas.owner[pixel] == owner) & is_near
    return np.where(inside, np.where(visible, 2, 1), 0)


def _head_box(person: dict) -> np.ndarray:
    """[2, 2]: the box around skull, chin, head top and upper neck."""
    reach = person["height"] * person["head"] * np.array([0.062, 0.032, 0.0, 0.0])[:, None]
    names = ("skull", "chin", "head_top", "upper_neck")
    positions = np.array([person["joints"][name][:2] for name in names])
    return np.stack([(positions - reach).min(0), (positions + reach).max(0)]).round(3)


def mpii_scale(head_box: np.ndarray) -> float:
    """Return MPII's scale, a person's height / 200; MPII takes the height as ten head sizes.

    Args:
        head_box: Upper left and lower right corner [2, 2] in px.
    """
    return 10 * HEAD_SHARE * float(np.linalg.norm(head_box[1] - head_box[0])) / 200

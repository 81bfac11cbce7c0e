"""Drawn people: pictures of articulated figures with exact keypoints.

A picture is a pure function of (seed, split, index, difficulty), so a set is the same however it is drawn. Pictures are
drawn with numpy alone; this module does not import torch, so that the processes that draw start at once.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from posenfs.body.skeleton import COCO, HEAD_SHARE, MPII
from posenfs.data.datasets import figures, scenery

_SIZES = ((320, 256), (304, 272), (288, 288), (272, 304), (256, 320))  # width, height
_STAGE = 4000.0  # pixels of depth between one person and the next: whoever stands further back is wholly behind
_OCCLUDER = 255
_FACE = ("nose", "eye", "ear")
# Where MPII's annotators put a person's centre, once lowered by 15 * scale as every reader does: measured against the
# middle of the body, in sides of the box of 200 * scale, on the people of its validation set.
_CENTER_OFFSET, _CENTER_SPREAD = (0.0, 0.038), (0.051, 0.055)
# The flesh around a keypoint, in standing heights: whatever is seen at its pixel further out than this hides it.
_FLESH = {
    "head_top": 0.08, "upper_neck": 0.075, "thorax": 0.11, "pelvis": 0.12, "shoulder": 0.085, "elbow": 0.075,
    "wrist": 0.05, "hip": 0.11, "knee": 0.1, "ankle": 0.06, "nose": 0.025, "eye": 0.025, "ear": 0.03,
}  # fmt: skip

_UPRIGHT = ("standing", "walking", "arms_raised", "arms_out", "hands_on_hips", "waving", "reaching")
_EVERYDAY = (
    *_UPRIGHT,
    "running",
    "sitting",
    "squatting",
    "arms_folded",
    "bending",
    "leaning",
    "kneeling",
    "lunging",
)


@dataclass(frozen=True)
class Difficulty:
    """How hard the pictures of a set are. Pairs are (low, high), both included; angles are degrees, blur is pixels."""

    people: tuple[int, int]
    poses: tuple[str, ...]
    turn: (
        float  # how far a person may turn away from straight to the viewer or straight away from it
    )
    camera: float  # how far above or below the camera may look
    tilt: float  # how far a person may be turned in the picture, beyond what the pose asks
    clutter: tuple[int, int]  # things and textures in the background
    occluders: tuple[int, int]
    cut: float  # the share of people who may reach out of the picture
    contrast: tuple[float, float]
    blur: float
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
    """A person in a picture; pixels, 0-based, an integer is the centre of that pixel.

    keypoints: skeleton name -> [K, 2] (x, y); visibility: skeleton name -> [K], 0 outside the picture, 1 hidden (by a
    thing, another person or the person's own body), 2 seen. Both exist for MPII.name and COCO.name; of COCO's, a hidden
    point of the face is 0, since COCO's annotators leave the face of somebody seen from behind unlabelled.
    head_box [2, 2]: upper left and lower right corner, not cut at the picture's border. box: x, y, width, height of the
    body, its hidden parts too, as far as it lies in the picture. area: pixels in which the person is seen.
    center: the point at which an annotator marks the person, about the middle of the body.
    """

    keypoints: dict[str, np.ndarray]
    visibility: dict[str, np.ndarray]
    head_box: np.ndarray
    box: tuple[float, float, float, float]
    area: int
    center: tuple[float, float]


@dataclass(frozen=True)
class DrawnPicture:
    """image uint8 [H, W, 3] RGB and the people in it, the furthest first."""

    image: np.ndarray
    people: tuple[DrawnPerson, ...]


def draw_picture(
    index: int, split: str = "train", seed: int = 0, difficulty: str = "default"
) -> DrawnPicture:
    """Picture `index` of a set. An unknown difficulty, a negative index or seed raise ValueError."""
    size, light, cast, things, rng = _stage(index, split, seed, difficulty)
    canvas = _render(size, light, cast, things, rng("background"), DIFFICULTIES[difficulty])
    people = tuple(
        _label(figure, canvas, n + 1, rng(f"annotator {n}")) for n, figure in enumerate(cast)
    )
    settings = DIFFICULTIES[difficulty]
    image = scenery.photograph(
        canvas.colour, rng("camera"), settings.contrast, settings.blur, settings.noise
    )
    return DrawnPicture(image, people)


def _stage(
    index: int, split: str, seed: int, difficulty: str
) -> tuple[
    tuple[int, int],
    np.ndarray,
    list[dict],
    list[tuple[float, figures.Shape]],
    Callable[[str], np.random.Generator],
]:
    """What stands in a picture: (width, height), light [3], people, things (level, shape); and its random streams."""
    settings = settings_of(difficulty)
    if index < 0 or seed < 0:
        raise ValueError(f"Index and seed must not be negative, got index {index} and seed {seed}")

    def rng(stream: str) -> np.random.Generator:
        # Each person and thing draws from a stream of its own, so that none depends on what another drew.
        counter = [0, zlib.crc32(stream.encode()), index, zlib.crc32(split.encode())]
        return np.random.Generator(
            np.random.Philox(key=[seed, zlib.crc32(difficulty.encode())], counter=counter)
        )

    draw = rng("stage")
    size = _SIZES[draw.integers(len(_SIZES))]
    light = np.array([draw.uniform(-0.6, 0.6), -0.55, 0.65])
    count = draw.integers(*settings.people, endpoint=True)
    slots = draw.permutation(count)
    cast = [_figure(rng(f"person {n}"), size, (slots[n], count), n, settings) for n in range(count)]
    things: list[tuple[float, figures.Shape]] = [
        (level, scenery.seat(figure))
        for level, figure in enumerate(cast)
        if figure["pose"] == "sitting"
    ]
    for n in range(draw.integers(*settings.occluders, endpoint=True)):
        level: float = (
            draw.integers(count) + 0.5
        )  # between levels: before one person and behind the next
        shapes = scenery.occluder(rng(f"thing {n}"), cast[int(level)], size[1], level * _STAGE)
        things += [(level, shape) for shape in shapes]
    return size, light / np.linalg.norm(light), cast, things, rng


def settings_of(difficulty: str) -> Difficulty:
    """Raises ValueError for an unknown difficulty."""
    if difficulty not in DIFFICULTIES:
        raise ValueError(
            f"Unknown difficulty {difficulty!r}; choose one of {', '.join(DIFFICULTIES)}"
        )
    return DIFFICULTIES[difficulty]


def _figure(
    rng: np.random.Generator,
    size: tuple[int, int],
    slot: tuple[int, int],
    level: int,
    settings: Difficulty,
) -> dict:
    """A person placed in the picture: pose, height in pixels, joints and shapes in pixels with depth."""
    pose = settings.poses[rng.integers(len(settings.poses))]
    angles, body, look = (
        figures.sample_pose(rng, pose),
        figures.sample_body(rng),
        figures.sample_look(rng),
    )
    angles["roll"] += rng.uniform(-settings.tilt, settings.tilt)
    yaw = 180 * rng.integers(2) + rng.uniform(-settings.turn, settings.turn)
    joints, frames = figures.place_joints(
        angles, body, figures.view(yaw, rng.uniform(-settings.camera, settings.camera))
    )
    shapes = figures.dress(joints, frames, body, look)
    (left, bottom), (right, top) = _bounds(shapes)
    low, high = np.array([left, -top]), np.array([right, -bottom])
    height, room = rng.uniform(120, 230), np.array(size) - 6
    cut = rng.random() < settings.cut
    if not cut:
        height = min(height, *(room / (high - low)))
    # The range in which the pelvis may stand; people of one picture share its width.
    first, last = 3 - low * height, room + 3 - high * height
    slack = 0.3 * height * (high - low) * cut
    first, last = np.minimum(first, last) - slack, np.maximum(first, last) + slack
    share = np.array([(slot[0] + rng.random()) / slot[1], rng.random() ** 0.5])
    x, y = first + share * (last - first)
    origin = np.array([x, y, level * _STAGE])
    return {
        "pose": pose,
        "height": height,
        "head": body["head"],
        "joints": {
            name: place * [height, -height, height] + origin for name, place in joints.items()
        },
        "shapes": [figures.to_pixels(shape, height, origin) for shape in shapes],
    }


def _bounds(shapes: list[figures.Shape]) -> tuple[np.ndarray, np.ndarray]:
    """The least and the greatest x and y [2] that the solids reach, in their own axes."""
    points = np.concatenate([shape.points[:, :2] for shape in shapes if not shape.paint])
    radii = np.concatenate([shape.radii for shape in shapes if not shape.paint])[:, None]
    return (points - radii).min(axis=0), (points + radii).max(axis=0)


def _render(
    size: tuple[int, int],
    light: np.ndarray,
    cast: list[dict],
    things: list[tuple[float, figures.Shape]],
    rng: np.random.Generator,
    settings: Difficulty,
) -> figures.Canvas:
    """Background, then everybody and everything from the back to the front; of one person the paint comes last."""
    shape = (size[1], size[0])
    colour = scenery.background(rng, size, rng.integers(*settings.clutter, endpoint=True))
    canvas = figures.Canvas(colour, np.full(shape, -1e6, np.float32), np.zeros(shape, np.uint8))
    drawn = [(level, _OCCLUDER, thing) for level, thing in things]
    drawn += [(n, n + 1, part) for n, figure in enumerate(cast) for part in figure["shapes"]]
    for _, owner, part in sorted(drawn, key=lambda d: (d[0], d[2].paint, d[2].points[:, 2].mean())):
        figures.draw_shape(canvas, part, owner, light)
    return canvas


def _label(
    figure: dict, canvas: figures.Canvas, owner: int, annotator: np.random.Generator
) -> DrawnPerson:
    keypoints, visibility = {}, {}
    for skeleton in (MPII, COCO):
        places = np.array([figure["joints"][name] for name in skeleton.keypoints])
        # Rounded once, here: what is in memory and what is in the files are then the same numbers.
        keypoints[skeleton.name] = places[:, :2].round(3)
        flesh = [
            _FLESH[name.removeprefix("left_").removeprefix("right_")] for name in skeleton.keypoints
        ]
        visibility[skeleton.name] = _visibility(
            places, np.array(flesh) * figure["height"], canvas, owner
        )
    face = np.array(
        [name.removeprefix("left_").removeprefix("right_") in _FACE for name in COCO.keypoints]
    )
    visibility[COCO.name][face & (visibility[COCO.name] == 1)] = 0
    low, high = _bounds(figure["shapes"])
    low, high = np.maximum(low, -0.5), np.minimum(high, np.array(canvas.owner.shape)[::-1] - 0.5)
    box = (*low.round(3).tolist(), *(high - low).round(3).tolist())
    area = int(np.count_nonzero(canvas.owner == owner))
    head_box = _head_box(figure)
    side = 200 * mpii_scale(head_box)
    offset = annotator.normal(_CENTER_OFFSET, _CENTER_SPREAD) * side - [0, 15 * side / 200]
    center = np.array(box[:2]) + np.array(box[2:]) / 2 + offset
    return DrawnPerson(keypoints, visibility, head_box, box, area, tuple(center.round(3).tolist()))


def _visibility(
    places: np.ndarray, flesh: np.ndarray, canvas: figures.Canvas, owner: int
) -> np.ndarray:
    """[K] 0, 1 or 2 of keypoints [K, 3]: seen where the person is, and no further out than the keypoint's own flesh."""
    x, y = np.rint(places[:, :2]).astype(int).T
    height, width = canvas.owner.shape
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    at = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    seen = (canvas.owner[at] == owner) & (canvas.depth[at] - places[:, 2] <= flesh)
    return np.where(inside, np.where(seen, 2, 1), 0)


def _head_box(figure: dict) -> np.ndarray:
    """[2, 2]: around skull, chin, head top and upper neck."""
    reach = figure["height"] * figure["head"] * np.array([0.062, 0.032, 0.0, 0.0])[:, None]
    places = np.array(
        [figure["joints"][name][:2] for name in ("skull", "chin", "head_top", "upper_neck")]
    )
    return np.stack([(places - reach).min(0), (places + reach).max(0)]).round(3)


def mpii_scale(head_box: np.ndarray) -> float:
    """MPII's scale: the person's height / 200, which its files take to be ten head sizes."""
    return 10 * HEAD_SHARE * float(np.linalg.norm(head_box[1] - head_box[0])) / 200

"""Bodies and clothes of drawn people as solids, in body coordinates (see bodies.py)."""

from collections.abc import Callable, Sequence

import numpy as np

from posenfs.data.synthetic.bodies import FACE, SIDES
from posenfs.data.synthetic.rendering import Shape

_SKIN = np.array([(255, 224, 196), (241, 194, 150), (224, 172, 125), (198, 134, 86),
                  (141, 85, 54), (92, 56, 38)], float)  # fmt: skip
_HAIR = np.array([(28, 22, 20), (60, 40, 26), (104, 66, 36), (168, 110, 52), (214, 176, 106),
                  (150, 60, 30), (150, 148, 146), (226, 224, 220)], float)  # fmt: skip

_Colour = np.ndarray | tuple[int, int, int]
_Positions = Sequence[tuple[float, float, float]]  # relative to a joint
# Paints on the pelvis or the chest: frame, positions, radius, colour.
_Paint = Callable[[str, _Positions, float | Sequence[float], _Colour], Shape]


def _cloth_colour(rng: np.random.Generator) -> np.ndarray:
    """A colour of any hue, from grey to saturated."""
    hue = rng.random() * 6
    saturation = rng.random() ** 0.8 * 0.85
    value = rng.uniform(0.2, 0.98)
    wheel = np.clip(np.abs((hue + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return 255 * value * (1 - saturation * (1 - wheel))


def _palette_colour(rng: np.random.Generator, palette: np.ndarray) -> np.ndarray:
    """A colour between two neighbours of a palette."""
    first = rng.integers(len(palette) - 1)
    return palette[first] + rng.random() * (palette[first + 1] - palette[first])


def sample_look(rng: np.random.Generator) -> dict:
    """Draw the colours and clothes of a person.

    Both sides look the same, so only face, chest and feet distinguish left and right.
    """
    legs = rng.choice(["trousers", "shorts", "skirt"], p=[0.6, 0.25, 0.15])
    return {
        "skin": _palette_colour(rng, _SKIN),
        "hair": _HAIR[rng.integers(len(_HAIR))] * rng.uniform(0.85, 1.1),
        "shirt": _cloth_colour(rng),
        "second": _cloth_colour(rng),
        "cloth": _cloth_colour(rng),
        "shoes": _cloth_colour(rng) * 0.7,
        "sleeve": rng.choice([0.0, 0.55, 1.0, 2.0], p=[0.15, 0.4, 0.05, 0.4]),
        "legs": legs,
        "leg_cover": 2.0 if legs == "trousers" else rng.uniform(0.55, 0.95),
        "striped": rng.random() < 0.3,
        "period": rng.uniform(0.035, 0.08),
        "hairstyle": rng.choice(["short", "long", "tail", "bald"], p=[0.5, 0.25, 0.15, 0.1]),
        "front": rng.choice(["buttons", "print", "jacket", "tie", "neckline"]),
        "back": rng.choice(["plain", "yoke", "number", "backpack"], p=[0.4, 0.25, 0.2, 0.15]),
    }


def dress(joints: dict, frames: dict, body: dict, look: dict) -> list[Shape]:
    """Return all solids of a person in body coordinates.

    Args:
        joints: Positions of the joints, see `place_joints`.
        frames: Frames of the trunk and the head, see `place_joints`.
        body: Lengths of the body, see `sample_body`.
        look: Colours and clothes, see `sample_look`.
    """
    return [
        *_limbs(joints, body, look),
        *_torso(joints, frames, body, look),
        *_head(joints, frames, body, look),
        *_front_and_back(joints, frames, body, look),
    ]


def _shape(
    points: Sequence[np.ndarray],
    radii: float | Sequence[float] | np.ndarray,
    colour: _Colour,
    stripes: tuple | None = None,
    paint: bool = False,
) -> Shape:
    centers = np.array(points, dtype=float)
    all_radii = np.broadcast_to(np.array(radii, float), len(centers))
    return Shape(centers, all_radii, np.array(colour), stripes, paint)


def _stripes(look: dict, origin: np.ndarray, end: np.ndarray) -> tuple | None:
    return (origin, end - origin, look["period"], look["second"]) if look["striped"] else None


def _limbs(joints: dict, body: dict, look: dict) -> list[Shape]:
    """Arms, legs, hands and feet, and the cloth over them.

    `sleeve` and `leg_cover` are 1 where cloth covers the first bone, and 2 for the whole limb.
    """
    shapes = []
    sleeve, cover = look["sleeve"], look["leg_cover"]
    bones = [
        ("shoulder", "elbow", 0.037, 0.03, sleeve, "shirt"),
        ("elbow", "wrist", 0.03, 0.02, sleeve - 1, "shirt"),
        ("hip", "knee", 0.062, 0.042, cover, "cloth"),
        ("knee", "ankle", 0.042, 0.026, cover - 1, "cloth"),
    ]
    for side, _ in SIDES:
        for start_name, end_name, wide, narrow, covered, cloth in bones:
            start, end = joints[f"{side}_{start_name}"], joints[f"{side}_{end_name}"]
            radii = [wide * body["girth"], narrow * body["girth"]]
            shapes.append(_shape([start, end], radii, look["skin"]))
            if covered > 0:
                share = min(covered, 0.96 if end_name in ("wrist", "ankle") else 1.0)
                hem, slack = start + share * (end - start), 0.006
                hem_radius = (wide + share * (narrow - wide)) * body["girth"]
                stripes = _stripes(look, start, hem) if cloth == "shirt" else None
                cloth_radii = [radii[0] + slack, hem_radius + slack]
                shapes.append(_shape([start, hem], cloth_radii, look[cloth], stripes))
        hand = [joints[f"{side}_wrist"], joints[f"{side}_hand"]]
        foot = [joints[f"{side}_heel"], joints[f"{side}_toe"]]
        shapes.append(_shape(hand, [0.02, 0.017], look["skin"]))
        shapes.append(_shape(foot, [0.027, 0.021], look["shoes"]))
    return shapes


def _torso(joints: dict, frames: dict, body: dict, look: dict) -> list[Shape]:
    """Neck, chest, belly and the seat of trousers or skirt. The trunk bends at the waist."""
    girth, shoulders, hips = body["girth"], body["shoulders"], body["hips"]

    def pair(joint: str, frame: str, x: float, y: float, z: float = 0.0) -> list[np.ndarray]:
        """Two points of a frame that mirror each other, relative to a joint."""
        return [joints[joint] + frames[frame] @ np.array([sign * x, y, z]) for sign in (1, -1)]

    waist = pair("waist", "waist", 0.035 * girth, 0.0)
    ribs = pair("thorax", "chest", shoulders * 0.62, -0.09, 0.004)
    chest = [*pair("thorax", "chest", shoulders - 0.012, -0.022), *ribs, *waist]
    pelvis = pair("pelvis", "pelvis", hips, 0.0)
    seat = [*pair("pelvis", "pelvis", hips * 0.9, 0.028), *pair("pelvis", "pelvis", hips, -0.025)]
    stripes = _stripes(look, joints["pelvis"], joints["thorax"])
    throat = joints["upper_neck"] + 0.3 * (joints["chin"] - joints["upper_neck"])
    chest_radii = [0.043] * 2 + [0.056 * girth] * 4
    belly_radii = [0.056 * girth] * 2 + [0.06 * girth] * 2
    shapes = [
        _shape([joints["thorax"], throat], 0.031, look["skin"]),
        _shape(chest, chest_radii, look["shirt"], stripes),
        _shape([*waist, *pelvis], belly_radii, look["shirt"], stripes),
        _shape(seat, 0.064 * girth, look["cloth"]),
    ]
    if look["legs"] == "skirt":
        hem = []
        for side, _ in SIDES:
            hip, knee = joints[f"{side}_hip"], joints[f"{side}_knee"]
            hem.append(hip + look["leg_cover"] * (knee - hip))
        skirt_radii = [0.066 * girth] * 2 + [0.07 * girth] * 2
        shapes.append(_shape([*pelvis, *hem], skirt_radii, look["cloth"]))
    return shapes


def _head(joints: dict, frames: dict, body: dict, look: dict) -> list[Shape]:
    """Skull, ears, nose, hair and the painted face. Depth decides which of these are visible."""
    size, frame, origin = body["head"], frames["head"], joints["upper_neck"]

    def add(
        positions: _Positions,
        radii: Sequence[float],
        colour: _Colour,
        paint: bool = False,
    ) -> None:
        """Add a solid whose positions and radii are those of a head of size 1."""
        points = [origin + size * frame @ np.array(position) for position in positions]
        shapes.append(_shape(points, size * np.array(radii), colour, paint=paint))

    shapes: list[Shape] = []
    white, black, red = (245, 245, 245), (25, 20, 20), (170, 60, 60)
    brow = look["hair"] * 0.6
    ear = look["skin"] * 0.93
    add([FACE["skull"], FACE["chin"]], [0.057, 0.032], look["skin"])
    add([FACE["nose"], (0, 0.075, 0.058)], [0.009, 0.006], look["skin"] * 0.92)
    for s in (1, -1):
        add([(s * 0.057, 0.078, -0.002), (s * 0.055, 0.066, 0)], [0.012, 0.009], ear)
        add([(s * 0.026, 0.083, 0.05), (s * 0.016, 0.083, 0.053)], [0.0075] * 2, white, paint=True)
        add([(s * 0.021, 0.083, 0.054)] * 2, [0.0062] * 2, black, paint=True)
        add([(s * 0.031, 0.098, 0.046), (s * 0.013, 0.1, 0.053)], [0.0045] * 2, brow, paint=True)
    for s in (1, -1):
        add([(s * 0.014, 0.04, 0.05), (0, 0.037, 0.056)], [0.005] * 2, red, paint=True)
    if look["hairstyle"] != "bald":
        add([(0, 0.09, -0.008), (0, 0.08, -0.016)], [0.062, 0.058], look["hair"])
    if look["hairstyle"] == "long":
        add([(0, 0.08, -0.026), (0, -0.03, -0.05)], [0.056, 0.042], look["hair"])
    if look["hairstyle"] == "tail":
        add([(0, 0.1, -0.075), (0, 0.01, -0.1)], [0.022, 0.012], look["hair"])
    return shapes


def _front_and_back(joints: dict, frames: dict, body: dict, look: dict) -> list[Shape]:
    """Buttons, prints, pockets, a backpack and more, which distinguish front and back."""
    depth = 0.05 * body["girth"]

    def paint(
        frame: str, positions: _Positions, radius: float | Sequence[float], colour: _Colour
    ) -> Shape:
        origin = joints["pelvis" if frame == "pelvis" else "thorax"]
        points = [origin + frames[frame] @ np.array(position) for position in positions]
        return _shape(points, radius, colour, paint=True)

    buckle = [(-0.012, 0.032, depth), (0.012, 0.032, depth)]
    pockets = [[(s * x, -0.02, -depth) for x in (0.025, 0.05)] for s in (1, -1)]
    pack = [_backpack(joints, frames, look["second"])] if look["back"] == "backpack" else []
    return [
        *_front(look, depth, paint),
        paint("pelvis", buckle, 0.009, (215, 190, 90)),
        *(paint("pelvis", pocket, 0.012, look["cloth"] * 0.7) for pocket in pockets),
        *pack,
        *_back(look, depth, paint),
    ]


def _front(look: dict, depth: float, paint: _Paint) -> list[Shape]:
    """What is painted on the chest."""

    def triangle(half_width: float, y: float, tip_y: float) -> _Positions:
        return [(-half_width, y, depth), (half_width, y, depth), (0, tip_y, depth)]

    second, shirt = look["second"], look["shirt"]
    jacket = [(0, -0.005, depth), (-0.03, -0.2, depth), (0.03, -0.2, depth)]
    return {
        "buttons": [
            paint("chest", [(0, -0.02, depth), (0, -0.2, depth)], 0.004, shirt * 0.6),
            *(
                paint("chest", [(0, y, depth)] * 2, 0.0085, (250, 250, 240))
                for y in (-0.04, -0.085, -0.13, -0.175)
            ),
        ],
        "print": [paint("chest", triangle(0.035, -0.06, -0.12), 0.012, second)],
        "jacket": [paint("chest", jacket, 0.008, second)],
        "tie": [
            paint("chest", triangle(0.035, 0.0, -0.03), 0.008, (245, 245, 245)),
            paint("chest", [(0, -0.015, depth), (0, -0.15, depth)], [0.007, 0.014], second),
        ],
        "neckline": [paint("chest", triangle(0.03, 0.01, -0.06), 0.006, look["skin"])],
    }[look["front"]]


def _back(look: dict, depth: float, paint: _Paint) -> list[Shape]:
    """What is painted on the back; a backpack has straps on the chest."""
    yoke = [(-0.08, -0.035, -depth), (0.08, -0.035, -depth)]
    digits = [[(x, -0.06, -depth), (x, -0.14, -depth)] for x in (0.02, -0.03)]
    straps = [[(s * 0.065, 0.0, depth), (s * 0.06, -0.14, depth)] for s in (1, -1)]
    return {
        "plain": [],
        "yoke": [paint("chest", yoke, 0.012, look["shirt"] * 0.65)],
        "number": [paint("chest", digit, 0.01, look["second"]) for digit in digits],
        "backpack": [paint("chest", strap, 0.011, look["second"]) for strap in straps],
    }[look["back"]]


def _backpack(joints: dict, frames: dict, colour: np.ndarray) -> Shape:
    corners = [(sign * 0.055, y, -0.085) for sign in (1, -1) for y in (-0.03, -0.2)]
    points = [joints["thorax"] + frames["chest"] @ np.array(corner) for corner in corners]
    return _shape(points, 0.03, colour * 0.8)

"""Figures of drawn people: poses, bodies, clothes, and the rendering of their solids.

Body coordinates are in units of the standing height. Before the rotation to the viewer x points to
the person's left, y up, z to the front. After it x points to the right of the image, y up, z
towards the viewer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull

# Range of each joint in degrees. Hip flexion is measured from the pelvis; the rotation of a
# shoulder or hip is inward.

LIMITS = {
    "hip_flexion": (-25, 125), "hip_abduction": (-15, 50), "hip_rotation": (-40, 25),
    "knee": (0, 140), "ankle": (-20, 45), "shoulder_flexion": (-45, 178),
    "shoulder_abduction": (-30, 150), "shoulder_rotation": (-90, 75), "elbow": (0, 140),
    "spine_flexion": (-25, 65), "spine_side": (-30, 30), "spine_twist": (-40, 40),
    "neck_flexion": (-40, 45), "neck_side": (-30, 30), "neck_turn": (-65, 65), "lean": (-20, 85),
}  # fmt: skip
PAIRED = ("hip_flexion", "hip_abduction", "hip_rotation", "knee", "ankle",
          "shoulder_flexion", "shoulder_abduction", "shoulder_rotation", "elbow")  # fmt: skip

# Ranges of each pose in degrees; joints that a pose does not list are relaxed. "left_" and "right_"
# stand for one side and the other: half of the people are mirrored. `lean` tilts the pelvis forward
# over legs that keep their direction; `roll` rotates the whole person in the image plane.
_RELAXED = {
    "hip_flexion": (-6, 12), "hip_abduction": (0, 11), "hip_rotation": (-22, 4), "knee": (0, 12),
    "ankle": (-2, 8), "shoulder_flexion": (-14, 22), "shoulder_abduction": (6, 24),
    "shoulder_rotation": (-5, 45), "elbow": (6, 50),
    "spine_flexion": (-6, 12), "spine_side": (-6, 6), "spine_twist": (-12, 12),
    "neck_flexion": (-10, 16), "neck_side": (-8, 8), "neck_turn": (-32, 32),
    "lean": (-4, 6), "roll": (-4, 4),
}  # fmt: skip
_POSES: dict[str, dict[str, tuple[float, float]]] = {
    "standing": {},
    "walking": {
        "left_hip_flexion": (14, 36), "left_knee": (3, 25), "left_shoulder_flexion": (-35, -8),
        "right_hip_flexion": (-20, -6), "right_knee": (8, 42), "right_shoulder_flexion": (10, 38),
        "ankle": (-5, 18),
    },
    "running": {
        "left_hip_flexion": (45, 85), "left_knee": (60, 110), "left_shoulder_flexion": (-45, -20),
        "right_hip_flexion": (-22, -4), "right_knee": (10, 70), "right_shoulder_flexion": (20, 60),
        "elbow": (65, 110), "ankle": (0, 35), "lean": (5, 18), "spine_flexion": (0, 15),
    },
    "sitting": {
        "hip_flexion": (72, 98), "hip_abduction": (0, 24), "knee": (65, 100),
        "shoulder_flexion": (8, 45), "elbow": (30, 90), "lean": (-12, 14), "spine_flexion": (0, 25),
    },
    "squatting": {
        "hip_flexion": (70, 92), "hip_abduction": (5, 30), "knee": (95, 132),
        "shoulder_flexion": (30, 85), "elbow": (15, 80), "lean": (8, 28), "spine_flexion": (5, 30),
        "ankle": (-15, 5),
    },
    "arms_raised": {"shoulder_flexion": (135, 176), "shoulder_abduction": (-5, 35),
                    "elbow": (0, 70), "shoulder_rotation": (-40, 40)},
    "arms_out": {"shoulder_abduction": (55, 110), "shoulder_rotation": (-85, 40), "elbow": (0, 85)},
    "hands_on_hips": {"shoulder_flexion": (-25, -5), "shoulder_abduction": (38, 55),
                      "shoulder_rotation": (35, 60), "elbow": (75, 105)},
    "arms_folded": {"shoulder_flexion": (15, 42), "shoulder_abduction": (0, 12),
                    "shoulder_rotation": (35, 68), "elbow": (80, 120)},
    "waving": {"left_shoulder_flexion": (0, 30), "left_shoulder_abduction": (85, 140),
               "left_elbow": (30, 115), "left_shoulder_rotation": (-90, -60)},
    "reaching": {"left_shoulder_flexion": (60, 115), "left_elbow": (0, 40),
                 "left_shoulder_abduction": (-10, 25), "spine_twist": (-25, 25), "lean": (0, 20)},
    "bending": {"lean": (30, 72), "spine_flexion": (15, 50), "shoulder_flexion": (30, 105),
                "knee": (0, 30), "hip_flexion": (0, 20), "neck_flexion": (-30, 20)},
    "leaning": {"spine_side": (10, 24), "roll": (4, 14), "left_shoulder_abduction": (40, 110),
                "left_hip_abduction": (10, 30)},
    "kneeling": {"left_hip_flexion": (75, 95), "left_knee": (80, 100),
                 "right_hip_flexion": (-10, 8),
                 "right_knee": (82, 100), "right_ankle": (25, 45), "shoulder_flexion": (0, 50),
                 "elbow": (20, 90)},
    "lunging": {"left_hip_flexion": (55, 85), "left_knee": (70, 95), "right_hip_flexion": (-24, -8),
                "right_knee": (5, 40), "shoulder_abduction": (10, 80),
                "shoulder_rotation": (-60, 40)},
    "kicking": {"left_hip_flexion": (60, 105), "left_knee": (0, 40), "right_knee": (0, 25),
                "lean": (-18, 5), "shoulder_abduction": (25, 95), "roll": (-15, 15)},
    "star_jump": {"hip_abduction": (22, 48), "shoulder_abduction": (75, 145),
                  "shoulder_rotation": (-90, -20), "elbow": (0, 40), "ankle": (10, 40),
                  "roll": (-20, 20)},
    "lying": {"roll": (65, 115), "hip_flexion": (-5, 60), "knee": (0, 90),
              "shoulder_flexion": (-20, 150), "shoulder_abduction": (0, 60), "elbow": (0, 110)},
    "handstand": {"roll": (160, 200), "shoulder_flexion": (155, 178), "shoulder_abduction": (0, 15),
                  "elbow": (0, 20), "hip_abduction": (0, 45), "hip_flexion": (-20, 40),
                  "knee": (0, 80), "neck_flexion": (-35, 0)},
    "cartwheel": {"roll": (60, 300), "shoulder_flexion": (0, 20), "shoulder_abduction": (110, 148),
                  "shoulder_rotation": (-90, -50), "elbow": (0, 15), "hip_abduction": (20, 48)},
}  # fmt: skip
POSES = tuple(_POSES)

_SKIN = np.array([(255, 224, 196), (241, 194, 150), (224, 172, 125), (198, 134, 86),
                  (141, 85, 54), (92, 56, 38)], float)  # fmt: skip
_HAIR = np.array([(28, 22, 20), (60, 40, 26), (104, 66, 36), (168, 110, 52), (214, 176, 106),
                  (150, 60, 30), (150, 148, 146), (226, 224, 220)], float)  # fmt: skip
_CIRCLE = np.stack([np.cos(np.arange(12) * np.pi / 6), np.sin(np.arange(12) * np.pi / 6)], axis=1)
SIDES = (("left", 1), ("right", -1))


@dataclass(frozen=True)
class Shape:
    """A solid: the convex hull of n balls. Two balls are a tapered limb."""

    points: np.ndarray  # [n, 3] centres
    radii: np.ndarray  # [n]
    colour: np.ndarray  # [3], 0 to 255
    stripes: tuple | None = None  # origin [3], direction [3], period, colour [3]
    paint: bool = False  # whether it only colours the body below, and occludes nothing


@dataclass(frozen=True)
class Canvas:
    """An image with depth."""

    colour: np.ndarray  # float32 [H, W, 3]
    depth: np.ndarray  # [H, W] px towards the viewer
    owner: np.ndarray  # [H, W] number of the visible person or object; 0 is the background


def _rotation(axis: int, degrees: float) -> np.ndarray:
    """The rotation [3, 3] about axis 0, 1 or 2."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(3)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix[first, first], matrix[first, second] = cos, -sin
    matrix[second, first], matrix[second, second] = sin, cos
    return matrix


def view(yaw: float, pitch: float) -> np.ndarray:
    """Return the rotation [3, 3] of a standing person to the viewer.

    Args:
        yaw: Rotation about the vertical in degrees; a person at 0 faces the viewer.
        pitch: Elevation of the camera in degrees; positive is from above.
    """
    return _rotation(0, pitch) @ _rotation(1, yaw)


def sample_pose(rng: np.random.Generator, pose: str) -> dict[str, float]:
    """Draw the angles of a pose in degrees, within LIMITS.

    Args:
        rng: The random generator.
        pose: A name of POSES.

    Returns:
        The angle of every joint (left_knee, …, spine_side, …) and `roll`.
    """
    ranges = _RELAXED | _POSES[pose]
    names = {f"{side}_{name}": name for name in PAIRED for side, _ in SIDES}
    names |= {name: name for name in _RELAXED if name not in PAIRED}
    angles = {full: rng.uniform(*ranges.get(full, ranges[name])) for full, name in names.items()}
    if rng.random() < 0.5:
        angles = {_other_side(name): value for name, value in angles.items()}
        for name in ("spine_side", "spine_twist", "neck_side", "neck_turn", "roll"):
            angles[name] = -angles[name]
    for side, _ in SIDES:  # the lean of the pelvis adds to the flexion of the hips
        low, high = LIMITS["hip_flexion"]
        name = f"{side}_hip_flexion"
        angles[name] = np.clip(angles[name] + angles["lean"], low, high) - angles["lean"]
    return angles


def _other_side(name: str) -> str:
    return (
        name.replace("left_", "right_")
        if name.startswith("left_")
        else name.replace("right_", "left_")
    )


def sample_body(rng: np.random.Generator) -> dict[str, float]:
    """Draw the lengths of a body, in standing heights, and its girth."""
    legs, head = rng.normal(1, 0.03), rng.uniform(0.95, 1.2)
    shoulders = rng.uniform(0.092, 0.112)
    return {
        "thigh": 0.243 * legs,
        "shin": 0.24 * legs,
        "spine": rng.uniform(0.27, 0.3),
        "neck": rng.uniform(0.045, 0.058),
        "upper_arm": rng.uniform(0.155, 0.178),
        "forearm": rng.uniform(0.138, 0.155),
        "head": head,
        "shoulders": shoulders,
        "hips": rng.uniform(0.046, 0.058),
        "girth": rng.uniform(0.84, 1.22),
    }


def place_joints(
    angles: dict, body: dict, view: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Compute the positions of the joints from their angles; the pelvis is at the origin.

    Args:
        angles: Degrees of every joint, see `sample_pose`.
        body: Lengths of the body, see `sample_body`.
        view: The rotation [3, 3] to the viewer.

    Returns:
        The position [3] of every joint, and the frames [3, 3] of pelvis, waist, chest and head. The
        columns of a frame are its left, up and front.
    """
    up, front = np.array([0.0, 1, 0]), np.array([0.0, 0, 1])
    root = _rotation(2, angles["roll"]) @ view
    pelvis = root @ _rotation(0, angles["lean"])
    half = _rotation(1, angles["spine_twist"] / 2) @ _rotation(0, angles["spine_flexion"] / 2)
    half = half @ _rotation(2, angles["spine_side"] / 2)
    waist, chest = pelvis @ half, pelvis @ half @ half
    head = chest @ _rotation(1, angles["neck_turn"]) @ _rotation(0, angles["neck_flexion"])
    head = head @ _rotation(2, angles["neck_side"])
    frames = {"pelvis": pelvis, "waist": waist, "chest": chest, "head": head}
    joints = {"pelvis": np.zeros(3)}
    joints["waist"] = 0.42 * body["spine"] * waist @ up
    joints["thorax"] = joints["waist"] + 0.58 * body["spine"] * chest @ up
    neck = chest @ _rotation(0, angles["neck_flexion"] / 3)
    joints["upper_neck"] = joints["thorax"] + body["neck"] * neck @ up
    for name, position in _FACE.items():
        joints[name] = joints["upper_neck"] + body["head"] * head @ np.array(position)
    for side, sign in SIDES:
        shoulder = np.array([sign * body["shoulders"], -0.012, 0])
        joints[f"{side}_shoulder"] = joints["thorax"] + chest @ shoulder
        arm = chest @ _ball_joint(angles, f"{side}_shoulder", sign)
        forearm = arm @ _rotation(0, -angles[f"{side}_elbow"])
        joints[f"{side}_elbow"] = joints[f"{side}_shoulder"] - body["upper_arm"] * arm @ up
        joints[f"{side}_wrist"] = joints[f"{side}_elbow"] - body["forearm"] * forearm @ up
        joints[f"{side}_hand"] = joints[f"{side}_wrist"] - 0.05 * forearm @ up
        joints[f"{side}_hip"] = pelvis @ np.array([sign * body["hips"], -0.012, 0])
        thigh = root @ _ball_joint(angles, f"{side}_hip", sign)
        shin = thigh @ _rotation(0, angles[f"{side}_knee"])
        foot = shin @ _rotation(0, angles[f"{side}_ankle"])
        joints[f"{side}_knee"] = joints[f"{side}_hip"] - body["thigh"] * thigh @ up
        joints[f"{side}_ankle"] = joints[f"{side}_knee"] - body["shin"] * shin @ up
        joints[f"{side}_heel"] = joints[f"{side}_ankle"] + foot @ np.array([0, -0.022, -0.012])
        joints[f"{side}_toe"] = joints[f"{side}_heel"] + foot @ (0.095 * front - 0.006 * up)
    return joints, frames


# Positions in the head's frame relative to the upper neck, for a head of size 1.
_FACE = {
    "head_top": (0, 0.14, 0.0), "skull": (0, 0.084, 0.004),
    "chin": (0, 0.036, 0.024), "nose": (0, 0.064, 0.066),

    "left_eye": (0.021, 0.083, 0.054), "right_eye": (-0.021, 0.083, 0.054),
    "left_ear": (0.057, 0.072, -0.002), "right_ear": (-0.057, 0.072, -0.002),
}  # fmt: skip


def _ball_joint(angles: dict, joint: str, sign: int) -> np.ndarray:
    """The frame [3, 3] of a limb, which hangs down at rest.

    Flexion is forward, abduction outward, rotation inward.
    """
    flexion = _rotation(0, -angles[f"{joint}_flexion"])
    abduction = _rotation(2, sign * angles[f"{joint}_abduction"])
    rotation = _rotation(1, -sign * angles[f"{joint}_rotation"])
    return flexion @ abduction @ rotation


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
    colour: np.ndarray | tuple[int, int, int],
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
        positions: Sequence[tuple[float, float, float]],
        radii: Sequence[float],
        colour: np.ndarray | tuple[int, int, int],
        paint: bool = False,
    ) -> None:
        """Add a solid whose positions and radii are those of a head of size 1."""
        points = [origin + size * frame @ np.array(position) for position in positions]
        shapes.append(_shape(points, size * np.array(radii), colour, paint=paint))

    shapes: list[Shape] = []
    white, black, red = (245, 245, 245), (25, 20, 20), (170, 60, 60)
    brow = look["hair"] * 0.6
    ear = look["skin"] * 0.93
    add([_FACE["skull"], _FACE["chin"]], [0.057, 0.032], look["skin"])
    add([_FACE["nose"], (0, 0.075, 0.058)], [0.009, 0.006], look["skin"] * 0.92)
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
    second, shirt, cloth = look["second"], look["shirt"], look["cloth"]

    def paint(
        frame: str,
        positions: Sequence[tuple[float, float, float]],
        radius: float | Sequence[float],
        colour: np.ndarray | tuple[int, int, int],
    ) -> Shape:
        origin = joints["pelvis" if frame == "pelvis" else "thorax"]
        points = [origin + frames[frame] @ np.array(position) for position in positions]
        return _shape(points, radius, colour, paint=True)

    def triangle(half_width: float, y: float, tip_y: float) -> list[tuple[float, float, float]]:
        return [(-half_width, y, depth), (half_width, y, depth), (0, tip_y, depth)]

    jacket = [(0, -0.005, depth), (-0.03, -0.2, depth), (0.03, -0.2, depth)]
    front = {
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
    buckle = [(-0.012, 0.032, depth), (0.012, 0.032, depth)]
    yoke = [(-0.08, -0.035, -depth), (0.08, -0.035, -depth)]
    back = {
        "plain": [],
        "yoke": [paint("chest", yoke, 0.012, shirt * 0.65)],
        "number": [
            paint("chest", [(x, -0.06, -depth), (x, -0.14, -depth)], 0.01, second)
            for x in (0.02, -0.03)
        ],
        "backpack": [
            _backpack(joints, frames, second),
            *(
                paint("chest", [(s * 0.065, 0.0, depth), (s * 0.06, -0.14, depth)], 0.011, second)
                for s in (1, -1)
            ),
        ],
    }[look["back"]]
    return [
        *front,
        paint("pelvis", buckle, 0.009, (215, 190, 90)),
        *(
            paint("pelvis", [(s * x, -0.02, -depth) for x in (0.025, 0.05)], 0.012, cloth * 0.7)
            for s in (1, -1)
        ),
        *back,
    ]


def _backpack(joints: dict, frames: dict, colour: np.ndarray) -> Shape:
    corners = [(sign * 0.055, y, -0.085) for sign in (1, -1) for y in (-0.03, -0.2)]
    points = [joints["thorax"] + frames["chest"] @ np.array(corner) for corner in corners]
    return _shape(points, 0.03, colour * 0.8)


def to_pixels(shape: Shape, height: float, origin: np.ndarray) -> Shape:
    """Convert a solid from body coordinates to px: x, y down, depth towards the viewer.

    Args:
        shape: The solid in body coordinates.
        height: Standing height of the person in px.
        origin: Position [3] of the pelvis in px.
    """
    axes = height * np.array([1, -1, 1])
    stripes = shape.stripes
    if stripes is not None:
        start, direction, period, colour = stripes
        stripes = (start * axes + origin, direction * axes, period * height, colour)
    radii = np.maximum(shape.radii * height, 0.8)
    return Shape(shape.points * axes + origin, radii, shape.colour, stripes, shape.paint)


def draw_shape(canvas: Canvas, shape: Shape, owner: int, light: np.ndarray) -> None:
    """Draw a solid where nothing nearer is drawn, with antialiased edges.

    Args:
        canvas: The canvas, which is changed.
        shape: The solid in px.
        owner: Number of the person or object, for the pixels in which it is visible.
        light: Direction [3] towards the light.
    """
    size = np.array(canvas.owner.shape)[::-1]
    low = np.maximum(np.floor((shape.points[:, :2] - shape.radii[:, None]).min(0)) - 1, 0).astype(
        int
    )
    high = np.minimum(
        np.ceil((shape.points[:, :2] + shape.radii[:, None]).max(0)) + 2, size
    ).astype(int)
    if (low >= high).any():
        return
    window = np.s_[low[1] : high[1], low[0] : high[0]]
    x = np.arange(low[0], high[0], dtype=np.float32)[None]
    y = np.arange(low[1], high[1], dtype=np.float32)[:, None]
    field = _limb_field if len(shape.points) == 2 else _hull_field
    distance, depth, normal_x, normal_y, normal_z = field(
        shape.points.tolist(), shape.radii.tolist(), x, y
    )
    # Paint may lie this far (px) below the surface of the body, whose depth is approximate.
    lift = 5.0 if shape.paint else 0.5
    alpha = np.clip(0.5 - distance, 0, 1) * np.clip(depth - canvas.depth[window] + lift, 0, 1)
    if shape.paint:
        alpha *= canvas.owner[window] == owner
    cosine = normal_x * light[0] + normal_y * light[1] + normal_z * light[2]
    shade = 0.6 + 0.45 * np.maximum(cosine, 0)
    pixels = canvas.colour[window]
    pixels += alpha[..., None] * (_surface_colour(shape, x, y) * shade[..., None] - pixels)
    if not shape.paint:
        visible = alpha > 0.5
        canvas.depth[window][visible] = depth[visible]
        canvas.owner[window][visible] = owner


def _surface_colour(shape: Shape, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The colour of pixels, with stripes."""
    colour = shape.colour.astype(np.float32)
    if shape.stripes is None:
        return colour
    origin, direction, period, second_colour = shape.stripes
    (ox, oy, _), (dx, dy, _) = origin.tolist(), direction.tolist()
    # From the projection in the image to the distance along the direction in 3D.
    stretch = np.linalg.norm(direction).item() / max(dx * dx + dy * dy, 4.0)
    along = ((x - ox) * dx + (y - oy) * dy) * stretch
    mix = np.clip(0.5 + 0.25 * period * np.sin(along * (2 * np.pi / period)), 0, 1)[..., None]
    return colour + mix * (second_colour.astype(np.float32) - colour)


def _limb_field(
    points: list[list[float]], radii: list[float], x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, ...]:
    """The geometry of a tapered limb at pixels.

    Returns:
        The distance to the edge (negative inside), the depth of the surface and the three
        components of its normal, [h, w] each.
    """
    (ax, ay, az), (bx, by, bz) = points
    dx, dy, dz = bx - ax, by - ay, bz - az
    flat = dx * dx + dy * dy + 1e-3
    along = np.clip(((x - ax) * dx + (y - ay) * dy) / flat, 0, 1)
    radius = radii[0] + along * (radii[1] - radii[0])
    off_x, off_y = x - ax - along * dx, y - ay - along * dy
    distance = np.sqrt(off_x * off_x + off_y * off_y)
    inverse = 1 / radius
    normal_z = np.sqrt(np.maximum(1 - np.square(distance * inverse), 0))
    # The line of sight cuts a limb that points at the viewer obliquely, so its surface is nearer.
    steep = min((1 + dz * dz / flat) ** 0.5, 3.0)
    nearest = max(az + radii[0], bz + radii[1])
    depth = np.minimum(az + along * dz + radius * normal_z * steep, nearest)
    return distance - radius, depth, off_x * inverse, off_y * inverse, normal_z


def _hull_field(
    points: list[list[float]], radii: list[float], x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, ...]:
    """The geometry of a slab at pixels, as `_limb_field` returns it.

    The surface is a plane fitted through the balls, as near as the nearest ball, and round at its
    edge.
    """
    balls, radius = np.array(points), float(np.mean(radii))
    corners = (balls[:, None, :2] + np.array(radii)[:, None, None] * _CIRCLE).reshape(-1, 2)
    distance = np.full((y.shape[0], x.shape[1]), -np.inf, dtype=np.float32)
    for nx, ny, offset in np.unique(ConvexHull(corners).equations.round(4), axis=0).tolist():
        np.maximum(distance, (nx * x + offset) + ny * y, out=distance)
    rim = np.clip(1 + distance / radius, 0, 1)
    normal_z = np.sqrt(1 - rim * rim)
    slope_y, slope_x = np.gradient(distance)
    centre = balls.mean(0)
    spread = balls - centre
    # Ridge regression: without the penalty, balls one behind the other give a vertical plane.
    ridge = spread[:, :2].T @ spread[:, :2] + len(balls) * radius**2 / 3 * np.eye(2)
    depth_x, depth_y = np.linalg.solve(ridge, spread[:, :2].T @ spread[:, 2]).tolist()
    lift = float(np.max(spread[:, 2] - spread[:, :2] @ [depth_x, depth_y]) + centre[2])
    plane_x = depth_x * (x - float(centre[0])) + lift
    depth = plane_x + depth_y * (y - float(centre[1])) + radius * normal_z

    return distance, depth, rim * slope_x, rim * slope_y, normal_z

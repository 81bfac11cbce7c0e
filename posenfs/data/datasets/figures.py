"""The figures of drawn people: how a body can bend, what it wears, and how solids become pixels.

Body coordinates: units of the person's standing height; before the turn to the viewer x is the person's left, y up,
z where the person faces; after it x is right in the picture, y up, z towards the viewer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull

# Degrees that a human joint allows. Hip flexion is measured from the pelvis; rotation of a shoulder or hip is inward.
LIMITS = {
    "hip_flexion": (-25, 125), "hip_abduction": (-15, 50), "hip_rotation": (-40, 25), "knee": (0, 140),
    "ankle": (-20, 45), "shoulder_flexion": (-45, 178), "shoulder_abduction": (-30, 150),
    "shoulder_rotation": (-90, 75), "elbow": (0, 140), "spine_flexion": (-25, 65), "spine_side": (-30, 30),
    "spine_twist": (-40, 40), "neck_flexion": (-40, 45), "neck_side": (-30, 30), "neck_turn": (-65, 65),
    "lean": (-20, 85),
}  # fmt: skip
PAIRED = ("hip_flexion", "hip_abduction", "hip_rotation", "knee", "ankle",
          "shoulder_flexion", "shoulder_abduction", "shoulder_rotation", "elbow")  # fmt: skip

# Ranges that a pose draws from. "left_" and "right_" name one side (a coin decides which side that is in the end).
# `lean` tips the pelvis forward over legs that stay; `roll` turns the whole person in the picture.
_RELAXED = {
    "hip_flexion": (-6, 12), "hip_abduction": (0, 11), "hip_rotation": (-22, 4), "knee": (0, 12), "ankle": (-2, 8),
    "shoulder_flexion": (-14, 22), "shoulder_abduction": (6, 24), "shoulder_rotation": (-5, 45), "elbow": (6, 50),
    "spine_flexion": (-6, 12), "spine_side": (-6, 6), "spine_twist": (-12, 12),
    "neck_flexion": (-10, 16), "neck_side": (-8, 8), "neck_turn": (-32, 32), "lean": (-4, 6), "roll": (-4, 4),
}  # fmt: skip
_POSES = {
    "standing": {},
    "walking": {
        "left_hip_flexion": (14, 36), "left_knee": (3, 25), "left_shoulder_flexion": (-35, -8),
        "right_hip_flexion": (-20, -6), "right_knee": (8, 42), "right_shoulder_flexion": (10, 38), "ankle": (-5, 18),
    },
    "running": {
        "left_hip_flexion": (45, 85), "left_knee": (60, 110), "left_shoulder_flexion": (-45, -20),
        "right_hip_flexion": (-22, -4), "right_knee": (10, 70), "right_shoulder_flexion": (20, 60), "elbow": (65, 110),
        "ankle": (0, 35), "lean": (5, 18), "spine_flexion": (0, 15),
    },
    "sitting": {
        "hip_flexion": (72, 98), "hip_abduction": (0, 24), "knee": (65, 100), "shoulder_flexion": (8, 45),
        "elbow": (30, 90), "lean": (-12, 14), "spine_flexion": (0, 25),
    },
    "squatting": {
        "hip_flexion": (70, 92), "hip_abduction": (5, 30), "knee": (95, 132), "shoulder_flexion": (30, 85),
        "elbow": (15, 80), "lean": (8, 28), "spine_flexion": (5, 30), "ankle": (-15, 5),
    },
    "arms_raised": {"shoulder_flexion": (135, 176), "shoulder_abduction": (-5, 35), "elbow": (0, 70),
                    "shoulder_rotation": (-40, 40)},
    "arms_out": {"shoulder_abduction": (55, 110), "shoulder_rotation": (-85, 40), "elbow": (0, 85)},
    "hands_on_hips": {"shoulder_flexion": (-25, -5), "shoulder_abduction": (38, 55), "shoulder_rotation": (35, 60),
                      "elbow": (75, 105)},
    "arms_folded": {"shoulder_flexion": (15, 42), "shoulder_abduction": (0, 12), "shoulder_rotation": (35, 68),
                    "elbow": (80, 120)},
    "waving": {"left_shoulder_flexion": (0, 30), "left_shoulder_abduction": (85, 140), "left_elbow": (30, 115),
               "left_shoulder_rotation": (-90, -60)},
    "reaching": {"left_shoulder_flexion": (60, 115), "left_elbow": (0, 40), "left_shoulder_abduction": (-10, 25),
                 "spine_twist": (-25, 25), "lean": (0, 20)},
    "bending": {"lean": (30, 72), "spine_flexion": (15, 50), "shoulder_flexion": (30, 105), "knee": (0, 30),
                "hip_flexion": (0, 20), "neck_flexion": (-30, 20)},
    "leaning": {"spine_side": (10, 24), "roll": (4, 14), "left_shoulder_abduction": (40, 110),
                "left_hip_abduction": (10, 30)},
    "kneeling": {"left_hip_flexion": (75, 95), "left_knee": (80, 100), "right_hip_flexion": (-10, 8),
                 "right_knee": (82, 100), "right_ankle": (25, 45), "shoulder_flexion": (0, 50), "elbow": (20, 90)},
    "lunging": {"left_hip_flexion": (55, 85), "left_knee": (70, 95), "right_hip_flexion": (-24, -8),
                "right_knee": (5, 40), "shoulder_abduction": (10, 80), "shoulder_rotation": (-60, 40)},
    "kicking": {"left_hip_flexion": (60, 105), "left_knee": (0, 40), "right_knee": (0, 25), "lean": (-18, 5),
                "shoulder_abduction": (25, 95), "roll": (-15, 15)},
    "star_jump": {"hip_abduction": (22, 48), "shoulder_abduction": (75, 145), "shoulder_rotation": (-90, -20),
                  "elbow": (0, 40), "ankle": (10, 40), "roll": (-20, 20)},
    "lying": {"roll": (65, 115), "hip_flexion": (-5, 60), "knee": (0, 90), "shoulder_flexion": (-20, 150),
              "shoulder_abduction": (0, 60), "elbow": (0, 110)},
    "handstand": {"roll": (160, 200), "shoulder_flexion": (155, 178), "shoulder_abduction": (0, 15), "elbow": (0, 20),
                  "hip_abduction": (0, 45), "hip_flexion": (-20, 40), "knee": (0, 80), "neck_flexion": (-35, 0)},
    "cartwheel": {"roll": (60, 300), "shoulder_flexion": (0, 20), "shoulder_abduction": (110, 148),
                  "shoulder_rotation": (-90, -50), "elbow": (0, 15), "hip_abduction": (20, 48)},
}  # fmt: skip
POSES = tuple(_POSES)

_SKIN = np.array(
    [(255, 224, 196), (241, 194, 150), (224, 172, 125), (198, 134, 86), (141, 85, 54), (92, 56, 38)], float
)
_HAIR = np.array([(28, 22, 20), (60, 40, 26), (104, 66, 36), (168, 110, 52), (214, 176, 106), (150, 60, 30),
                  (150, 148, 146), (226, 224, 220)], float)  # fmt: skip
_CIRCLE = np.stack([np.cos(np.arange(12) * np.pi / 6), np.sin(np.arange(12) * np.pi / 6)], axis=1)
SIDES = (("left", 1), ("right", -1))


@dataclass(frozen=True)
class Shape:
    """A solid: the convex hull of balls (two balls: a tapered limb), points [n, 3], radii [n], colour [3] 0..255.

    `stripes` is (origin [3], direction [3], period, colour). Paint lies on the body: it colours and hides nothing.
    """

    points: np.ndarray
    radii: np.ndarray
    colour: np.ndarray
    stripes: tuple | None = None
    paint: bool = False


@dataclass(frozen=True)
class Canvas:
    """colour [H, W, 3] float32, depth [H, W] px towards the viewer, owner [H, W]: 0 nobody, else who is seen there."""

    colour: np.ndarray
    depth: np.ndarray
    owner: np.ndarray


def _rotation(axis: int, degrees: float) -> np.ndarray:
    """The rotation [3, 3] about axis 0, 1 or 2."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(3)
    a, b = (axis + 1) % 3, (axis + 2) % 3
    matrix[[a, a, b, b], [a, b, a, b]] = cos, -sin, sin, cos
    return matrix


def view(yaw: float, pitch: float) -> np.ndarray:
    """[3, 3]: a standing person turned about the vertical (0 faces the viewer), seen from above where pitch > 0."""
    return _rotation(0, pitch) @ _rotation(1, yaw)


def sample_pose(rng: np.random.Generator, pose: str) -> dict[str, float]:
    """Degrees of every joint (left_knee, …, spine_side, …) and of `roll`, within LIMITS."""
    ranges = _RELAXED | _POSES[pose]
    names = {f"{side}_{name}": name for name in PAIRED for side, _ in SIDES}
    names |= {name: name for name in _RELAXED if name not in PAIRED}
    angles = {full: rng.uniform(*ranges.get(full, ranges[name])) for full, name in names.items()}
    if rng.random() < 0.5:
        angles = {_other_side(name): value for name, value in angles.items()}
        angles |= {name: -angles[name] for name in ("spine_side", "spine_twist", "neck_side", "neck_turn", "roll")}
    for side, _ in SIDES:  # the pelvis leans, so a hip of an upright thigh is bent by as much
        low, high = LIMITS["hip_flexion"]
        name = f"{side}_hip_flexion"
        angles[name] = np.clip(angles[name] + angles["lean"], low, high) - angles["lean"]
    return angles


def _other_side(name: str) -> str:
    return name.replace("left_", "right_") if name.startswith("left_") else name.replace("right_", "left_")


def sample_body(rng: np.random.Generator) -> dict[str, float]:
    """Lengths of the body (standing height 1) and its girth: a child has a larger head, an adult longer legs."""
    legs, head = rng.normal(1, 0.03), rng.uniform(0.95, 1.2)
    shoulders = rng.uniform(0.092, 0.112)
    return {
        "thigh": 0.243 * legs, "shin": 0.24 * legs, "spine": rng.uniform(0.27, 0.3), "neck": rng.uniform(0.045, 0.058),
        "upper_arm": rng.uniform(0.155, 0.178), "forearm": rng.uniform(0.138, 0.155), "head": head,
        "shoulders": shoulders, "hips": rng.uniform(0.046, 0.058), "girth": rng.uniform(0.84, 1.22),
    }  # fmt: skip


def place_joints(angles: dict, body: dict, view: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Every joint's position [3] and the frames [3, 3] of pelvis, waist, chest and head; pelvis at the origin.

    `view` [3, 3] turns the standing person to the viewer. Columns of a frame: the part's left, up and front.
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
    for name, place in _FACE.items():
        joints[name] = joints["upper_neck"] + body["head"] * head @ np.array(place)
    for side, s in SIDES:
        joints[f"{side}_shoulder"] = joints["thorax"] + chest @ np.array([s * body["shoulders"], -0.012, 0])
        arm = chest @ _ball_joint(angles, f"{side}_shoulder", s)
        fore = arm @ _rotation(0, -angles[f"{side}_elbow"])
        joints[f"{side}_elbow"] = joints[f"{side}_shoulder"] - body["upper_arm"] * arm @ up
        joints[f"{side}_wrist"] = joints[f"{side}_elbow"] - body["forearm"] * fore @ up
        joints[f"{side}_hand"] = joints[f"{side}_wrist"] - 0.05 * fore @ up
        joints[f"{side}_hip"] = pelvis @ np.array([s * body["hips"], -0.012, 0])
        thigh = root @ _ball_joint(angles, f"{side}_hip", s)
        shin = thigh @ _rotation(0, angles[f"{side}_knee"])
        foot = shin @ _rotation(0, angles[f"{side}_ankle"])
        joints[f"{side}_knee"] = joints[f"{side}_hip"] - body["thigh"] * thigh @ up
        joints[f"{side}_ankle"] = joints[f"{side}_knee"] - body["shin"] * shin @ up
        joints[f"{side}_heel"] = joints[f"{side}_ankle"] + foot @ np.array([0, -0.022, -0.012])
        joints[f"{side}_toe"] = joints[f"{side}_heel"] + foot @ (0.095 * front - 0.006 * up)
    return joints, frames


# Places in the head's frame, from the upper neck; times the size of the head.
_FACE = {
    "head_top": (0, 0.14, 0.0), "skull": (0, 0.084, 0.004), "chin": (0, 0.036, 0.024), "nose": (0, 0.064, 0.066),
    "left_eye": (0.021, 0.083, 0.054), "right_eye": (-0.021, 0.083, 0.054),
    "left_ear": (0.057, 0.072, -0.002), "right_ear": (-0.057, 0.072, -0.002),
}  # fmt: skip


def _ball_joint(angles: dict, joint: str, side: int) -> np.ndarray:
    """Flexion forward, abduction outward, rotation inward: the frame [3, 3] of a limb that hangs down at rest."""
    turn = _rotation(1, -side * angles[f"{joint}_rotation"])
    return _rotation(0, -angles[f"{joint}_flexion"]) @ _rotation(2, side * angles[f"{joint}_abduction"]) @ turn


def _colour(rng: np.random.Generator) -> np.ndarray:
    """A colour that cloth comes in: any hue, from grey to strong."""
    hue, saturation, value = rng.random() * 6, rng.random() ** 0.8 * 0.85, rng.uniform(0.2, 0.98)
    wheel = np.clip(np.abs((hue + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    return 255 * value * (1 - saturation * (1 - wheel))


def _between(rng: np.random.Generator, palette: np.ndarray) -> np.ndarray:
    first = rng.integers(len(palette) - 1)
    return palette[first] + rng.random() * (palette[first + 1] - palette[first])


def sample_look(rng: np.random.Generator) -> dict:
    """Colours and clothes. Both sides wear the same: left and right are told by face, chest and feet alone."""
    legs = rng.choice(["trousers", "shorts", "skirt"], p=[0.6, 0.25, 0.15])
    return {
        "skin": _between(rng, _SKIN), "hair": _HAIR[rng.integers(len(_HAIR))] * rng.uniform(0.85, 1.1),
        "shirt": _colour(rng), "second": _colour(rng), "cloth": _colour(rng), "shoes": _colour(rng) * 0.7,
        "sleeve": rng.choice([0.0, 0.55, 1.0, 2.0], p=[0.15, 0.4, 0.05, 0.4]), "legs": legs,
        "leg_cover": 2.0 if legs == "trousers" else rng.uniform(0.55, 0.95),
        "striped": rng.random() < 0.3, "period": rng.uniform(0.035, 0.08),
        "hairstyle": rng.choice(["short", "long", "tail", "bald"], p=[0.5, 0.25, 0.15, 0.1]),
        "front": rng.choice(["buttons", "print", "jacket", "tie", "neckline"]),
        "back": rng.choice(["plain", "yoke", "number", "backpack"], p=[0.4, 0.25, 0.2, 0.15]),
    }  # fmt: skip


def dress(joints: dict, frames: dict, body: dict, look: dict) -> list[Shape]:
    """All solids of a person in body coordinates."""
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
    points = np.array(points, dtype=float)
    return Shape(points, np.broadcast_to(np.array(radii, float), len(points)), np.array(colour), stripes, paint)


def _stripes(look: dict, origin: np.ndarray, end: np.ndarray) -> tuple | None:
    return (origin, end - origin, look["period"], look["second"]) if look["striped"] else None


def _limbs(joints: dict, body: dict, look: dict) -> list[Shape]:
    """Skin from joint to joint; cloth a little wider over as much of it as is covered (2: the whole limb)."""
    shapes = []
    for side, _ in SIDES:
        at = {name.removeprefix(f"{side}_"): place for name, place in joints.items() if name.startswith(side)}
        sleeve, cover, g = look["sleeve"], look["leg_cover"], body["girth"]
        chain = [
            ("shoulder", "elbow", 0.037, 0.03, sleeve, "shirt"), ("elbow", "wrist", 0.03, 0.02, sleeve - 1, "shirt"),
            ("hip", "knee", 0.062, 0.042, cover, "cloth"), ("knee", "ankle", 0.042, 0.026, cover - 1, "cloth"),
        ]  # fmt: skip
        for a, b, wide, narrow, covered, cloth in chain:
            shapes.append(_shape([at[a], at[b]], [wide * g, narrow * g], look["skin"]))
            if covered > 0:
                part = min(covered, 0.96 if b in ("wrist", "ankle") else 1.0)
                end, slack = at[a] + part * (at[b] - at[a]), 0.006
                radii = [wide * g + slack, (wide + part * (narrow - wide)) * g + slack]
                stripes = _stripes(look, at[a], end) if cloth == "shirt" else None
                shapes.append(_shape([at[a], end], radii, look[cloth], stripes))
        shapes.append(_shape([at["wrist"], at["hand"]], [0.02, 0.017], look["skin"]))
        shapes.append(_shape([at["heel"], at["toe"]], [0.027, 0.021], look["shoes"]))
    return shapes


def _torso(joints: dict, frames: dict, body: dict, look: dict) -> list[Shape]:
    """Chest and belly as two slabs that bend at the waist, the seat of trousers or skirt, the neck."""
    g, wide, hips = body["girth"], body["shoulders"], body["hips"]

    def ring(joint: str, frame: str, x: float, y: float, z: float = 0.0) -> list[np.ndarray]:
        return [joints[joint] + frames[frame] @ np.array([s * x, y, z]) for s in (1, -1)]

    waist = ring("waist", "waist", 0.035 * g, 0.0)
    ribs = ring("thorax", "chest", wide * 0.62, -0.09, 0.004)
    chest = [*ring("thorax", "chest", wide - 0.012, -0.022), *ribs, *waist]
    radii = [0.043, 0.043, 0.056 * g, 0.056 * g, 0.056 * g, 0.056 * g]
    low = ring("pelvis", "pelvis", hips, 0.0)
    stripes = _stripes(look, joints["pelvis"], joints["thorax"])
    neck = _shape(
        [joints["thorax"], joints["upper_neck"] + 0.3 * (joints["chin"] - joints["upper_neck"])], 0.031, look["skin"]
    )
    seat = [*ring("pelvis", "pelvis", hips * 0.9, 0.028), *ring("pelvis", "pelvis", hips, -0.025)]
    shapes = [
        neck,
        _shape(chest, radii, look["shirt"], stripes),
        _shape([*waist, *low], [0.056 * g] * 2 + [0.06 * g] * 2, look["shirt"], stripes),
        _shape(seat, 0.064 * g, look["cloth"]),
    ]
    if look["legs"] == "skirt":
        hem = [joints[f"{s}_hip"] + look["leg_cover"] * (joints[f"{s}_knee"] - joints[f"{s}_hip"]) for s, _ in SIDES]
        shapes.append(_shape([*low, *hem], [0.066 * g] * 2 + [0.07 * g] * 2, look["cloth"]))
    return shapes


def _head(joints: dict, frames: dict, body: dict, look: dict) -> list[Shape]:
    """Skull to chin, ears, nose, hair, and the paint of a face: depth alone decides what of it is seen."""
    size, frame, origin = body["head"], frames["head"], joints["upper_neck"]

    def at(x: float, y: float, z: float) -> np.ndarray:
        return origin + size * frame @ np.array([x, y, z])

    def add(
        places: Sequence[tuple[float, float, float]],
        radii: Sequence[float],
        colour: np.ndarray | tuple[int, int, int],
        paint: bool = False,
    ) -> None:
        shapes.append(_shape([at(*p) for p in places], size * np.array(radii), colour, paint=paint))

    shapes: list[Shape] = []
    add([_FACE["skull"], _FACE["chin"]], [0.057, 0.032], look["skin"])
    add([_FACE["nose"], (0, 0.075, 0.058)], [0.009, 0.006], look["skin"] * 0.92)
    dark = look["hair"] * 0.6
    for s in (1, -1):
        add([(s * 0.057, 0.078, -0.002), (s * 0.055, 0.066, 0)], [0.012, 0.009], look["skin"] * 0.93)
        add([(s * 0.026, 0.083, 0.05), (s * 0.016, 0.083, 0.053)], 2 * [0.0075], (245, 245, 245), paint=True)
        add([(s * 0.021, 0.083, 0.054)] * 2, 2 * [0.0062], (25, 20, 20), paint=True)
        add([(s * 0.031, 0.098, 0.046), (s * 0.013, 0.1, 0.053)], 2 * [0.0045], dark, paint=True)
    add([(0.014, 0.04, 0.05), (0, 0.037, 0.056)], 2 * [0.005], (170, 60, 60), paint=True)
    add([(-0.014, 0.04, 0.05), (0, 0.037, 0.056)], 2 * [0.005], (170, 60, 60), paint=True)
    if look["hairstyle"] != "bald":
        add([(0, 0.09, -0.008), (0, 0.08, -0.016)], [0.062, 0.058], look["hair"])
    if look["hairstyle"] == "long":
        add([(0, 0.08, -0.026), (0, -0.03, -0.05)], [0.056, 0.042], look["hair"])
    if look["hairstyle"] == "tail":
        add([(0, 0.1, -0.075), (0, 0.01, -0.1)], [0.022, 0.012], look["hair"])
    return shapes


def _front_and_back(joints: dict, frames: dict, body: dict, look: dict) -> list[Shape]:
    """What tells the front of the clothes from their back: a line of buttons, a print, an open jacket, a backpack."""
    depth = 0.05 * body["girth"]
    second, shirt, cloth = look["second"], look["shirt"], look["cloth"]

    def paint(
        frame: str,
        places: Sequence[tuple[float, float, float]],
        radius: float | Sequence[float],
        colour: np.ndarray | tuple[int, int, int],
    ) -> Shape:
        origin = joints["pelvis" if frame == "pelvis" else "thorax"]
        return _shape([origin + frames[frame] @ np.array(p) for p in places], radius, colour, paint=True)

    line = [(0, -0.02, depth), (0, -0.2, depth)]
    front = {
        "buttons": [paint("chest", line, 0.004, shirt * 0.6)]
        + [paint("chest", [(0, y, depth)] * 2, 0.0085, (250, 250, 240)) for y in (-0.04, -0.085, -0.13, -0.175)],
        "print": [paint("chest", [(-0.035, -0.06, depth), (0.035, -0.06, depth), (0, -0.12, depth)], 0.012, second)],
        "jacket": [paint("chest", [(0, -0.005, depth), (-0.03, -0.2, depth), (0.03, -0.2, depth)], 0.008, second)],
        "tie": [paint("chest", [(-0.035, 0.0, depth), (0.035, 0.0, depth), (0, -0.03, depth)], 0.008, (245, 245, 245)),
                paint("chest", [(0, -0.015, depth), (0, -0.15, depth)], [0.007, 0.014], second)],
        "neckline": [paint("chest", [(-0.03, 0.01, depth), (0.03, 0.01, depth), (0, -0.06, depth)], 0.006,
                           look["skin"])],
    }[look["front"]]  # fmt: skip
    pockets = [paint("pelvis", [(s * x, -0.02, -depth) for x in (0.025, 0.05)], 0.012, cloth * 0.7) for s in (1, -1)]
    buckle = [paint("pelvis", [(-0.012, 0.032, depth), (0.012, 0.032, depth)], 0.009, (215, 190, 90))]
    back = {
        "plain": [],
        "yoke": [paint("chest", [(-0.08, -0.035, -depth), (0.08, -0.035, -depth)], 0.012, shirt * 0.65)],
        "number": [paint("chest", [(0.02, -0.06, -depth), (0.02, -0.14, -depth)], 0.01, second),
                   paint("chest", [(-0.03, -0.06, -depth), (-0.03, -0.14, -depth)], 0.01, second)],
        "backpack": [_pack(joints, frames, second)]
        + [paint("chest", [(s * 0.065, 0.0, depth), (s * 0.06, -0.14, depth)], 0.011, second) for s in (1, -1)],
    }[look["back"]]  # fmt: skip
    return [*front, *buckle, *pockets, *back]


def _pack(joints: dict, frames: dict, colour: np.ndarray) -> Shape:
    corners = [(s * 0.055, y, -0.085) for s in (1, -1) for y in (-0.03, -0.2)]
    return _shape([joints["thorax"] + frames["chest"] @ np.array(c) for c in corners], 0.03, colour * 0.8)


def to_pixels(shape: Shape, height: float, origin: np.ndarray) -> Shape:
    """Body coordinates -> pixels (x, y down, depth towards the viewer); origin [3] is where the pelvis stands."""
    axes = height * np.array([1, -1, 1])
    stripes = shape.stripes
    if stripes is not None:
        start, direction, period, colour = stripes
        stripes = (start * axes + origin, direction * axes, period * height, colour)
    radii = np.maximum(shape.radii * height, 0.8)
    return Shape(shape.points * axes + origin, radii, shape.colour, stripes, shape.paint)


def draw_shape(canvas: Canvas, shape: Shape, owner: int, light: np.ndarray) -> None:
    """Draw a solid (pixels) where nothing nearer stands. Edges are smooth: a pixel mixes by how far it is inside."""
    size = np.array(canvas.owner.shape)[::-1]
    low = np.maximum(np.floor((shape.points[:, :2] - shape.radii[:, None]).min(0)) - 1, 0).astype(int)
    high = np.minimum(np.ceil((shape.points[:, :2] + shape.radii[:, None]).max(0)) + 2, size).astype(int)
    if (low >= high).any():
        return
    window = np.s_[low[1] : high[1], low[0] : high[0]]
    x, y = np.arange(low[0], high[0], dtype=np.float32)[None], np.arange(low[1], high[1], dtype=np.float32)[:, None]
    field = _limb_field if len(shape.points) == 2 else _hull_field
    distance, depth, normal_x, normal_y, normal_z = field(shape.points.tolist(), shape.radii.tolist(), x, y)
    # Paint may lie this far under the surface that it is painted on, which is known only roughly.
    lift = 5.0 if shape.paint else 0.5
    alpha = np.clip(0.5 - distance, 0, 1) * np.clip(depth - canvas.depth[window] + lift, 0, 1)
    if shape.paint:
        alpha *= canvas.owner[window] == owner
    shade = 0.6 + 0.45 * np.maximum(normal_x * light[0] + normal_y * light[1] + normal_z * light[2], 0)
    pixels = canvas.colour[window]
    pixels += alpha[..., None] * (_surface_colour(shape, x, y) * shade[..., None] - pixels)
    if not shape.paint:
        seen = alpha > 0.5
        canvas.depth[window][seen] = depth[seen]
        canvas.owner[window][seen] = owner


def _surface_colour(shape: Shape, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    colour = shape.colour.astype(np.float32)
    if shape.stripes is None:
        return colour
    origin, direction, period, second = shape.stripes
    (ox, oy, _), (dx, dy, _) = origin.tolist(), direction.tolist()
    along = ((x - ox) * dx + (y - oy) * dy) * (np.linalg.norm(direction).item() / max(dx * dx + dy * dy, 4.0))
    mix = np.clip(0.5 + 0.25 * period * np.sin(along * (2 * np.pi / period)), 0, 1)[..., None]
    return colour + mix * (second.astype(np.float32) - colour)


def _limb_field(points: list[list[float]], radii: list[float], x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    """Distance to the edge (negative inside), depth of the surface and its normal, [h, w] each, of a tapered limb."""
    (ax, ay, az), (bx, by, bz) = points
    dx, dy, dz = bx - ax, by - ay, bz - az
    flat = dx * dx + dy * dy + 1e-3
    along = np.clip(((x - ax) * dx + (y - ay) * dy) / flat, 0, 1)
    radius = radii[0] + along * (radii[1] - radii[0])
    off_x, off_y = x - ax - along * dx, y - ay - along * dy
    distance = np.sqrt(off_x * off_x + off_y * off_y)
    inverse = 1 / radius
    normal_z = np.sqrt(np.maximum(1 - np.square(distance * inverse), 0))
    # A limb that points at the viewer is cut obliquely by the line of sight, so its surface stands out further.
    steep = min((1 + dz * dz / flat) ** 0.5, 3.0)
    depth = np.minimum(az + along * dz + radius * normal_z * steep, max(az + radii[0], bz + radii[1]))
    return distance - radius, depth, off_x * inverse, off_y * inverse, normal_z


def _hull_field(points: list[list[float]], radii: list[float], x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    """As `_limb_field`, of a slab: a plane through its balls, as near as its nearest ball, rounded off at the edge."""
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
    # Ridge: where the balls stand one behind the other, a plane through them all would stand on edge.
    ridge = spread[:, :2].T @ spread[:, :2] + len(balls) * radius**2 / 3 * np.eye(2)
    a, b = np.linalg.solve(ridge, spread[:, :2].T @ spread[:, 2]).tolist()
    lift = float(np.max(spread[:, 2] - spread[:, :2] @ [a, b]) + centre[2])
    depth = (a * (x - float(centre[0])) + lift) + b * (y - float(centre[1])) + radius * normal_z
    return distance, depth, rim * slope_x, rim * slope_y, normal_z

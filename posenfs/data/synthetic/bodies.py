"""Poses and bodies of drawn people: joint angles, lengths, and the positions of the joints.

Body coordinates are in units of the standing height. Before the rotation to the viewer x points to
the person's left, y up, z to the front. After it x points to the right of the image, y up, z
towards the viewer.
"""

import numpy as np

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

SIDES = (("left", 1), ("right", -1))


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
    for name, position in FACE.items():
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
FACE = {
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

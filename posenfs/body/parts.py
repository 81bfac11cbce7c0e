"""Body parts: which keypoints each part-specific fabric predicts (Table I), and parts of one's own."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from posenfs.body.skeleton import Skeleton


@dataclass(frozen=True)
class Part:
    """A named group of keypoints (indices into the skeleton) that one fabric predicts."""

    name: str
    keypoints: tuple[int, ...]


PartScheme = tuple[Part, ...]

# Keypoints that stand for "head" and "pelvis" where a skeleton has them; Table I differs by data set in these alone.
_HEAD = ("head_top", "upper_neck", "thorax", "neck", "nose", "left_eye", "right_eye", "left_ear", "right_ear")
_SHOULDERS, _ELBOWS, _WRISTS = (tuple(f"{s}_{k}" for s in ("left", "right")) for k in ("shoulder", "elbow", "wrist"))
_HIPS, _KNEES, _ANKLES = (tuple(f"{s}_{k}" for s in ("left", "right")) for k in ("hip", "knee", "ankle"))

# Table I, in the order of the authors' checkpoints. A shoulder, elbow or knee of P = 8 belongs to two parts.
_TABLE_1: dict[int, dict[str, tuple[str, ...]]] = {
    1: {"whole_body": (*_HEAD, *_SHOULDERS, *_ELBOWS, *_WRISTS, *_HIPS, *_KNEES, *_ANKLES, "pelvis")},
    3: {
        "upper_limb_part": (*_SHOULDERS, *_ELBOWS, *_WRISTS),
        "head_part": _HEAD,
        "lower_limb_part": (*_HIPS, *_KNEES, *_ANKLES, "pelvis"),
    },
    5: {
        "left_arm_part": ("left_elbow", "left_wrist"),
        "right_arm_part": ("right_elbow", "right_wrist"),
        "legs_part": (*_KNEES, *_ANKLES),
        "head_shoulder_part": (*_HEAD, *_SHOULDERS),
        "hips_part": ("pelvis", *_HIPS),
    },
    8: {
        "left_upper_arm_part": ("left_shoulder", "left_elbow"),
        "right_upper_arm_part": ("right_shoulder", "right_elbow"),
        "left_lower_arm_part": ("left_elbow", "left_wrist"),
        "right_lower_arm_part": ("right_elbow", "right_wrist"),
        "left_lower_leg_part": ("left_knee", "left_ankle"),
        "right_lower_leg_part": ("right_knee", "right_ankle"),
        "head_shoulder_part": (*_HEAD, *_SHOULDERS),
        "upper_legs_part": ("left_hip", "pelvis", "right_hip", *_KNEES),
    },
}


def part_scheme(skeleton: Skeleton, parts: int | Mapping[str, Iterable[str]]) -> PartScheme:
    """The part scheme P = 1, 3, 5 or 8 of Table I, or one's own as {part name: keypoint names}.

    Parts may share keypoints: their score maps are summed (Eq. 7). Raises ValueError for another P, an unknown
    or repeated keypoint, an empty part, or a keypoint that no part covers.
    """
    if isinstance(parts, int):
        if parts not in _TABLE_1:
            raise ValueError(f"unknown part scheme P = {parts}; Table I has P = {', '.join(map(str, _TABLE_1))}")
        table = {n: [k for k in ks if k in skeleton.keypoints] for n, ks in _TABLE_1[parts].items()}
        order = skeleton.keypoints if parts == 1 else None
        parts = {n: (order or ks) for n, ks in table.items()}
    scheme = tuple(Part(name, tuple(skeleton.index(k) for k in keypoints)) for name, keypoints in parts.items())
    check_parts(scheme, skeleton)
    return scheme


def check_parts(scheme: PartScheme, skeleton: Skeleton) -> None:
    """Raise ValueError unless every part is sound and every keypoint of the skeleton is covered."""
    for part in scheme:
        if not part.keypoints:
            raise ValueError(f"part {part.name!r} has no keypoint")
        if repeated := sorted({k for k in part.keypoints if part.keypoints.count(k) > 1}):
            raise ValueError(f"part {part.name!r} names {', '.join(skeleton.keypoints[k] for k in repeated)} twice")
    uncovered = set(range(len(skeleton))) - {k for part in scheme for k in part.keypoints}
    if uncovered:
        names = ", ".join(skeleton.keypoints[k] for k in sorted(uncovered))
        raise ValueError(f"no part covers {names} of {skeleton.name}; put each keypoint into at least one part")
    names = [part.name for part in scheme]
    if len(set(names)) < len(names):
        raise ValueError(f"two parts have one name: {', '.join(names)}")

"""Body parts: the groups of keypoints that part-specific fabrics predict (Table I or custom)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from posenfs.body.skeleton import Skeleton


@dataclass(frozen=True)
class Part:
    """A named group of keypoints (indices into the skeleton) that one fabric predicts."""

    name: str
    keypoints: tuple[int, ...]


PartScheme = tuple[Part, ...]

# The head keypoints of all skeletons. A skeleton without one of the keypoints of Table I skips it.
_HEAD = (
    *("head_top", "upper_neck", "thorax", "neck"),
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear"),
)
_SHOULDERS = ("left_shoulder", "right_shoulder")
_ELBOWS = ("left_elbow", "right_elbow")
_WRISTS = ("left_wrist", "right_wrist")
_HIPS = ("left_hip", "right_hip")
_KNEES = ("left_knee", "right_knee")
_ANKLES = ("left_ankle", "right_ankle")
_BODY = (*_HEAD, *_SHOULDERS, *_ELBOWS, *_WRISTS, *_HIPS, *_KNEES, *_ANKLES, "pelvis")

# Table I in the order of the authors' checkpoints. With P = 8 a shoulder, elbow or knee belongs to
# two parts.
_TABLE_1: dict[int, dict[str, tuple[str, ...]]] = {
    1: {"whole_body": _BODY},
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
    """Return a part scheme of Table I, or build one from keypoint names.

    Parts may share keypoints; their score maps are summed (Eq. 7).

    Args:
        skeleton: The skeleton whose keypoints the parts group.
        parts: P = 1, 3, 5 or 8 of Table I, or a mapping from part names to keypoint names.

    Raises:
        ValueError: P is not in Table I, a keypoint is unknown, listed twice in a part or not
            covered, or a part is empty.
    """
    if isinstance(parts, int):
        if parts not in _TABLE_1:
            known = ", ".join(map(str, _TABLE_1))
            raise ValueError(f"unknown part scheme P = {parts}; Table I has P = {known}")
        parts = _table_parts(skeleton, parts)
    scheme = tuple(
        Part(name, tuple(skeleton.index(keypoint) for keypoint in keypoints))
        for name, keypoints in parts.items()
    )
    check_parts(scheme, skeleton)
    return scheme


def _table_parts(skeleton: Skeleton, count: int) -> dict[str, list[str]]:
    """The keypoint names of each part of Table I that the skeleton has."""
    if count == 1:
        return {name: list(skeleton.keypoints) for name in _TABLE_1[1]}
    return {
        name: [keypoint for keypoint in keypoints if keypoint in skeleton.keypoints]
        for name, keypoints in _TABLE_1[count].items()
    }


def check_parts(scheme: PartScheme, skeleton: Skeleton) -> None:
    """Check that the parts cover the skeleton.

    Args:
        scheme: The parts.
        skeleton: The skeleton whose keypoints the parts group.

    Raises:
        ValueError: A part is empty or lists a keypoint twice, a keypoint is in no part, or two
            parts have the same name.
    """
    for part in scheme:
        if not part.keypoints:
            raise ValueError(f"part {part.name!r} has no keypoint")
        repeated = sorted({k for k in part.keypoints if part.keypoints.count(k) > 1})
        if repeated:
            keypoints = ", ".join(skeleton.keypoints[k] for k in repeated)
            raise ValueError(f"part {part.name!r} names {keypoints} twice")
    uncovered = set(range(len(skeleton))) - {k for part in scheme for k in part.keypoints}
    if uncovered:
        keypoints = ", ".join(skeleton.keypoints[k] for k in sorted(uncovered))
        raise ValueError(
            f"no part covers {keypoints} of {skeleton.name}; "
            "put each keypoint into at least one part"
        )
    names = [part.name for part in scheme]
    if len(set(names)) < len(names):
        raise ValueError(f"two parts have the same name: {', '.join(names)}")

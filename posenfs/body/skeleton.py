"""Skeletons: the keypoints of a person, their left-right pairs, and the limbs between them."""

import re
from dataclasses import dataclass

_OTHER_SIDE = {"left": "right", "Left": "Right", "LEFT": "RIGHT", "l": "r", "L": "R"}
_SIDE = re.compile(
    r"^(?:left|Left|LEFT|l|L)(?=[_\-. A-Z]|$)"  # left_knee, LKnee
    r"|(?<=[_\-. ])(?:left|Left|LEFT|l|L)(?=[_\-. ]|$)"  # knee_l, hand_left_thumb
    r"|(?<=[a-z])(?:Left|L)(?=[_\-. A-Z]|$)"  # kneeL, handLeftThumb
)


@dataclass(frozen=True)
class Skeleton:
    """The K keypoints that a data set labels, in the order of all keypoint arrays of posenfs."""

    name: str
    keypoints: tuple[str, ...]
    flip_pairs: tuple[tuple[int, int], ...]  # indices of keypoints that swap in a mirrored image
    limbs: tuple[tuple[int, int], ...]  # indices of keypoints that a drawing connects
    oks_sigmas: tuple[float, ...] | None = None  # COCO's constants of object keypoint similarity

    def __len__(self) -> int:
        return len(self.keypoints)

    def index(self, keypoint: str) -> int:
        """Return the index of a keypoint.

        Raises:
            ValueError: The skeleton has no keypoint of this name.
        """
        if keypoint not in self.keypoints:
            known = ", ".join(self.keypoints)
            raise ValueError(f"{self.name} has no keypoint {keypoint!r}; it has {known}")
        return self.keypoints.index(keypoint)

    @property
    def flip_order(self) -> tuple[int, ...]:
        """[K]: keypoint k of the mirrored image is keypoint flip_order[k] of the image."""
        order = list(range(len(self)))
        for left, right in self.flip_pairs:
            order[left], order[right] = right, left
        return tuple(order)

    def unmirrored_pairs(self) -> tuple[tuple[str, str], ...]:
        """Return the keypoint pairs that are left and right by name, but are not flip pairs.

        A word of a name is its side: left or right, or l or r, in any of the usual cases (left,
        Left, LEFT, l, L). An underscore, a hyphen, a point, a space or a capital letter separates
        words (left_knee, hand-left-thumb, LKnee, kneeL).
        """
        flip_pairs = {frozenset(pair) for pair in self.flip_pairs}
        pairs = []
        for left in self.keypoints:
            right = _SIDE.sub(lambda side: _OTHER_SIDE[side[0]], left)
            if left == right or right not in self.keypoints:
                continue
            if frozenset((self.index(left), self.index(right))) not in flip_pairs:
                pairs.append((left, right))
        return tuple(pairs)


def _skeleton(
    name: str,
    keypoints: tuple[str, ...],
    limbs: tuple[tuple[str, str], ...],
    sigmas: tuple[float, ...] | None = None,
) -> Skeleton:
    """Build a skeleton from names. Keypoints left_x and right_x are flip pairs."""
    index = keypoints.index
    flip_pairs = tuple(
        (index(left), index(left.replace("left_", "right_")))
        for left in keypoints
        if left.startswith("left_")
    )
    limb_indices = tuple((index(start), index(end)) for start, end in limbs)
    return Skeleton(name, keypoints, flip_pairs, limb_indices, sigmas)


_LIMBS = tuple(
    (f"{side}_{start}", f"{side}_{end}")
    for side in ("left", "right")
    for start, end in (
        ("shoulder", "elbow"),
        ("elbow", "wrist"),
        ("hip", "knee"),
        ("knee", "ankle"),
    )
)

HEAD_SHARE = 0.6  # PCKh's head size as a share of the diagonal of MPII's head box
HEAD_SOURCE = f"{HEAD_SHARE} x head-box diagonal"

# The keypoint order of MPII's files.
MPII_FILE_KEYPOINTS = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle",
    "pelvis", "thorax", "upper_neck", "head_top",
    "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
)  # fmt: skip

# The paper's keypoint order (footnote 3): left and right alternate.
MPII = _skeleton(
    "MPII-16",
    (
        "head_top", "upper_neck", "thorax",
        "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
        "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "pelvis",
    ),
    (
        ("head_top", "upper_neck"), ("upper_neck", "thorax"), ("thorax", "pelvis"),
        ("thorax", "left_shoulder"), ("thorax", "right_shoulder"),
        ("pelvis", "left_hip"), ("pelvis", "right_hip"),
        *_LIMBS,
    ),
)  # fmt: skip

COCO = _skeleton(
    "COCO-17",
    (
        "nose", "left_eye", "right_eye", "left_ear", "right_ear",
        "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
        "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    ),
    (
        ("nose", "left_eye"), ("nose", "right_eye"),
        ("left_eye", "left_ear"), ("right_eye", "right_ear"),
        ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"),

        ("left_shoulder", "left_hip"), ("right_shoulder", "right_hip"),
        *_LIMBS,
    ),
    (
        .026, .025, .025, .035, .035, .079, .079, .072, .072, .062, .062,
        .107, .107, .087, .087, .089, .089,
    ),

)  # fmt: skip

LSP = _skeleton(
    "LSP-14",
    (
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle",
        "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
        "neck", "head_top",
    ),
    (
        ("head_top", "neck"), ("neck", "left_shoulder"), ("neck", "right_shoulder"),
        ("left_shoulder", "left_hip"), ("right_shoulder", "right_hip"), ("left_hip", "right_hip"),
        *_LIMBS,
    ),
)  # fmt: skip

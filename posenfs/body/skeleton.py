"""Skeletons: the keypoints of a person, which of them mirror each other, and the limbs between them."""

import re
from dataclasses import dataclass

_OTHER_SIDE = {"left": "right", "Left": "Right", "LEFT": "RIGHT", "l": "r", "L": "R"}
_SIDE = re.compile(r"^(?:left|Left|LEFT|l|L)(?=[_\-. A-Z])|(?<=[_\-. ])(?:left|Left|LEFT|l|L)$")


@dataclass(frozen=True)
class Skeleton:
    """The keypoints a data set labels, in the order in which every array of posenfs holds them.

    Flip pairs name the keypoints that change places in a mirror, limbs the lines to draw; both hold indices.
    `oks_sigmas` are COCO's constants of object keypoint similarity, one per keypoint, where there are any.
    """

    name: str
    keypoints: tuple[str, ...]
    flip_pairs: tuple[tuple[int, int], ...]
    limbs: tuple[tuple[int, int], ...]
    oks_sigmas: tuple[float, ...] | None = None

    def __len__(self) -> int:
        return len(self.keypoints)

    def index(self, keypoint: str) -> int:
        """The index of a keypoint; an unknown name raises ValueError that lists the known ones."""
        if keypoint not in self.keypoints:
            raise ValueError(f"{self.name} has no keypoint {keypoint!r}; it has {', '.join(self.keypoints)}")
        return self.keypoints.index(keypoint)

    @property
    def flip_order(self) -> tuple[int, ...]:
        """[K]: keypoint k of a mirrored picture is keypoint flip_order[k] of the picture."""
        order = list(range(len(self)))
        for left, right in self.flip_pairs:
            order[left], order[right] = right, left
        return tuple(order)

    def unmirrored_pairs(self) -> tuple[tuple[str, str], ...]:
        """Pairs of keypoints whose names differ in a side alone, but which are not flip pairs.

        A side is left and right, or l and r (also Left, LEFT, L, …), as the first or the last word of a name. Words are
        divided by an underscore, a hyphen, a point or a space; a capital letter may follow the first one (LKnee).
        """
        paired = {frozenset(pair) for pair in self.flip_pairs}
        sides = [(name, _SIDE.sub(lambda side: _OTHER_SIDE[side[0]], name)) for name in self.keypoints]
        return tuple(
            (left, right)
            for left, right in sides
            if left != right
            and right in self.keypoints
            and frozenset((self.index(left), self.index(right))) not in paired
        )


def _skeleton(
    name: str,
    keypoints: tuple[str, ...],
    limbs: tuple[tuple[str, str], ...],
    sigmas: tuple[float, ...] | None = None,
) -> Skeleton:
    index = keypoints.index
    pairs = tuple((index(k), index(k.replace("left_", "right_"))) for k in keypoints if k.startswith("left_"))
    return Skeleton(name, keypoints, pairs, tuple((index(a), index(b)) for a, b in limbs), sigmas)


_LIMBS = tuple(
    (f"{side}_{a}", f"{side}_{b}")
    for side in ("left", "right")
    for a, b in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
)

HEAD_SHARE = 0.6  # of the diagonal of MPII's head box: the head size of PCKh
HEAD_SOURCE = f"{HEAD_SHARE} x head-box diagonal"

# MPII's own order, in which its files hold keypoints.
MPII_FILE_KEYPOINTS = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "thorax", "upper_neck",
    "head_top", "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
)  # fmt: skip

# The paper's order (footnote 3), which sets left and right side by side.
MPII = _skeleton(
    "MPII-16",
    (
        "head_top", "upper_neck", "thorax",
        "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
        "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
        "pelvis",
    ),
    (
        ("head_top", "upper_neck"), ("upper_neck", "thorax"), ("thorax", "pelvis"),
        ("thorax", "left_shoulder"), ("thorax", "right_shoulder"), ("pelvis", "left_hip"), ("pelvis", "right_hip"),
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
        ("nose", "left_eye"), ("nose", "right_eye"), ("left_eye", "left_ear"), ("right_eye", "right_ear"),
        ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"),
        ("left_shoulder", "left_hip"), ("right_shoulder", "right_hip"),
        *_LIMBS,
    ),
    (.026, .025, .025, .035, .035, .079, .079, .072, .072, .062, .062, .107, .107, .087, .087, .089, .089),
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

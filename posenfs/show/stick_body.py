"""A stick figure on a canvas: the keypoints of a skeleton, coloured by body part."""

from collections.abc import Collection, Mapping, Sequence

from posenfs.body.parts import PartScheme
from posenfs.body.skeleton import Skeleton
from posenfs.show.canvas import GREY, INK, Canvas, Point

# Colours of parts, told apart without full colour vision too; a ninth part begins again.
PART_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6A2FA0", "#6B6B6B")

# Okabe and Ito's blue and vermilion differ in lightness too, so that sides are told apart on any ground.
SIDE_COLOURS = {"left": "#0072B2", "right": "#D55E00"}

# A person seen from the front, so that their left is at the picture's right; x, y in head heights, y down.
_MIDDLE = {"head_top": (0, 0), "upper_neck": (0, 1.2), "neck": (0, 1.3), "thorax": (0, 1.65), "pelvis": (0, 3.9),
           "nose": (0, 0.95)}  # fmt: skip
_LEFT = {"eye": (0.25, 0.25), "ear": (0.55, 0.6), "shoulder": (0.85, 1.65), "elbow": (1.45, 2.8), "wrist": (1.95, 3.85),
         "hip": (0.5, 3.95), "knee": (0.65, 5.5), "ankle": (0.75, 7.1)}  # fmt: skip
FRONT_POSE: dict[str, Point] = (
    _MIDDLE | {f"left_{k}": p for k, p in _LEFT.items()} | {f"right_{k}": (-x, y) for k, (x, y) in _LEFT.items()}
)


def side_of(keypoint: str) -> str:
    """left, right or middle"""
    return next((side for side in SIDE_COLOURS if keypoint.startswith(side)), "middle")


def front_pose(skeleton: Skeleton, pose: Mapping[str, Point] | None = None) -> list[Point]:
    """Where each keypoint stands, y down; `pose` adds the places of keypoints of one's own, or moves others.

    Raises ValueError for a keypoint whose place is not known.
    """
    places = FRONT_POSE | dict(pose or {})
    if unknown := [k for k in skeleton.keypoints if k not in places]:
        raise ValueError(
            f"no place in the drawn body for {', '.join(unknown)} of {skeleton.name}; "
            "give them as pose={name: (x, y)}, in head heights, y down, (0, 0) at the top of the head"
        )
    return [places[k] for k in skeleton.keypoints]


def part_colours(parts: PartScheme) -> dict[str, str]:
    return {part.name: PART_COLOURS[number % len(PART_COLOURS)] for number, part in enumerate(parts)}


def place_body(
    canvas: Canvas,
    skeleton: Skeleton,
    parts: PartScheme,
    places: Sequence[Point],
    key: str = "",
    diameter: float = 13,
    ringed: Collection[int] = (),
) -> None:
    """Limbs and keypoints; `places` in points. A keypoint of several parts has a slice of each part's colour, one of no
    part none.

    `key` begins the names of its nodes, for pages with several bodies; `ringed` keypoints have a dark ring.
    """
    colours = part_colours(parts)
    for a, b in skeleton.limbs:
        own = [part.name for part in parts if a in part.keypoints and b in part.keypoints]
        canvas.curve(
            f"{key}keypoint/{a}", f"{key}keypoint/{b}", places[a], places[b], penwidth="7",
            color=(colours[own[0]] if own else GREY) + ("66" if own else "40"), **{"class": "limb"},
        )  # fmt: skip
    for number, (name, place) in enumerate(zip(skeleton.keypoints, places, strict=True)):
        own = [part.name for part in parts if number in part.keypoints]
        words = f"{name}: {' and '.join(own) or 'in no part'}".replace("_", " ")
        line = {"color": INK, "penwidth": "2"} if number in ringed else {"color": "white" if own else GREY}
        canvas.dot(
            f"{key}keypoint/{number}", place, diameter, [colours[n] for n in own] or ["white"], tooltip=words,
            **{"penwidth": "1"} | line | {"class": "keypoint"},
        )  # fmt: skip

"""A stick figure on a canvas: the keypoints of a skeleton, coloured by body part."""

from collections.abc import Collection, Mapping, Sequence

from posenfs.body.parts import PartScheme
from posenfs.body.skeleton import Skeleton
from posenfs.viz.canvas import GREY, INK, Canvas, Point

# Colours of parts, safe for colour-blind readers; they repeat from the ninth part on.
PART_COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#6A2FA0",
    "#6B6B6B",
)

# Okabe and Ito's blue and vermilion, which differ in lightness too.
SIDE_COLOURS = {"left": "#0072B2", "right": "#D55E00"}

# A person seen from the front, their left at the right; (x, y) in head heights, y down.
_MIDDLE: dict[str, Point] = {
    "head_top": (0, 0),
    "upper_neck": (0, 1.2),
    "neck": (0, 1.3),
    "thorax": (0, 1.65),
    "pelvis": (0, 3.9),
    "nose": (0, 0.95),
}
_LEFT: dict[str, Point] = {
    "eye": (0.25, 0.25),
    "ear": (0.55, 0.6),
    "shoulder": (0.85, 1.65),
    "elbow": (1.45, 2.8),
    "wrist": (1.95, 3.85),
    "hip": (0.5, 3.95),
    "knee": (0.65, 5.5),
    "ankle": (0.75, 7.1),
}
FRONT_POSE: dict[str, Point] = (
    _MIDDLE
    | {f"left_{name}": place for name, place in _LEFT.items()}
    | {f"right_{name}": (-x, y) for name, (x, y) in _LEFT.items()}
)


def side_of(keypoint: str) -> str:
    """Return the side of a keypoint by its name: left, right or middle."""
    for side in SIDE_COLOURS:
        if keypoint.startswith(side):
            return side
    return "middle"


def front_pose(skeleton: Skeleton, pose: Mapping[str, Point] | None = None) -> list[Point]:
    """Return the place of each keypoint in the drawn body.

    Args:
        skeleton: The skeleton.
        pose: Places of further keypoints, or other places of known ones, by keypoint name.

    Returns:
        A place (x, y) for each keypoint, in head heights, y down.

    Raises:
        ValueError: A keypoint has no place.
    """
    places = FRONT_POSE | dict(pose or {})
    if unknown := [name for name in skeleton.keypoints if name not in places]:
        raise ValueError(
            f"no place in the drawn body for {', '.join(unknown)} of {skeleton.name}; give them as "
            "pose={name: (x, y)}, in head heights, y down, (0, 0) at the top of the head"
        )
    return [places[name] for name in skeleton.keypoints]


def part_colours(parts: PartScheme) -> dict[str, str]:
    """Return the colour of each part by name."""
    return {part.name: PART_COLOURS[index % len(PART_COLOURS)] for index, part in enumerate(parts)}


def place_body(
    canvas: Canvas,
    skeleton: Skeleton,
    parts: PartScheme,
    places: Sequence[Point],
    key: str = "",
    diameter: float = 13,
    ringed: Collection[int] = (),
) -> None:
    """Draw limbs and keypoints.

    A keypoint of several parts has a sector of each part's colour; one of no part is white.

    Args:
        canvas: The canvas to draw on.
        skeleton: The skeleton.
        parts: The parts that colour it.
        places: The place of each keypoint, in points.
        key: Prefix of the names of its nodes, where a canvas has several bodies.
        diameter: Diameter of a keypoint, in points.
        ringed: Keypoints with a dark ring.
    """
    colours = part_colours(parts)
    for start, end in skeleton.limbs:
        limb_colours = [
            colours[part.name]
            for part in parts
            if start in part.keypoints and end in part.keypoints
        ]
        canvas.curve(
            f"{key}keypoint/{start}",
            f"{key}keypoint/{end}",
            places[start],
            places[end],
            penwidth="7",
            color=limb_colours[0] + "66" if limb_colours else GREY + "40",
            class_="limb",
        )
    for index, (name, place) in enumerate(zip(skeleton.keypoints, places, strict=True)):
        part_names = [part.name for part in parts if index in part.keypoints]
        tooltip = f"{name}: {' and '.join(part_names) or 'in no part'}".replace("_", " ")
        outline = {"color": "white" if part_names else GREY, "penwidth": "1"}
        if index in ringed:
            outline = {"color": INK, "penwidth": "2"}
        fills = [colours[part] for part in part_names] or ["white"]
        node = f"{key}keypoint/{index}"
        canvas.dot(node, place, diameter, fills, tooltip=tooltip, class_="keypoint", **outline)

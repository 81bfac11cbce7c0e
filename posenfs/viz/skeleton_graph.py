"""Skeletons with the names of their keypoints, and part schemes on a body (Table I)."""

from collections.abc import Collection, Mapping, Sequence

from posenfs.body.parts import PartScheme
from posenfs.body.skeleton import Skeleton
from posenfs.messages import plain_name
from posenfs.viz.canvas import Canvas, Point
from posenfs.viz.colours import GREY, INK, SIDE_COLOURS, part_colours

_HEAD, _NAMED_HEAD = 42.0, 50.0  # points to a head height, without and with keypoint names
_LINE = 15.0  # points from one line of text to the next

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
    | {f"left_{name}": position for name, position in _LEFT.items()}
    | {f"right_{name}": (-x, y) for name, (x, y) in _LEFT.items()}
)


def draw_skeleton(*skeletons: Skeleton, pose: Mapping[str, Point] | None = None) -> Canvas:
    """Draw the limbs, keypoints, numbers and names of skeletons, side by side.

    Args:
        skeletons: The skeletons, seen from the front: the person's left is at the right.
        pose: Positions of keypoints that the drawn body does not have (see `front_pose`).

    Raises:
        ValueError: A keypoint has no position.
    """
    canvas = Canvas("skeletons")
    middle, last_half_width = 0.0, 0.0
    for index, skeleton in enumerate(skeletons):
        positions = _positions(skeleton, pose, _NAMED_HEAD)
        half_width = max(abs(x) for x, _ in positions) + 78
        if index:
            middle += last_half_width + half_width
        last_half_width = half_width
        moved = [(middle + x, 24 + y) for x, y in positions]
        _add_skeleton(canvas, skeleton, moved, middle, f"{index}/")
    return canvas


def _add_skeleton(
    canvas: Canvas, skeleton: Skeleton, positions: list[Point], middle: float, key: str
) -> None:
    """Draw one skeleton under its title; `key` begins the names of its nodes."""
    title = f"{skeleton.name}: {len(skeleton)} keypoints"
    canvas.text((middle, 0), title, size=13, bold=True, align="c")
    for start, end in skeleton.limbs:
        canvas.curve(
            f"{key}keypoint/{start}",
            f"{key}keypoint/{end}",
            positions[start],
            positions[end],
            penwidth="5",
            color=GREY + "40",
            class_="limb",
        )
    for index, (name, position) in enumerate(zip(skeleton.keypoints, positions, strict=True)):
        colour = SIDE_COLOURS.get(side_of(name), GREY)
        label = f"{index} {name}".replace("_", " ")
        canvas.dot(
            f"{key}keypoint/{index}",
            position,
            9,
            [colour],
            color="white",
            penwidth="1",
            tooltip=label,
            class_="keypoint",
        )
        _add_name(canvas, label, side_of(name), position, positions, 10)


def _add_name(
    canvas: Canvas, label: str, side: str, position: Point, positions: list[Point], gap: float
) -> None:
    """Draw a keypoint's label on its outer side, raised where another keypoint is in the way."""
    x, y = position
    offset = -gap if side == "right" else gap
    blocked = any(
        abs(other_y - y) < 8 and 0 < (other_x - x) * offset < 600 for other_x, other_y in positions
    )
    anchor = x + offset, y - (11 if blocked else 0)
    canvas.text(anchor, label, colour=INK, align="r" if side == "right" else "l")


def draw_parts(
    skeleton: Skeleton,
    parts: PartScheme,
    chosen: str | None = None,
    pose: Mapping[str, Point] | None = None,
) -> Canvas:
    """Draw one body with the names of its keypoints, coloured by part.

    Args:
        skeleton: The skeleton.
        parts: The parts.
        chosen: Name of the part whose keypoints have a dark ring.
        pose: Positions of keypoints that the drawn body does not have (see `front_pose`).

    Raises:
        ValueError: A keypoint has no position.
    """
    canvas = Canvas("body")
    positions = _positions(skeleton, pose, _NAMED_HEAD)
    ringed: Collection[int] = ()
    for part in parts:
        if part.name == chosen:
            ringed = part.keypoints
            break
    add_body(canvas, skeleton, parts, positions, diameter=18, ringed=ringed)
    for name, position in zip(skeleton.keypoints, positions, strict=True):
        _add_name(canvas, plain_name(name), side_of(name), position, positions, 14)
    return canvas


def draw_part_schemes(
    skeleton: Skeleton,
    schemes: Mapping[str, PartScheme],
    pose: Mapping[str, Point] | None = None,
) -> Canvas:
    """Draw one body for each part scheme, side by side, coloured by part.

    A keypoint of several parts, whose score maps are summed (Eq. 7), has a sector of each colour.

    Args:
        skeleton: The skeleton.
        schemes: Part schemes by title.
        pose: Positions of keypoints that the drawn body does not have (see `front_pose`).

    Raises:
        ValueError: A keypoint has no position.
    """
    canvas = Canvas("parts")
    positions = _positions(skeleton, pose, _HEAD)
    half_width, top = max(abs(x) for x, _ in positions) + 40, 30.0
    bottom = top + max(y for _, y in positions) + 34
    for index, (title, parts) in enumerate(schemes.items()):
        middle = (2 * index + 1) * half_width
        canvas.text((middle, 0), title, size=13, bold=True, align="c")
        moved = [(middle + x, top + y) for x, y in positions]
        add_body(canvas, skeleton, parts, moved, f"{index}/")
        for line, (part, colour) in enumerate(part_colours(parts).items()):
            x, y = middle - half_width + 18, bottom + _LINE * line
            canvas.box(
                f"{index}/legend/{line}",
                (x, y),
                (9, 9),
                style="filled",
                fillcolor=colour,
                penwidth="0",
                class_="part",
            )
            canvas.text((x + 10, y), plain_name(part))
    return canvas


def add_body(
    canvas: Canvas,
    skeleton: Skeleton,
    parts: PartScheme,
    positions: Sequence[Point],
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
        positions: The position of each keypoint, in points.
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
            positions[start],
            positions[end],
            penwidth="7",
            color=limb_colours[0] + "66" if limb_colours else GREY + "40",
            class_="limb",
        )
    for index, (name, position) in enumerate(zip(skeleton.keypoints, positions, strict=True)):
        part_names = [part.name for part in parts if index in part.keypoints]
        tooltip = f"{name}: {' and '.join(part_names) or 'in no part'}".replace("_", " ")
        outline = {"color": "white" if part_names else GREY, "penwidth": "1"}
        if index in ringed:
            outline = {"color": INK, "penwidth": "2"}
        fills = [colours[part] for part in part_names] or ["white"]
        node = f"{key}keypoint/{index}"
        canvas.dot(node, position, diameter, fills, tooltip=tooltip, class_="keypoint", **outline)


def side_of(keypoint: str) -> str:
    """Return the side of a keypoint by its name: left, right or middle."""
    for side in SIDE_COLOURS:
        if keypoint.startswith(side):
            return side
    return "middle"


def front_pose(skeleton: Skeleton, pose: Mapping[str, Point] | None = None) -> list[Point]:
    """Return the position of each keypoint in the drawn body.

    Args:
        skeleton: The skeleton.
        pose: Positions of further keypoints, or other positions of known ones, by keypoint name.

    Returns:
        A position (x, y) for each keypoint, in head heights, y down.

    Raises:
        ValueError: A keypoint has no position.
    """
    positions = FRONT_POSE | dict(pose or {})
    if unknown := [name for name in skeleton.keypoints if name not in positions]:
        raise ValueError(
            f"no place in the drawn body for {', '.join(unknown)} of {skeleton.name}; give them as "
            "pose={name: (x, y)}, in head heights, y down, (0, 0) at the top of the head"
        )
    return [positions[name] for name in skeleton.keypoints]


def _positions(skeleton: Skeleton, pose: Mapping[str, Point] | None, head: float) -> list[Point]:
    """Return the positions of the keypoints in points; a head is `head` points high."""
    return [(head * x, head * y) for x, y in front_pose(skeleton, pose)]

"""Skeletons with the names of their keypoints, and part schemes on a body (Table I)."""

from collections.abc import Collection, Mapping

from posenfs.body.parts import PartScheme
from posenfs.body.skeleton import Skeleton
from posenfs.messages import plain_name
from posenfs.viz.canvas import GREY, INK, Canvas, Point
from posenfs.viz.stick_body import SIDE_COLOURS, front_pose, part_colours, place_body, side_of

_HEAD, _NAMED_HEAD = 42.0, 50.0  # points to a head height, without and with keypoint names
_LINE = 15.0  # points from one line of text to the next


def draw_skeleton(*skeletons: Skeleton, pose: Mapping[str, Point] | None = None) -> Canvas:
    """Draw the limbs, keypoints, numbers and names of skeletons, side by side.

    Args:
        skeletons: The skeletons, seen from the front: the person's left is at the right.
        pose: Places of keypoints that the drawn body does not have (see `stick_body.front_pose`).

    Raises:
        ValueError: A keypoint has no place.
    """
    canvas = Canvas("skeletons")
    middle, last_half_width = 0.0, 0.0
    for index, skeleton in enumerate(skeletons):
        places = _places(skeleton, pose, _NAMED_HEAD)
        half_width = max(abs(x) for x, _ in places) + 78
        if index:
            middle += last_half_width + half_width
        last_half_width = half_width
        moved = [(middle + x, 24 + y) for x, y in places]
        _place_skeleton(canvas, skeleton, moved, middle, f"{index}/")
    return canvas


def _place_skeleton(
    canvas: Canvas, skeleton: Skeleton, places: list[Point], middle: float, key: str
) -> None:
    """Draw one skeleton under its title; `key` begins the names of its nodes."""
    title = f"{skeleton.name}: {len(skeleton)} keypoints"
    canvas.text((middle, 0), title, size=13, bold=True, align="c")
    for start, end in skeleton.limbs:
        canvas.curve(
            f"{key}keypoint/{start}",
            f"{key}keypoint/{end}",
            places[start],
            places[end],
            penwidth="5",
            color=GREY + "40",
            class_="limb",
        )
    for index, (name, place) in enumerate(zip(skeleton.keypoints, places, strict=True)):
        colour = SIDE_COLOURS.get(side_of(name), GREY)
        label = f"{index} {name}".replace("_", " ")
        canvas.dot(
            f"{key}keypoint/{index}",
            place,
            9,
            [colour],
            color="white",
            penwidth="1",
            tooltip=label,
            class_="keypoint",
        )
        _place_name(canvas, label, side_of(name), place, places, 10)


def _place_name(
    canvas: Canvas, label: str, side: str, place: Point, places: list[Point], gap: float
) -> None:
    """Draw a keypoint's label on its outer side, raised where another keypoint is in the way."""
    x, y = place
    offset = -gap if side == "right" else gap
    blocked = any(
        abs(other_y - y) < 8 and 0 < (other_x - x) * offset < 600 for other_x, other_y in places
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
        pose: Places of keypoints that the drawn body does not have (see `stick_body.front_pose`).

    Raises:
        ValueError: A keypoint has no place.
    """
    canvas = Canvas("body")
    places = _places(skeleton, pose, _NAMED_HEAD)
    ringed: Collection[int] = ()
    for part in parts:
        if part.name == chosen:
            ringed = part.keypoints
            break
    place_body(canvas, skeleton, parts, places, diameter=18, ringed=ringed)
    for name, place in zip(skeleton.keypoints, places, strict=True):
        _place_name(canvas, plain_name(name), side_of(name), place, places, 14)
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
        pose: Places of keypoints that the drawn body does not have (see `stick_body.front_pose`).

    Raises:
        ValueError: A keypoint has no place.
    """
    canvas = Canvas("parts")
    places = _places(skeleton, pose, _HEAD)
    half_width, top = max(abs(x) for x, _ in places) + 40, 30.0
    bottom = top + max(y for _, y in places) + 34
    for index, (title, parts) in enumerate(schemes.items()):
        middle = (2 * index + 1) * half_width
        canvas.text((middle, 0), title, size=13, bold=True, align="c")
        moved = [(middle + x, top + y) for x, y in places]
        place_body(canvas, skeleton, parts, moved, f"{index}/")
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


def _places(skeleton: Skeleton, pose: Mapping[str, Point] | None, head: float) -> list[Point]:
    """Return the places of the keypoints in points; a head is `head` points high."""
    return [(head * x, head * y) for x, y in front_pose(skeleton, pose)]

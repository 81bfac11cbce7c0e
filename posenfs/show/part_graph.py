"""Skeletons with their keypoints' names, and part schemes on a body (Table I)."""

from collections.abc import Mapping

from posenfs.body.parts import PartScheme
from posenfs.body.skeleton import Skeleton
from posenfs.body.words import plain_name
from posenfs.show.canvas import GREY, INK, Canvas, Point
from posenfs.show.stick_body import SIDE_COLOURS, front_pose, part_colours, place_body, side_of

_HEAD = 42.0  # points to a head height, and where keypoints are named
_NAMED_HEAD = 50.0
_LINE = 15.0  # points from one line of words to the next


def draw_skeleton(*skeletons: Skeleton, pose: Mapping[str, Point] | None = None) -> Canvas:
    """Skeletons seen from the front, side by side, the person's left at our right: limbs, keypoints, numbers, names."""
    canvas, middle, half = Canvas("skeletons"), 0.0, 0.0
    for count, skeleton in enumerate(skeletons):
        places = _places(skeleton, pose, _NAMED_HEAD)
        last, half = half, max(abs(x) for x, _ in places) + 78
        middle += (last + half) * (count > 0)
        _place_skeleton(canvas, skeleton, [(middle + x, 24 + y) for x, y in places], middle, f"{count}/")
    return canvas


def _place_skeleton(canvas: Canvas, skeleton: Skeleton, places: list[Point], middle: float, key: str) -> None:
    canvas.text((middle, 0), f"{skeleton.name}: {len(skeleton)} keypoints", size=13, bold=True, align="c")
    for a, b in skeleton.limbs:
        canvas.curve(f"{key}keypoint/{a}", f"{key}keypoint/{b}", places[a], places[b], penwidth="5", color=GREY + "40",
                     **{"class": "limb"})  # fmt: skip
    for number, (name, place) in enumerate(zip(skeleton.keypoints, places, strict=True)):
        colour, words = SIDE_COLOURS.get(side_of(name), GREY), f"{number} {name}".replace("_", " ")
        canvas.dot(f"{key}keypoint/{number}", place, 9, [colour], color="white", penwidth="1", tooltip=words,
                   **{"class": "keypoint"})  # fmt: skip
        _place_name(canvas, words, side_of(name), place, places, 10)


def _place_name(canvas: Canvas, words: str, side: str, place: Point, places: list[Point], gap: float) -> None:
    """Words beside a keypoint, on its outer side; raised where another keypoint stands in their way."""
    (x, y), gap = place, -gap if side == "right" else gap
    raised = 11 * any(abs(v - y) < 8 and 0 < (u - x) * gap < 600 for u, v in places)
    canvas.text((x + gap, y - raised), words, colour=INK, align="r" if side == "right" else "l")


def draw_parts(
    skeleton: Skeleton, parts: PartScheme, chosen: str | None = None, pose: Mapping[str, Point] | None = None
) -> Canvas:
    """One body with its keypoints' names, in the colours of their parts; those of the chosen part have a dark ring."""
    canvas, places = Canvas("body"), _places(skeleton, pose, _NAMED_HEAD)
    ringed = next((part.keypoints for part in parts if part.name == chosen), ())
    place_body(canvas, skeleton, parts, places, diameter=18, ringed=ringed)
    for name, place in zip(skeleton.keypoints, places, strict=True):
        _place_name(canvas, plain_name(name), side_of(name), place, places, 14)
    return canvas


def draw_part_schemes(
    skeleton: Skeleton, schemes: Mapping[str, PartScheme], pose: Mapping[str, Point] | None = None
) -> Canvas:
    """One body for each scheme {title: parts}, side by side: keypoints and limbs in the colours of their parts.

    A keypoint of several parts, whose score maps are summed (Eq. 7), is cut into their colours.
    """
    canvas = Canvas("parts")
    places = _places(skeleton, pose, _HEAD)
    half, top = max(abs(x) for x, _ in places) + 40, 30.0
    bottom = top + max(y for _, y in places) + 34
    for number, (name, parts) in enumerate(schemes.items()):
        middle = (2 * number + 1) * half
        canvas.text((middle, 0), name, size=13, bold=True, align="c")
        place_body(canvas, skeleton, parts, [(middle + x, top + y) for x, y in places], f"{number}/")
        for line, (part, colour) in enumerate(part_colours(parts).items()):
            place = middle - half + 18, bottom + _LINE * line
            canvas.box(f"{number}/legend/{line}", place, (9, 9), style="filled", fillcolor=colour, penwidth="0",
                       **{"class": "part"})  # fmt: skip
            canvas.text((place[0] + 10, place[1]), plain_name(part))
    return canvas


def _places(skeleton: Skeleton, pose: Mapping[str, Point] | None, head: float) -> list[Point]:
    return [(head * x, head * y) for x, y in front_pose(skeleton, pose)]

"""Skeletons with their keypoints' names, and part schemes on a body (Table I)."""

from collections.abc import Mapping

from posenfs.body.parts import PartScheme
from posenfs.body.skeleton import Skeleton
from posenfs.show.canvas import GREY, INK, Canvas, Point
from posenfs.show.stick_body import SIDE_COLOURS, front_pose, part_colours, place_body, side_of

_HEAD = 42.0  # points to a head height
_LINE = 15.0  # points from one line of words to the next


def draw_skeleton(skeleton: Skeleton, pose: Mapping[str, Point] | None = None) -> Canvas:
    """A skeleton seen from the front, the person's left at our right: limbs, keypoints, their numbers and names."""
    canvas, places = Canvas("skeleton"), _places(skeleton, pose, (0.0, 24.0))
    canvas.text((0, 0), f"{skeleton.name}: {len(skeleton)} keypoints", size=13, bold=True, align="c")
    for a, b in skeleton.limbs:
        canvas.curve(f"keypoint/{a}", f"keypoint/{b}", places[a], places[b], penwidth="5", color=GREY + "40",
                     **{"class": "limb"})  # fmt: skip
    for number, (name, (x, y)) in enumerate(zip(skeleton.keypoints, places, strict=True)):
        side = side_of(name)
        colour, gap = SIDE_COLOURS.get(side, GREY), -10 if side == "right" else 10
        words = f"{number} {name}".replace("_", " ")
        canvas.dot(f"keypoint/{number}", (x, y), 9, [colour], color="white", penwidth="1", tooltip=words,
                   **{"class": "keypoint"})  # fmt: skip
        canvas.text((x + gap, y), words, colour=INK, align="r" if side == "right" else "l")
    return canvas


def draw_part_schemes(
    skeleton: Skeleton, schemes: Mapping[str, PartScheme], pose: Mapping[str, Point] | None = None
) -> Canvas:
    """One body for each scheme {title: parts}, side by side: keypoints and limbs in the colours of their parts.

    A keypoint of several parts, whose score maps are summed (Eq. 7), is cut into their colours.
    """
    canvas = Canvas("parts")
    places = _places(skeleton, pose, (0.0, 0.0))
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
            canvas.text((place[0] + 10, place[1]), part.removesuffix("_part").replace("_", " "))
    return canvas


def _places(skeleton: Skeleton, pose: Mapping[str, Point] | None, corner: Point) -> list[Point]:
    return [(corner[0] + _HEAD * x, corner[1] + _HEAD * y) for x, y in front_pose(skeleton, pose)]

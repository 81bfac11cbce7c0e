"""Part fabrics round a body (Fig. 1)."""

import math
from collections.abc import Mapping, Sequence

from posenfs.body.parts import Part, PartScheme
from posenfs.body.skeleton import Skeleton
from posenfs.body.words import plain_name
from posenfs.model.architecture import Architecture
from posenfs.model.space import FabricSpec
from posenfs.show.canvas import Canvas, Point
from posenfs.show.fabric_graph import SMALL, FabricGraph, place_legend
from posenfs.show.stick_body import front_pose, part_colours, place_body


def draw_body(
    skeleton: Skeleton,
    parts: PartScheme,
    spec: FabricSpec,
    architectures: Mapping[str, Architecture],
    pose: Mapping[str, Point] | None = None,
) -> Canvas:
    """The paper's Fig. 1: a body seen from the front, and each part's fabric beside its keypoints.

    `architectures` holds every part by name; others, such as a backbone's, are left out. `pose` places keypoints
    that the drawn body does not know (`stick_body.front_pose`).
    """
    if missing := [part.name for part in parts if part.name not in architectures]:
        raise ValueError(f"no architecture of part {', '.join(missing)}; there are {', '.join(architectures)}")
    canvas, scale = Canvas("body"), 60.0
    places = [(scale * x, scale * y) for x, y in front_pose(skeleton, pose)]
    fabrics = {p.name: FabricGraph(spec, architectures[p.name], SMALL, p.name, p.name) for p in parts}
    width, height = next(iter(fabrics.values())).size
    frame = width + 24, height + 40
    edge = max(abs(x) for x, _ in places) + 50
    colours = part_colours(parts)
    sides = _sides(parts, places)
    tallest = max(len(side) for side in sides.values()) * (frame[1] + 14) - 14
    middle = (min(y for _, y in places) + max(y for _, y in places)) / 2
    for side, column in sides.items():
        wanted = [_centre(part, places)[1] for part in column]
        tops = _stack([y - frame[1] / 2 for y in wanted], frame[1] + 14, middle - tallest / 2, middle + tallest / 2)
        for part, top in zip(column, tops, strict=True):
            left = edge if side > 0 else -edge - frame[0]
            _place_part(canvas, part, fabrics[part.name], places, (left, top), frame, side, colours[part.name])
    place_body(canvas, skeleton, parts, places)
    bottom = max(max(y for _, y in places), middle + tallest / 2)
    place_legend(canvas, (-edge - frame[0], bottom + 34), spec.operations, 2 * (edge + frame[0]))
    return canvas


def _place_part(
    canvas: Canvas,
    part: Part,
    fabric: FabricGraph,
    places: Sequence[Point],
    corner: Point,
    frame: Point,
    side: int,
    colour: str,
) -> None:
    """A framed fabric, and a thin line to the nearest of the part's keypoints."""
    left, top = corner
    canvas.box(
        f"{part.name}/frame", (left + frame[0] / 2, top + frame[1] / 2), frame, color=colour, penwidth="1.4",
        style="rounded", tooltip=part.name.replace("_", " "), **{"class": "part"},
    )  # fmt: skip
    canvas.text((left + 12, top + 13), plain_name(part.name), size=10, bold=True)
    fabric.place(canvas, (left + 12, top + 28))
    start = (left if side > 0 else left + frame[0]), top + frame[1] / 2
    nearest = min(part.keypoints, key=lambda k: math.dist(places[k], start))
    canvas.curve(f"{part.name}/frame", f"keypoint/{nearest}", start, places[nearest], bend=0.4, color=colour,
                 penwidth="1.2", **{"class": "link"})  # fmt: skip


def _centre(part: Part, places: Sequence[Point]) -> Point:
    x, y = zip(*(places[k] for k in part.keypoints), strict=True)
    return sum(x) / len(x), sum(y) / len(y)


def _sides(parts: PartScheme, places: Sequence[Point]) -> dict[int, list[Part]]:
    """{-1: left column, 1: right column}, from top to bottom; parts in the middle go where there are fewer."""
    sides: dict[int, list[Part]] = {-1: [], 1: []}
    middle: list[Part] = []
    for part in parts:
        x = _centre(part, places)[0]
        (sides[1] if x > 1 else sides[-1] if x < -1 else middle).append(part)
    for part in sorted(middle, key=lambda p: _centre(p, places)[1]):
        sides[1 if len(sides[1]) <= len(sides[-1]) else -1].append(part)
    return {side: sorted(column, key=lambda p: _centre(p, places)[1]) for side, column in sides.items()}


def _stack(wanted: Sequence[float], pitch: float, top: float, bottom: float) -> list[float]:
    """Places in one column, as near to the wanted ones as the pitch and the ends allow; `wanted` ascends."""
    found: list[float] = []
    for number, y in enumerate(wanted):
        y = min(y, bottom - pitch * (len(wanted) - number))
        found.append(max(y, found[-1] + pitch if found else top))
    return found

"""Part fabrics around a body (Fig. 1)."""

import math
from collections.abc import Mapping, Sequence

from posenfs.body.parts import Part, PartScheme
from posenfs.body.skeleton import Skeleton
from posenfs.messages import plain_name
from posenfs.model.architecture import Architecture
from posenfs.model.space import FabricSpec
from posenfs.viz.canvas import Canvas, Point
from posenfs.viz.fabric_graph import SMALL, FabricGraph
from posenfs.viz.legend import place_fabric_legend
from posenfs.viz.stick_body import front_pose, part_colours, place_body

_SCALE = 60.0  # points to a head height
_LEFT, _RIGHT = -1, 1  # columns of fabrics beside the body


def draw_body(
    skeleton: Skeleton,
    parts: PartScheme,
    spec: FabricSpec,
    architectures: Mapping[str, Architecture],
    pose: Mapping[str, Point] | None = None,
) -> Canvas:
    """Draw a body seen from the front, and the fabric of each part beside its keypoints (Fig. 1).

    Args:
        skeleton: The skeleton.
        parts: The parts of the body.
        spec: The spec of all part fabrics.
        architectures: Architectures by part name; others, such as a backbone's, are ignored.
        pose: Places of keypoints that the drawn body does not have (see `stick_body.front_pose`).

    Raises:
        ValueError: A part has no architecture, or a keypoint has no place.
    """
    if missing := [part.name for part in parts if part.name not in architectures]:
        known = ", ".join(architectures)
        raise ValueError(f"no architecture of part {', '.join(missing)}; there are {known}")
    canvas = Canvas("body")
    places = [(_SCALE * x, _SCALE * y) for x, y in front_pose(skeleton, pose)]
    fabrics = {
        part.name: FabricGraph(spec, architectures[part.name], SMALL, part.name, part.name)
        for part in parts
    }
    width, height = fabrics[parts[0].name].size
    frame = width + 24, height + 40
    pitch = frame[1] + 14
    edge = max(abs(x) for x, _ in places) + 50  # from the body's axis to the frames
    colours = part_colours(parts)
    columns = _columns(parts, places)
    column_height = max(len(column) for column in columns.values()) * pitch - 14
    heights = [y for _, y in places]
    middle = (min(heights) + max(heights)) / 2
    top, bottom = middle - column_height / 2, middle + column_height / 2
    for side, column in columns.items():
        left = edge if side == _RIGHT else -edge - frame[0]
        ideal_tops = [_centre(part, places)[1] - frame[1] / 2 for part in column]
        for part, part_top in zip(column, _stack(ideal_tops, pitch, top, bottom), strict=True):
            corner, fabric = (left, part_top), fabrics[part.name]
            _place_part(canvas, part, fabric, places, corner, frame, side, colours[part.name])
    place_body(canvas, skeleton, parts, places)
    corner = -edge - frame[0], max(*heights, bottom) + 34
    place_fabric_legend(canvas, corner, spec.operations, 2 * (edge + frame[0]))
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
    """Draw a framed fabric, and a thin line to the nearest of the part's keypoints."""
    left, top = corner
    centre_y = top + frame[1] / 2
    node = f"{part.name}/frame"
    canvas.box(
        node,
        (left + frame[0] / 2, centre_y),
        frame,
        color=colour,
        penwidth="1.4",
        style="rounded",
        tooltip=part.name.replace("_", " "),
        class_="part",
    )
    canvas.text((left + 12, top + 13), plain_name(part.name), size=10, bold=True)
    fabric.place(canvas, (left + 12, top + 28))
    start = (left if side == _RIGHT else left + frame[0]), centre_y
    nearest = min(part.keypoints, key=lambda keypoint: math.dist(places[keypoint], start))
    canvas.curve(
        node,
        f"keypoint/{nearest}",
        start,
        places[nearest],
        bend=0.4,
        color=colour,
        penwidth="1.2",
        class_="link",
    )


def _centre(part: Part, places: Sequence[Point]) -> Point:
    x, y = zip(*(places[keypoint] for keypoint in part.keypoints), strict=True)
    return sum(x) / len(x), sum(y) / len(y)


def _columns(parts: PartScheme, places: Sequence[Point]) -> dict[int, list[Part]]:
    """Return the parts of the left and the right column, from top to bottom.

    Central parts go to the shorter column.
    """

    def height(part: Part) -> float:
        return _centre(part, places)[1]

    columns: dict[int, list[Part]] = {_LEFT: [], _RIGHT: []}
    central: list[Part] = []
    for part in parts:
        x = _centre(part, places)[0]
        if x > 1:
            columns[_RIGHT].append(part)
        elif x < -1:
            columns[_LEFT].append(part)
        else:
            central.append(part)
    for part in sorted(central, key=height):
        side = _RIGHT if len(columns[_RIGHT]) <= len(columns[_LEFT]) else _LEFT
        columns[side].append(part)
    return {side: sorted(column, key=height) for side, column in columns.items()}


def _stack(ideal_tops: Sequence[float], pitch: float, top: float, bottom: float) -> list[float]:
    """Return tops as near to the ideal ones (ascending) as the pitch and both ends allow."""
    tops: list[float] = []
    for index, ideal in enumerate(ideal_tops):
        latest = bottom - pitch * (len(ideal_tops) - index)
        earliest = tops[-1] + pitch if tops else top
        tops.append(max(min(ideal, latest), earliest))
    return tops

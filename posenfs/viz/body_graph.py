"""Part fabrics around a body (Fig. 1)."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from posenfs.body.parts import Part, PartScheme
from posenfs.body.skeleton import Skeleton
from posenfs.data.sample import Annotations
from posenfs.evaluation.prediction import mean_pose
from posenfs.messages import plain_name
from posenfs.model.architecture import Architecture
from posenfs.model.space import FabricSpec
from posenfs.viz.canvas import Canvas, Point, Size
from posenfs.viz.colours import part_colours
from posenfs.viz.fabric_graph import FabricGraph
from posenfs.viz.fabric_layout import SMALL, FabricLayout
from posenfs.viz.legend import add_fabric_legend
from posenfs.viz.skeleton_graph import FRONT_POSE, add_body, front_pose

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
        pose: Positions of keypoints that the drawn body does not have (see `front_pose`).

    Raises:
        ValueError: A part has no architecture, or a keypoint has no position.
    """
    if missing := [part.name for part in parts if part.name not in architectures]:
        known = ", ".join(architectures)
        raise ValueError(f"no architecture of part {', '.join(missing)}; there are {known}")
    canvas = Canvas("body")
    positions = [(_SCALE * x, _SCALE * y) for x, y in front_pose(skeleton, pose)]
    fabrics = {
        part.name: FabricGraph(
            architectures[part.name], FabricLayout(spec, SMALL, part.name), part.name
        )
        for part in parts
    }
    frame = _frame(fabrics[parts[0].name])  # of all parts: their fabrics have the same spec
    pitch = frame[1] + 14
    edge = max(abs(x) for x, _ in positions) + 50  # from the body's axis to the frames
    colours = part_colours(parts)
    columns = _columns(parts, positions)
    column_height = max(len(column) for column in columns.values()) * pitch - 14
    heights = [y for _, y in positions]
    middle = (min(heights) + max(heights)) / 2
    top, bottom = middle - column_height / 2, middle + column_height / 2
    for side, column in columns.items():
        left = edge if side == _RIGHT else -edge - frame[0]
        ideal_tops = [_centre(part, positions)[1] - frame[1] / 2 for part in column]
        for part, part_top in zip(column, _stack(ideal_tops, pitch, top, bottom), strict=True):
            corner, fabric = (left, part_top), fabrics[part.name]
            _add_part(canvas, part, fabric, positions, corner, colours[part.name])
    add_body(canvas, skeleton, parts, positions)
    corner = -edge - frame[0], max(*heights, bottom) + 34
    add_fabric_legend(canvas, corner, spec.operations, 2 * (edge + frame[0]))
    return canvas


def annotated_pose(people: Annotations) -> dict[str, Point]:
    """Return positions of the keypoints that the drawn body does not have.

    They are the mean annotated positions in the boxes of people, in a box round the drawn body.

    Args:
        people: The annotated people.

    Returns:
        Positions as `front_pose` takes them; an empty dict if the drawn body has all keypoints.
    """
    first = people.select([0])
    mean = mean_pose(people, first).keypoints_image[0] - first.boxes[0, :2]
    low, high = np.min([*FRONT_POSE.values()], 0), np.max([*FRONT_POSE.values()], 0)
    points = low + mean / first.boxes[0, 2:] * (high - low)
    return {
        name: (float(x), float(y))
        for name, (x, y) in zip(people.skeleton.keypoints, points, strict=True)
        if name not in FRONT_POSE
    }


def _add_part(
    canvas: Canvas,
    part: Part,
    fabric: FabricGraph,
    positions: Sequence[Point],
    corner: Point,
    colour: str,
) -> None:
    """Draw a framed fabric, and a thin line to the nearest of the part's keypoints."""
    (left, top), frame = corner, _frame(fabric)
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
    fabric.draw(canvas, (left + 12, top + 28))
    start = (left if left > 0 else left + frame[0]), centre_y
    nearest = min(part.keypoints, key=lambda keypoint: math.dist(positions[keypoint], start))
    canvas.curve(
        node,
        f"keypoint/{nearest}",
        start,
        positions[nearest],
        bend=0.4,
        color=colour,
        penwidth="1.2",
        class_="link",
    )


def _frame(fabric: FabricGraph) -> Size:
    """Return the size of the frame of a fabric."""
    width, height = fabric.size
    return width + 24, height + 40


def _centre(part: Part, positions: Sequence[Point]) -> Point:
    x, y = zip(*(positions[keypoint] for keypoint in part.keypoints), strict=True)
    return sum(x) / len(x), sum(y) / len(y)


def _columns(parts: PartScheme, positions: Sequence[Point]) -> dict[int, list[Part]]:
    """Return the parts of the left and the right column, from top to bottom.

    Central parts go to the shorter column.
    """

    def height(part: Part) -> float:
        return _centre(part, positions)[1]

    columns: dict[int, list[Part]] = {_LEFT: [], _RIGHT: []}
    central: list[Part] = []
    for part in parts:
        x = _centre(part, positions)[0]
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

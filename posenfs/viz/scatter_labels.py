"""Placement of the labels of a scatter plot without overlap."""

import math
from collections.abc import Sequence

_SIDES = {
    "middle right": (1, 0),
    "middle left": (-1, 0),
    "top center": (0, 1),
    "bottom center": (0, -1),
}
# px: width of a letter, height of a line, half the size of a point's square.
_LETTER, _LINE, _POINT = 7.0, 14.0, 8.0

_Box = tuple[float, float, float, float]  # left, bottom, right, top


def label_sides(
    points: Sequence[tuple[float, float]], texts: Sequence[str], panel: tuple[float, float]
) -> list[str]:
    """Choose the side of each point on which its label stands.

    The label covers as little as possible of other points, of labels placed before, and of the
    space outside the panel. Ties are resolved in the order right, left, above, below.

    Args:
        points: (x, y) of each point in px.
        texts: The label of each point.
        panel: (width, height) of the panel in px.

    Returns:
        plotly's `textposition` of each point.
    """
    squares = [(x - _POINT, y - _POINT, x + _POINT, y + _POINT) for x, y in points]
    placed: list[_Box] = []
    sides = []
    for index, ((x, y), text) in enumerate(zip(points, texts, strict=True)):
        obstacles = [*squares[:index], *squares[index + 1 :], *placed]
        boxes = {
            side: _label_box(x, y, len(text), *direction) for side, direction in _SIDES.items()
        }
        covered = {side: _covered_area(box, obstacles, panel) for side, box in boxes.items()}
        side = min(covered, key=lambda name: covered[name])
        sides.append(side)
        placed.append(boxes[side])
    return sides


_ANGLES = [step * math.pi / 12 for step in range(24)]
_GAPS = (3.0, 8.0, 16.0, 26.0, 38.0, 52.0, 68.0, 86.0, 106.0)  # between a point's edge and a label
_LEADER_GAP = 6.0  # from this gap on a label has a line to its point
_PASSES = 6
_CLEARANCE = 5.0  # by which a label without a line stands nearer to its own point than to others
# Costs of a unit of covered area, of a line through a label or a point, of a label without
# clearance, and of a unit of distance.
_COVER_COST, _CROSSING_COST, _NEARER_COST, _GAP_COST = 10.0, 40.0, 60.0, 0.6


def place_labels(
    points: Sequence[tuple[float, float]],
    radii: Sequence[float],
    sizes: Sequence[tuple[float, float]],
    panel: tuple[float, float],
) -> tuple[list[tuple[float, float]], list[bool]]:
    """Choose where the label of each point stands, as near to it as other labels and points allow.

    Labels are placed one after another, and again with all others in place until none moves.

    Args:
        points: (x, y) of each point.
        radii: Radius of each point.
        sizes: Width and height of each label, in the units of the points.
        panel: Width and height of the panel.

    Returns:
        The centre of each label, and whether it needs a line to its point.
    """
    squares = [(x - r, y - r, x + r, y + r) for (x, y), r in zip(points, radii, strict=True)]
    candidates = [
        _label_boxes(point, radius, size)
        for point, radius, size in zip(points, radii, sizes, strict=True)
    ]
    chosen: dict[int, tuple[_Box, float]] = {}
    for _ in range(_PASSES):
        before = dict(chosen)
        for index in range(len(points)):
            labels = [box for other, (box, _) in chosen.items() if other != index]
            others = [*squares[:index], *squares[index + 1 :]]
            best = math.inf
            for box, gap in candidates[index]:
                if best <= _GAP_COST * gap:  # all further ones cost at least that
                    break
                cost = _label_cost(box, gap, points[index], squares[index], others, labels, panel)
                if cost < best:
                    best, chosen[index] = cost, (box, gap)
        if chosen == before:
            break
    boxes = [chosen[index] for index in range(len(points))]
    centres = [((box[0] + box[2]) / 2, (box[1] + box[3]) / 2) for box, _ in boxes]
    return centres, [gap >= _LEADER_GAP for _, gap in boxes]


def _label_boxes(
    point: tuple[float, float], radius: float, size: tuple[float, float]
) -> list[tuple[_Box, float]]:
    """Return the boxes around a point in which its label may stand, by increasing gap."""
    half_width, half_height = size[0] / 2, size[1] / 2
    boxes = []
    for gap in _GAPS:
        for angle in _ANGLES:
            reach = radius + gap
            x = point[0] + math.cos(angle) * (reach + half_width)
            y = point[1] + math.sin(angle) * (reach + half_height)
            box = (x - half_width, y - half_height, x + half_width, y + half_height)
            boxes.append((box, gap))
    return boxes


def _label_cost(
    box: _Box,
    gap: float,
    point: tuple[float, float],
    square: _Box,
    others: Sequence[_Box],
    labels: Sequence[_Box],
    panel: tuple[float, float],
) -> float:
    """Return the cost of a label in a box: what it covers, hides or could be mistaken for."""
    covered = _covered_area(box, [square, *others, *labels], panel)
    cost = _COVER_COST * covered + _GAP_COST * gap
    if gap >= _LEADER_GAP:
        return cost + _CROSSING_COST * _crossings(point, box, [*others, *labels])
    own_distance = _distance(box, square)
    nearest = min((_distance(box, other) for other in others), default=math.inf)
    return cost + _NEARER_COST * (nearest < own_distance + _CLEARANCE)


def _crossings(point: tuple[float, float], box: _Box, obstacles: Sequence[_Box]) -> int:
    """Count the obstacles that the line from a point to the centre of a box passes through."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    steps = [index / 16 for index in range(1, 16)]
    dots = [(point[0] + (x - point[0]) * t, point[1] + (y - point[1]) * t) for t in steps]
    return sum(
        any(left <= dx <= right and low <= dy <= high for dx, dy in dots)
        for left, low, right, high in obstacles
    )


def _distance(first: _Box, second: _Box) -> float:
    """Return the distance of two boxes; 0 if they touch."""
    right = max(first[0] - second[2], second[0] - first[2], 0.0)
    up = max(first[1] - second[3], second[1] - first[3], 0.0)
    return math.hypot(right, up)


def _label_box(x: float, y: float, letters: int, right: int, up: int) -> _Box:
    """Return the box of a label in one direction from a point."""
    width = letters * _LETTER
    x += right * (_POINT + width / 2)
    y += up * (_POINT + _LINE / 2)
    return x - width / 2, y - _LINE / 2, x + width / 2, y + _LINE / 2


def _covered_area(box: _Box, obstacles: Sequence[_Box], panel: tuple[float, float]) -> float:
    """Return the area of a box outside the panel plus its overlap with the obstacles."""
    outside = _area(box) - _overlap(box, (0.0, 0.0, *panel))
    return outside + sum(_overlap(box, obstacle) for obstacle in obstacles)


def _area(box: _Box) -> float:
    left, bottom, right, top = box
    return max(right - left, 0.0) * max(top - bottom, 0.0)


def _overlap(first: _Box, second: _Box) -> float:
    left, bottom = max(first[0], second[0]), max(first[1], second[1])
    right, top = min(first[2], second[2]), min(first[3], second[3])
    return _area((left, bottom, right, top))

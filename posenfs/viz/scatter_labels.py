"""Placement of the labels of a scatter plot without overlap."""

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

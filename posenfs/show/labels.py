"""Where the labels of a scatter's points stand: beside them, and on nothing else."""

import math
from collections.abc import Sequence

_SIDES = {
    "middle right": (1, 0),
    "middle left": (-1, 0),
    "top center": (0, 1),
    "bottom center": (0, -1),
}
_LETTER, _LINE, _MARK = 7.0, 14.0, 8.0  # px: a letter's width, a line's height, a point's reach

_Box = tuple[float, float, float, float]  # left, bottom, right, top


def label_sides(
    points: Sequence[tuple[float, float]], texts: Sequence[str], panel: tuple[float, float]
) -> list[str]:
    """For each point, in px of a panel so wide and high, plotly's `textposition`: of right, left, above and below the
    first where its text leaves the panel, and covers other points and texts placed before, by the least area."""
    marks = [(x - _MARK, y - _MARK, x + _MARK, y + _MARK) for x, y in points]
    placed: list[_Box] = []
    sides = []
    for own, ((x, y), text) in enumerate(zip(points, texts, strict=True)):
        boxes = {side: _beside(x, y, len(text), *way) for side, way in _SIDES.items()}
        others = [*marks[:own], *marks[own + 1 :], *placed]
        worth = {
            side: _area(box)
            - _common(box, (0.0, 0.0, *panel))
            + sum(_common(box, other) for other in others)
            for side, box in boxes.items()
        }
        sides.append(min(worth, key=worth.get))
        placed.append(boxes[sides[-1]])
    return sides


def _beside(x: float, y: float, letters: int, right: int, up: int) -> _Box:
    width = letters * _LETTER
    x, y = x + right * (_MARK + width / 2), y + up * (_MARK + _LINE / 2)
    return x - width / 2, y - _LINE / 2, x + width / 2, y + _LINE / 2


def _area(box: _Box) -> float:
    return math.prod(max(end - start, 0.0) for start, end in zip(box[:2], box[2:], strict=True))


def _common(one: _Box, other: _Box) -> float:
    lows, highs = zip(one[:2], other[:2], strict=True), zip(one[2:], other[2:], strict=True)
    return _area((*map(max, lows), *map(min, highs)))

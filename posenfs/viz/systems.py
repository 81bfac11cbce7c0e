"""Figure 7 (matplotlib): accuracy against multiply-adds of the paper's systems and of others."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.textpath import TextPath

from posenfs.study.published import System
from posenfs.study.systems import systems_of
from posenfs.viz.figures import TICKS, StaticFigure
from posenfs.viz.scatter_labels import place_labels

_SIZE = (12.0, 7.6)  # inches
# Left, bottom, width and height of the axes, as shares of the figure; without a cost, with one.
_STRIP, _PLOT = (0.055, 0.16, 0.145, 0.76), (0.215, 0.16, 0.77, 0.76)
_WHOLE = (0.055, 0.16, 0.93, 0.76)
_TITLES = {
    "mpii": "Figure 7 (a): MPII validation set, mean PCKh@0.5 (%)",
    "coco": "Figure 7 (b): COCO, OKS-AP (%)",
}
_COLOURS = {"ours": "#D55E00", "in the paper": "#0072B2", "others": "#6B6B6B"}
_AREA, _UNKNOWN_AREA = 1.7, 30.0  # square points per million parameters; where they are unknown
_DOT = 2.0  # radius in points of the dot in each circle, which shows the smallest ones
_FONT = 8.0  # points
_PADDING = 1.5  # points around a label
_POINTS = 72.0  # per inch


def draw_systems(panel: str) -> StaticFigure:
    """Draw accuracy over multiply-adds as published, on a log axis (Fig. 7).

    The area of a circle is linear in the parameters, as in the paper; a cross marks unknown ones.
    Systems without a published cost stand in a strip on the left.

    Args:
        panel: mpii (a) or coco (b).

    Raises:
        ValueError: There is no such panel.
    """
    systems = _each_once(systems_of(panel))
    figure = StaticFigure(_SIZE)
    costless = [system for system in systems if system.cost is None]
    axes = figure.add_axes(_PLOT if costless else _WHOLE)
    _set_limits(axes, systems)
    _draw(axes, [system for system in systems if system.cost is not None])
    if costless:
        strip = figure.add_axes(_STRIP, sharey=axes)
        strip.set(xlim=(0, 1), xticks=[], xlabel="no cost published")
        axes.tick_params(labelleft=False)
        _draw(strip, costless)
    figure.suptitle(_TITLES[panel], x=0.055, ha="left", fontsize=13)
    _add_legend(figure, systems)
    return figure


def _each_once(systems: Sequence[System]) -> list[System]:
    """Return the systems without those that the paper quotes from their authors."""
    return list({(s.name, s.data): s for s in reversed(systems)}.values())[::-1]


def _set_limits(axes: Axes, systems: Sequence[System]) -> None:
    costs = [system.cost for system in systems if system.cost is not None]
    scores = [system.score for system in systems]
    margin = 0.06 * (max(scores) - min(scores))
    axes.set(
        xscale="log",
        xlim=(min(costs) / 1.4, max(costs) * 1.5),
        ylim=(min(scores) - margin, max(scores) + margin),
        xlabel="multiply-adds of one person in billions, each in its source's way of counting",
    )
    ticks = [tick for tick in TICKS if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:g}")


def _draw(axes: Axes, systems: Sequence[System]) -> None:
    """Draw systems with their labels on axes whose limits are set."""
    axes.grid(alpha=0.25, linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    points = []
    for system in systems:
        colour = _COLOURS[_kind(system)]
        position = (0.12 if system.cost is None else system.cost, system.score)
        points.append(position)
        hollow = system.data == "COCO validation"
        style = {"facecolor": "none" if hollow else colour, "edgecolor": colour, "linewidth": 1.0}
        if system.params_m is None:
            axes.scatter(*position, s=_UNKNOWN_AREA, marker="X", **style)
        else:
            axes.scatter(*position, s=_AREA * system.params_m, alpha=0.55, **style)
            axes.plot(*position, "o", color=colour, markersize=_DOT * 1.4)
    _label(axes, systems, points)


def _label(axes: Axes, systems: Sequence[System], points: Sequence[tuple[float, float]]) -> None:
    """Write the names beside the points, with a line where a name stands apart."""
    panel = _size_in_points(axes)
    positions = [_in_points(axes, point, panel) for point in points]
    radii = [_radius(system) for system in systems]
    names = [_short_name(system) for system in systems]
    sizes = [_text_size(name) for name in names]
    centres, leaders = place_labels(positions, radii, sizes, panel)
    line = {"arrowstyle": "-", "color": "#8C8C8C", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0}
    for index, system in enumerate(systems):
        axes.annotate(
            names[index],
            points[index],
            np.subtract(centres[index], positions[index]),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=_FONT,
            color=_COLOURS[_kind(system)],
            arrowprops=line if leaders[index] else None,
        )


def _kind(system: System) -> str:
    return "ours" if system.ours else "in the paper" if system.in_paper else "others"


def _short_name(system: System) -> str:
    name = system.name.partition(":")[0]
    on_test_dev = system.data == "COCO test-dev" and not system.in_paper
    return f"{name} (test-dev)" if on_test_dev else name


def _radius(system: System) -> float:
    """Return the radius of a system's circle in points."""
    area = _UNKNOWN_AREA if system.params_m is None else _AREA * system.params_m
    return max(math.sqrt(area / math.pi), _DOT)


def _text_size(text: str) -> tuple[float, float]:
    """Return width and height of a label in points."""
    width = TextPath((0, 0), text, size=_FONT).get_extents().width
    return width + 2 * _PADDING, _FONT + 2 * _PADDING


def _size_in_points(axes: Axes) -> tuple[float, float]:
    box = axes.get_position()
    return box.width * _SIZE[0] * _POINTS, box.height * _SIZE[1] * _POINTS


def _in_points(
    axes: Axes, point: tuple[float, float], panel: tuple[float, float]
) -> tuple[float, float]:
    """Return a point of the data in points from the lower left corner of the axes."""
    to_axes = axes.transData + axes.transAxes.inverted()
    x, y = to_axes.transform(point)
    return x * panel[0], y * panel[1]


def _add_legend(figure: StaticFigure, systems: Sequence[System]) -> None:
    labels = {
        "ours": "the paper's searched networks",
        "in the paper": "others in the paper",
        "others": "others, as their authors publish them",
    }
    handles = [
        Line2D([], [], marker="o", linestyle="", color=_COLOURS[kind], label=label)
        for kind, label in labels.items()
    ]
    if any(system.data == "COCO validation" for system in systems):
        hollow = Line2D([], [], marker="o", linestyle="", mfc="none", color="#6B6B6B")
        hollow.set_label("hollow: COCO validation set, not test-dev")
        handles.append(hollow)
    if any(system.params_m is None for system in systems):
        cross = Line2D([], [], marker="X", linestyle="", color="#6B6B6B")
        cross.set_label("parameters unknown")
        handles.append(cross)
    size = Line2D([], [], marker="o", linestyle="", color="#BDBDBD")
    size.set_markersize(2 * math.sqrt(_AREA * 30 / math.pi))
    size.set_label("area: 30 million parameters")
    figure.legend(
        handles=[*handles, size],
        loc="lower left",
        ncols=3,
        fontsize=9,
        frameon=False,
        bbox_to_anchor=(0.05, 0.0),
    )

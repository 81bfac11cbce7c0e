"""Legends on a canvas: small swatches and their meaning."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from posenfs.viz.canvas import Canvas, Point
from posenfs.viz.colours import (
    CELL_COLOUR,
    GREY,
    OPERATION_COLOURS,
    TRANSFER_COLOURS,
    blend,
    operation_colour,
)
from posenfs.viz.fabric_weights import operation_name
from posenfs.viz.operation_bars import REMOVED_INK, add_stripes

# Draws a legend's swatch, 14 points wide: swatch(canvas, name of the node, centre).
Swatch = Callable[[Canvas, str, Point], None]

REMOVED_NODE: dict[str, Any] = {"color": REMOVED_INK, "fontcolor": REMOVED_INK, "penwidth": "0.8"}
REMOVED_LINE: dict[str, Any] = {"penwidth": "1.1", "color": "#A8A8A8", "style": "dotted"}
_TITLE_WIDTH, _LINE_HEIGHT = 62, 15


def patch(colour: str, height: float = 9, **style: str) -> Swatch:
    """Return a swatch: a small box of a colour, `style` being Graphviz attributes."""
    style = {"style": "filled", "fillcolor": colour, "penwidth": "0.4", "color": GREY} | style
    return lambda canvas, name, centre: canvas.box(name, centre, (14, height), **style)


def stroke(**style: Any) -> Swatch:
    """Return a swatch: a short line, `style` being Graphviz attributes."""

    def add(canvas: Canvas, name: str, centre: Point) -> None:
        canvas.box(name, centre, (14, 1), style="", penwidth="0")  # the edge needs a node
        left, right = (centre[0] - 8, centre[1]), (centre[0] + 8, centre[1])
        canvas.curve(name, name, left, right, **style)

    return add


def operation_swatches(operations: Sequence[str]) -> list[tuple[Swatch, str]]:
    """Return the swatch and the printed name of each operation."""
    return [
        (patch(operation_colour(operation, operations)), operation_name(operation))
        for operation in operations
    ]


def add_swatches(
    canvas: Canvas, corner: Point, rows: Mapping[str, Sequence[tuple[Swatch, str]]], width: float
) -> float:
    """Draw a legend.

    Args:
        canvas: The canvas to draw on.
        corner: Left end of the first line.
        rows: Title -> swatches and their meaning; empty rows are skipped.
        width: Greatest width; longer rows continue on another line.

    Returns:
        The height.
    """
    y = corner[1]
    left = corner[0] + _TITLE_WIDTH
    for title, items in rows.items():
        if not items:
            continue
        canvas.text((corner[0], y), title, colour=GREY)
        x = left
        for index, (swatch, meaning) in enumerate(items):
            item_width = 18 + 4.6 * len(meaning) + 14
            if x + item_width > corner[0] + width and x > left:
                x = left
                y += _LINE_HEIGHT
            swatch(canvas, f"legend/{title}/{index}", (x + 7, y))
            canvas.text((x + 18, y), meaning)
            x += item_width
        y += _LINE_HEIGHT
    return y - corner[1]


def add_fabric_legend(
    canvas: Canvas, corner: Point, operations: Sequence[str], width: float, pruned: bool = False
) -> float:
    """Draw the legend of fabrics: transfers, operations (if any), cells and what pruning removed.

    Args:
        canvas: The canvas to draw on.
        corner: Left end of the first line.
        operations: The candidate operations.
        width: Greatest width; longer rows continue on another line.
        pruned: Whether the legend explains how removed cells, sources and operations are drawn.

    Returns:
        The height.
    """
    transfers = {
        "down, from the finer map": "down",
        "same scale": "same",
        "up, from the coarser map": "up",
    }
    rows = {
        "scales": [
            (patch(TRANSFER_COLOURS[kind], 3, penwidth="0"), meaning)
            for meaning, kind in transfers.items()
        ],
        "operations": operation_swatches(operations),
        "cells": [
            (patch(blend(CELL_COLOUR, 0.3)), "few"),
            (patch(CELL_COLOUR), "all scale paths to the output pass here"),
        ],
    }
    if pruned:
        removed_cell = patch("white", style="rounded,filled,dashed", **REMOVED_NODE)
        rows["pruned"] = [
            (removed_cell, "a cell or an input map"),
            (stroke(**REMOVED_LINE), "a source"),
            (_add_removed_operation, "an operation (zero computes nothing: never removed)"),
        ]
    return add_swatches(canvas, corner, rows, width)


def _add_removed_operation(canvas: Canvas, name: str, centre: Point) -> None:
    stripes = [(OPERATION_COLOURS["separable_3x3"], 1.0)]
    corner = centre[0] - 7, centre[1] - 4.5
    add_stripes(canvas, name, stripes, corner, (14, 9), {0}, " ")

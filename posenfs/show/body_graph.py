"""Part fabrics round a body (Fig. 1)."""

from collections.abc import Mapping
from itertools import cycle

from posenfs.body.parts import Part, PartScheme
from posenfs.body.skeleton import Skeleton
from posenfs.model.architecture import Architecture
from posenfs.model.space import FabricSpec
from posenfs.show.canvas import GREY, PALE, Canvas, Point
from posenfs.show.fabric_graph import SMALL, FabricGraph, place_legend

# A body seen from the front, so that its left is at the right: (x, y) in points from the head top, y down.
_MIDDLE = {"head_top": 0, "nose": 18, "upper_neck": 38, "neck": 40, "thorax": 50, "pelvis": 144}
_LEFT = {
    "eye": (6, 13), "ear": (13, 17), "shoulder": (32, 54), "elbow": (50, 99), "wrist": (64, 142),
    "hip": (20, 146), "knee": (26, 204), "ankle": (30, 262),
}  # fmt: skip
# Okabe and Ito's colours, the yellow darkened: one a part, told apart without full colour vision.
PART_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#B8A600", "#555555")
_HEIGHT, _ROOM, _PADDING, _TITLE = 262.0, 96.0, 12.0, 18.0


def draw_body(
    skeleton: Skeleton, parts: PartScheme, spec: FabricSpec, architectures: Mapping[str, Architecture]
) -> Canvas:
    """Each part's fabric beside a stick body, joined to its keypoints, which carry the colours of their parts.

    Raises ValueError where a part has no architecture or the body has no place for a keypoint.
    """
    if missing := [part.name for part in parts if part.name not in architectures]:
        raise ValueError(f"no architecture of part {missing[0]!r}; there are {', '.join(architectures)}")
    places = {k: _place(name) for k, name in enumerate(skeleton.keypoints)}
    colours = dict(zip((part.name for part in parts), cycle(PART_COLOURS), strict=False))
    graphs = {p.name: FabricGraph(spec, architectures[p.name], SMALL, p.name, p.name) for p in parts}
    width, height = next(iter(graphs.values())).size
    width, height = width + 2 * _PADDING, height + 2 * _PADDING + _TITLE
    canvas = Canvas("body")
    sides = _sides(parts, places)
    for sign, column in sides.items():
        total = len(column) * height + (len(column) - 1) * 14
        for number, part in enumerate(column):
            top = (_HEIGHT - total) / 2 + number * (height + 14)
            left = _ROOM if sign > 0 else -_ROOM - width
            near = (left if sign > 0 else left + width, top + height / 2)
            for k in part.keypoints:
                canvas.curve(
                    f"{part.name}/frame", f"keypoint/{k}", near, places[k], bend=0.5,
                    color=colours[part.name] + "70", penwidth="0.9", **{"class": "link"},
                )  # fmt: skip
            _place_fabric(canvas, graphs[part.name], (left, top), (width, height), colours[part.name])
    _place_stick_body(canvas, skeleton, parts, places, colours)
    low = max(len(column) for column in sides.values()) * (height + 14)
    place_legend(canvas, (-_ROOM - width, (_HEIGHT + max(low, _HEIGHT)) / 2 + 26), spec.operations, 2 * (_ROOM + width))
    return canvas


def _place(keypoint: str) -> Point:
    side, _, rest = keypoint.partition("_")
    if keypoint in _MIDDLE:
        return 0.0, float(_MIDDLE[keypoint])
    if side not in ("left", "right") or rest not in _LEFT:
        raise ValueError(f"the drawn body has no place for keypoint {keypoint!r}; draw_fabrics needs none")
    x, y = _LEFT[rest]
    return (float(x) if side == "left" else -float(x)), float(y)


def _sides(parts: PartScheme, places: Mapping[int, Point]) -> dict[int, list[Part]]:
    """Parts to the left (-1) and right (1) of the body, each from the top down; those in the middle even it out."""

    def middle(part: Part) -> Point:
        x, y = zip(*(places[k] for k in part.keypoints), strict=True)
        return sum(x) / len(x), sum(y) / len(y)

    sides: dict[int, list[Part]] = {-1: [], 1: []}
    for part in sorted(parts, key=lambda part: (abs(middle(part)[0]) < 1, middle(part)[1])):
        x = middle(part)[0]
        shorter = -1 if len(sides[-1]) < len(sides[1]) else 1
        sides[shorter if abs(x) < 1 else -1 if x < 0 else 1].append(part)
    return {side: sorted(column, key=lambda part: middle(part)[1]) for side, column in sides.items()}


def _place_fabric(canvas: Canvas, graph: FabricGraph, corner: Point, size: Point, colour: str) -> None:
    """A small fabric in a frame of its part's colour, its name above."""
    (left, top), (width, height) = corner, size
    middle = (left + width / 2, top + height / 2)
    canvas.box(f"{graph.key}/frame", middle, size, style="rounded", color=colour, penwidth="1.4", **{"class": "frame"})
    canvas.text((left + _PADDING, top + _PADDING), graph.name.removesuffix(" part"), size=10, colour=colour, bold=True)
    graph.place(canvas, (left + _PADDING, top + _PADDING + _TITLE))


def _place_stick_body(canvas: Canvas, skeleton: Skeleton, parts: PartScheme, places, colours) -> None:
    for a, b in skeleton.limbs:
        canvas.curve(f"keypoint/{a}", f"keypoint/{b}", places[a], places[b], color=PALE, penwidth="5")
    for k, name in enumerate(skeleton.keypoints):
        own = [colours[part.name] for part in parts if k in part.keypoints]
        canvas.dot(
            f"keypoint/{k}", places[k], 8, own, color=GREY, penwidth="0.5", tooltip=name.replace("_", " "),
            **{"class": "keypoint"},
        )  # fmt: skip

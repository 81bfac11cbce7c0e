"""The whole network (Fig. 3): backbone, pyramid, a fabric for each part, vectors, score maps."""

from collections.abc import Sequence

from posenfs.body.parts import Part
from posenfs.body.skeleton import Skeleton
from posenfs.model.network import PoseNFS, check_image_size
from posenfs.show.canvas import GREY, Canvas
from posenfs.show.fabric_graph import SMALL, FabricGraph
from posenfs.show.stick_body import part_colours

_STAGE, _MAP, _VECTORS, _SCORES = (112, 44), (104, 24), (150, 40), (132, 58)  # sizes of boxes
_GAP = 40.0  # points between columns
_LINE = {"color": GREY, "penwidth": "0.8"}


def draw_network(model: PoseNFS, skeleton: Skeleton, size: tuple[int, int] = (256, 256)) -> Canvas:
    """From a crop of size (width, height) px to the score maps; every part's fabric as it stands, in its colour.

    Raises ValueError where the largest stride does not divide the size.
    """
    check_image_size(size[1], size[0], model.spec)
    canvas, colours, architectures = Canvas("network"), part_colours(model.parts), model.architectures()
    fabrics = [FabricGraph(model.spec, architectures[p.name], SMALL, p.name, p.name) for p in model.parts]
    frame = fabrics[0].size[0] + 28, fabrics[0].size[1] + 44
    pitch = frame[1] + 16
    middle = pitch * (len(fabrics) - 1) / 2
    x = _place_backbone(canvas, model, middle, size)
    left, vectors = x + 60, x + 60 + frame[0] + _GAP
    scores = vectors + _VECTORS[0] + 60
    finest = f"{size[0] // model.spec.strides[0]} × {size[1] // model.spec.strides[0]} px"
    for number, (part, fabric) in enumerate(zip(model.parts, fabrics, strict=True)):
        y, colour = pitch * number, colours[part.name]
        names = ", ".join(_plain(skeleton.keypoints[k]) for k in part.keypoints)
        canvas.box(f"{part.name}/frame", (left + frame[0] / 2, y), frame, color=colour, penwidth="1.4", style="rounded",
                   tooltip=f"{_plain(part.name)}: {names}", **{"class": "part"})  # fmt: skip
        canvas.text((left + 14, y - frame[1] / 2 + 13), _plain(part.name.removesuffix("_part")), size=10, bold=True)
        fabric.place(canvas, (left + 14, y - frame[1] / 2 + 30))
        canvas.curve("pyramid", f"{part.name}/frame", (x, middle), (left, y), bend=0.5, **_LINE)
        words = _vector_words(part, model.heads[number].vector_dim)
        canvas.box(f"{part.name}/vectors", (vectors + _VECTORS[0] / 2, y), _VECTORS, f"{words}\n{finest}", color=colour,
                   tooltip=f"{words}: {names}", **{"class": "vectors"})  # fmt: skip
        canvas.curve(f"{part.name}/frame", f"{part.name}/vectors", (left + frame[0], y), (vectors, y), **_LINE)
        canvas.curve(f"{part.name}/vectors", "scores", (vectors + _VECTORS[0], y), (scores, middle), bend=0.5, **_LINE)
    length = "lengths (Eq. 5),\n" if model.heads[0].vector_dim > 1 else ""
    words = f"{length}parts gathered (Eq. 7):\n{model.keypoints} score maps\n{finest}"
    canvas.box("scores", (scores + _SCORES[0] / 2, middle), _SCORES, words, **{"class": "stage"})
    return canvas


def _place_backbone(canvas: Canvas, model: PoseNFS, middle: float, size: tuple[int, int]) -> float:
    """Crop, backbone and pyramid; returns where the pyramid ends."""
    crop, backbone = (_STAGE[0] / 2, middle), (1.5 * _STAGE[0] + _GAP, middle)
    canvas.box("crop", crop, _STAGE, f"crop\n{size[0]} × {size[1]} px", **{"class": "stage"})
    canvas.box("backbone", backbone, _STAGE, f"backbone\n{type(model.backbone).__name__}", **{"class": "stage"})
    canvas.curve("crop", "backbone", (_STAGE[0], middle), (_STAGE[0] + _GAP, middle), **_LINE)
    left, pitch = 2 * (_STAGE[0] + _GAP), _MAP[1] + 8
    tops = _centred(middle, pitch, len(model.spec.strides))
    frame = _MAP[0] + 20, pitch * len(tops) + 12
    canvas.box("pyramid", (left + frame[0] / 2, middle), frame, style="rounded", color=GREY, penwidth="0.6")
    for stride, channels, y in zip(model.spec.strides, model.backbone.channels, tops, strict=True):
        words = f"1/{stride}: {channels} ch"
        canvas.box(
            f"map/{stride}", (left + frame[0] / 2, y), _MAP, words, color=GREY, tooltip=words, **{"class": "map"}
        )
    canvas.curve("backbone", "pyramid", (backbone[0] + _STAGE[0] / 2, middle), (left, middle), **_LINE)
    canvas.text((left + frame[0] / 2, middle - frame[1] / 2 - 9), "pyramid", colour=GREY, align="c")
    return left + frame[0]


def _centred(middle: float, pitch: float, count: int) -> Sequence[float]:
    return [middle + pitch * (n - (count - 1) / 2) for n in range(count)]


def _vector_words(part: Part, vector_dim: int) -> str:
    count = len(part.keypoints)
    return f"{count} score maps" if vector_dim == 1 else f"{count} keypoints × d = {vector_dim}"


def _plain(name: str) -> str:
    return name.replace("_", " ")

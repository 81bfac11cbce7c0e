"""The whole network (Fig. 3): image, backbone, a fabric for each part, vectors, score maps."""

from itertools import pairwise
from typing import Any

from torch import nn

from posenfs.body.parts import Part
from posenfs.body.skeleton import Skeleton
from posenfs.data.geometry import ImageSize
from posenfs.messages import many, plain_name
from posenfs.model.network import PoseNFS, check_image_size
from posenfs.model.part_head import PartHead
from posenfs.viz.canvas import Canvas, Point, Size
from posenfs.viz.colours import CELL_COLOUR, GREY, blend, part_colours
from posenfs.viz.fabric_graph import FabricGraph
from posenfs.viz.fabric_layout import TINY, FabricLayout
from posenfs.viz.legend import add_fabric_legend

_IMAGE = 56.0  # longer side of the image
_KEYPOINT = (16.0, 8.0)  # size of a keypoint's score map
_MAP, _ENTRY, _VECTORS, _SCORES = (74.0, 28.0), (56.0, 12.0), (116.0, 30.0), (60.0, 30.0)  # boxes
_GAP = 16.0  # between boxes
_LINK = 64.0  # length of the lines to and from the parts
_SIZE = ImageSize(256, 256)  # of the input image, px
_NAME = 74.0  # width of a keypoint's name
_STEP: dict[str, Any] = {"color": GREY, "penwidth": "0.8"}


def draw_network(model: PoseNFS, skeleton: Skeleton, size: ImageSize = _SIZE) -> Canvas:
    """Draw a network from the image to the score maps, each part in its colour with its fabric.

    A keypoint of several parts, whose score maps are summed (Eq. 7), has a stripe of each colour.

    Args:
        model: The network.
        skeleton: The skeleton of its keypoints.
        size: Size of the input image, in px.

    Raises:
        ValueError: The size is no multiple of the largest stride, or the numbers of keypoints of
            skeleton and model differ.
    """
    check_image_size(*size, model.stride)
    if len(skeleton) != model.keypoints:
        raise ValueError(
            f"{skeleton.name} has {len(skeleton)} keypoints; the model predicts {model.keypoints}"
        )
    return _NetworkGraph(model, skeleton, size).canvas


class _NetworkGraph:
    """Draws everything in the network; the vertical middle is at y = 0."""

    def __init__(self, model: PoseNFS, skeleton: Skeleton, size: ImageSize):
        self.canvas = Canvas("network")
        self.model, self.skeleton, self.size = model, skeleton, size
        self.colours = part_colours(model.parts)
        self.names = [plain_name(name) for name in skeleton.keypoints]
        architectures = model.architectures()
        self.fabrics = [
            FabricGraph(
                architectures[part.name],
                FabricLayout(model.spec, TINY, f"fabric/{part.name}"),
                part.name,
            )
            for part in model.parts
        ]
        self.frame = self.fabrics[0].size[1] + 44  # height of a part
        middles = _centred(0, self.frame + 8, len(model.parts))
        # The taller the parts, the wider the score maps are spread, so that lines stay apart.
        spread = 0.6 * (self.frame + 8) * len(model.parts) / model.keypoints
        self.keypoints = _centred(0, min(max(spread, 12.5), 26), model.keypoints)
        self.pyramid = self._add_backbone()
        # Left ends of the frame of a part, of what it contains, and of the gathered score maps.
        self.left = self.pyramid + _LINK
        self.entry = self.left + 10
        self.has_entries = any(isinstance(x, nn.Conv2d) for x in model.heads[0].entries)
        self.fabric = self.entry + (_ENTRY[0] if self.has_entries else 0) + _GAP
        self.vectors = self.fabric + self.fabrics[0].size[0] + 22
        self.scores = self.vectors + _VECTORS[0] + _GAP
        self.right = self.scores + _SCORES[0] + 10
        self.gathered = self.right + _LINK
        for part, head, fabric, y in zip(
            model.parts, model.heads, self.fabrics, middles, strict=True
        ):
            self._add_part(part, head, fabric, y)
        self._add_keypoints()
        half_height = max(-middles[0] + self.frame / 2, -self.keypoints[0] + 10, 92)
        self._add_headings(-half_height - 16)
        add_fabric_legend(self.canvas, (0, half_height + 34), (), self.gathered + 90)

    def _add_headings(self, y: float) -> None:
        """Draw the name of each stage above it."""
        # With vector_dim 1 there is no length: the number itself is the score (Table IV).
        squashed = self.model.heads[0].vector_dim > 1
        headings = ["fabric", "vectors", "Eq. 5: length" if squashed else "score"]
        ends = [self.fabric, self.vectors, self.scores, self.right]
        if self.has_entries:
            headings, ends = ["1×1 conv", *headings], [self.entry, *ends]
        for heading, (start, end) in zip(headings, pairwise(ends), strict=True):
            self.canvas.heading(heading, start, end - 10, y)
        self.canvas.heading("image", 0, _IMAGE, y)
        self.canvas.heading("backbone", _IMAGE + _GAP, self.pyramid, y)
        end = self.gathered + _KEYPOINT[0] + _NAME
        self.canvas.heading("Eq. 7: gathered", self.gathered, end, y)

    def _pixels(self, stride: int) -> str:
        return f"{self.size.width // stride} × {self.size.height // stride} px"

    def _add_image(self) -> float:
        """Draw the image; return its right end."""
        height, width = (_IMAGE * side / max(self.size) for side in self.size)
        self.canvas.box(
            "image",
            (_IMAGE / 2, 0),
            (width, height),
            style="filled",
            fillcolor=blend(CELL_COLOUR, 0.3),
            tooltip=f"width × height: {self._pixels(1)}",
            class_="stage",
            **_STEP,
        )
        anchor = _IMAGE / 2, height / 2 + 10
        self.canvas.text(anchor, self._pixels(1), size=8, colour=GREY, align="c")
        return (_IMAGE + width) / 2

    def _add_backbone(self) -> float:
        """Draw the image, and the backbone with its maps, finest first; return the right end."""
        canvas, backbone, strides = self.canvas, self.model.backbone, self.model.spec.strides
        image_end = self._add_image()
        left, name = _IMAGE + _GAP, type(backbone).__name__
        maps_left = left + 10
        backbone_fabric = getattr(backbone, "fabric", None)
        if backbone_fabric is not None:
            layout = FabricLayout(backbone_fabric.spec, TINY, "fabric/backbone")
            fabric = FabricGraph(backbone_fabric.architecture, layout, "backbone")
            fabric.draw(canvas, (maps_left, 9 - fabric.size[1] / 2))
            maps_left += fabric.size[0] + _GAP
        middles = _centred(9, _MAP[1] + 6, len(strides))
        right = maps_left + _MAP[0] + 10
        height = middles[-1] - middles[0] + _MAP[1] + 38
        centre, size = ((left + right) / 2, 0), (right - left, height)
        canvas.box("backbone", centre, size, style="rounded", tooltip=name, class_="stage", **_STEP)
        canvas.text((left + 10, 14 - height / 2), name, size=10, bold=True)
        canvas.curve("image", "backbone", (image_end, 0), (left, 0), **_STEP)
        for stride, channels, y in zip(strides, backbone.channels, middles, strict=True):
            label = f"1/{stride}, {channels} ch\n{self._pixels(stride)}"
            corner = maps_left, y
            style = {"color": GREY, "tooltip": label, "class": "map"}
            self._add_box(f"map/{stride}", corner, _MAP, label, **style)
        return right

    def _add_part(self, part: Part, head: PartHead, fabric: FabricGraph, y: float) -> None:
        """Draw one part in a frame whose middle is y, and lines to its keypoints' score maps."""
        canvas, key, colour = self.canvas, part.name, self.colours[part.name]
        title, top = plain_name(key), y - self.frame / 2
        names = ", ".join(self.names[index] for index in part.keypoints)
        canvas.box(
            f"{key}/frame",
            ((self.left + self.right) / 2, y),
            (self.right - self.left, self.frame),
            color=colour,
            penwidth="1.4",
            style="rounded",
            tooltip=f"{title}: {names}",
            class_="part",
        )
        canvas.text((self.entry, top + 14), title, size=10, bold=True)
        start, end = (self.pyramid, 0), (self.left, y)
        canvas.curve("backbone", f"{key}/frame", start, end, bend=0.5, **_STEP)
        fabric.draw(canvas, (self.fabric, top + 32))
        self._add_entries(key, fabric)
        self._add_scores(part, head, fabric, y + 9)
        for index in part.keypoints:
            canvas.curve(
                f"{key}/scores",
                f"keypoint/{index}",
                (self.right - 10, y + 9),
                (self.gathered, self.keypoints[index]),
                bend=0.5,
                through=((self.right, y + 9),),
                color=colour,
                penwidth="0.8",
                tooltip=f"{title}: {self.names[index]}",
                class_="gather",
            )

    def _add_entries(self, key: str, fabric: FabricGraph) -> None:
        """Draw the 1x1 convolutions from the backbone's maps to a part's fabric, or plain lines."""
        spec = self.model.spec
        for row, channels in enumerate(self.model.backbone.channels):
            x, y = fabric.layout.centre(spec.first - 1, row)
            map_node = fabric.layout.node(spec.first - 1, row)
            if not self.has_entries:
                self.canvas.curve(f"{key}/frame", map_node, (self.left, y), (x, y), **_STEP)
                continue
            label = f"{channels} → {spec.channels(row)} ch"
            entry, end = f"{key}/entry/{row}", self.entry + _ENTRY[0]
            self.canvas.box(
                entry,
                (end - _ENTRY[0] / 2, y),
                _ENTRY,
                label,
                color=GREY,
                penwidth="0.6",
                fontsize="7",
                tooltip=f"1×1 convolution at 1/{spec.strides[row]}\n{label}",
                class_="entry",
            )
            self.canvas.curve(entry, map_node, (end, y), (x, y), **_STEP)

    def _add_scores(self, part: Part, head: PartHead, fabric: FabricGraph, y: float) -> None:
        """Draw the vectors and the score maps of a part."""
        spec, key, colour = self.model.spec, part.name, self.colours[part.name]
        count, pixels = len(part.keypoints), self._pixels(spec.strides[0])
        names = ", ".join(self.names[index] for index in part.keypoints)
        vectors, scores = f"{key}/vectors", f"{key}/scores"
        label = f"{many(count, 'keypoint')} × {many(head.vector_dim, 'number')}\n{pixels}"
        tooltip = f"ReLU, 1×1 convolution to {count * head.vector_dim} ch\n{names}"
        style = {"color": colour, "tooltip": tooltip, "class": "vectors"}
        self._add_box(vectors, (self.vectors, y), _VECTORS, label, **style)
        label, tooltip = f"{many(count, 'map')}\n{pixels}", f"scores: {names}"
        style = {"color": colour, "tooltip": tooltip, "class": "scores"}
        self._add_box(scores, (self.scores, y), _SCORES, label, **style)
        output = fabric.layout.node(spec.end - 1, 0)
        start, end = fabric.layout.centre(spec.end - 1, 0), (self.vectors, y)
        self.canvas.curve(output, vectors, start, end, bend=0.5, **_STEP)
        self.canvas.curve(vectors, scores, (self.scores - _GAP, y), (self.scores, y), **_STEP)

    def _add_box(self, name: str, left: Point, size: Size, label: str, **style: str) -> None:
        """Draw a box whose left side has its middle there."""
        centre = left[0] + size[0] / 2, left[1]
        self.canvas.box(name, centre, size, label, penwidth="0.8", fontsize="8", **style)

    def _add_keypoints(self) -> None:
        """Draw the gathered score map of each keypoint, in the colours of its parts."""
        for index, (name, y) in enumerate(zip(self.names, self.keypoints, strict=True)):
            parts = [part.name for part in self.model.parts if index in part.keypoints]
            self.canvas.bar(
                f"keypoint/{index}",
                (self.gathered, y - _KEYPOINT[1] / 2),
                _KEYPOINT,
                [(self.colours[part], 1 / len(parts)) for part in parts],
                tooltip=f"{name}: {' + '.join(map(plain_name, parts))}",
                class_="keypoint",
            )
            self.canvas.text((self.gathered + _KEYPOINT[0] + 5, y), name, size=8)
        pixels = self._pixels(self.model.spec.strides[0])
        label = f"{many(len(self.names), 'score map')}, {pixels}"
        self.canvas.text((self.gathered, self.keypoints[-1] + 16), label, size=8, colour=GREY)


def _centred(middle: float, pitch: float, count: int) -> list[float]:
    """Return equally spaced heights around a middle."""
    return [middle + pitch * (index - (count - 1) / 2) for index in range(count)]

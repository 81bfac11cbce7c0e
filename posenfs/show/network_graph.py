"""The whole network (Fig. 3): image, backbone, a fabric for each part, vectors, score maps."""

from itertools import pairwise

from posenfs.body.parts import Part
from posenfs.body.skeleton import Skeleton
from posenfs.body.words import many, plain_name
from posenfs.model.network import PartHead, PoseNFS, check_image_size
from posenfs.show.canvas import GREY, Canvas, Point, blend
from posenfs.show.fabric_graph import FILL, TINY, FabricGraph, place_legend
from posenfs.show.stick_body import part_colours

_IMAGE, _KEYPOINT = 56.0, (16.0, 8.0)  # the image's longer side; size of a keypoint's score map
_MAP, _ENTRY, _VECTORS, _SCORES = (74.0, 28.0), (56.0, 12.0), (116.0, 30.0), (60.0, 30.0)  # sizes of boxes
_GAP = 16.0  # between boxes
_LINK = 64.0  # length of the lines to and from the parts
_NAME = 74.0  # room for a keypoint's name
_STEP = {"color": GREY, "penwidth": "0.8"}


def draw_network(model: PoseNFS, skeleton: Skeleton, size: tuple[int, int] = (256, 256)) -> Canvas:
    """From an image of size (width, height) px to the score maps; every part in its colour, with its fabric as it is.

    A keypoint of several parts, whose score maps are summed (Eq. 7), is cut into their colours. Raises ValueError
    where the largest stride does not divide the size, or where the skeleton has not as many keypoints as the model.
    """
    check_image_size(size[1], size[0], model.stride)
    if len(skeleton) != model.keypoints:
        raise ValueError(f"{skeleton.name} has {len(skeleton)} keypoints; the model predicts {model.keypoints}")
    return _NetworkGraph(model, skeleton, size).canvas


class _NetworkGraph:
    """Where everything of the network stands; the middle of the picture is at y = 0."""

    def __init__(self, model: PoseNFS, skeleton: Skeleton, size: tuple[int, int]):
        self.canvas, self.model, self.skeleton, self.size = Canvas("network"), model, skeleton, size
        self.colours = part_colours(model.parts)
        self.names = [plain_name(k) for k in skeleton.keypoints]
        own = model.architectures()
        self.fabrics = [FabricGraph(model.spec, own[p.name], TINY, f"fabric/{p.name}", p.name) for p in model.parts]
        self.frame = self.fabrics[0].size[1] + 44  # height of a part
        middles = _centred(0, self.frame + 8, len(model.parts))
        # Score maps spread out where the parts need much height, so that their lines keep apart.
        spread = 0.6 * (self.frame + 8) * len(model.parts) / model.keypoints
        self.keypoints = _centred(0, min(max(spread, 12.5), 26), model.keypoints)
        self.pyramid = self._place_backbone()
        # Left ends of a part's frame, of what stands in it, and of the gathered score maps.
        left = self.pyramid + _LINK
        widths = (10, _ENTRY[0] + _GAP, self.fabrics[0].size[0] + 22, _VECTORS[0] + _GAP, _SCORES[0] + 10 + _LINK)
        self.left, self.entry, self.fabric, self.vectors, self.scores, self.gathered = (
            left + sum(widths[:n]) for n in range(6)
        )
        for part, head, fabric, y in zip(model.parts, model.heads, self.fabrics, middles, strict=True):
            self._place_part(part, head, fabric, y)
        self._place_keypoints()
        half = max(-middles[0] + self.frame / 2, -self.keypoints[0] + 10, 92)
        self._place_words(-half - 16)
        place_legend(self.canvas, (0, half + 34), (), self.gathered + 90)

    def _place_words(self, y: float) -> None:
        """Over each stage its name."""
        squashed = self.model.heads[0].vector_dim > 1  # a single number is a score as it stands (Table IV)
        words = "1×1 entries", "fabric", "vectors", "Eq. 5: length" if squashed else "score"
        ends = self.entry, self.fabric, self.vectors, self.scores, self.scores + _SCORES[0] + 10
        for line, (start, end) in zip(words, pairwise(ends), strict=True):
            self.canvas.heading(line, start, end - 10, y)
        self.canvas.heading("image", 0, _IMAGE, y)
        self.canvas.heading("backbone", _IMAGE + _GAP, self.pyramid, y)
        self.canvas.heading("Eq. 7: gathered", self.gathered, self.gathered + _KEYPOINT[0] + _NAME, y)

    def _pixels(self, stride: int) -> str:
        return f"{self.size[0] // stride} × {self.size[1] // stride} px"

    def _place_backbone(self) -> float:
        """The image, and the backbone with its maps, finest first; returns the right end."""
        canvas, backbone, strides = self.canvas, self.model.backbone, self.model.spec.strides
        image = _IMAGE * self.size[0] / max(self.size), _IMAGE * self.size[1] / max(self.size)
        canvas.box("image", (_IMAGE / 2, 0), image, style="filled", fillcolor=blend(FILL, 0.3), color=GREY,
                   penwidth="0.8", tooltip=f"width × height: {self._pixels(1)}", **{"class": "stage"})  # fmt: skip
        canvas.text((_IMAGE / 2, image[1] / 2 + 10), self._pixels(1), size=8, colour=GREY, align="c")
        left, name, own = _IMAGE + _GAP, type(backbone).__name__, getattr(backbone, "fabric", None)
        x = left + 10  # of the maps, behind a backbone's own fabric
        if own is not None:
            fabric = FabricGraph(own.spec, own.architecture, TINY, "fabric/backbone", "backbone")
            fabric.place(canvas, (x, 9 - fabric.size[1] / 2))
            x += fabric.size[0] + _GAP
        tops = _centred(9, _MAP[1] + 6, len(strides))
        right, height = x + _MAP[0] + 10, tops[-1] - tops[0] + _MAP[1] + 38
        canvas.box("backbone", ((left + right) / 2, 0), (right - left, height), style="rounded", color=GREY,
                   penwidth="0.8", tooltip=name, **{"class": "stage"})  # fmt: skip
        canvas.text((left + 10, 14 - height / 2), name, size=10, bold=True)
        canvas.curve("image", "backbone", ((_IMAGE + image[0]) / 2, 0), (left, 0), **_STEP)
        for stride, channels, y in zip(strides, backbone.channels, tops, strict=True):
            words = f"1/{stride}, {channels} ch\n{self._pixels(stride)}"
            canvas.box(f"map/{stride}", (x + _MAP[0] / 2, y), _MAP, words, color=GREY, penwidth="0.8", fontsize="8",
                       tooltip=words, **{"class": "map"})  # fmt: skip
        return right

    def _place_part(self, part: Part, head: PartHead, fabric: FabricGraph, y: float) -> None:
        """One part's entries, fabric, vectors and scores in a frame whose middle is y."""
        canvas, spec, key, colour = self.canvas, self.model.spec, part.name, self.colours[part.name]
        title, names = plain_name(key), ", ".join(self.names[k] for k in part.keypoints)
        right = self.scores + _SCORES[0] + 10
        canvas.box(f"{key}/frame", ((self.left + right) / 2, y), (right - self.left, self.frame), color=colour,
                   penwidth="1.4", style="rounded", tooltip=f"{title}: {names}", **{"class": "part"})  # fmt: skip
        canvas.text((self.entry, y - self.frame / 2 + 14), title, size=10, bold=True)
        canvas.curve("backbone", f"{key}/frame", (self.pyramid, 0), (self.left, y), bend=0.5, **_STEP)
        fabric.place(canvas, (self.fabric, y - self.frame / 2 + 32))
        for row, channels in enumerate(self.model.backbone.channels):
            x, middle = fabric.at(spec.first - 1, row)
            words, entry = f"{channels} → {spec.channels(row)} ch", f"{key}/entry/{row}"
            tooltip, end = f"1×1 convolution at 1/{spec.strides[row]}\n{words}", self.entry + _ENTRY[0]
            canvas.box(entry, (end - _ENTRY[0] / 2, middle), _ENTRY, words, color=GREY, penwidth="0.6", fontsize="7",
                       tooltip=tooltip, **{"class": "entry"})  # fmt: skip
            canvas.curve(entry, fabric.node(spec.first - 1, row), (end, middle), (x, middle), **_STEP)
        count, middle, finest = len(part.keypoints), y + 9, self._pixels(spec.strides[0])
        words = f"{many(count, 'keypoint')} × {many(head.vector_dim, 'number')}\n{finest}"
        self._place_box(f"{key}/vectors", (self.vectors, middle), _VECTORS, words, colour,
                        f"ReLU, 1×1 convolution to {count * head.vector_dim} ch\n{names}", "vectors")  # fmt: skip
        self._place_box(f"{key}/scores", (self.scores, middle), _SCORES, f"{many(count, 'map')}\n{finest}", colour,
                        f"scores: {names}", "scores")  # fmt: skip
        (x, top), last = fabric.at(spec.end - 1, 0), fabric.node(spec.end - 1, 0)
        canvas.curve(last, f"{key}/vectors", (x, top), (self.vectors, middle), bend=0.5, **_STEP)
        canvas.curve(f"{key}/vectors", f"{key}/scores", (self.scores - _GAP, middle), (self.scores, middle), **_STEP)
        for k in part.keypoints:
            canvas.curve(
                f"{key}/scores", f"keypoint/{k}", (right - 10, middle), (self.gathered, self.keypoints[k]), bend=0.5,
                through=((right, middle),), color=colour, penwidth="0.8", tooltip=f"{plain_name(key)}: {self.names[k]}",
                **{"class": "gather"},
            )  # fmt: skip

    def _place_box(self, name: str, left: Point, size: Point, words: str, colour: str, tooltip: str, kind: str) -> None:
        centre = left[0] + size[0] / 2, left[1]
        self.canvas.box(name, centre, size, words, color=colour, penwidth="0.8", fontsize="8", tooltip=tooltip,
                        **{"class": kind})  # fmt: skip

    def _place_keypoints(self) -> None:
        """The gathered score maps, one for each keypoint, in the colours of its parts."""
        for k, (name, y) in enumerate(zip(self.names, self.keypoints, strict=True)):
            own = [part.name for part in self.model.parts if k in part.keypoints]
            self.canvas.bar(
                f"keypoint/{k}", (self.gathered, y - _KEYPOINT[1] / 2), _KEYPOINT,
                [(self.colours[part], 1 / len(own)) for part in own],
                tooltip=f"{name}: {' + '.join(map(plain_name, own))}", **{"class": "keypoint"},
            )  # fmt: skip
            self.canvas.text((self.gathered + _KEYPOINT[0] + 5, y), name, size=8)
        words = f"{many(len(self.names), 'score map')}, {self._pixels(self.model.spec.strides[0])}"
        self.canvas.text((self.gathered, self.keypoints[-1] + 16), words, size=8, colour=GREY)


def _centred(middle: float, pitch: float, count: int) -> list[float]:
    return [middle + pitch * (n - (count - 1) / 2) for n in range(count)]

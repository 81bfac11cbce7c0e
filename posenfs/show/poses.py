"""Poses on pictures (matplotlib): skeletons, truth beside prediction, and score maps laid over crops."""

import io
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from torch import Tensor, nn

from posenfs.body.skeleton import Skeleton
from posenfs.data.geometry import heatmap_to_crop, image_to_crop
from posenfs.data.loader import crop_people
from posenfs.data.sample import People
from posenfs.evaluation.predict import predict, score_maps

# Okabe and Ito's blue and vermilion differ in lightness too; cased in white or black they read on any ground.
SIDE_COLOURS = {"left": "#0072B2", "right": "#D55E00", "middle": "#F5F5F5"}


class Picture(Figure):
    """A figure that shows itself in a notebook without pyplot, whose global state threads would share."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()


def draw_skeletons(
    images: Tensor,
    skeleton: Skeleton,
    predicted: np.ndarray,
    truth: np.ndarray | None = None,
    visibility: np.ndarray | None = None,
    titles: Sequence[str] | None = None,
    columns: int = 3,
) -> Picture:
    """Crops uint8 [N, 3, H, W] with keypoints [N, K, 2] in crop px; with `truth` two panels a person, truth first.

    `visibility` [N, K] belongs to the truth: what is not labelled is left out, what is occluded is drawn hollow.
    """
    if images.ndim != 4 or predicted.shape[:2] != (len(images), len(skeleton)):
        raise ValueError(f"crops [N, 3, H, W] and keypoints [N, K, 2] do not fit: {images.shape} and {predicted.shape}")
    people, panels = len(images), 1 if truth is None else 2
    rows = math.ceil(people / columns)
    height, width = images.shape[-2:]
    figure = Picture((12, 0.5 + rows * (12 / (columns * panels) * height / width + 0.28)), layout="constrained")
    grid = figure.subplots(rows, columns * panels, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for n in range(people):
        row, column = divmod(n, columns)
        title = titles[n] if titles else f"person {n}"
        if truth is not None:
            labelled = np.ones(truth.shape[1], int) if visibility is None else visibility[n]
            _panel(grid[row, column * panels], images[n], skeleton, truth[n], labelled, f"{title}: truth")
        axes = grid[row, column * panels + panels - 1]
        _panel(axes, images[n], skeleton, predicted[n], None, f"{title}: predicted" if truth is not None else title)
    handles = [_line(colour, side) for side, colour in SIDE_COLOURS.items()]
    if truth is not None:
        handles.append(Line2D([], [], marker="o", linestyle="", mfc="none", mec="#444444", label="occluded"))
    legend = figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    for text in legend.get_texts():
        text.set_color("black")
    return figure


def draw_people(
    model: nn.Module, people: People, size: tuple[int, int], titles: Sequence[str] | None = None
) -> Picture:
    """Truth beside the model's prediction (flip, quarter offset) for a few people, cropped to size (width, height)."""
    batch = crop_people(people, size)
    predicted = image_to_crop(predict(model, people, size).keypoints_image, batch.crop)
    truth, visibility = batch.keypoints_crop.numpy(), batch.visibility.numpy()
    return draw_skeletons(batch.images, people.skeleton, predicted, truth, visibility, titles)


def draw_score_map(
    image: Tensor,
    score_map: np.ndarray,
    keypoint: str,
    true: np.ndarray | None = None,
    vmax: float | None = None,
) -> Picture:
    """One keypoint's score map [h, w] over its crop uint8 [3, H, W]; `true` (x, y) crop px as a ring."""
    figure = Picture((8.4, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    _image(left, image, "crop")
    artist = _overlay(right, image, score_map, vmax)
    right.set_title(f"score of {_plain(keypoint)}", fontsize=11)
    for axes in (left, right):
        if true is not None:
            axes.plot(*true, "o", ms=13, mfc="none", mec="white", mew=2.4)
            axes.plot(*true, "o", ms=13, mfc="none", mec="black", mew=1.1)
    bar = figure.colorbar(artist, ax=right, fraction=0.046)
    bar.set_label("score")
    return figure


def draw_score_maps(image: Tensor, maps: np.ndarray, skeleton: Skeleton, columns: int = 6) -> Picture:
    """All score maps [K, h, w] over one crop uint8 [3, H, W], on one scale from 0 to the highest score."""
    if maps.ndim != 3 or len(maps) != len(skeleton):
        raise ValueError(f"{skeleton.name} needs score maps [{len(skeleton)}, h, w]; got {maps.shape}")
    rows = math.ceil(len(maps) / columns)
    figure = Picture((12, 0.4 + rows * (12 / columns + 0.25)), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    top = max(float(maps.max()), 1e-6)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, keypoint, score_map in zip(grid.flat, skeleton.keypoints, maps, strict=False):
        artist = _overlay(axes, image, score_map, top)
        axes.set_title(f"{_plain(keypoint)}, peak {score_map.max():.2f}", fontsize=9)
    figure.colorbar(artist, ax=grid, fraction=0.02, pad=0.01).set_label("score")
    return figure


def draw_person_maps(model: nn.Module, people: People, person: int, size: tuple[int, int]) -> Picture:
    """Score maps of all keypoints of one person, without flip: what the network itself says."""
    batch = crop_people(people.select([person]), size)
    device = next(model.parameters()).device
    training = model.training
    maps = score_maps(model.eval(), batch.images.to(device))[0].cpu().numpy()
    model.train(training)
    return draw_score_maps(batch.images[0], maps, people.skeleton)


def _panel(axes: Axes, image: Tensor, skeleton: Skeleton, keypoints, visibility, title: str) -> None:
    _image(axes, image, title)
    shown = np.ones(len(skeleton), bool) if visibility is None else visibility > 0
    for a, b in skeleton.limbs:
        if shown[a] and shown[b]:
            colour = SIDE_COLOURS[_side(skeleton, a, b)]
            casing = [Stroke(linewidth=4.2, foreground=_casing(colour)), Normal()]
            ends = keypoints[[a, b]]
            axes.plot(ends[:, 0], ends[:, 1], color=colour, lw=2.4, path_effects=casing, solid_capstyle="round")
    for k in np.flatnonzero(shown):
        colour = SIDE_COLOURS[_side(skeleton, k)]
        occluded = visibility is not None and visibility[k] == 1
        face = "none" if occluded else colour
        axes.plot(*keypoints[k], "o", ms=4.4, mfc=face, mec=colour if occluded else _casing(colour), mew=0.9)


def _image(axes: Axes, image: Tensor, title: str) -> None:
    height, width = image.shape[-2:]
    axes.imshow(image.permute(1, 2, 0).numpy(), interpolation="bilinear")
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    axes.set_title(title, fontsize=9, color="black")
    axes.set_axis_off()


def _overlay(axes: Axes, image: Tensor, score_map: np.ndarray, vmax: float | None):
    """The map where it belongs: heatmap pixel i covers crop pixels stride * i to stride * (i + 1) - 1."""
    height, width = image.shape[-2:]
    grey = image.float().mean(0).numpy()
    axes.imshow(grey, cmap="gray", vmin=-60, vmax=330)  # a little flat, so that the map stands out
    stride = width // score_map.shape[1]
    low, high = heatmap_to_crop(-0.5, stride), heatmap_to_crop(np.array(score_map.shape[::-1]) - 0.5, stride)
    artist = axes.imshow(
        score_map,
        extent=(low, high[0], high[1], low),
        cmap="inferno",
        alpha=np.clip(0.15 + 1.2 * score_map / max(vmax or score_map.max(), 1e-6), 0, 0.85),
        vmin=0,
        vmax=vmax,
    )
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    axes.set_axis_off()
    return artist


def _side(skeleton: Skeleton, *keypoints: int) -> str:
    """left or right if any of the keypoints is on that side, else middle."""
    for k in keypoints:
        for side in ("left", "right"):
            if skeleton.keypoints[k].startswith(side):
                return side
    return "middle"


def _casing(colour: str) -> str:
    return "#202020" if colour == SIDE_COLOURS["middle"] else "white"


def _line(colour: str, side: str) -> Line2D:
    casing = [Stroke(linewidth=4.6, foreground=_casing(colour)), Normal()]
    return Line2D([], [], color=colour, lw=2.6, label=side, path_effects=casing)


def _plain(keypoint: str) -> str:
    return keypoint.replace("_", " ")

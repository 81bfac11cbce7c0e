"""Poses on pictures (matplotlib): skeletons, truth beside prediction, and score maps laid over crops."""

import io
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from matplotlib.patheffects import Normal, Stroke
from matplotlib.transforms import ScaledTranslation
from torch import Tensor, nn

from posenfs.body.skeleton import Skeleton
from posenfs.body.words import plain_name
from posenfs.data.geometry import heatmap_to_crop, image_to_crop
from posenfs.data.loader import crop_people
from posenfs.data.sample import People
from posenfs.evaluation.predict import keypoint_vectors, predict, score_maps
from posenfs.model.network import evaluating
from posenfs.show.stick_body import SIDE_COLOURS, side_of

# Cased in white or black they read on any picture.
_COLOURS = SIDE_COLOURS | {"middle": "#F5F5F5"}

_LINE_WIDTH = 2.4  # of limbs, in points
_POINTS_PER_INCH, _EXACT_DPI = 72, 64
_LINE_SHARE = 1 / 250  # on a whole image: width of a limb's line / longer side of the image
_THINNEST_LINE = 1.5  # px


class Picture(Figure):
    """A figure that shows itself in a notebook without pyplot, whose global state threads would share."""

    def png(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()

    _repr_png_ = png


def draw_skeletons(
    images: Tensor,
    skeleton: Skeleton,
    keypoints: np.ndarray,
    truth: np.ndarray | None = None,
    visibility: np.ndarray | None = None,
    titles: Sequence[str] | None = None,
    columns: int = 3,
) -> Picture:
    """Crops uint8 [N, 3, H, W] with keypoints [N, K, 2] in crop px; with `truth` two panels a person, truth first.

    `visibility` [N, K] belongs to the truth, or to the keypoints where these are all there is: what is not labelled is
    left out, what is occluded is drawn hollow.
    """
    if images.ndim != 4 or keypoints.shape[:2] != (len(images), len(skeleton)):
        raise ValueError(
            f"crops [N, 3, H, W] and keypoints [N, K, 2] do not fit: {images.shape} and {keypoints.shape}"
        )
    people, panels = len(images), 1 if truth is None else 2
    rows = math.ceil(people / columns)
    height, width = images.shape[-2:]
    figure = Picture(
        (12, 0.5 + rows * (12 / (columns * panels) * height / width + 0.28)), layout="constrained"
    )
    grid = figure.subplots(rows, columns * panels, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for n in range(people):
        row, column = divmod(n, columns)
        title = titles[n] if titles else f"person {n}"
        labelled = None if visibility is None else visibility[n]
        left, right = grid[row, column * panels], grid[row, column * panels + panels - 1]
        if truth is None:
            _panel(left, images[n], skeleton, keypoints[n], labelled, title)
        else:
            _panel(left, images[n], skeleton, truth[n], labelled, f"{title}: truth")
            _panel(right, images[n], skeleton, keypoints[n], None, f"{title}: predicted")
    handles = [_line(colour, side) for side, colour in _COLOURS.items()]
    if visibility is not None:
        handles.append(
            Line2D([], [], marker="o", linestyle="", mfc="none", mec="#444444", label="occluded")
        )
    legend = figure.legend(
        handles=handles, loc="outside lower center", ncols=4, fontsize=9, frameon=False
    )
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


def draw_on_picture(
    image: Tensor, skeleton: Skeleton, keypoints: np.ndarray, shown: np.ndarray
) -> Picture:
    """Draw the skeletons of N people on a whole image.

    Args:
        image: uint8 [3, H, W].
        skeleton: The skeleton of the keypoints.
        keypoints: [N, K, 2] image px.
        shown: [N, K] bool: which keypoints are drawn. A limb is drawn where both of its ends are.

    Returns:
        A figure that `savefig(path, dpi="figure")` writes with exactly W x H pixels, so that a keypoint (x, y) lies at
        pixel (x, y). Lines grow with the longer side of the image.
    """
    height, width = image.shape[-2:]
    # A power of two as dpi: width / dpi * dpi is the width again, without rounding.
    figure = Picture((width / _EXACT_DPI, height / _EXACT_DPI), dpi=_EXACT_DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    _image(axes, image, "")
    line_px = max(max(width, height) * _LINE_SHARE, _THINNEST_LINE)
    for person, visible in zip(keypoints, shown, strict=True):
        _skeleton_on(
            axes, skeleton, person, np.where(visible, 2, 0), line_px * _POINTS_PER_INCH / _EXACT_DPI
        )
    return figure


def draw_score_map(
    image: Tensor, score_map: np.ndarray, keypoint: str, true: np.ndarray | None = None
) -> Picture:
    """One keypoint's score map [h, w] over its crop uint8 [3, H, W]; `true` (x, y) crop px as a ring."""
    figure = Picture((8.4, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    _image(left, image, "crop")
    artist = _overlay(right, image, score_map, max(float(score_map.max()), 1e-6))
    right.set_title(f"score of {plain_name(keypoint)}", fontsize=11)
    for axes in (left, right):
        if true is not None:
            _ring(axes, true)
    bar = figure.colorbar(artist, ax=right, fraction=0.046)
    bar.set_label("score")
    return figure


def draw_score_maps(
    image: Tensor, maps: np.ndarray, skeleton: Skeleton, columns: int = 6
) -> Picture:
    """All score maps [K, h, w] over one crop uint8 [3, H, W], on one scale from 0 to the highest score."""
    if maps.ndim != 3 or len(maps) != len(skeleton):
        raise ValueError(
            f"{skeleton.name} needs score maps [{len(skeleton)}, h, w]; got {maps.shape}"
        )
    rows = math.ceil(len(maps) / columns)
    figure = Picture((12, 0.4 + rows * (12 / columns + 0.25)), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    top = max(float(maps.max()), 1e-6)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, keypoint, score_map in zip(grid.flat, skeleton.keypoints, maps, strict=False):
        artist = _overlay(axes, image, score_map, top)
        axes.set_title(f"{plain_name(keypoint)}, peak {score_map.max():.2f}", fontsize=9)
    figure.colorbar(artist, ax=grid, fraction=0.02, pad=0.01).set_label("score")
    return figure


def draw_person_maps(
    model: nn.Module, people: People, person: int, size: tuple[int, int]
) -> Picture:
    """Score maps of all keypoints of one person, without flip: what the network itself says."""
    batch = crop_people(people.select([person]), size)
    return draw_score_maps(batch.images[0], _own_maps(model, batch.images)[0], people.skeleton)


def draw_person_map(
    model: nn.Module, people: People, person: int, keypoint: str, size: tuple[int, int]
) -> Picture:
    """The score map of one keypoint of one person, without flip; a ring marks the true place."""
    batch, index = crop_people(people.select([person]), size), people.skeleton.index(keypoint)
    true = batch.keypoints_crop[0, index].numpy() if batch.visibility[0, index] else None
    return draw_score_map(batch.images[0], _own_maps(model, batch.images)[0, index], keypoint, true)


def _own_maps(model: nn.Module, images: Tensor) -> np.ndarray:
    """What the network itself says of crops uint8 [N, 3, H, W]: [N, K, h, w]. It is left in its mode."""
    with evaluating(model):
        return score_maps(model, images.to(next(model.parameters()).device)).cpu().numpy()


def draw_map_change(
    before: nn.Module,
    after: nn.Module,
    people: People,
    person: int,
    keypoints: Sequence[str],
    size: tuple[int, int],
) -> Picture:
    """Score maps of one person by two networks, a row for each keypoint: before, after, and what changed, without flip.
    A ring marks the true place."""
    batch = crop_people(people.select([person]), size)
    maps = [_own_maps(model, batch.images)[0] for model in (before, after)]
    indices = [people.skeleton.index(keypoint) for keypoint in keypoints]
    figure = Picture((9.6, 0.3 + len(indices) * 2.8), layout="constrained")
    grid = figure.subplots(len(indices), 3, squeeze=False)
    top = max(float(maps[0][indices].max()), float(maps[1][indices].max()), 1e-6)
    changes = maps[1][indices] - maps[0][indices]
    reach = max(float(np.abs(changes).max()), 1e-3)
    for row, keypoint, index, change in zip(grid, keypoints, indices, changes, strict=True):
        for axes, own, word in zip(row, maps, ("before", "after"), strict=False):
            scores = _overlay(axes, batch.images[0], own[index], top)
            axes.set_title(
                f"{plain_name(keypoint)} {word}, peak {own[index].max():.2f}", fontsize=9
            )
            if batch.visibility[0, index]:
                _ring(axes, batch.keypoints_crop[0, index])
        differences = row[2].imshow(
            change, cmap="PuOr", vmin=-reach, vmax=reach, interpolation="nearest"
        )
        row[2].set_title(f"change, at most {np.abs(change).max():.2g}", fontsize=9)
        row[2].set_axis_off()
    for artist, words in ((scores, "score"), (differences, "change of score")):
        figure.colorbar(artist, ax=grid, fraction=0.03, shrink=0.8).set_label(words)
    return figure


def draw_vectors(
    model: nn.Module, people: People, person: int, keypoint: str, size: tuple[int, int]
) -> Picture:
    """One keypoint's vectors (Eq. 4): their length over the crop, and each component, a row for each part that has it.

    Components lie between -1 and 1; the length is the score (Eq. 5), with a ring where the keypoint is. Raises
    ValueError for a plain score map (d = 1).
    """
    index = people.skeleton.index(keypoint)
    batch = crop_people(people.select([person]), size)
    own = keypoint_vectors(model, batch.images, index)
    components = len(next(iter(own.values())))
    if components == 1:
        raise ValueError(
            f"this network has plain score maps (vector_dim 1): {keypoint} has no vectors to draw"
        )
    columns = 1 + min(components, 4)
    rows_each = math.ceil(components / 4)
    figure = Picture((12, 0.3 + len(own) * rows_each * (12 / columns + 0.25)), layout="constrained")
    grid = figure.subplots(len(own) * rows_each, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    true = batch.keypoints_crop[0, index] if batch.visibility[0, index] else None
    for (part, field), top in zip(own.items(), range(0, len(grid), rows_each), strict=True):
        length = np.linalg.norm(field, axis=0)
        _overlay(grid[top, 0], batch.images[0], length, max(float(length.max()), 1e-6))
        grid[top, 0].set_title(f"{plain_name(part)}: length, peak {length.max():.2f}", fontsize=9)
        reach = max(float(np.abs(field).max()), 1e-6)
        for number, component in enumerate(field):
            axes = grid[top + number // 4, 1 + number % 4]
            shown = axes.imshow(
                component, cmap="PuOr", vmin=-reach, vmax=reach, interpolation="nearest"
            )
            axes.set_title(f"component {number + 1}", fontsize=9)
        figure.colorbar(shown, ax=grid[top : top + rows_each, 1:], shrink=0.8, label="component")
        if true is not None:
            _ring(grid[top, 0], true)
    return figure


def _panel(
    axes: Axes,
    image: Tensor,
    skeleton: Skeleton,
    keypoints: np.ndarray,
    visibility: np.ndarray | None,
    title: str,
) -> None:
    _image(axes, image, title)
    _skeleton_on(axes, skeleton, keypoints, visibility)


def _skeleton_on(
    axes: Axes,
    skeleton: Skeleton,
    keypoints: np.ndarray,
    visibility: np.ndarray | None,
    line_width: float = _LINE_WIDTH,
) -> None:
    """Draw one person: keypoints [K, 2], visibility [K] (0: not drawn, 1: hollow), the width of limbs in points."""
    scale = line_width / _LINE_WIDTH
    shown = np.ones(len(skeleton), bool) if visibility is None else visibility > 0
    for a, b in skeleton.limbs:
        if shown[a] and shown[b]:
            colour = _COLOURS[_side(skeleton, a, b)]
            casing = [Stroke(linewidth=4.2 * scale, foreground=_casing(colour)), Normal()]
            ends = keypoints[[a, b]]
            axes.plot(
                ends[:, 0],
                ends[:, 1],
                color=colour,
                lw=line_width,
                path_effects=casing,
                solid_capstyle="round",
            )
    for k in np.flatnonzero(shown):
        colour = _COLOURS[_side(skeleton, k)]
        occluded = visibility is not None and visibility[k] == 1
        face = "none" if occluded else colour
        edge = colour if occluded else _casing(colour)
        # a marker of `plot` would be moved to a whole pixel
        x, y = keypoints[k]
        place = axes.get_figure().dpi_scale_trans + ScaledTranslation(x, y, axes.transData)
        radius = 2.2 * scale / _POINTS_PER_INCH
        axes.add_artist(
            Circle((0, 0), radius, fc=face, ec=edge, lw=0.9 * scale, transform=place, zorder=2)
        )


def _image(axes: Axes, image: Tensor, title: str) -> None:
    height, width = image.shape[-2:]
    axes.imshow(image.permute(1, 2, 0).numpy(), interpolation="bilinear")
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    axes.set_title(title, fontsize=9, color="black")
    axes.set_axis_off()


def _overlay(axes: Axes, image: Tensor, score_map: np.ndarray, vmax: float) -> AxesImage:
    """The map where it belongs: heatmap pixel i covers crop pixels stride * i to stride * (i + 1) - 1."""
    height, width = image.shape[-2:]
    grey = image.float().mean(0).numpy()
    axes.imshow(grey, cmap="gray", vmin=-60, vmax=330)  # a little flat, so that the map stands out
    stride = width // score_map.shape[1]
    low, high = (
        heatmap_to_crop(-0.5, stride),
        heatmap_to_crop(np.array(score_map.shape[::-1]) - 0.5, stride),
    )
    artist = axes.imshow(
        score_map,
        extent=(low, high[0], high[1], low),
        cmap="inferno",
        alpha=np.clip(0.15 + 1.2 * score_map / vmax, 0, 0.85),
        vmin=0,
        vmax=vmax,
    )
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    axes.set_axis_off()
    return artist


def _ring(axes: Axes, point: np.ndarray | Tensor) -> None:
    """Round a true place (x, y), crop px."""
    axes.plot(*point, "o", ms=12, mfc="none", mec="white", mew=2.4)
    axes.plot(*point, "o", ms=12, mfc="none", mec="black", mew=1.1)


def _side(skeleton: Skeleton, *keypoints: int) -> str:
    """left or right if any of the keypoints is on that side, else middle."""
    sides = [side_of(skeleton.keypoints[k]) for k in keypoints]
    return next((side for side in sides if side != "middle"), "middle")


def _casing(colour: str) -> str:
    return "#202020" if colour == _COLOURS["middle"] else "white"


def _line(colour: str, side: str) -> Line2D:
    casing = [Stroke(linewidth=4.6, foreground=_casing(colour)), Normal()]
    return Line2D([], [], color=colour, lw=2.6, label=side, path_effects=casing)

"""Poses on images (matplotlib): skeletons, truth beside prediction, and score maps over crops."""

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
from posenfs.data.geometry import ImageSize, heatmap_to_crop, image_to_crop
from posenfs.data.loader import crop_people
from posenfs.data.sample import Annotations
from posenfs.evaluation.prediction import keypoint_vectors, predict, score_maps
from posenfs.messages import plain_name
from posenfs.model.network import evaluating
from posenfs.viz.stick_body import SIDE_COLOURS, side_of

# With a white or dark outline they are visible on any image.
_COLOURS = SIDE_COLOURS | {"middle": "#F5F5F5"}

_LINE_WIDTH = 2.4  # of limbs, in points
_POINTS_PER_INCH, _EXACT_DPI = 72, 64
_LINE_SHARE = 1 / 250  # width of a limb's line / longer side of a whole image
_THINNEST_LINE = 1.5  # px
_LEAST_SCORE = 1e-6  # top of the colour scale where all scores are 0


class Image(Figure):
    """A figure that a notebook displays without pyplot, whose global state is not thread-safe."""

    def png(self) -> bytes:
        """Return the figure as a PNG file."""
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
) -> Image:
    """Draw skeletons on crops.

    Args:
        images: Crops, uint8 [N, 3, H, W].
        skeleton: The skeleton of the keypoints.
        keypoints: [N, K, 2] crop px.
        truth: Annotated keypoints [N, K, 2] crop px, drawn in a panel of their own.
        visibility: [N, K] of the truth or, without truth, of the keypoints. Keypoints that are
            not labelled are not drawn; occluded ones are hollow.
        titles: Title of each crop.
        columns: Crops in a row.

    Raises:
        ValueError: The shapes of images and keypoints do not match.
    """
    if images.ndim != 4 or keypoints.shape[:2] != (len(images), len(skeleton)):
        raise ValueError(
            "crops [N, 3, H, W] and keypoints [N, K, 2] do not fit: "
            f"{images.shape} and {keypoints.shape}"
        )
    panels = 1 if truth is None else 2
    rows = math.ceil(len(images) / columns)
    height, width = images.shape[-2:]
    row_height = 12 / (columns * panels) * height / width + 0.28
    figure = Image((12, 0.5 + rows * row_height), layout="constrained")
    grid = _hidden_axes(figure, rows, columns * panels)
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        title = titles[index] if titles else f"person {index}"
        labelled = None if visibility is None else visibility[index]
        axes = grid[row, column * panels]
        if truth is None:
            _panel(axes, image, skeleton, keypoints[index], labelled, title)
        else:
            _panel(axes, image, skeleton, truth[index], labelled, f"{title}: truth")
            axes = grid[row, column * panels + 1]
            _panel(axes, image, skeleton, keypoints[index], None, f"{title}: predicted")
    _add_side_legend(figure, visibility is not None)
    return figure


def _add_side_legend(figure: Image, occluded: bool) -> None:
    """Add a legend of the colours of the sides and, if asked, of occluded keypoints."""
    handles = []
    for side, colour in _COLOURS.items():
        casing = [Stroke(linewidth=4.6, foreground=_outline(colour)), Normal()]
        handles.append(Line2D([], [], color=colour, lw=2.6, label=side, path_effects=casing))
    if occluded:
        circle = Line2D([], [], marker="o", linestyle="", mfc="none", mec="#444444")
        circle.set_label("occluded")
        handles.append(circle)
    legend = figure.legend(
        handles=handles, loc="outside lower center", ncols=4, fontsize=9, frameon=False
    )
    for text in legend.get_texts():
        text.set_color("black")


def draw_people(
    model: nn.Module,
    people: Annotations,
    size: ImageSize,
    titles: Sequence[str] | None = None,
) -> Image:
    """Draw the truth beside a model's prediction (flip, quarter offset).

    Args:
        model: The network.
        people: The annotated people.
        size: Size of the crops in px.
        titles: Title of each crop.
    """
    batch = crop_people(people, size)
    predicted = image_to_crop(predict(model, people, size).keypoints_image, batch.crop)
    truth, visibility = batch.keypoints_crop.numpy(), batch.visibility.numpy()
    return draw_skeletons(batch.images, people.skeleton, predicted, truth, visibility, titles)


def draw_on_image(
    image: Tensor, skeleton: Skeleton, keypoints: np.ndarray, shown: np.ndarray
) -> Image:
    """Draw the skeletons of N people on a whole image.

    Args:
        image: uint8 [3, H, W].
        skeleton: The skeleton of the keypoints.
        keypoints: [N, K, 2] image px.
        shown: [N, K] bool: which keypoints are drawn. A limb is drawn where both its ends are.

    Returns:
        A figure that `savefig(path, dpi="figure")` writes with exactly W x H pixels, so that a
        keypoint (x, y) lies at pixel (x, y). Lines grow with the longer side of the image.
    """
    height, width = image.shape[-2:]
    # With a power of two as dpi, width / dpi * dpi is the width again, without rounding.
    figure = Image((width / _EXACT_DPI, height / _EXACT_DPI), dpi=_EXACT_DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    _draw_image(axes, image, "")
    line_px = max(max(width, height) * _LINE_SHARE, _THINNEST_LINE)
    line_width = line_px * _POINTS_PER_INCH / _EXACT_DPI
    for person, visible in zip(keypoints, shown, strict=True):
        _draw_skeleton(axes, skeleton, person, np.where(visible, 2, 0), line_width)
    return figure


def draw_score_map(
    image: Tensor, score_map: np.ndarray, keypoint: str, true: np.ndarray | None = None
) -> Image:
    """Draw one keypoint's score map over its crop.

    Args:
        image: The crop, uint8 [3, H, W].
        score_map: [h, w].
        keypoint: Name of the keypoint.
        true: Annotated place (x, y) in crop px, drawn as a ring.
    """
    figure = Image((8.4, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_image(left, image, "crop")
    artist = _overlay(right, image, score_map, _top(score_map))
    right.set_title(f"score of {plain_name(keypoint)}", fontsize=11)
    if true is not None:
        _draw_ring(left, true)
        _draw_ring(right, true)
    figure.colorbar(artist, ax=right, fraction=0.046).set_label("score")
    return figure


def draw_score_maps(image: Tensor, maps: np.ndarray, skeleton: Skeleton, columns: int = 6) -> Image:
    """Draw all score maps over one crop, on one scale from 0 to the highest score.

    Args:
        image: The crop, uint8 [3, H, W].
        maps: Score maps [K, h, w].
        skeleton: The skeleton of the keypoints.
        columns: Score maps in a row.

    Raises:
        ValueError: The numbers of score maps and keypoints differ.
    """
    if maps.ndim != 3 or len(maps) != len(skeleton):
        expected = f"[{len(skeleton)}, h, w]"
        raise ValueError(f"{skeleton.name} needs score maps {expected}; got {maps.shape}")
    rows = math.ceil(len(maps) / columns)
    figure = Image((12, 0.4 + rows * (12 / columns + 0.25)), layout="constrained")
    grid = _hidden_axes(figure, rows, columns)
    top = _top(maps)
    for axes, keypoint, score_map in zip(grid.flat, skeleton.keypoints, maps, strict=False):
        artist = _overlay(axes, image, score_map, top)
        axes.set_title(f"{plain_name(keypoint)}, peak {score_map.max():.2f}", fontsize=9)
    figure.colorbar(artist, ax=grid, fraction=0.02, pad=0.01).set_label("score")
    return figure


def draw_person_maps(model: nn.Module, people: Annotations, person: int, size: ImageSize) -> Image:
    """Draw the score maps of all keypoints of one person, predicted without flip.

    Args:
        model: The network.
        people: The annotated people.
        person: Index of the person.
        size: Size of the crop in px.
    """
    batch = crop_people(people.select([person]), size)
    maps = _predicted_maps(model, batch.images)[0]
    return draw_score_maps(batch.images[0], maps, people.skeleton)


def draw_person_map(
    model: nn.Module, people: Annotations, person: int, keypoint: str, size: ImageSize
) -> Image:
    """Draw the score map of one keypoint of one person, predicted without flip.

    A ring marks the annotated place.

    Args:
        model: The network.
        people: The annotated people.
        person: Index of the person.
        keypoint: Name of the keypoint.
        size: Size of the crop in px.
    """
    batch, index = crop_people(people.select([person]), size), people.skeleton.index(keypoint)
    true = batch.keypoints_crop[0, index].numpy() if batch.visibility[0, index] else None
    score_map = _predicted_maps(model, batch.images)[0, index]
    return draw_score_map(batch.images[0], score_map, keypoint, true)


def _predicted_maps(model: nn.Module, images: Tensor) -> np.ndarray:
    """Return the score maps [N, K, h, w] of crops uint8 [N, 3, H, W]; the model keeps its mode."""
    device = next(model.parameters()).device
    with evaluating(model):
        return score_maps(model, images.to(device)).cpu().numpy()


def draw_map_change(
    before: nn.Module,
    after: nn.Module,
    people: Annotations,
    person: int,
    keypoints: Sequence[str],
    size: ImageSize,
) -> Image:
    """Draw the score maps of one person by two networks and their difference, without flip.

    Each keypoint has a row: before, after, change. A ring marks the annotated place.

    Args:
        before: The first network.
        after: The second network.
        people: The annotated people.
        person: Index of the person.
        keypoints: Names of the keypoints.
        size: Size of the crop in px.
    """
    batch = crop_people(people.select([person]), size)
    image = batch.images[0]
    indices = [people.skeleton.index(keypoint) for keypoint in keypoints]
    maps = {
        "before": _predicted_maps(before, batch.images)[0][indices],
        "after": _predicted_maps(after, batch.images)[0][indices],
    }
    changes = maps["after"] - maps["before"]
    figure = Image((9.6, 0.3 + len(indices) * 2.8), layout="constrained")
    grid = figure.subplots(len(indices), 3, squeeze=False)
    top = max(_top(network_maps) for network_maps in maps.values())
    reach = max(float(np.abs(changes).max()), 1e-3)
    for row, (keypoint, index) in enumerate(zip(keypoints, indices, strict=True)):
        for axes, (label, network_maps) in zip(grid[row], maps.items(), strict=False):
            score_map = network_maps[row]
            scores = _overlay(axes, image, score_map, top)
            title = f"{plain_name(keypoint)} {label}, peak {score_map.max():.2f}"
            axes.set_title(title, fontsize=9)
            if batch.visibility[0, index]:
                _draw_ring(axes, batch.keypoints_crop[0, index])
        differences = _draw_signed(grid[row, 2], changes[row], reach)
        greatest = np.abs(changes[row]).max()
        grid[row, 2].set_title(f"change, at most {greatest:.2g}", fontsize=9)
        grid[row, 2].set_axis_off()
    for artist, label in ((scores, "score"), (differences, "change of score")):
        figure.colorbar(artist, ax=grid, fraction=0.03, shrink=0.8).set_label(label)
    return figure


def draw_vectors(
    model: nn.Module, people: Annotations, person: int, keypoint: str, size: ImageSize
) -> Image:
    """Draw one keypoint's vectors (Eq. 4), a row for each part that has the keypoint.

    A row has the length over the crop, which is the score (Eq. 5), and each component in [-1, 1].
    A ring marks the annotated place.

    Args:
        model: The network.
        people: The annotated people.
        person: Index of the person.
        keypoint: Name of the keypoint.
        size: Size of the crop in px.

    Raises:
        ValueError: The network has plain score maps (vector_dim 1).
    """
    index = people.skeleton.index(keypoint)
    batch = crop_people(people.select([person]), size)
    vectors = keypoint_vectors(model, batch.images, index)
    components = len(next(iter(vectors.values())))
    if components == 1:
        raise ValueError(
            f"this network has plain score maps (vector_dim 1): {keypoint} has no vectors to draw"
        )
    columns = 1 + min(components, 4)
    rows_each = math.ceil(components / 4)
    rows = len(vectors) * rows_each
    figure = Image((12, 0.3 + rows * (12 / columns + 0.25)), layout="constrained")
    grid = _hidden_axes(figure, rows, columns)
    for number, (part, field) in enumerate(vectors.items()):
        part_grid = grid[number * rows_each : (number + 1) * rows_each]
        axes, length = part_grid[0, 0], np.linalg.norm(field, axis=0)
        _overlay(axes, batch.images[0], length, _top(length))
        axes.set_title(f"{plain_name(part)}: length, peak {length.max():.2f}", fontsize=9)
        reach = max(float(np.abs(field).max()), 1e-6)
        for component, values in enumerate(field):
            component_axes = part_grid[component // 4, 1 + component % 4]
            artist = _draw_signed(component_axes, values, reach)
            component_axes.set_title(f"component {component + 1}", fontsize=9)
        figure.colorbar(artist, ax=part_grid[:, 1:], shrink=0.8, label="component")
        if batch.visibility[0, index]:
            _draw_ring(axes, batch.keypoints_crop[0, index])
    return figure


def _hidden_axes(figure: Image, rows: int, columns: int) -> np.ndarray:
    """Return a grid [rows, columns] of axes without frames."""
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    return grid


def _top(maps: np.ndarray) -> float:
    """Return the highest score, or a small positive number."""
    return max(float(maps.max()), _LEAST_SCORE)


def _panel(
    axes: Axes,
    image: Tensor,
    skeleton: Skeleton,
    keypoints: np.ndarray,
    visibility: np.ndarray | None,
    title: str,
) -> None:
    _draw_image(axes, image, title)
    _draw_skeleton(axes, skeleton, keypoints, visibility)


def _draw_skeleton(
    axes: Axes,
    skeleton: Skeleton,
    keypoints: np.ndarray,
    visibility: np.ndarray | None,
    line_width: float = _LINE_WIDTH,
) -> None:
    """Draw one person.

    Args:
        axes: The axes to draw on.
        skeleton: The skeleton of the keypoints.
        keypoints: [K, 2] px.
        visibility: [K]; 0 is not drawn, 1 is hollow.
        line_width: Width of limbs in points.
    """
    scale = line_width / _LINE_WIDTH
    shown = np.ones(len(skeleton), bool) if visibility is None else visibility > 0
    for start, end in skeleton.limbs:
        if shown[start] and shown[end]:
            colour = _COLOURS[_side(skeleton, start, end)]
            ends = keypoints[[start, end]]
            axes.plot(
                ends[:, 0],
                ends[:, 1],
                color=colour,
                lw=line_width,
                path_effects=[Stroke(linewidth=4.2 * scale, foreground=_outline(colour)), Normal()],
                solid_capstyle="round",
            )
    for index in np.flatnonzero(shown).tolist():
        colour = _COLOURS[_side(skeleton, index)]
        occluded = visibility is not None and visibility[index] == 1
        face = "none" if occluded else colour
        edge = colour if occluded else _outline(colour)
        # Not a marker of `plot`, which would be moved to a whole pixel.
        x, y = keypoints[index]
        place = axes.get_figure().dpi_scale_trans + ScaledTranslation(x, y, axes.transData)
        radius, width = 2.2 * scale / _POINTS_PER_INCH, 0.9 * scale
        circle = Circle((0, 0), radius, fc=face, ec=edge, lw=width, transform=place, zorder=2)
        axes.add_artist(circle)


def _draw_image(axes: Axes, image: Tensor, title: str) -> None:
    axes.imshow(image.permute(1, 2, 0).numpy(), interpolation="bilinear")
    _fit(axes, image)
    axes.set_title(title, fontsize=9, color="black")


def _fit(axes: Axes, image: Tensor) -> None:
    """Limit axes to an image [3, H, W] and hide their frame."""
    height, width = image.shape[-2:]
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    axes.set_axis_off()


def _overlay(axes: Axes, image: Tensor, score_map: np.ndarray, vmax: float) -> AxesImage:
    """Draw a score map over its crop.

    Heatmap pixel i covers crop pixels stride * i to stride * (i + 1) - 1.
    """
    grey = image.float().mean(0).numpy()
    axes.imshow(grey, cmap="gray", vmin=-60, vmax=330)  # low contrast, so that the map stands out
    stride = image.shape[-1] // score_map.shape[1]
    low = heatmap_to_crop(-0.5, stride)
    high = heatmap_to_crop(np.array(score_map.shape[::-1]) - 0.5, stride)
    artist = axes.imshow(
        score_map,
        extent=(low, high[0], high[1], low),
        cmap="inferno",
        alpha=np.clip(0.15 + 1.2 * score_map / vmax, 0, 0.85),
        vmin=0,
        vmax=vmax,
    )
    _fit(axes, image)
    return artist


def _draw_signed(axes: Axes, values: np.ndarray, reach: float) -> AxesImage:
    """Draw a map [h, w] of values in [-reach, reach]."""
    return axes.imshow(values, cmap="PuOr", vmin=-reach, vmax=reach, interpolation="nearest")


def _draw_ring(axes: Axes, point: np.ndarray | Tensor) -> None:
    """Draw a ring around a point (x, y), crop px."""
    axes.plot(*point, "o", ms=12, mfc="none", mec="white", mew=2.4)
    axes.plot(*point, "o", ms=12, mfc="none", mec="black", mew=1.1)


def _side(skeleton: Skeleton, *keypoints: int) -> str:
    """Return left or right if any of the keypoints is on that side, else middle."""
    for index in keypoints:
        side = side_of(skeleton.keypoints[index])
        if side != "middle":
            return side
    return "middle"


def _outline(colour: str) -> str:
    """Return the outline of a line: dark around the light colour of the middle, else white."""
    return "#202020" if colour == _COLOURS["middle"] else "white"

"""Poses on images (matplotlib): skeletons, and truth beside prediction."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from matplotlib.patheffects import Normal, Stroke
from matplotlib.transforms import ScaledTranslation
from torch import Tensor, nn

from posenfs.body.skeleton import Skeleton
from posenfs.data.geometry import ImageSize, image_to_crop
from posenfs.data.loader import crop_people
from posenfs.data.sample import Annotations
from posenfs.evaluation.prediction import predict
from posenfs.viz.colours import SIDE_COLOURS
from posenfs.viz.figures import StaticFigure, draw_image, frameless_axes
from posenfs.viz.skeleton_graph import side_of

# With a white or dark outline they are visible on any image.
_COLOURS = SIDE_COLOURS | {"middle": "#F5F5F5"}

_LINE_WIDTH = 2.4  # of limbs, in points
_POINTS_PER_INCH, _EXACT_DPI = 72, 64
_LINE_SHARE = 1 / 250  # width of a limb's line / longer side of a whole image
_THINNEST_LINE = 1.5  # px


def draw_skeletons(
    images: Tensor,
    skeleton: Skeleton,
    keypoints: np.ndarray,
    truth: np.ndarray | None = None,
    visibility: np.ndarray | None = None,
    titles: Sequence[str] | None = None,
    columns: int = 3,
) -> StaticFigure:
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
    figure = StaticFigure((12, 0.5 + rows * row_height), layout="constrained")
    grid = frameless_axes(figure, rows, columns * panels)
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


def draw_people(
    model: nn.Module,
    people: Annotations,
    size: ImageSize,
    titles: Sequence[str] | None = None,
) -> StaticFigure:
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
) -> StaticFigure:
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
    figure = StaticFigure((width / _EXACT_DPI, height / _EXACT_DPI), dpi=_EXACT_DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    draw_image(axes, image, "")
    line_px = max(max(width, height) * _LINE_SHARE, _THINNEST_LINE)
    line_width = line_px * _POINTS_PER_INCH / _EXACT_DPI
    for person, visible in zip(keypoints, shown, strict=True):
        draw_skeleton_on(axes, skeleton, person, np.where(visible, 2, 0), line_width)
    return figure


def _add_side_legend(figure: StaticFigure, occluded: bool) -> None:
    """Add a legend of the colours of the sides and, where drawn, of occluded keypoints."""
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


def _panel(
    axes: Axes,
    image: Tensor,
    skeleton: Skeleton,
    keypoints: np.ndarray,
    visibility: np.ndarray | None,
    title: str,
) -> None:
    draw_image(axes, image, title)
    draw_skeleton_on(axes, skeleton, keypoints, visibility)


def draw_skeleton_on(
    axes: Axes,
    skeleton: Skeleton,
    keypoints: np.ndarray,
    visibility: np.ndarray | None,
    line_width: float = _LINE_WIDTH,
    colour_of: Callable[..., str] | None = None,
) -> None:
    """Draw one person.

    Args:
        axes: The axes to draw on.
        skeleton: The skeleton of the keypoints.
        keypoints: [K, 2] px.
        visibility: [K]; 0 is not drawn, 1 is hollow.
        line_width: Width of limbs in points.
        colour_of: Returns the colour of a keypoint, or of the limb between two, from their indices;
            None: by side of the body.
    """
    if colour_of is None:

        def colour_of(*indices: int) -> str:
            return _COLOURS[_side(skeleton, *indices)]

    scale = line_width / _LINE_WIDTH
    shown = np.ones(len(skeleton), bool) if visibility is None else visibility > 0
    for start, end in skeleton.limbs:
        if shown[start] and shown[end]:
            colour = colour_of(start, end)
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
        colour = colour_of(index)
        occluded = visibility is not None and visibility[index] == 1
        face = "none" if occluded else colour
        edge = colour if occluded else _outline(colour)
        # Not a marker of `plot`, which would be moved to a whole pixel.
        x, y = keypoints[index]
        position = axes.get_figure().dpi_scale_trans + ScaledTranslation(x, y, axes.transData)
        radius, width = 2.2 * scale / _POINTS_PER_INCH, 0.9 * scale
        circle = Circle((0, 0), radius, fc=face, ec=edge, lw=width, transform=position, zorder=2)
        axes.add_artist(circle)


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

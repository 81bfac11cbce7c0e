"""Many poses on one page, in the colours of the parts (matplotlib; Fig. 8 and 9)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.lines import Line2D
from torch import Tensor

from posenfs.body.parts import PartScheme, part_scheme
from posenfs.body.skeleton import Skeleton
from posenfs.data.datasets.catalogue import parts_of, skeleton_of
from posenfs.data.geometry import ImageSize, image_to_crop
from posenfs.data.loader import crop_people
from posenfs.data.pixels import load_image
from posenfs.data.sample import Annotations
from posenfs.evaluation.prediction import predict
from posenfs.messages import plain_name
from posenfs.search.saved_models import Saved
from posenfs.viz.colours import limb_colours, part_colours
from posenfs.viz.figures import StaticFigure, draw_image, frameless_axes
from posenfs.viz.poses import draw_skeleton_on

_WIDTH = 13.0  # inches of a page
_LEGEND = 0.4  # inches below the images
_CROP = ImageSize(256, 256)  # px, of annotated people
# Width of a limb's line per inch of the width of a crop, or of a whole image.
_LINE_OF_CROP, _LINE_OF_IMAGE = 1 / 80, 1 / 130
_POINTS_PER_INCH = 72


@dataclass(frozen=True)
class _Panel:
    """An image, uint8 [3, H, W], with the keypoints [N, K, 2] px and the visibility [N, K]."""

    image: Tensor
    keypoints: np.ndarray
    visibility: np.ndarray


def draw_predicted_poses(
    saved: Saved,
    people: Annotations,
    whole_images: bool = False,
    count: int = 24,
    columns: int = 6,
    parts: int | None = None,
    least_score: float = 0.2,
) -> StaticFigure:
    """Draw a model's predictions (flip, quarter offset) for many people, without the truth.

    The boxes are those of the data, annotated or detected; the skeleton is the model's, which may
    be another one than the data's.

    Args:
        saved: The model, of `load_model`.
        people: The people. Those that are drawn are spread evenly over them.
        whole_images: Whether whole images are drawn with all their people (Fig. 9) instead of crops
            of one person each (Fig. 8).
        count: Number of crops, or of whole images.
        columns: Images in a row.
        parts: P of Table I, whose parts give the colours; None: the model's own parts.
        least_score: Keypoints with a lower score are not drawn.

    Raises:
        ValueError: There are no people, or P is not in Table I.
    """
    data, size = saved.experiment.data, saved.experiment.image_size
    skeleton = skeleton_of(data)
    shown = _select(people, whole_images, count)
    boxes = _boxes_of(shown, skeleton)
    predictions = predict(saved.model, boxes, size)
    visibility = np.where(predictions.scores >= least_score, 2, 0)
    panels = _panels(boxes, predictions.keypoints_image, visibility, size, whole_images)
    scheme = parts_of(data, saved.experiment.parts if parts is None else parts)
    line = _LINE_OF_IMAGE if whole_images else _LINE_OF_CROP
    return _draw(panels, skeleton, scheme, columns, line)


def draw_annotated_poses(
    people: Annotations,
    whole_images: bool = False,
    count: int = 24,
    columns: int = 6,
    parts: int = 5,
) -> StaticFigure:
    """Draw the annotated poses of many people: what a network that makes no error would predict.

    Occluded keypoints are hollow.

    Args:
        people: The people. Those that are drawn are spread evenly over them.
        whole_images: Whether whole images are drawn with all their people instead of crops.
        count: Number of crops, or of whole images.
        columns: Images in a row.
        parts: P of Table I, whose parts give the colours.

    Raises:
        ValueError: There are no people, or P is not in Table I.
    """
    shown = _select(people, whole_images, count)
    panels = _panels(shown, shown.keypoints_image, shown.visibility, _CROP, whole_images)
    line = _LINE_OF_IMAGE if whole_images else _LINE_OF_CROP
    return _draw(panels, shown.skeleton, part_scheme(shown.skeleton, parts), columns, line)


def _select(people: Annotations, whole_images: bool, count: int) -> Annotations:
    """Return some of the people, spread evenly over them, or those of some images."""
    if not len(people) or count < 1:
        raise ValueError(f"{people.label}: there is nobody to draw ({len(people)} people, {count})")
    candidates = np.unique(people.image_index) if whole_images else np.arange(len(people))
    chosen = candidates[
        np.linspace(0, len(candidates) - 1, min(count, len(candidates))).round().astype(int)
    ]
    return people.select(
        np.flatnonzero(np.isin(people.image_index, chosen)) if whole_images else chosen
    )


def _boxes_of(people: Annotations, skeleton: Skeleton) -> Annotations:
    """Return the boxes of people with a skeleton to predict, and without keypoints."""
    return replace(
        people,
        skeleton=skeleton,
        keypoints_image=np.zeros((len(people), len(skeleton), 2)),
        visibility=np.zeros((len(people), len(skeleton)), np.uint8),
        coco=None,
    )


def _panels(
    people: Annotations,
    keypoints_image: np.ndarray,
    visibility: np.ndarray,
    size: ImageSize,
    whole_images: bool,
) -> list[_Panel]:
    """Return the crop of each person, or each image with all its people."""
    if not whole_images:
        batch = crop_people(people, size)
        keypoints = image_to_crop(keypoints_image, batch.crop)
        return [
            _Panel(image, points[None], levels[None])
            for image, points, levels in zip(batch.images, keypoints, visibility, strict=True)
        ]
    panels = []
    for image in np.unique(people.image_index):
        rows = people.image_index == image
        path, annotated = people.root / people.images[image], people.annotated_size(image)
        picture = load_image(path, annotated)
        panels.append(_Panel(picture, keypoints_image[rows], visibility[rows]))
    return panels


def _draw(
    panels: Sequence[_Panel],
    skeleton: Skeleton,
    parts: PartScheme,
    columns: int,
    line: float,
) -> StaticFigure:
    """Draw panels in rows, with a legend of the parts."""
    columns = min(columns, len(panels))
    rows, width = math.ceil(len(panels) / columns), _WIDTH / columns
    aspect = float(np.median([panel.image.shape[1] / panel.image.shape[2] for panel in panels]))
    figure = StaticFigure((_WIDTH, rows * width * aspect + _LEGEND))
    figure.subplots_adjust(0, _LEGEND / figure.get_figheight(), 1, 1, 0.02, 0.02)
    colour_of = limb_colours(parts)
    line_width = line * width * _POINTS_PER_INCH
    grid = frameless_axes(figure, rows, columns)
    for axes, panel in zip(grid.flat, panels, strict=False):
        draw_image(axes, panel.image, "")
        for keypoints, visibility in zip(panel.keypoints, panel.visibility, strict=True):
            draw_skeleton_on(axes, skeleton, keypoints, visibility, line_width, colour_of)
    handles = [
        Line2D([], [], color=colour, lw=2.6, label=plain_name(part))
        for part, colour in part_colours(parts).items()
    ]
    legend = figure.legend(
        handles=handles, loc="lower center", ncols=len(handles), fontsize=9, frameon=False
    )
    for text in legend.get_texts():
        text.set_color("black")
    return figure

"""Score maps and vectors of one person (matplotlib), over the crop or beside it."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from torch import Tensor, nn

from posenfs.body.skeleton import Skeleton
from posenfs.data.geometry import ImageSize, heatmap_to_crop
from posenfs.data.loader import crop_people
from posenfs.data.sample import Annotations
from posenfs.evaluation.prediction import keypoint_vectors, score_maps
from posenfs.messages import plain_name
from posenfs.model.network import PoseNFS, evaluating
from posenfs.viz.figures import StaticFigure, draw_image, fit_axes, frameless_axes

_LEAST_SCORE = 1e-6  # top of the colour scale where all scores are 0


def draw_score_map(
    image: Tensor, score_map: np.ndarray, keypoint: str, true: np.ndarray | None = None
) -> StaticFigure:
    """Draw one keypoint's score map over its crop.

    Args:
        image: The crop, uint8 [3, H, W].
        score_map: [h, w].
        keypoint: Name of the keypoint.
        true: Annotated position (x, y) in crop px, drawn as a ring.
    """
    figure = StaticFigure((8.4, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_image(left, image, "crop")
    artist = _overlay(right, image, score_map, _top(score_map))
    right.set_title(f"score of {plain_name(keypoint)}", fontsize=11)
    if true is not None:
        _draw_ring(left, true)
        _draw_ring(right, true)
    figure.colorbar(artist, ax=right, fraction=0.046).set_label("score")
    return figure


def draw_score_maps(
    image: Tensor, maps: np.ndarray, skeleton: Skeleton, columns: int = 6
) -> StaticFigure:
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
    figure = StaticFigure((12, 0.4 + rows * (12 / columns + 0.25)), layout="constrained")
    grid = frameless_axes(figure, rows, columns)
    top = _top(maps)
    for axes, keypoint, score_map in zip(grid.flat, skeleton.keypoints, maps, strict=False):
        artist = _overlay(axes, image, score_map, top)
        axes.set_title(f"{plain_name(keypoint)}, peak {score_map.max():.2f}", fontsize=9)
    figure.colorbar(artist, ax=grid, fraction=0.02, pad=0.01).set_label("score")
    return figure


def draw_person_maps(
    model: nn.Module, people: Annotations, person: int, size: ImageSize
) -> StaticFigure:
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
) -> StaticFigure:
    """Draw the score map of one keypoint of one person, predicted without flip.

    A ring marks the annotated position.

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
) -> StaticFigure:
    """Draw the score maps of one person by two networks and their difference, without flip.

    Each keypoint has a row: before, after, change. A ring marks the annotated position.

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
    figure = StaticFigure((9.6, 0.3 + len(indices) * 2.8), layout="constrained")
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
) -> StaticFigure:
    """Draw one keypoint's vectors (Eq. 4), a row for each part that has the keypoint.

    A row has the length over the crop, which is the score (Eq. 5), and each component in [-1, 1].
    A ring marks the annotated position. A network without vectors (vector_dim 1, or a baseline) has
    its score map drawn instead, with a title that says so.

    Args:
        model: The network.
        people: The annotated people.
        person: Index of the person.
        keypoint: Name of the keypoint.
        size: Size of the crop in px.
    """
    if not isinstance(model, PoseNFS):
        figure = draw_person_map(model, people, person, keypoint, size)
        figure.suptitle("score map; vectors are drawn for fabrics only", fontsize=11)
        return figure
    index = people.skeleton.index(keypoint)
    batch = crop_people(people.select([person]), size)
    vectors = keypoint_vectors(model, batch.images, index)
    components = len(next(iter(vectors.values())))
    if components == 1:
        figure = draw_person_map(model, people, person, keypoint, size)
        figure.suptitle("plain score map: d = 1 has no vectors", fontsize=11)
        return figure
    columns = 1 + min(components, 4)
    rows_each = math.ceil(components / 4)
    rows = len(vectors) * rows_each
    figure = StaticFigure((12, 0.3 + rows * (12 / columns + 0.25)), layout="constrained")
    grid = frameless_axes(figure, rows, columns)
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


def _top(maps: np.ndarray) -> float:
    """Return the highest score, or a small positive number."""
    return max(float(maps.max()), _LEAST_SCORE)


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
    fit_axes(axes, image)
    return artist


def _draw_signed(axes: Axes, values: np.ndarray, reach: float) -> AxesImage:
    """Draw a map [h, w] of values in [-reach, reach]."""
    return axes.imshow(values, cmap="PuOr", vmin=-reach, vmax=reach, interpolation="nearest")


def _draw_ring(axes: Axes, point: np.ndarray | Tensor) -> None:
    """Draw a ring around a point (x, y), crop px."""
    axes.plot(*point, "o", ms=12, mfc="none", mec="white", mew=2.4)
    axes.plot(*point, "o", ms=12, mfc="none", mec="black", mew=1.1)

"""The output of a network for one keypoint of a person, and its figures (plotly)."""

import base64
import io
from dataclasses import dataclass
from itertools import cycle

import numpy as np
import plotly.graph_objects as go
import torch
from PIL import Image
from plotly.subplots import make_subplots

from posenfs.data.geometry import ImageSize, crop_to_heatmap
from posenfs.data.heatmaps import DECODINGS
from posenfs.data.loader import crop_people
from posenfs.data.sample import Annotations
from posenfs.evaluation.prediction import keypoint_vectors, score_maps
from posenfs.messages import plain_name
from posenfs.model.network import PoseNetwork, PoseNFS
from posenfs.viz.colours import PART_COLOURS
from posenfs.viz.figures import layout

_MAP, _MAPS = 380, 900  # the largest widths of one map and of all maps together (px)
_CLEAR = "rgba(0, 0, 0, 0)"
# The colour scale is transparent at score 0, so that the image is visible there.
_COLOURS = [
    [0.0, "rgba(60, 15, 110, 0)"], [0.15, "rgba(90, 20, 125, 0.35)"],
    [0.5, "rgba(222, 73, 104, 0.65)"], [0.8, "rgba(254, 170, 110, 0.8)"],
    [1.0, "rgba(252, 253, 191, 0.9)"],
]  # fmt: skip


@dataclass(frozen=True)
class KeypointMaps:
    """The output of a network for one keypoint in one crop.

    Attributes:
        image: The crop, uint8 [3, H, W].
        scores: The score map [h, w], summed over parts (Eq. 7); with flip, the mean with the
            flipped crop's map.
        vectors: Squashed vectors [d, h, w] (Eq. 4) without flip, by part that has the keypoint;
            empty where the network is no PoseNFS.
        predicted: The decoded position (x, y) in heatmap px.
        true: The annotated position (x, y) in heatmap px, or None where it is not labelled.
    """

    image: torch.Tensor
    scores: np.ndarray
    vectors: dict[str, np.ndarray]
    predicted: np.ndarray
    true: np.ndarray | None

    def part_scores(self) -> dict[str, np.ndarray]:
        """Return the score map [h, w] of each part.

        It is the length of the part's vectors (Eq. 5), or the plain score for d = 1.
        """
        return {
            name: vectors[0] if len(vectors) == 1 else np.linalg.norm(vectors, axis=0)
            for name, vectors in self.vectors.items()
        }


@torch.no_grad()
def compute_maps(
    model: PoseNetwork,
    people: Annotations,
    person: int,
    keypoint: str,
    size: ImageSize,
    flip: bool,
    decoding: str,
) -> KeypointMaps:
    """Return the output of a network for one keypoint of one annotated person.

    Args:
        model: The network, in eval mode.
        people: The annotated people.
        person: An index in `people`.
        keypoint: The name of a keypoint.
        size: The size of the crop in px.
        flip: Whether the score maps are averaged with those of the flipped crop.
        decoding: A key of `DECODINGS`.
    """
    batch = crop_people(people.select([person]), size)
    index = people.skeleton.index(keypoint)
    images = batch.images.to(next(model.parameters()).device)
    scores = score_maps(model, images, people.skeleton.flip_order if flip else None).cpu()
    vectors = keypoint_vectors(model, images, index) if isinstance(model, PoseNFS) else {}
    positions, _ = DECODINGS[decoding](scores)
    true = None
    if batch.visibility[0, index]:
        stride = size[0] // scores.shape[-1]
        true = crop_to_heatmap(batch.keypoints_crop[0, index], stride).numpy()
    return KeypointMaps(
        batch.images[0], scores[0, index].numpy(), vectors, positions[0, index].numpy(), true
    )


def draw_maps(maps: KeypointMaps, pixel: tuple[int, int]) -> go.Figure:
    """Draw the score map over the crop, and the map of each part where several have the keypoint.

    Args:
        maps: The output of a network for one keypoint.
        pixel: The selected pixel (x, y) in heatmap px.
    """
    parts = maps.part_scores()
    panels = {"score": maps.scores}
    if len(parts) > 1:
        panels |= parts
    titles = [plain_name(name) for name in panels]
    figure = make_subplots(cols=len(panels), column_titles=titles, horizontal_spacing=0.03)
    height, width = maps.scores.shape
    top = max(float(scores.max()) for scores in panels.values()) or 1.0
    url = _data_url(maps.image)
    for number, scores in enumerate(panels.values(), 1):
        figure.add_layout_image(
            source=url, x=-0.5, y=-0.5, sizex=width, sizey=height, sizing="stretch",
            layer="below", row=1, col=number, xref="x", yref="y", yanchor="top",
        )  # fmt: skip
        figure.add_heatmap(
            z=scores.tolist(), colorscale=_COLOURS, zmin=0, zmax=top, showscale=number == 1,
            colorbar={"title": "score", "y": 0, "yanchor": "bottom", "len": 0.7},
            hovertemplate="(%{x}, %{y}): %{z:.3f}<extra></extra>", row=1, col=number,
        )  # fmt: skip
        _add_markers(figure, maps, pixel, number)
        axes = {"row": 1, "col": number, "showgrid": False, "zeroline": False, "ticks": ""}
        figure.update_xaxes(range=[-0.5, width - 0.5], constrain="domain", **axes)
        anchor = f"x{number}" if number > 1 else "x"
        figure.update_yaxes(range=[height - 0.5, -0.5], scaleanchor=anchor, **axes)
    side = min(_MAP, _MAPS // len(panels))
    style = {
        "width": 160 + side * len(panels),
        "height": 60 + side * height / width,
        "title": None,
        "margin": {"l": 30, "r": 10, "t": 30, "b": 30},
        "legend": {"bgcolor": "#9A9A9A", "font": {"color": "#111111"}, "y": 1, "x": 1.12},
        "paper_bgcolor": _CLEAR,
        "plot_bgcolor": _CLEAR,
        "font": {"color": "#808080"},  # readable on white and on black
    }
    return figure.update_layout(layout("") | style)


def _add_markers(
    figure: go.Figure, maps: KeypointMaps, pixel: tuple[int, int], number: int
) -> None:
    """Mark the annotated position, the predicted position and the selected pixel on a map."""
    for position, symbol, name, colour in (
        (maps.true, "circle-open", "truth", "#00E5FF"),
        (maps.predicted, "x-thin", "predicted", "#FFFFFF"),
        (pixel, "square-open", "pixel", "#7CFC00"),
    ):
        x = [] if position is None else [float(position[0])]
        y = [] if position is None else [float(position[1])]
        line = {"width": 2, "color": colour}
        figure.add_scatter(
            x=x, y=y, mode="markers", name=name, showlegend=number == 1, hoverinfo="skip",
            marker={"symbol": symbol, "size": 11, "color": colour, "line": line},
            row=1, col=number,
        )  # fmt: skip


def draw_pixel(maps: KeypointMaps, pixel: tuple[int, int]) -> go.Figure:
    """Draw the vectors at one pixel, a group of bars for each part that has the keypoint.

    Args:
        maps: The output of a network for one keypoint.
        pixel: The pixel (x, y) in heatmap px.
    """
    x, y = pixel
    title = f"The vectors in pixel ({x}, {y}), squashed (Eq. 4)"
    figure = go.Figure(layout=layout(title) | {"height": 260})
    for (name, vectors), colour in zip(maps.vectors.items(), cycle(PART_COLOURS), strict=False):
        vector = vectors[:, y, x]
        if len(vector) > 1:
            label = f"{plain_name(name)}, length {np.linalg.norm(vector):.3f}"
        else:
            label = f"{plain_name(name)}, score {vector[0]:.3f}"
        components = [str(number) for number in range(1, len(vector) + 1)]
        figure.add_bar(
            x=components, y=vector.tolist(), marker_color=colour, showlegend=True, name=label
        )
    figure.update_xaxes(title="component", type="category")
    return figure.update_yaxes(title="value", range=[-1, 1])


def _data_url(image: torch.Tensor) -> str:
    """Return an image uint8 [3, H, W] as the data URL of a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(buffer, "png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"

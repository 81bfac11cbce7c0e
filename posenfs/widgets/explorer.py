"""An explorer of score maps and keypoint vectors on any image."""

import base64
import io
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go
import torch
from PIL import Image
from plotly.subplots import make_subplots

from posenfs.data.datasets.catalogue import DataSpec
from posenfs.data.geometry import ImageSize, crop_to_heatmap
from posenfs.data.heatmaps import DECODINGS
from posenfs.data.loader import crop_people
from posenfs.data.sample import Annotations
from posenfs.evaluation.detections import whole_images
from posenfs.evaluation.prediction import keypoint_vectors, score_maps
from posenfs.messages import plain_name
from posenfs.model.network import PoseNetwork, PoseNFS
from posenfs.search.run_dir import RunDir
from posenfs.search.saved_models import load_model
from posenfs.search.session import Search
from posenfs.viz.curves import layout
from posenfs.viz.poses import draw_person_map, draw_vectors
from posenfs.viz.stick_body import PART_COLOURS
from posenfs.widgets.controller import SearchController
from posenfs.widgets.display import Background, column, error_html, keep_fresh, menu, row, show
from posenfs.widgets.plot import Plot
from posenfs.widgets.run_context import RunContext

_PERIOD = 0.1  # s between two refreshes
_MAP, _MAPS = 380, 900  # the largest widths of one map and of all maps together (px)
_CLEAR = "rgba(0, 0, 0, 0)"
# The colour scale is transparent at score 0, so that the image is visible there.
_COLOURS = [
    [0.0, "rgba(60, 15, 110, 0)"], [0.15, "rgba(90, 20, 125, 0.35)"],
    [0.5, "rgba(222, 73, 104, 0.65)"], [0.8, "rgba(254, 170, 110, 0.8)"],
    [1.0, "rgba(252, 253, 191, 0.9)"],
]  # fmt: skip


@dataclass(frozen=True)
class PersonMaps:
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
def inspect_person(
    model: PoseNetwork,
    people: Annotations,
    person: int,
    keypoint: str,
    size: ImageSize,
    flip: bool,
    decoding: str,
) -> PersonMaps:
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
    maps = score_maps(model, images, people.skeleton.flip_order if flip else None).cpu()
    vectors = keypoint_vectors(model, images, index) if isinstance(model, PoseNFS) else {}
    positions, _ = DECODINGS[decoding](maps)
    true = None
    if batch.visibility[0, index]:
        stride = size[0] // maps.shape[-1]
        true = crop_to_heatmap(batch.keypoints_crop[0, index], stride).numpy()
    return PersonMaps(
        batch.images[0], maps[0, index].numpy(), vectors, positions[0, index].numpy(), true
    )


class HeatmapExplorer:
    """Score maps and vectors of the last checkpoint of a run.

    The crop shows a person of the run's data (or of other data with the same keypoints), or the
    whole of an image file. A pixel is selected by a click on a map or by its coordinates; its
    vectors are drawn for every part that has the keypoint.

    Args:
        search: A search, or a run (its name or folder).
        data: Other data with the same keypoints; None for the run's data.

    Raises:
        RunError: The run has no checkpoint.
    """

    def __init__(self, search: Search | RunDir | str | Path, data: DataSpec | None = None):
        driver = SearchController(search)  # finds the run; no commands are sent
        experiment, opened = driver.experiment, driver.search
        if data is not None:
            experiment, opened = replace(experiment, data=data), None
        self.subject = RunContext(driver.run, experiment, opened)
        self.model = load_model(driver.run).model
        self.seen: PersonMaps | None = None
        self._work: Background[PersonMaps] = Background()
        self._placing = False  # whether the second coordinate of a click is still to be set
        self._build()
        self._submit()

    # -- layout --------------------------------------------------------------------------------

    def _build(self) -> None:
        names, subject = self.subject.skeleton.keypoints, self.subject
        splits = [("validation", "validation"), ("training", "training")]
        self.set = menu("people of", splits, width="210px")
        last = len(subject.people) - 1
        self.person = widgets.BoundedIntText(
            0, 0, last, description="person", layout={"width": "170px"}
        )
        self.image_path = widgets.Text(
            placeholder="or the path of an image file",
            continuous_update=False,
            layout={"width": "340px"},
        )
        keypoints = [(plain_name(name), name) for name in names]
        self.keypoint = menu("keypoint", keypoints, width="260px")
        self.flip = widgets.Checkbox(False, description="with the mirror image", indent=False)
        decodings = [(name, name) for name in DECODINGS]
        self.decoding = menu("decoding", decodings, width="240px")
        self.decoding.value = "quarter offset"
        height, width = (side // 4 for side in subject.size)  # heatmaps have stride 4 at least
        layout = {"width": "150px"}
        self.x = widgets.BoundedIntText(0, 0, width - 1, description="x", layout=layout)
        self.y = widgets.BoundedIntText(0, 0, height - 1, description="y", layout=layout)
        self.maps, self.bars = Plot(self._click, drawn=False), Plot()
        self.message, self.facts = widgets.HTML(), widgets.HTML()
        self.set.observe(lambda change: self._change_split(), "value")
        for control in (self.person, self.image_path, self.keypoint, self.flip, self.decoding):
            control.observe(lambda change: self._submit(), "value")
        for control in (self.x, self.y):
            control.observe(lambda change: self._draw(), "value")
        self.widget = column(
            row(self.set, self.person, self.image_path),
            row(self.keypoint, self.decoding, self.flip),
            self.message,
            self.maps,
            row(self.x, self.y),
            self.facts,
            self.bars,
        )

    def _ipython_display_(self) -> None:
        if show(self.widget, self.still):
            keep_fresh(("explorer", self.subject.run.folder.resolve()), self.refresh, _PERIOD)

    def still(self) -> str:
        """Return the score map and the vectors of the selected keypoint as static HTML."""
        people, person = self._selected()
        arguments = self.model, people, person, self.keypoint.value, self.subject.size
        figures = [draw_person_map(*arguments)]
        if isinstance(self.model, PoseNFS) and self.subject.experiment.vector_dim > 1:
            figures.append(draw_vectors(*arguments))
        images = (base64.b64encode(figure.png()).decode() for figure in figures)
        return "".join(
            f"<img src='data:image/png;base64,{image}' style='max-width: 100%'>" for image in images
        )

    # -- actions -------------------------------------------------------------------------------

    def _change_split(self) -> None:
        self.person.max = len(self._people()) - 1
        self._submit()

    def _people(self) -> Annotations:
        return self.subject.people if self.set.value == "validation" else self.subject.train

    def _selected(self) -> tuple[Annotations, int]:
        """Return the annotated people and the index of the selected one.

        Raises DataError where the image file cannot be read.
        """
        if path := self.image_path.value.strip():
            return whole_images([Path(path).expanduser()], self.subject.skeleton), 0
        return self._people(), self.person.value

    def _submit(self) -> None:
        """Compute the maps and vectors of the selection in the worker thread."""
        keypoint, flip, decoding = self.keypoint.value, self.flip.value, self.decoding.value

        def work() -> PersonMaps:
            people, person = self._selected()
            return inspect_person(
                self.model, people, person, keypoint, self.subject.size, flip, decoding
            )

        self._work.submit(work)

    def _click(self, x: int, y: int) -> None:
        """Select a pixel, and draw once for both coordinates."""
        self._placing = True
        self.x.value = x
        self._placing = False
        self.y.value = y
        self._draw()

    def refresh(self) -> None:
        """Show the last result of the worker thread."""
        try:
            seen = self._work.result()
            if seen is not None:
                self._show(seen)
        except Exception as error:  # a periodic task would not report it
            self.message.value = error_html(f"{type(error).__name__}: {error}")

    def _show(self, seen: PersonMaps) -> None:
        self.message.value = ""
        moved = self.seen is None or not np.array_equal(seen.predicted, self.seen.predicted)
        self.seen = seen
        if moved:  # select the predicted pixel first
            x, y = seen.predicted.round().astype(int).tolist()
            self._click(x, y)
        else:
            self._draw()

    def _draw(self) -> None:
        if self.seen is None or self._placing:
            return
        pixel = self.x.value, self.y.value
        self.maps.draw(draw_maps(self.seen, pixel))
        self.facts.value = self._description(self.seen, pixel)
        if self.seen.vectors:
            self.bars.draw(draw_pixel(self.seen, pixel))

    def _description(self, seen: PersonMaps, pixel: tuple[int, int]) -> str:
        """Return the predicted position and the scores of a pixel as HTML."""
        x, y = pixel
        text = f"predicted at ({seen.predicted[0]:.2f}, {seen.predicted[1]:.2f})"
        if seen.true is not None:
            distance = float(np.linalg.norm(seen.predicted - seen.true))
            true_x, true_y = seen.true
            text += f", {distance:.2f} map px from the truth ({true_x:.2f}, {true_y:.2f})"
        text += f"; at pixel ({x}, {y}) the score is <b>{seen.scores[y, x]:.3f}</b>"
        if self.flip.value:
            text += ", the mean with the mirror image"
        scores = {name: part[y, x] for name, part in seen.part_scores().items()}
        if scores:
            terms = " + ".join(f"{plain_name(name)} {score:.3f}" for name, score in scores.items())
            text += f"; without it {terms}" if self.flip.value else f" = {terms}"
        if len(scores) > 1:
            text += ". Parts share this keypoint: their scores are summed (Eq. 7)"
        return text


def draw_maps(seen: PersonMaps, pixel: tuple[int, int]) -> go.Figure:
    """Draw the score map over the crop, and the map of each part where several have the keypoint.

    Args:
        seen: The output of a network for one keypoint.
        pixel: The selected pixel (x, y) in heatmap px.
    """
    parts = seen.part_scores()
    maps = {"score": seen.scores}
    if len(parts) > 1:
        maps |= parts
    titles = [plain_name(name) for name in maps]
    figure = make_subplots(cols=len(maps), column_titles=titles, horizontal_spacing=0.03)
    height, width = seen.scores.shape
    top = max(float(scores.max()) for scores in maps.values()) or 1.0
    address = _data_address(seen.image)
    for number, scores in enumerate(maps.values(), 1):
        figure.add_layout_image(
            source=address, x=-0.5, y=-0.5, sizex=width, sizey=height, sizing="stretch",
            layer="below", row=1, col=number, xref="x", yref="y", yanchor="top",
        )  # fmt: skip
        figure.add_heatmap(
            z=scores.tolist(), colorscale=_COLOURS, zmin=0, zmax=top, showscale=number == 1,
            colorbar={"title": "score", "y": 0, "yanchor": "bottom", "len": 0.7},
            hovertemplate="(%{x}, %{y}): %{z:.3f}<extra></extra>", row=1, col=number,
        )  # fmt: skip
        _add_markers(figure, seen, pixel, number)
        axes = {"row": 1, "col": number, "showgrid": False, "zeroline": False, "ticks": ""}
        figure.update_xaxes(range=[-0.5, width - 0.5], constrain="domain", **axes)
        anchor = f"x{number}" if number > 1 else "x"
        figure.update_yaxes(range=[height - 0.5, -0.5], scaleanchor=anchor, **axes)
    side = min(_MAP, _MAPS // len(maps))
    style = {
        "width": 160 + side * len(maps),
        "height": 60 + side * height / width,
        "title": None,
        "margin": {"l": 30, "r": 10, "t": 30, "b": 30},
        "legend": {"bgcolor": "#9A9A9A", "font": {"color": "#111111"}, "y": 1, "x": 1.12},
        "paper_bgcolor": _CLEAR,
        "plot_bgcolor": _CLEAR,
        "font": {"color": "#808080"},  # readable on white and on black
    }
    return figure.update_layout(layout("") | style)


def _add_markers(figure: go.Figure, seen: PersonMaps, pixel: tuple[int, int], number: int) -> None:
    """Mark the annotated position, the predicted position and the selected pixel on a map."""
    for position, symbol, name, colour in (
        (seen.true, "circle-open", "truth", "#00E5FF"),
        (seen.predicted, "x-thin", "predicted", "#FFFFFF"),
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


def draw_pixel(seen: PersonMaps, pixel: tuple[int, int]) -> go.Figure:
    """Draw the vectors at one pixel, a group of bars for each part that has the keypoint.

    Args:
        seen: The output of a network for one keypoint.
        pixel: The pixel (x, y) in heatmap px.
    """
    x, y = pixel
    title = f"The vectors in pixel ({x}, {y}), squashed (Eq. 4)"
    figure = go.Figure(layout=layout(title) | {"height": 260})
    for (name, vectors), colour in zip(seen.vectors.items(), cycle(PART_COLOURS), strict=False):
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


def _data_address(image: torch.Tensor) -> str:
    """Return an image uint8 [3, H, W] as the data: address of a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(buffer, "png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"

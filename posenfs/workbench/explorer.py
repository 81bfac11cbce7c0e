"""Where a network looks: the score map of any keypoint on any picture, and the vectors behind any pixel of it."""

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

from posenfs.body.words import plain_name
from posenfs.data.datasets.catalogue import DataSpec
from posenfs.data.geometry import crop_to_heatmap
from posenfs.data.heatmaps import DECODINGS
from posenfs.data.loader import crop_people
from posenfs.data.sample import People
from posenfs.evaluation.pictures import whole_pictures
from posenfs.evaluation.predict import keypoint_vectors, score_maps
from posenfs.model.network import PoseNetwork, PoseNFS
from posenfs.search.engine import Search
from posenfs.search.run import Run
from posenfs.search.saved import load_model
from posenfs.show.curves import layout
from posenfs.show.poses import draw_person_map, draw_vectors
from posenfs.show.stick_body import PART_COLOURS
from posenfs.workbench.display import Background, column, in_red, keep_fresh, menu, row, show
from posenfs.workbench.drawing import Plot
from posenfs.workbench.driver import Driver
from posenfs.workbench.subject import Subject

_PERIOD = 0.1  # s between looks at what was chosen, and what is done
_MAP, _MAPS = 380, 900  # px, width that a map has on the page at most, and all of them together
_CLEAR = "rgba(0, 0, 0, 0)"
# From nothing to bright: where the score is 0 the picture is seen as it is.
_SCORES = [
    [0.0, "rgba(60, 15, 110, 0)"], [0.15, "rgba(90, 20, 125, 0.35)"], [0.5, "rgba(222, 73, 104, 0.65)"],
    [0.8, "rgba(254, 170, 110, 0.8)"], [1.0, "rgba(252, 253, 191, 0.9)"],
]  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """What a network says of one keypoint in one crop; places are x, y in heatmap px.

    `vectors` [d, h, w], squashed (Eq. 4), by each part that has the keypoint; none where it is no PoseNFS.
    """

    image: torch.Tensor  # uint8 [3, H, W]
    scores: np.ndarray  # [h, w], summed over parts (Eq. 7); with flip the mean with the mirror image's
    vectors: dict[str, np.ndarray]  # without flip
    found: np.ndarray  # where the decoding puts the keypoint
    true: np.ndarray | None  # None where it is not labelled

    def part_scores(self) -> dict[str, np.ndarray]:
        """[h, w] of each part: the length of its vectors (Eq. 5), or the plain score for d = 1."""
        return {name: own[0] if len(own) == 1 else np.linalg.norm(own, axis=0) for name, own in self.vectors.items()}


@torch.no_grad()
def look_at(
    model: PoseNetwork, people: People, person: int, keypoint: str, size: tuple[int, int], flip: bool, decoding: str
) -> Seen:
    """One keypoint of one person by a network in eval mode, cropped to size (width, height)."""
    batch, index = crop_people(people.select([person]), size), people.skeleton.index(keypoint)
    images = batch.images.to(next(model.parameters()).device)
    maps = score_maps(model, images, people.skeleton.flip_order if flip else None).cpu()
    vectors = keypoint_vectors(model, images, index) if isinstance(model, PoseNFS) else {}
    places, _ = DECODINGS[decoding](maps)
    labelled = bool(batch.visibility[0, index])
    true = crop_to_heatmap(batch.keypoints_crop[0, index], size[0] // maps.shape[-1]).numpy() if labelled else None
    return Seen(batch.images[0], maps[0, index].numpy(), vectors, places[0, index].numpy(), true)


class HeatmapExplorer:
    """Any person of a run's data (or of other data of the same keypoints), or any picture of one's own (taken whole),
    by the network of its last snapshot.

    A pixel is chosen by a click on a map or by its numbers; its vectors stand beside the maps, part by part where
    parts share the keypoint. Raises RunError without a snapshot.
    """

    def __init__(self, search: Search | Run | str | Path, data: DataSpec | None = None):
        driver = Driver(search)  # which gives no orders here: it finds the run
        shown = driver.experiment if data is None else replace(driver.experiment, data=data)
        self.subject = Subject(driver.run, shown, driver.search if data is None else None)
        self.model = load_model(driver.run).model
        self.seen: Seen | None = None
        self._work: Background[Seen] = Background()
        self._placing = False
        self._build()
        self._ask()

    # -- what it looks like -----------------------------------------------------------------------------------------

    def _build(self) -> None:
        names, subject = self.subject.skeleton.keypoints, self.subject
        self.set = menu("people of", [("validation", "validation"), ("training", "training")], width="210px")
        self.person = widgets.BoundedIntText(
            0, 0, len(subject.people) - 1, description="person", layout={"width": "170px"}
        )
        self.picture = widgets.Text(
            placeholder="or the path of a picture of one's own", continuous_update=False, layout={"width": "340px"}
        )
        self.keypoint = menu("keypoint", [(plain_name(name), name) for name in names], width="260px")
        self.flip = widgets.Checkbox(False, description="with the mirror image", indent=False)
        self.decoding = menu("decoding", [(name, name) for name in DECODINGS], width="240px")
        self.decoding.value = "quarter offset"
        width, height = (side // 4 for side in subject.size)  # the finest stride
        self.x = widgets.BoundedIntText(0, 0, width - 1, description="x", layout={"width": "150px"})
        self.y = widgets.BoundedIntText(0, 0, height - 1, description="y", layout={"width": "150px"})
        self.maps, self.bars = Plot(self._click, drawn=False), Plot()
        self.message, self.facts = widgets.HTML(), widgets.HTML()
        self.set.observe(lambda change: self._other_set(), "value")
        for own in (self.person, self.picture, self.keypoint, self.flip, self.decoding):
            own.observe(lambda change: self._ask(), "value")
        for own in (self.x, self.y):
            own.observe(lambda change: self._draw(), "value")
        self.widget = column(
            row(self.set, self.person, self.picture), row(self.keypoint, self.decoding, self.flip), self.message,
            self.maps, row(self.x, self.y), self.facts, self.bars,
        )  # fmt: skip

    def _ipython_display_(self) -> None:
        if show(self.widget, self.still):
            keep_fresh(("explorer", self.subject.run.folder.resolve()), self.refresh, _PERIOD)

    def still(self) -> str:
        """The chosen keypoint's map and vectors, as HTML that needs neither kernel nor widgets."""
        people, person = self._chosen()
        chosen = self.model, people, person, self.keypoint.value, self.subject.size
        pictures = [draw_person_map(*chosen)]
        if isinstance(self.model, PoseNFS) and self.subject.experiment.vector_dim > 1:
            pictures.append(draw_vectors(*chosen))
        codes = (base64.b64encode(picture.png()).decode() for picture in pictures)
        return "".join(f"<img src='data:image/png;base64,{code}' style='max-width: 100%'>" for code in codes)

    # -- what is done -----------------------------------------------------------------------------------------------

    def _other_set(self) -> None:
        self.person.max = len(self._people()) - 1
        self._ask()

    def _people(self) -> People:
        return self.subject.people if self.set.value == "validation" else self.subject.train

    def _chosen(self) -> tuple[People, int]:
        """The person looked at; raises DataError for what is no picture."""
        if path := self.picture.value.strip():
            return whole_pictures([Path(path).expanduser()], self.subject.skeleton), 0
        return self._people(), self.person.value

    def _ask(self) -> None:
        keypoint, flip, decoding = self.keypoint.value, self.flip.value, self.decoding.value

        def work() -> Seen:
            return look_at(self.model, *self._chosen(), keypoint, self.subject.size, flip, decoding)

        self._work.submit(work)

    def _click(self, x: int, y: int) -> None:
        self._placing = True  # one drawing for both numbers
        self.x.value = x
        self._placing = False
        self.y.value = y
        self._draw()

    def refresh(self) -> None:
        """Show what was seen since."""
        try:
            if (seen := self._work.result()) is not None:
                self._show(seen)
        except Exception as error:  # of a task nobody would hear it
            self.message.value = in_red(f"{type(error).__name__}: {error}")

    def _show(self, seen: Seen) -> None:
        self.message.value = ""
        moved = self.seen is None or not np.array_equal(seen.found, self.seen.found)
        self.seen = seen
        if moved:  # the pixel chosen first is the one found
            self._click(*(int(v) for v in seen.found.round()))
        else:
            self._draw()

    def _draw(self) -> None:
        if self.seen is None or self._placing:
            return
        pixel = self.x.value, self.y.value
        self.maps.draw(draw_maps(self.seen, pixel))
        self.facts.value = self._words(pixel)
        if self.seen.vectors:
            self.bars.draw(draw_pixel(self.seen, pixel))

    def _words(self, pixel: tuple[int, int]) -> str:
        seen, (x, y) = self.seen, pixel
        found = f"found at ({seen.found[0]:.2f}, {seen.found[1]:.2f})"
        if seen.true is not None:
            away = float(np.linalg.norm(seen.found - seen.true))
            found += f", {away:.2f} map px from the truth ({seen.true[0]:.2f}, {seen.true[1]:.2f})"
        lengths = {name: own[y, x] for name, own in seen.part_scores().items()}
        of_parts = " + ".join(f"{plain_name(name)} {value:.3f}" for name, value in lengths.items())
        own = f"at pixel ({x}, {y}) the score is <b>{seen.scores[y, x]:.3f}</b>"
        if self.flip.value:
            own += ", the mean with the mirror image"
        if of_parts:
            own += f"; without it {of_parts}" if self.flip.value else f" = {of_parts}"
        shared = ". Parts share this keypoint: their scores are summed (Eq. 7)" * (len(lengths) > 1)
        return f"{found}; {own}{shared}"


def draw_maps(seen: Seen, pixel: tuple[int, int]) -> go.Figure:
    """The score map over the crop, and beside it each part's own where several share the keypoint."""
    parts = seen.part_scores()
    maps = {"score": seen.scores} | (parts if len(parts) > 1 else {})
    figure = make_subplots(cols=len(maps), column_titles=[plain_name(name) for name in maps], horizontal_spacing=0.03)
    height, width = seen.scores.shape
    top = max(float(own.max()) for own in maps.values()) or 1.0
    picture = _as_address(seen.image)
    for number, own in enumerate(maps.values(), 1):
        figure.add_layout_image(
            source=picture, x=-0.5, y=-0.5, sizex=width, sizey=height, sizing="stretch", layer="below", row=1,
            col=number, xref="x", yref="y", yanchor="top",
        )  # fmt: skip
        figure.add_heatmap(
            z=own.tolist(), colorscale=_SCORES, zmin=0, zmax=top, showscale=number == 1, row=1, col=number,
            colorbar={"title": "score", "y": 0, "yanchor": "bottom", "len": 0.7},
            hovertemplate="(%{x}, %{y}): %{z:.3f}<extra></extra>",
        )  # fmt: skip
        for place, symbol, name, colour in (
            (seen.true, "circle-open", "truth", "#00E5FF"),
            (seen.found, "x-thin", "found", "#FFFFFF"),
            (pixel, "square-open", "pixel", "#7CFC00"),
        ):
            x, y = ([], []) if place is None else ([float(place[0])], [float(place[1])])
            figure.add_scatter(
                x=x, y=y, mode="markers", name=name, showlegend=number == 1, hoverinfo="skip", row=1, col=number,
                marker={"symbol": symbol, "size": 11, "color": colour, "line": {"width": 2, "color": colour}},
            )  # fmt: skip
        axes = {"row": 1, "col": number, "showgrid": False, "zeroline": False, "ticks": ""}
        figure.update_xaxes(range=[-0.5, width - 0.5], constrain="domain", **axes)
        figure.update_yaxes(range=[height - 0.5, -0.5], scaleanchor=f"x{number if number > 1 else ''}", **axes)
    side = min(_MAP, _MAPS // len(maps))
    look = {"width": 160 + side * len(maps), "height": 60 + side * height / width, "title": None}
    look |= {"margin": {"l": 30, "r": 10, "t": 30, "b": 30}}
    look |= {"legend": {"bgcolor": "#9A9A9A", "font": {"color": "#111111"}, "y": 1, "x": 1.12}}
    look |= {"paper_bgcolor": _CLEAR, "plot_bgcolor": _CLEAR, "font": {"color": "#808080"}}  # to be read on black too
    return figure.update_layout(layout("") | look)


def draw_pixel(seen: Seen, pixel: tuple[int, int]) -> go.Figure:
    """The components of the vectors in one pixel, a group of bars for each part that has the keypoint."""
    x, y = pixel
    figure = go.Figure(layout=layout(f"The vectors in pixel ({x}, {y}), squashed (Eq. 4)") | {"height": 260})
    for (name, own), colour in zip(seen.vectors.items(), cycle(PART_COLOURS), strict=False):
        values = own[:, y, x]
        length = float(np.linalg.norm(values)) if len(values) > 1 else float(values[0])
        figure.add_bar(
            x=[f"{n}" for n in range(1, len(values) + 1)], y=values.tolist(), marker_color=colour, showlegend=True,
            name=f"{plain_name(name)}, {'length' if len(values) > 1 else 'score'} {length:.3f}",
        )  # fmt: skip
    figure.update_xaxes(title="component", type="category")
    return figure.update_yaxes(title="value", range=[-1, 1])


def _as_address(image: torch.Tensor) -> str:
    """uint8 [3, H, W] -> a PNG as a data: address."""
    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(buffer, "png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"

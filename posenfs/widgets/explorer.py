"""An explorer of score maps and keypoint vectors on any image."""

import base64
from dataclasses import replace
from pathlib import Path

import ipywidgets as widgets
import numpy as np

from posenfs.data.datasets.catalogue import DataSpec
from posenfs.data.heatmaps import DECODINGS
from posenfs.data.sample import Annotations
from posenfs.evaluation.detections import whole_images
from posenfs.messages import plain_name
from posenfs.model.network import PoseNFS
from posenfs.search.run_dir import RunDir
from posenfs.search.saved_models import load_model
from posenfs.search.session import Search
from posenfs.viz.score_maps import draw_person_map, draw_vectors
from posenfs.widgets.background import BackgroundWorker
from posenfs.widgets.controller import SearchController
from posenfs.widgets.display import column, error_html, menu, refresh_periodically, row, show
from posenfs.widgets.keypoint_maps import KeypointMaps, compute_maps, draw_maps, draw_pixel
from posenfs.widgets.plot import Plot
from posenfs.widgets.run_context import RunContext

_PERIOD = 0.1  # s between two refreshes


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
        controller = SearchController(search)  # finds the run; no commands are sent
        experiment, opened = controller.experiment, controller.search
        if data is not None:
            experiment, opened = replace(experiment, data=data), None
        self.subject = RunContext(controller.run, experiment, opened)
        self.model = load_model(controller.run).model
        self.shown: KeypointMaps | None = None
        self._worker: BackgroundWorker[KeypointMaps] = BackgroundWorker()
        self._selecting_pixel = False  # whether the second coordinate of a click is still to be set
        self._build()
        self._submit()

    # -- layout --------------------------------------------------------------------------------

    def _build(self) -> None:
        names, subject = self.subject.skeleton.keypoints, self.subject
        splits = [("validation", "validation"), ("training", "training")]
        self.split = menu("people of", splits, width="210px")
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
        self.split.observe(lambda change: self._change_split(), "value")
        for control in (self.person, self.image_path, self.keypoint, self.flip, self.decoding):
            control.observe(lambda change: self._submit(), "value")
        for control in (self.x, self.y):
            control.observe(lambda change: self._draw(), "value")
        self.widget = column(
            row(self.split, self.person, self.image_path),
            row(self.keypoint, self.decoding, self.flip),
            self.message,
            self.maps,
            row(self.x, self.y),
            self.facts,
            self.bars,
        )

    def _ipython_display_(self) -> None:
        if show(self.widget, self.static_html):
            refresh_periodically(
                ("explorer", self.subject.run.folder.resolve()), self.refresh, _PERIOD
            )

    def static_html(self) -> str:
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
        return self.subject.people if self.split.value == "validation" else self.subject.train

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

        def work() -> KeypointMaps:
            people, person = self._selected()
            return compute_maps(
                self.model, people, person, keypoint, self.subject.size, flip, decoding
            )

        self._worker.submit(work)

    def _click(self, x: int, y: int) -> None:
        """Select a pixel, and draw once for both coordinates."""
        self._selecting_pixel = True
        self.x.value = x
        self._selecting_pixel = False
        self.y.value = y
        self._draw()

    def refresh(self) -> None:
        """Show the last result of the worker thread."""
        try:
            maps = self._worker.result()
            if maps is not None:
                self._show(maps)
        except Exception as error:  # a periodic task would not report it
            self.message.value = error_html(f"{type(error).__name__}: {error}")

    def _show(self, maps: KeypointMaps) -> None:
        self.message.value = ""
        moved = self.shown is None or not np.array_equal(maps.predicted, self.shown.predicted)
        self.shown = maps
        if moved:  # select the predicted pixel first
            x, y = maps.predicted.round().astype(int).tolist()
            self._click(x, y)
        else:
            self._draw()

    def _draw(self) -> None:
        if self.shown is None or self._selecting_pixel:
            return
        pixel = self.x.value, self.y.value
        self.maps.draw(draw_maps(self.shown, pixel))
        self.facts.value = self._description(self.shown, pixel)
        if self.shown.vectors:
            self.bars.draw(draw_pixel(self.shown, pixel))

    def _description(self, maps: KeypointMaps, pixel: tuple[int, int]) -> str:
        """Return the predicted position and the scores of a pixel as HTML."""
        x, y = pixel
        text = f"predicted at ({maps.predicted[0]:.2f}, {maps.predicted[1]:.2f})"
        if maps.true is not None:
            distance = float(np.linalg.norm(maps.predicted - maps.true))
            true_x, true_y = maps.true
            text += f", {distance:.2f} map px from the truth ({true_x:.2f}, {true_y:.2f})"
        text += f"; at pixel ({x}, {y}) the score is <b>{maps.scores[y, x]:.3f}</b>"
        if self.flip.value:
            text += ", the mean with the mirror image"
        scores = {name: part[y, x] for name, part in maps.part_scores().items()}
        if scores:
            terms = " + ".join(f"{plain_name(name)} {score:.3f}" for name, score in scores.items())
            text += f"; without it {terms}" if self.flip.value else f" = {terms}"
        if len(scores) > 1:
            text += ". Parts share this keypoint: their scores are summed (Eq. 7)"
        return text

"""An editor of alpha and beta that shows their effect on graph, score maps, loss and cost."""

import base64
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ipywidgets as widgets
import torch

from posenfs.data.geometry import ImageSize, crop_to_heatmap
from posenfs.data.heatmaps import encode
from posenfs.data.loader import crop_people
from posenfs.data.sample import Batch, normalise
from posenfs.messages import plain_name
from posenfs.model.architecture import Architecture
from posenfs.model.expected_cost import ExpectedCost
from posenfs.model.network import PoseNFS
from posenfs.model.space import Sources
from posenfs.model.vectors import heatmap_loss
from posenfs.search.checkpoints import RunError
from posenfs.search.run_dir import RunDir
from posenfs.search.session import Search
from posenfs.viz.fabric_graph import operation_name
from posenfs.viz.graphs import draw_fabrics
from posenfs.viz.poses import draw_map_change
from posenfs.widgets.controller import SearchController
from posenfs.widgets.display import (
    Background,
    button,
    column,
    error_html,
    fill,
    image_box,
    keep_fresh,
    menu,
    row,
    show,
)
from posenfs.widgets.plot import Drawing
from posenfs.widgets.run_context import RunContext
from posenfs.widgets.views import cell_of

_PERIOD = 0.1  # s between two refreshes
_BATCH = 8  # annotated people of which the loss is computed
_REACH = 6.0  # the largest logit of a slider; the smallest is its negative


@dataclass(frozen=True)
class Answer:
    """The output of the edited network.

    Attributes:
        maps: Score maps before and after the edit, as a PNG.
        loss: The loss on a fixed batch.
        gmac: The expected multiply-adds (GMAC an image).
    """

    maps: bytes
    loss: float
    gmac: float


class ArchitectureEditor:
    """Sliders for the logits alpha and beta of one part, at the last checkpoint of a run.

    Each edit is evaluated by the network itself, on validation images and without flip. The run
    stays unchanged; *Branch* creates a new run with the edit.

    Args:
        search: A search, or a run (its name or folder).
        device: The device of a search that a branch begins: auto, cpu, cuda or cuda:N.

    Raises:
        ValueError: The run searches nothing.
        RunError: The run has no checkpoint.
    """

    def __init__(self, search: Search | RunDir | str | Path, device: str = "auto"):
        self.driver = SearchController(search, device)
        run = self.driver.run
        self.subject = RunContext(run, self.driver.experiment, self.driver.search)
        if not self.subject.specs:
            raise ValueError(
                f"nothing is searched in {run.folder}: there is no alpha or beta to edit"
            )
        checkpoints = run.checkpoints.steps()
        if not checkpoints:
            raise RunError(f"{run.folder} has no checkpoint yet: the end of an epoch writes one")
        self.step = checkpoints[-1]
        self.network: PoseNFS = self.subject.network_at(self.step)
        self._edited: PoseNFS = self.network.with_architectures({})
        self.before = {
            name: architecture.detach()
            for name, architecture in self.network.architectures().items()
        }
        self.edits: list[tuple[str, Architecture]] = []  # (part, its logits after the edit)
        self._work: Background[Answer] = Background()
        self._updating = False  # whether the controls are changed by the editor itself
        self._first: Answer | None = None  # the answer before any edit
        self._doing = self._done = ""  # the driver's current and last command
        self._build()
        self._fill_menus()

    @property
    def architectures(self) -> dict[str, Architecture]:
        """Alpha and beta of all fabrics, with the edits."""
        return {**self.before, **dict(self.edits)}

    @property
    def changed(self) -> dict[str, Architecture]:
        """Alpha and beta of the fabrics whose logits differ from the checkpoint's."""
        return {
            name: architecture
            for name, architecture in self.architectures.items()
            if not (
                architecture.alpha.equal(self.before[name].alpha)
                and architecture.beta.equal(self.before[name].beta)
            )
        }

    # -- layout --------------------------------------------------------------------------------

    def _build(self) -> None:
        specs = self.subject.specs
        self.part = menu("part", [(plain_name(name), name) for name in specs])
        self.edge, self.cell, self.keypoint = menu("edge"), menu("cell"), menu("keypoint")
        last = len(self.subject.people) - 1
        self.person = widgets.BoundedIntText(0, 0, last, description="person")
        self.operations, self.sources = widgets.VBox(), widgets.VBox()
        self.undo = button("Undo", "undo", "Undo the last edit", self._undo, disabled=True)
        self.reset = button(
            "Reset", "refresh", "Restore the checkpoint's logits", self._undo_all, disabled=True
        )
        name = f"{self.driver.run.name}_edited"
        self.name = widgets.Text(name, layout={"width": "180px"})
        tooltip = "Create a run of this name that continues with the edit"
        self.branch = button("Branch", "code-fork", tooltip, self._branch, disabled=True)
        self.graph = Drawing("cell", self._choose)
        self.facts, self.message = widgets.HTML(), widgets.HTML()
        self.maps = image_box()
        self.part.observe(lambda change: self._fill_menus(), "value")
        for control in (self.edge, self.cell):
            control.observe(lambda change: self._set_sliders(), "value")
        for control in (self.person, self.keypoint):
            control.observe(lambda change: self._submit(), "value")
        sliders = [self.part, self.edge, self.operations, self.cell, self.sources]
        left = widgets.VBox(sliders, layout={"width": "360px"})
        layout = {"flex": "1", "min_width": "440px"}
        right = widgets.VBox([self.facts, self.graph], layout=layout)
        self.widget = column(
            row(left, right),
            row(self.undo, self.reset, self.name, self.branch),
            self.message,
            row(self.person, self.keypoint),
            self.maps,
        )

    def _ipython_display_(self) -> None:
        if show(self.widget, self.still):
            keep_fresh(("editor", self.driver.run.folder.resolve()), self.refresh, _PERIOD)

    def still(self) -> str:
        """Return the graph and the score maps as static HTML."""
        answer = self.answer(self.changed, self.person.value, self.keypoint.value)
        maps = base64.b64encode(answer.maps).decode()
        image = f"<img src='data:image/png;base64,{maps}' style='max-width: 100%'>"
        return f"{self.graph.svg}{image}"

    def _fill_menus(self) -> None:
        """Show the edges, cells and keypoints of the selected part."""
        name = self.part.value
        spec, skeleton = self.subject.specs[name], self.subject.skeleton
        keypoints = list(skeleton.keypoints)  # those of a fabric backbone
        for part in self.subject.parts:
            if part.name == name:
                keypoints = [skeleton.keypoints[index] for index in part.keypoints]
        edges = [(f"{start} → {end}", index) for index, (start, end) in enumerate(spec.edges)]
        cells = [
            (f"layer {cell.layer}, 1/{spec.strides[cell.row]}", index)
            for index, cell in enumerate(spec.cells)
        ]
        self._updating = True
        fill(self.edge, edges)
        fill(self.cell, cells)
        fill(self.keypoint, [(plain_name(keypoint), keypoint) for keypoint in keypoints])
        self._updating = False
        self._set_sliders()
        self._submit()

    def _choose(self, node: str) -> None:
        """Select the cell of a chosen node of the graph."""
        _, cell = cell_of(node, self.subject.specs)
        self.cell.value = self.subject.specs[self.part.value].cells.index(cell)

    def _set_sliders(self) -> None:
        """Create the sliders of the selected edge and cell."""
        if self._updating:
            return
        name = self.part.value
        architecture, spec = self.architectures[name], self.subject.specs[name]
        alpha, beta = architecture.alpha, architecture.beta[self.cell.value]
        if spec.alpha_per_cell:
            alpha = alpha[self.cell.value]
        operations = [operation_name(operation) for operation in spec.operations]
        self.operations.children = self._sliders(operations, alpha[self.edge.value])
        self.sources.children = self._sliders(Sources._fields, beta)

    def _sliders(self, names: Sequence[str], logits: torch.Tensor) -> list[widgets.FloatSlider]:
        """Return a slider for each logit."""
        sliders = []
        for name, logit in zip(names, logits.tolist(), strict=True):
            slider = widgets.FloatSlider(
                logit, min=min(-_REACH, logit), max=max(_REACH, logit), step=0.01,
                description=name, continuous_update=False, readout_format=".2f",
                style={"description_width": "110px"}, layout={"width": "340px"},
            )  # fmt: skip
            slider.observe(lambda change: self._edit(), "value")
            sliders.append(slider)
        return sliders

    # -- actions -------------------------------------------------------------------------------

    def _edit(self) -> None:
        """Add an edit with the values of the sliders."""
        name = self.part.value
        architecture, spec = self.architectures[name], self.subject.specs[name]
        alpha, beta = architecture.alpha.clone(), architecture.beta.clone()
        edges = alpha[self.cell.value] if spec.alpha_per_cell else alpha
        operation_logits = [slider.value for slider in self.operations.children]
        source_logits = [slider.value for slider in self.sources.children]
        edges[self.edge.value] = torch.tensor(operation_logits)
        beta[self.cell.value] = torch.tensor(source_logits)
        self.edits.append((name, Architecture(alpha, beta)))
        self._submit()

    def _undo(self) -> None:
        del self.edits[-1:]
        self._set_sliders()
        self._submit()

    def _undo_all(self) -> None:
        self.edits.clear()
        self._set_sliders()
        self._submit()

    def _branch(self) -> None:
        self.driver.branch(self.step, self.name.value, self.changed)

    def _submit(self) -> None:
        """Draw the graph, and evaluate the edited network in the worker thread."""
        if self._updating:
            return
        self.undo.disabled = self.reset.disabled = not self.edits
        self.branch.disabled = not self.changed
        name, changed = self.part.value, self.changed
        architecture = self.architectures[name]
        self.graph.draw(draw_fabrics(self.subject.specs[name], {name: architecture}))
        person, keypoint = self.person.value, self.keypoint.value
        self._work.submit(lambda: self.answer(changed, person, keypoint))

    def answer(self, changed: dict[str, Architecture], person: int, keypoint: str) -> Answer:
        """Evaluate the network with edited alpha and beta.

        Args:
            changed: The edited alpha and beta by fabric.
            person: The index in the validation split.
            keypoint: The name of the keypoint of the score maps.

        Returns:
            The score maps before and after the edit, the loss and the expected cost.
        """
        edited, subject = self._edited, self.subject
        edited.set_architectures({**self.before, **changed})
        people, keypoints = subject.people, [keypoint]
        maps = draw_map_change(self.network, edited, people, person, keypoints, subject.size)
        gmac = self._cost(edited.architectures()).item() / 1e9
        return Answer(maps.png(), self._loss(edited), gmac)

    @functools.cached_property
    def _cost(self) -> ExpectedCost:
        return ExpectedCost(self.network, *self.subject.size)

    @functools.cached_property
    def _batch(self) -> Batch:
        return crop_people(self.subject.people.select(slice(_BATCH)), self.subject.size)

    @torch.no_grad()
    def _loss(self, network: PoseNFS) -> float:
        batch = self._batch
        maps = network(normalise(batch.images))  # [B, K, h, w]
        stride = self.subject.size.width // maps.shape[-1]
        target = encode(crop_to_heatmap(batch.keypoints_crop, stride), ImageSize(*maps.shape[-2:]))
        return heatmap_loss(maps, target, batch.visibility).item()

    def refresh(self) -> None:
        """Show the state of the branch, and the last answer of the worker thread."""
        try:
            answer = self._work.result()
        except Exception as error:  # raised in the worker thread
            self.message.value = error_html(f"{type(error).__name__}: {error}")
            return
        if self.driver.doing != self._doing:  # a command has started or ended
            self._doing, self._done = self.driver.doing, self._doing
        if self.driver.error:
            self.message.value = error_html(self.driver.error)
        elif self._done and not self._doing:
            self.message.value = f"{self._done}: done"
        else:
            self.message.value = self._doing
        if answer is None:
            return
        self.maps.value = answer.maps
        self._first = self._first or answer
        self.facts.value = (
            f"step {self.step}, {_BATCH} people: loss <b>{answer.loss:.3f}</b> "
            f"(before {self._first.loss:.3f}); expected <b>{answer.gmac:.3f}</b> GMAC "
            f"(before {self._first.gmac:.3f})"
        )

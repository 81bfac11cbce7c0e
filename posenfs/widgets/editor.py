"""An editor of alpha and beta that shows their effect on graph, score maps, loss and cost."""

import base64
from collections.abc import Sequence
from pathlib import Path

import ipywidgets as widgets
import torch

from posenfs.messages import plain_name
from posenfs.model.architecture import Architecture
from posenfs.model.network import PoseNFS
from posenfs.model.space import Sources
from posenfs.search.checkpoints import RunError
from posenfs.search.run_dir import RunDir
from posenfs.search.session import Search
from posenfs.viz.fabric_graph import draw_fabrics
from posenfs.viz.fabric_weights import operation_name
from posenfs.widgets.background import BackgroundWorker
from posenfs.widgets.controller import SearchController
from posenfs.widgets.display import (
    button,
    column,
    error_html,
    image_box,
    menu,
    refresh_periodically,
    row,
    set_options,
    show,
)
from posenfs.widgets.edit_evaluation import EVALUATED, EditEffect, EditEvaluator
from posenfs.widgets.fabric_view import cell_of
from posenfs.widgets.plot import Drawing
from posenfs.widgets.run_context import RunContext

_PERIOD = 0.1  # s between two refreshes
_REACH = 6.0  # the largest logit of a slider; the smallest is its negative


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
        self.controller = SearchController(search, device)
        run = self.controller.run
        self.subject = RunContext(run, self.controller.experiment, self.controller.search)
        if not self.subject.specs:
            raise ValueError(
                f"nothing is searched in {run.folder}: there is no alpha or beta to edit"
            )
        checkpoints = run.checkpoints.steps()
        if not checkpoints:
            raise RunError(f"{run.folder} has no checkpoint yet: the end of an epoch writes one")
        self.step = checkpoints[-1]
        network: PoseNFS = self.subject.network_at(self.step)
        self.evaluator = EditEvaluator(network, self.subject)
        self.before = {
            name: architecture.detach() for name, architecture in network.architectures().items()
        }
        self.edits: list[tuple[str, Architecture]] = []  # (part, its logits after the edit)
        self._worker: BackgroundWorker[EditEffect] = BackgroundWorker()
        self._updating = False  # whether the controls are changed by the editor itself
        self._first: EditEffect | None = None  # the first effect, that of no edit
        self._doing = self._done = ""  # the controller's current and last command
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
        name = f"{self.controller.run.name}_edited"
        self.name = widgets.Text(name, layout={"width": "180px"})
        tooltip = "Create a run of this name that continues with the edit"
        self.branch = button("Branch", "code-fork", tooltip, self._branch, disabled=True)
        self.graph = Drawing("cell", self._select_cell)
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
        if show(self.widget, self.static_html):
            refresh_periodically(
                ("editor", self.controller.run.folder.resolve()), self.refresh, _PERIOD
            )

    def static_html(self) -> str:
        """Return the graph and the score maps as static HTML."""
        effect = self.evaluator.evaluate(self.architectures, self.person.value, self.keypoint.value)
        maps = base64.b64encode(effect.maps).decode()
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
        set_options(self.edge, edges)
        set_options(self.cell, cells)
        set_options(self.keypoint, [(plain_name(keypoint), keypoint) for keypoint in keypoints])
        self._updating = False
        self._set_sliders()
        self._submit()

    def _select_cell(self, node: str) -> None:
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
        self.controller.branch(self.step, self.name.value, self.changed)

    def _submit(self) -> None:
        """Draw the graph, and evaluate the edited network in the worker thread."""
        if self._updating:
            return
        self.undo.disabled = self.reset.disabled = not self.edits
        self.branch.disabled = not self.changed
        name, architectures = self.part.value, self.architectures
        self.graph.draw(draw_fabrics(self.subject.specs[name], {name: architectures[name]}))
        person, keypoint = self.person.value, self.keypoint.value
        self._worker.submit(lambda: self.evaluator.evaluate(architectures, person, keypoint))

    def refresh(self) -> None:
        """Show the state of the branch, and the last result of the worker thread."""
        try:
            effect = self._worker.result()
        except Exception as error:  # raised in the worker thread
            self.message.value = error_html(f"{type(error).__name__}: {error}")
            return
        if self.controller.doing != self._doing:  # a command has started or ended
            self._doing, self._done = self.controller.doing, self._doing
        if self.controller.error:
            self.message.value = error_html(self.controller.error)
        elif self._done and not self._doing:
            self.message.value = f"{self._done}: done"
        else:
            self.message.value = self._doing
        if effect is None:
            return
        self.maps.value = effect.maps
        self._first = self._first or effect
        self.facts.value = (
            f"step {self.step}, {EVALUATED} people: loss <b>{effect.loss:.3f}</b> "
            f"(before {self._first.loss:.3f}); expected <b>{effect.gmac:.3f}</b> GMAC "
            f"(before {self._first.gmac:.3f})"
        )

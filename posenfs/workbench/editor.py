"""Alpha and beta of one part moved by hand: what becomes of the graph, the score maps, the loss and the cost."""

import base64
import functools
from dataclasses import dataclass
from pathlib import Path

import ipywidgets as widgets
import torch

from posenfs.body.words import plain_name
from posenfs.data.geometry import crop_to_heatmap
from posenfs.data.heatmaps import encode
from posenfs.data.loader import crop_people
from posenfs.data.sample import Batch, normalise
from posenfs.model.architecture import Architecture
from posenfs.model.expected_cost import ExpectedCost
from posenfs.model.losses import heatmap_loss
from posenfs.model.network import PoseNFS
from posenfs.model.space import Sources
from posenfs.search.engine import Search
from posenfs.search.run import Run, RunError
from posenfs.show.fabric_graph import operation_name
from posenfs.show.graphs import draw_fabrics
from posenfs.show.poses import draw_map_change
from posenfs.workbench.display import Background, button, column, fill, image_box, in_red, keep_fresh, menu, row, show
from posenfs.workbench.drawing import Drawing
from posenfs.workbench.driver import Driver
from posenfs.workbench.subject import Subject
from posenfs.workbench.views import cell_of

_PERIOD = 0.1  # s between looks at what was moved, and what is done
_BATCH = 8  # people whose loss is told
_REACH = 6.0  # of a slider: scores before softmax


@dataclass(frozen=True)
class Answer:
    """What an edit makes of the network: score maps (PNG), the loss on a fixed batch, and the expected GMAC."""

    picture: bytes
    loss: float
    gmac: float


class ArchitectureEditor:
    """Sliders for the scores (before softmax) of one part's operations and sources, at the last snapshot of a run.

    Every answer is the network's own, on people that it was not trained on, without flip. Nothing changes in the run;
    *Branch* begins another one that has the edit. Raises ValueError for a run without fabrics, RunError without a
    snapshot.
    """

    def __init__(self, search: Search | Run | str | Path, device: str = "auto"):
        self.driver = Driver(search, device)
        self.subject = Subject(self.driver.run, self.driver.experiment, self.driver.search)
        snapshots = self.driver.run.snapshots()
        if not self.subject.specs:
            raise ValueError(f"nothing is searched in {self.driver.run.folder}: there is no alpha or beta to edit")
        if not snapshots:
            raise RunError(f"{self.driver.run.folder} has no snapshot yet: the end of an epoch makes the first")
        self.step = snapshots[-1]
        self.network: PoseNFS = self.subject.network_at(self.step)
        self._edited: PoseNFS = self.network.with_architectures({})
        self.before = {name: own.detach() for name, own in self.network.architectures().items()}
        self.edits: list[tuple[str, Architecture]] = []  # what was done, the last one last
        self._work: Background[Answer] = Background()
        self._moving = False
        self._first: Answer | None = None  # before anything was moved
        self._doing = self._told = ""  # what its driver does, and did last
        self._build()
        self._offer()

    @property
    def architectures(self) -> dict[str, Architecture]:
        """All fabrics, as edited."""
        return {**self.before, **dict(self.edits)}

    @property
    def changed(self) -> dict[str, Architecture]:
        """Those that are not as they were."""
        return {
            name: own
            for name, own in self.architectures.items()
            if not (own.alpha.equal(self.before[name].alpha) and own.beta.equal(self.before[name].beta))
        }

    # -- what it looks like -----------------------------------------------------------------------------------------

    def _build(self) -> None:
        subject = self.subject
        self.part = menu("part", [(plain_name(n), n) for n in subject.specs])
        self.edge, self.cell, self.keypoint = menu("edge"), menu("cell"), menu("keypoint")
        self.person = widgets.BoundedIntText(0, 0, len(subject.people) - 1, description="person")
        self.operations, self.sources = widgets.VBox(), widgets.VBox()
        self.undo = button("Undo", "undo", "Take back the last move", lambda: self._take_back(1), disabled=True)
        self.reset = button("Reset", "refresh", "As the snapshot has it", self._take_back_all, disabled=True)
        self.name = widgets.Text(f"{self.driver.run.name}_edited", layout={"width": "180px"})
        words = "A new run, of this name, that goes on from the edit"
        self.branch = button("Branch", "code-fork", words, self._branch, disabled=True)
        self.graph = Drawing("cell", self._choose)
        self.facts, self.message = widgets.HTML(), widgets.HTML()
        self.maps = image_box()
        self.part.observe(lambda change: self._offer(), "value")
        for own in (self.edge, self.cell):
            own.observe(lambda change: self._set_sliders(), "value")
        for own in (self.person, self.keypoint):
            own.observe(lambda change: self._ask(), "value")
        left = widgets.VBox([self.part, self.edge, self.operations, self.cell, self.sources], layout={"width": "360px"})
        right = widgets.VBox([self.facts, self.graph], layout={"flex": "1", "min_width": "440px"})
        self.widget = column(
            row(left, right), row(self.undo, self.reset, self.name, self.branch), self.message,
            row(self.person, self.keypoint), self.maps,
        )  # fmt: skip

    def _ipython_display_(self) -> None:
        if show(self.widget, self.still):
            keep_fresh(("editor", self.driver.run.folder.resolve()), self.refresh, _PERIOD)

    def still(self) -> str:
        """What there is to see now, as HTML that needs neither kernel nor widgets."""
        answer = self.answer(self.changed, self.person.value, self.keypoint.value)
        maps = base64.b64encode(answer.picture).decode()
        return f"{self.graph.svg}<img src='data:image/png;base64,{maps}' style='max-width: 100%'>"

    def _offer(self) -> None:
        """The edges, cells and keypoints of the chosen part."""
        name = self.part.value
        spec, skeleton = self.subject.specs[name], self.subject.skeleton
        part = next((own for own in self.subject.parts if own.name == name), None)  # none: it is the backbone's fabric
        shown = range(len(skeleton)) if part is None else part.keypoints
        self._moving = True
        fill(self.edge, [(f"{start} → {end}", n) for n, (start, end) in enumerate(spec.edges)])
        fill(self.cell, [(f"layer {cell.layer}, 1/{spec.strides[cell.row]}", n) for n, cell in enumerate(spec.cells)])
        fill(self.keypoint, [(plain_name(skeleton.keypoints[k]), skeleton.keypoints[k]) for k in shown])
        self._moving = False
        self._set_sliders()
        self._ask()

    def _choose(self, node: str) -> None:
        """A cell of the graph was clicked, or had the keyboard's Enter."""
        _, cell = cell_of(node, self.subject.specs)
        self.cell.value = self.subject.specs[self.part.value].cells.index(cell)

    def _set_sliders(self) -> None:
        """Sliders for the chosen edge and cell, where alpha and beta stand."""
        if self._moving:
            return
        own, spec = self.architectures[self.part.value], self.subject.specs[self.part.value]
        alpha = own.alpha[self.cell.value] if spec.alpha_per_cell else own.alpha
        groups = (
            (self.operations, [operation_name(o) for o in spec.operations], alpha[self.edge.value]),
            (self.sources, list(Sources._fields), own.beta[self.cell.value]),
        )
        for box, names, values in groups:
            made = [
                widgets.FloatSlider(
                    value.item(), min=min(-_REACH, value.item()), max=max(_REACH, value.item()), step=0.01,
                    description=name, continuous_update=False, readout_format=".2f",
                    style={"description_width": "110px"}, layout={"width": "340px"},
                )
                for name, value in zip(names, values, strict=True)
            ]  # fmt: skip
            for slider in made:
                slider.observe(lambda change: self._moved(), "value")
            box.children = made

    # -- what is done -----------------------------------------------------------------------------------------------

    def _moved(self) -> None:
        name = self.part.value
        own, spec = self.architectures[name], self.subject.specs[name]
        alpha, beta = own.alpha.clone(), own.beta.clone()
        edge = alpha[self.cell.value, self.edge.value] if spec.alpha_per_cell else alpha[self.edge.value]
        edge.copy_(torch.tensor([slider.value for slider in self.operations.children]))
        beta[self.cell.value] = torch.tensor([slider.value for slider in self.sources.children])
        self.edits.append((name, Architecture(alpha, beta)))
        self._ask()

    def _take_back(self, count: int) -> None:
        del self.edits[len(self.edits) - count :]
        self._set_sliders()
        self._ask()

    def _take_back_all(self) -> None:
        self._take_back(len(self.edits))

    def _branch(self) -> None:
        self.driver.branch(self.step, self.name.value, self.changed)

    def _ask(self) -> None:
        """Draw the graph, and have the network answer."""
        if self._moving:
            return
        self.undo.disabled = self.reset.disabled = not self.edits
        self.branch.disabled = not self.changed
        now, name = self.architectures, self.part.value
        self.graph.draw(draw_fabrics(self.subject.specs[name], {name: now[name]}))
        person, keypoint, changed = self.person.value, self.keypoint.value, self.changed
        self._work.submit(lambda: self.answer(changed, person, keypoint))

    def answer(self, changed: dict[str, Architecture], person: int, keypoint: str) -> Answer:
        """The network with these alpha and beta: a person's score map of a keypoint before and after, loss and cost."""
        edited, subject = self._edited, self.subject
        edited.set_architectures({**self.before, **changed})
        picture = draw_map_change(self.network, edited, subject.people, person, [keypoint], subject.size)
        cost = self._cost(edited.architectures()).item() / 1e9
        return Answer(picture.png(), self._loss(edited), cost)

    @functools.cached_property
    def _cost(self) -> ExpectedCost:
        width, height = self.subject.size
        return ExpectedCost(self.network, height, width)

    @functools.cached_property
    def _batch(self) -> Batch:
        return crop_people(self.subject.people.select(slice(_BATCH)), self.subject.size)

    @torch.no_grad()
    def _loss(self, network: PoseNFS) -> float:
        batch = self._batch
        maps = network(normalise(batch.images))
        stride = self.subject.size[0] // maps.shape[-1]
        target = encode(crop_to_heatmap(batch.keypoints_crop, stride), *maps.shape[-2:])
        return heatmap_loss(maps, target, batch.visibility).item()

    def refresh(self) -> None:
        """Show what is answered since."""
        try:
            found = self._work.result()
        except Exception as error:  # of a thread nobody would hear it
            self.message.value = in_red(f"{type(error).__name__}: {error}")
            return
        if self.driver.doing != self._doing:  # an order is begun, or done
            self._doing, self._told = self.driver.doing, self._doing
        wrong, done = self.driver.error, self._told and not self._doing
        self.message.value = in_red(wrong) if wrong else f"{self._told}: done" if done else self._doing
        if found is None:
            return
        self.maps.value = found.picture
        self._first = self._first or found
        self.facts.value = (
            f"step {self.step}, {_BATCH} people: loss <b>{found.loss:.3f}</b> (before {self._first.loss:.3f}); "
            f"expected <b>{found.gmac:.3f}</b> GMAC (before {self._first.gmac:.3f})"
        )

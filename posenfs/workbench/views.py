"""What a panel shows of a run: a view for each of its tabs, refreshed while it is looked at."""

import html
from collections.abc import Mapping
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go

from posenfs.body.words import plain_name
from posenfs.data.datasets.catalogue import home
from posenfs.evaluation.metrics import metric_title
from posenfs.model.architecture import Architecture
from posenfs.model.cost import Cost, honest_cost
from posenfs.model.expected_cost import ExpectedCost
from posenfs.model.network import PoseNFS
from posenfs.model.prune import prune
from posenfs.model.space import CellIndex, FabricSpec
from posenfs.model.watch import Signs, warnings
from posenfs.search.detached import LOG
from posenfs.search.run import RunError, find_run, list_runs
from posenfs.show.architectures import alpha_maps, beta_maps
from posenfs.show.canvas import Canvas
from posenfs.show.cell_graph import draw_cell
from posenfs.show.costs import expected_cost_curve
from posenfs.show.curves import alpha_curves, beta_curves, loss_curve, rate_curve, score_curve, speed_curve, thinned
from posenfs.show.difference_graph import draw_differences
from posenfs.show.graphs import draw_fabrics
from posenfs.show.poses import draw_people, draw_person_map, draw_person_maps
from posenfs.workbench.display import Background, fill, image_box, in_red, menu, row
from posenfs.workbench.drawing import Drawing, Plot
from posenfs.workbench.following import Following, last_architectures
from posenfs.workbench.moment import Moment
from posenfs.workbench.subject import Subject

_MOST = 1000  # points of a line: more cannot be told apart on a screen
_SHOWN = 3  # people in the predictions
_COSTED = 60  # moments of a search whose expected cost is computed
_LINES, _BYTES = 200, 2**16  # of the end of a log


class CurvesView:
    """Loss, metrics and learning rate by training step."""

    title, reads = "Curves", frozenset({"history", "metrics"})
    empty = "The first training step begins the curves."

    def __init__(self, subject: Subject, following: Following):
        self.following, self._loss, self._score, self._rate = following, Plot(), Plot(), Plot()
        self.widget = widgets.VBox([self._loss, self._score, self._rate])

    @property
    def drawn(self) -> bool:
        return bool(self.following.history)

    def refresh(self) -> None:
        history, metric = self.following.history, self.following.status.get("headline")
        if not history:
            return
        self._loss.draw(loss_curve(history, most=_MOST))
        self._rate.draw(rate_curve(history))
        if any(metric in row for row in history):
            trivial = self.following.metrics.get("mean_pose", {}).get(metric)
            self._score.draw(score_curve(history, metric=metric, mean_pose=trivial))


class WeightsView:
    """softmax(alpha) or softmax(beta): over time, and as a map of every fabric now."""

    reads = frozenset({"architectures"})
    empty = "The first training step logs alpha and beta."

    def __init__(self, subject: Subject, following: Following, title: str):
        self.subject, self.following, self.title = subject, following, title
        self._curves, self._maps = Plot(), Plot()
        self.widget = widgets.VBox([self._maps, self._curves])

    @property
    def drawn(self) -> bool:
        return len(self.following.steps) > 0

    def refresh(self) -> None:
        following, specs = self.following, self.subject.specs
        if not len(following.steps):
            return
        steps, architectures = _thinned(following)
        of_time, of_now = (alpha_curves, alpha_maps) if self.title == "Alpha" else (beta_curves, beta_maps)
        self._curves.draw(of_time(steps, architectures, specs))
        step, now = following.at(int(steps[-1]))
        self._maps.draw(of_now(specs, now, f"step {step}"))


def _thinned(following: Following, most: int = _MOST) -> tuple[np.ndarray, dict[str, Architecture]]:
    chosen = thinned(range(len(following.steps)), most)
    architectures = {n: Architecture(a.alpha[chosen], a.beta[chosen]) for n, a in following.architectures.items()}
    return following.steps[chosen], architectures


class FabricView:
    """Graphs of all fabrics at a moment, alone or less another moment, part or run; and one of their cells."""

    title, reads = "Fabric", frozenset({"architectures", "snapshots"})
    empty = "The first training step logs alpha and beta, by which the fabrics are drawn."

    def __init__(self, subject: Subject, following: Following):
        self.subject, self.following = subject, following
        self.now = widgets.Checkbox(True, description="follow the search", indent=False, layout={"width": "150px"})
        self.moment = Moment(description="at step")
        self.less = menu("less", [("nothing", None)])
        self.cell = menu("one cell", self._cells(), width="360px")
        self._said, self.graph, self.inside = widgets.HTML(), Drawing("cell", self._choose), Drawing()
        controls = row(self.now, self.moment, self.less, self.cell)
        self.widget = widgets.VBox([controls, self._said, self.graph, self.inside])
        self._filling, self._known = False, ()
        for own in (self.moment, self.less, self.cell, self.now):
            own.observe(self._chosen, "value")

    @property
    def drawn(self) -> bool:
        return len(self.following.steps) > 0

    def show(self, step: int) -> None:
        """The last logged step that is not after this one."""
        if len(self.following.steps):
            self.now.value = False
            self.moment.value = self.following.at(step)[0]

    def refresh(self) -> None:
        if not len(self.following.steps):
            return
        self._filling = True
        try:
            steps, kept = [int(step) for step in self.following.steps], self.moment.value
            self.moment.offer(steps, kept if kept in steps and not self.now.value else steps[-1])
            if self._known != (moments := (steps[0], *self.following.snapshots)):
                self._known = moments
                fill(self.less, self._others())
        finally:
            self._filling = False
        self._draw()

    def _chosen(self, change: Mapping[str, object]) -> None:
        if self._filling:
            return
        if change["owner"] is self.moment:
            self.now.value = self.moment.value == self.moment.options[-1]
        self.refresh()

    def _choose(self, node: str) -> None:
        """A cell was clicked, or had the keyboard's Enter: its weights, and none when it is chosen again."""
        chosen = cell_of(node, self.subject.specs)
        self.cell.value = None if self.cell.value == chosen else chosen

    def _others(self) -> list[tuple[str, tuple | None]]:
        first = int(self.following.steps[0])
        moments = [(f"step {step}", ("step", step)) for step in (first, *self.following.snapshots) if step]
        parts = (
            [(plain_name(name), ("part", name)) for name in self.subject.specs] if len(self.subject.specs) > 1 else []
        )
        runs = [(f"run {run.name}", ("run", run.name)) for run in list_runs()[:20] if run.name != self.subject.run.name]
        start = [("the beginning", ("step", first))]
        return [("nothing", None), *start, *moments, *parts, *runs]

    def _cells(self) -> list[tuple[str, tuple | None]]:
        return [("none: choose one here, or click it", None)] + [
            (f"{plain_name(name)}: layer {cell.layer}, 1/{spec.strides[cell.row]}", (name, cell))
            for name, spec in self.subject.specs.items()
            for cell in spec.cells
        ]

    def _draw(self) -> None:
        step, own = self.following.at(self.moment.value)
        specs = self.subject.specs
        try:
            self.graph.draw(self._compared(specs, own))
            less = "" if self.less.value is None else f", less that of {html.escape(self.less.label)}"
            self._said.value = f"the weights of step {step}{less}"
            name, cell = self.cell.value or (None, None)
            self.inside.draw(draw_cell(specs[name], own[name], name, cell) if name else None)
        except (ValueError, RunError) as error:
            self._said.value = in_red(str(error))

    def _compared(self, specs: Mapping[str, FabricSpec], own: dict[str, Architecture]) -> Canvas:
        kind, which = self.less.value or (None, None)
        if kind is None:
            return draw_fabrics(specs, own)
        if kind == "step":
            step, other = self.following.at(which)
            words = f"step {step}"
        elif kind == "part":
            other, words = {name: own[which] for name in own}, plain_name(which)
        else:
            other, words = last_architectures(find_run(which)), f"run {which}"
        return draw_differences(specs, own, other, words)


def cell_of(node: str, specs: Mapping[str, FabricSpec]) -> tuple[str, CellIndex]:
    """The fabric and the cell that a node of `draw_fabrics` or `draw_differences` stands for."""
    number, layer, row_of = (int(word) for word in node.split("/"))
    return list(specs)[number], CellIndex(layer, row_of)


class PredictionsView:
    """A few people the network does not see, at the last snapshot: skeletons beside the truth, and score maps."""

    title, reads = "Predictions", frozenset({"snapshots"})

    def __init__(self, subject: Subject, following: Following):
        self.subject, self.following = subject, following
        self._work: Background[tuple[int, bytes, bytes]] = Background()
        self._shown: int | None = None  # the snapshot
        names = subject.skeleton.keypoints
        self.person = menu("maps of", [(f"person {n}", n) for n in range(_SHOWN)])
        self.keypoint = menu("keypoint", [("all keypoints", None)] + [(plain_name(name), name) for name in names])
        self._said = widgets.HTML()
        self._people, self._maps = (image_box() for _ in range(2))
        self.widget = widgets.VBox([self._said, self._people, row(self.person, self.keypoint), self._maps])
        for own in (self.person, self.keypoint):
            own.observe(lambda change: self._ask(), "value")

    def refresh(self) -> None:
        snapshots = self.following.snapshots
        if not snapshots:
            self._said.value = "The end of an epoch makes the first snapshot; then there is something to predict with."
        elif self._shown != snapshots[-1]:
            self._ask()
        try:
            found = self._work.result()
        except Exception as error:  # of a thread nobody would hear it
            self._said.value = in_red(str(error))
            return
        if found is not None:
            step, self._people.value, self._maps.value = found
            self._said.value = f"The network of step {step}, on people that it was not trained on."

    @property
    def busy(self) -> bool:
        return self._work.busy

    def _ask(self) -> None:
        if not self.following.snapshots:
            return
        self._shown, person, keypoint = self.following.snapshots[-1], self.person.value, self.keypoint.value
        step, subject = self._shown, self.subject

        def work() -> tuple[int, bytes, bytes]:
            network = subject.network_at(step)
            people = subject.people.select(slice(_SHOWN))
            if keypoint is None:
                maps = draw_person_maps(network, people, person, subject.size)
            else:
                maps = draw_person_map(network, people, person, keypoint, subject.size)
            return step, draw_people(network, people, subject.size).png(), maps.png()

        self._work.submit(work)
        self._said.value = f"predicting with the network of step {step} …"


class CostView:
    """Multiply-adds and parameters: of the soft network, of what alpha and beta expect, of what pruning leaves."""

    title, reads = "Cost", frozenset({"snapshots"})

    def __init__(self, subject: Subject, following: Following):
        self.subject, self.following = subject, following
        self._work: Background[tuple[list[tuple[str, Cost]], go.Figure | None]] = Background()
        self._words, self._curve = widgets.HTML("counting …"), Plot()
        self.widget = widgets.VBox([self._words, self._curve])

    @property
    def busy(self) -> bool:
        return self._work.busy

    def refresh(self) -> None:
        if not self._work.busy:
            self._work.submit(self._cost)
        if (found := self._work.result()) is not None:
            rows, curve = found
            cells = "".join(
                f"<tr><td>{name}</td><td>{cost.gmac:.3f}</td><td>{cost.params:,}</td></tr>" for name, cost in rows
            )
            head = "<tr><th></th><th>GMAC an image</th><th>parameters</th></tr>"
            self._words.value = f"<table>{head}{cells}</table>"
            if curve is not None:
                self._curve.draw(curve)

    def _cost(self) -> tuple[list[tuple[str, Cost]], go.Figure | None]:
        network, (width, height) = self.subject.network, self.subject.size
        soft = honest_cost(network, height, width)
        rows = [("the soft network, which is what a search keeps", soft)]
        if not isinstance(network, PoseNFS) or not len(self.following.steps):
            return rows, None
        steps, architectures = _thinned(self.following, _COSTED)
        now = network.with_architectures(self.following.at(int(steps[-1]))[1])
        exact, child = (prune(now, mode) for mode in ("exact", "one-hot"))
        rows += [
            (
                "what exact pruning leaves of it: weights of 0.0 and all that hangs on them",
                honest_cost(exact, height, width),
            ),
            ("the one-hot child: the greatest weights alone, be it zero", honest_cost(child, height, width)),
        ]
        return rows, expected_cost_curve(steps, architectures, ExpectedCost(now, height, width), soft)


class LogView:
    """What was said, and how fast it went."""

    title, reads = "Log", frozenset({"status", "timing"})

    def __init__(self, subject: Subject, following: Following):
        self.subject, self.following = subject, following
        self._speed, self._words = Plot(), widgets.HTML()
        self.widget = widgets.VBox([self._words, self._speed])

    def refresh(self) -> None:
        folder, status = self.following.run.folder.resolve(), self.following.status
        log = folder / LOG
        lines = _last_lines(log) if log.is_file() else []
        lines += [words for row in self.following.history if "loss" not in row for words in self._of_epoch(row)][
            -_LINES:
        ]
        if error := status.get("error"):
            lines.append(f"error: {error}")
        where = folder.relative_to(home()) if folder.is_relative_to(home()) else folder
        lines.append(
            f"{where}: {status.get('state', 'not begun')}, process {status.get('pid')} on {status.get('host')}"
        )
        words = html.escape("\n".join(line for line in lines if line.strip()))
        self._words.value = f"<pre style='max-height: 300px; overflow: auto; line-height: 1.3'>{words}</pre>"
        if self.following.timing:
            self._speed.draw(speed_curve(thinned(self.following.timing, _MOST)))

    def _of_epoch(self, row: Mapping) -> list[str]:
        """What an evaluation found, and what it warns of."""
        metric = self.following.status.get("headline")
        score = row.get(metric)
        found = "" if score is None else f": {metric_title(metric)} {score:.1f}"
        signs = {name: Signs(**own) for name, own in row.get("architecture", {}).items()}
        return [f"epoch {row['epoch']}, step {row['step']}{found}", *(f"warning: {own}" for own in warnings(signs))]


def _last_lines(path: Path) -> list[str]:
    with open(path, "rb") as file:
        file.seek(max(path.stat().st_size - _BYTES, 0))
        return file.read().decode(errors="replace").replace("\r", "\n").splitlines()[-_LINES:]

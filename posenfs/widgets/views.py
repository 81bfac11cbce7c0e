"""The views of a search panel, one for each tab. The panel refreshes the visible one."""

import html
from collections.abc import Mapping
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go

from posenfs.data.datasets.catalogue import home
from posenfs.evaluation.metrics import metric_title
from posenfs.messages import plain_name
from posenfs.model.architecture import Architecture
from posenfs.model.collapse import CollapseSigns, collapse_warnings
from posenfs.model.cost import Cost, measured_cost
from posenfs.model.expected_cost import ExpectedCost
from posenfs.model.network import PoseNFS
from posenfs.model.pruning import prune
from posenfs.model.space import CellIndex, FabricSpec
from posenfs.search.checkpoints import RunError
from posenfs.search.detached import LOG
from posenfs.search.run_dir import find_run, list_runs
from posenfs.viz.architectures import alpha_maps, beta_maps
from posenfs.viz.canvas import Canvas
from posenfs.viz.cell_graph import draw_cell
from posenfs.viz.costs import expected_cost_curve
from posenfs.viz.curves import (
    alpha_curves,
    beta_curves,
    loss_curve,
    rate_curve,
    score_curve,
    speed_curve,
    thinned,
)
from posenfs.viz.difference_graph import draw_differences
from posenfs.viz.graphs import draw_fabrics
from posenfs.viz.poses import draw_people, draw_person_map, draw_person_maps
from posenfs.widgets.display import Background, error_html, fill, image_box, menu, row
from posenfs.widgets.plot import Drawing, Plot
from posenfs.widgets.run_context import RunContext
from posenfs.widgets.run_reader import RunReader, last_architectures
from posenfs.widgets.step_slider import StepSlider

_MAX_POINTS = 1000  # points of a curve
_PREDICTED = 3  # annotated people in the predictions
_MAX_COSTS = 60  # points of the curve of the expected cost
_MAX_RUNS = 20  # runs in the menu of architectures to subtract
_LOG_LINES, _LOG_BYTES = 200, 2**16  # how much is read from the end of a log


class CurvesView:
    """Loss, metrics and learning rate by training step."""

    title, reads = "Curves", frozenset({"history", "metrics"})
    empty = "The first training step begins the curves."

    def __init__(self, subject: RunContext, following: RunReader):
        self.following = following
        self._loss, self._score, self._rate = Plot(), Plot(), Plot()
        self.widget = widgets.VBox([self._loss, self._score, self._rate])

    @property
    def drawn(self) -> bool:
        """Whether there is anything to draw."""
        return bool(self.following.history)

    def refresh(self) -> None:
        """Redraw the view."""
        history, metric = self.following.history, self.following.status.get("primary_metric")
        if not history:
            return
        self._loss.draw(loss_curve(history, most=_MAX_POINTS))
        self._rate.draw(rate_curve(history))
        if any(metric in row for row in history):
            baseline = self.following.metrics.get("mean_pose", {}).get(metric)
            self._score.draw(score_curve(history, metric=metric, mean_pose=baseline))


class WeightsView:
    """softmax(alpha) or softmax(beta): curves over time, and the current map of every fabric."""

    reads = frozenset({"architectures"})
    empty = "The first training step logs alpha and beta."

    def __init__(self, subject: RunContext, following: RunReader, title: str):
        self.subject, self.following, self.title = subject, following, title
        self._curves, self._maps = Plot(), Plot()
        self.widget = widgets.VBox([self._maps, self._curves])

    @property
    def drawn(self) -> bool:
        """Whether there is anything to draw."""
        return len(self.following.steps) > 0

    def refresh(self) -> None:
        """Redraw the view."""
        following, specs = self.following, self.subject.specs
        if not len(following.steps):
            return
        steps, architectures = _thinned(following, _MAX_POINTS)
        step, current = following.at(int(steps[-1]))
        if self.title == "Alpha":
            self._curves.draw(alpha_curves(steps, architectures, specs))
            self._maps.draw(alpha_maps(specs, current, f"step {step}"))
        else:
            self._curves.draw(beta_curves(steps, architectures, specs))
            self._maps.draw(beta_maps(specs, current, f"step {step}"))


def _thinned(following: RunReader, most: int) -> tuple[np.ndarray, dict[str, Architecture]]:
    """Return up to `most` evenly spaced logged steps, and their alpha and beta by fabric."""
    rows = thinned(range(len(following.steps)), most)
    architectures = {
        name: Architecture(logged.alpha[rows], logged.beta[rows])
        for name, logged in following.architectures.items()
    }
    return following.steps[rows], architectures


class FabricView:
    """Graphs of all fabrics at one step, and of one of their cells.

    The weights of another step, part or run can be subtracted.
    """

    title, reads = "Fabric", frozenset({"architectures", "checkpoints"})
    empty = "The first training step logs alpha and beta, by which the fabrics are drawn."

    def __init__(self, subject: RunContext, following: RunReader):
        self.subject, self.following = subject, following
        self.now = widgets.Checkbox(
            True, description="follow the search", indent=False, layout={"width": "150px"}
        )
        self.moment = StepSlider(description="at step")
        self.less = menu("less", [("nothing", None)])
        self.cell = menu("one cell", self._cells(), width="360px")
        self._note = widgets.HTML()
        self.graph, self.inside = Drawing("cell", self._choose), Drawing()
        controls = row(self.now, self.moment, self.less, self.cell)
        self.widget = widgets.VBox([controls, self._note, self.graph, self.inside])
        self._updating = False  # whether the controls are changed by `refresh`
        self._known_steps: tuple[int, ...] = ()  # the steps in the menu `less`
        for control in (self.moment, self.less, self.cell, self.now):
            control.observe(self._changed, "value")

    @property
    def drawn(self) -> bool:
        """Whether there is anything to draw."""
        return len(self.following.steps) > 0

    def show(self, step: int) -> None:
        """Show the last logged step that is not after this one.

        Args:
            step: A training step.
        """
        if len(self.following.steps):
            self.now.value = False
            self.moment.value = self.following.at(step)[0]

    def refresh(self) -> None:
        """Update the controls and redraw the graphs."""
        if not len(self.following.steps):
            return
        self._updating = True
        try:
            steps, selected = self.following.steps.tolist(), self.moment.value
            stays = selected in steps and not self.now.value
            self.moment.offer(steps, selected if stays else steps[-1])
            known_steps = (steps[0], *self.following.checkpoints)
            if self._known_steps != known_steps:
                self._known_steps = known_steps
                fill(self.less, self._subtrahends())
        finally:
            self._updating = False
        self._draw()

    def _changed(self, change: Mapping[str, object]) -> None:
        """Redraw after a change by the user."""
        if self._updating:
            return
        if change["owner"] is self.moment:
            self.now.value = self.moment.value == self.moment.options[-1]
        self.refresh()

    def _choose(self, node: str) -> None:
        """Show the weights of a chosen cell; hide them when the same cell is chosen again."""
        cell = cell_of(node, self.subject.specs)
        self.cell.value = None if self.cell.value == cell else cell

    def _subtrahends(self) -> list[tuple[str, tuple | None]]:
        """Return the options of the menu `less`: steps, parts and runs."""
        first, subject = int(self.following.steps[0]), self.subject
        options: list[tuple[str, tuple | None]] = [("nothing", None)]
        options += [("the beginning", ("step", first))]
        steps = (first, *self.following.checkpoints)
        options += [(f"step {step}", ("step", step)) for step in steps if step]
        if len(subject.specs) > 1:
            options += [(plain_name(name), ("part", name)) for name in subject.specs]
        names = [run.name for run in list_runs()[:_MAX_RUNS] if run.name != subject.run.name]
        return options + [(f"run {name}", ("run", name)) for name in names]

    def _cells(self) -> list[tuple[str, tuple | None]]:
        """Return the options of the menu of cells."""
        options: list[tuple[str, tuple | None]] = [("none: select one here, or click it", None)]
        for name, spec in self.subject.specs.items():
            for cell in spec.cells:
                place = f"layer {cell.layer}, 1/{spec.strides[cell.row]}"
                options.append((f"{plain_name(name)}: {place}", (name, cell)))
        return options

    def _draw(self) -> None:
        step, architectures = self.following.at(self.moment.value)
        specs = self.subject.specs
        try:
            self.graph.draw(self._graph(specs, architectures))
            note = f"the weights of step {step}"
            if self.less.value is not None:
                note += f", less that of {html.escape(self.less.label)}"
            self._note.value = note
            if self.cell.value is None:
                self.inside.draw(None)
            else:
                name, cell = self.cell.value
                self.inside.draw(draw_cell(specs[name], architectures[name], name, cell))
        except (ValueError, RunError) as error:
            self._note.value = error_html(str(error))

    def _graph(
        self, specs: Mapping[str, FabricSpec], architectures: dict[str, Architecture]
    ) -> Canvas:
        """Draw the fabrics, or the difference that the menu `less` asks for."""
        if self.less.value is None:
            return draw_fabrics(specs, architectures)
        kind, key = self.less.value
        if kind == "step":
            step, subtrahend = self.following.at(key)
            label = f"step {step}"
        elif kind == "part":
            subtrahend = {name: architectures[key] for name in architectures}
            label = plain_name(key)
        else:
            subtrahend, label = last_architectures(find_run(key)), f"run {key}"
        return draw_differences(specs, architectures, subtrahend, label)


def cell_of(node: str, specs: Mapping[str, FabricSpec]) -> tuple[str, CellIndex]:
    """Return the fabric and the cell of a node.

    Args:
        node: A node's name in `draw_fabrics` or `draw_differences`: "fabric/layer/row".
        specs: The search spaces of the drawn fabrics, by name.
    """
    fabric, layer, cell_row = map(int, node.split("/"))
    return list(specs)[fabric], CellIndex(layer, cell_row)


class PredictionsView:
    """Predictions of the last checkpoint on validation images: skeletons and score maps."""

    title, reads = "Predictions", frozenset({"checkpoints"})

    def __init__(self, subject: RunContext, following: RunReader):
        self.subject, self.following = subject, following
        self._work: Background[tuple[int, bytes, bytes]] = Background()
        self._shown: int | None = None  # the step of the checkpoint that is shown
        names = subject.skeleton.keypoints
        self.person = menu("maps of", [(f"person {n}", n) for n in range(_PREDICTED)])
        keypoints = [("all keypoints", None), *((plain_name(name), name) for name in names)]
        self.keypoint = menu("keypoint", keypoints)
        self._note, self._people, self._maps = widgets.HTML(), image_box(), image_box()
        controls = row(self.person, self.keypoint)
        self.widget = widgets.VBox([self._note, self._people, controls, self._maps])
        for control in (self.person, self.keypoint):
            control.observe(lambda change: self._submit(), "value")

    def refresh(self) -> None:
        """Start a prediction where there is a new checkpoint; show the last result."""
        checkpoints = self.following.checkpoints
        if not checkpoints:
            self._note.value = (
                "The end of an epoch writes the first checkpoint, which is needed to predict."
            )
        elif self._shown != checkpoints[-1]:
            self._submit()
        try:
            result = self._work.result()
        except Exception as error:  # raised in the worker thread
            self._note.value = error_html(str(error))
            return
        if result is not None:
            step, self._people.value, self._maps.value = result
            self._note.value = f"The network of step {step}, on people that it was not trained on."

    @property
    def busy(self) -> bool:
        """Whether a prediction is computed."""
        return self._work.busy

    def _submit(self) -> None:
        """Predict with the last checkpoint in the worker thread."""
        if not self.following.checkpoints:
            return
        step, subject = self.following.checkpoints[-1], self.subject
        person, keypoint = self.person.value, self.keypoint.value
        self._shown = step

        def predict() -> tuple[int, bytes, bytes]:
            network = subject.network_at(step)
            people = subject.people.select(slice(_PREDICTED))
            if keypoint is None:
                maps = draw_person_maps(network, people, person, subject.size)
            else:
                maps = draw_person_map(network, people, person, keypoint, subject.size)
            return step, draw_people(network, people, subject.size).png(), maps.png()

        self._work.submit(predict)
        self._note.value = f"predicting with the network of step {step} …"


class CostView:
    """Multiply-adds and parameters of the supernet, expected by alpha and beta, and pruned."""

    title, reads = "Cost", frozenset({"checkpoints"})

    def __init__(self, subject: RunContext, following: RunReader):
        self.subject, self.following = subject, following
        self._work: Background[tuple[list[tuple[str, Cost]], go.Figure | None]] = Background()
        self._table, self._curve = widgets.HTML("counting …"), Plot()
        self.widget = widgets.VBox([self._table, self._curve])

    @property
    def busy(self) -> bool:
        """Whether costs are computed."""
        return self._work.busy

    def refresh(self) -> None:
        """Start computing the costs, unless that is under way; show the last result."""
        if not self._work.busy:
            self._work.submit(self._costs)
        result = self._work.result()
        if result is None:
            return
        costs, curve = result
        cells = "".join(
            f"<tr><td>{name}</td><td>{cost.gmac:.3f}</td><td>{cost.params:,}</td></tr>"
            for name, cost in costs
        )
        head = "<tr><th></th><th>GMAC an image</th><th>parameters</th></tr>"
        self._table.value = f"<table>{head}{cells}</table>"
        if curve is not None:
            self._curve.draw(curve)

    def _costs(self) -> tuple[list[tuple[str, Cost]], go.Figure | None]:
        """Return the named costs, and the curve of the expected cost where alpha is logged."""
        network, (height, width) = self.subject.network, self.subject.size
        supernet = measured_cost(network, height, width)
        costs = [("the supernet, which a search trains", supernet)]
        if (
            not isinstance(network, PoseNFS)
            or not network.fabrics()
            or not len(self.following.steps)
        ):
            return costs, None
        steps, architectures = _thinned(self.following, _MAX_COSTS)
        current = network.with_architectures(self.following.at(int(steps[-1]))[1])
        for mode, name in (
            ("exact", "after exact pruning: without weights of 0.0 and what depends on them"),
            ("one-hot", "the one-hot child: only the greatest weights, zero operations included"),
        ):
            costs.append((name, measured_cost(prune(current, mode), height, width)))
        expected = ExpectedCost(current, height, width)
        return costs, expected_cost_curve(steps, architectures, expected, supernet)


class LogView:
    """The end of the log, the evaluations with their warnings, and the training speed."""

    title, reads = "Log", frozenset({"status", "timing"})

    def __init__(self, subject: RunContext, following: RunReader):
        self.subject, self.following = subject, following
        self._log, self._speed = widgets.HTML(), Plot()
        self.widget = widgets.VBox([self._log, self._speed])

    def refresh(self) -> None:
        """Redraw the view."""
        folder, status = self.following.run.folder.resolve(), self.following.status
        log = folder / LOG
        lines = _last_lines(log) if log.is_file() else []
        epochs = [row for row in self.following.history if "loss" not in row]
        lines += [line for row in epochs for line in self._epoch_lines(row)][-_LOG_LINES:]
        if error := status.get("error"):
            lines.append(f"error: {error}")
        place = folder.relative_to(home()) if folder.is_relative_to(home()) else folder
        state = status.get("state", "not begun")
        lines.append(f"{place}: {state}, process {status.get('pid')} on {status.get('host')}")
        text = html.escape("\n".join(line for line in lines if line.strip()))
        style = "max-height: 300px; overflow: auto; line-height: 1.3"
        self._log.value = f"<pre style='{style}'>{text}</pre>"
        if self.following.timing:
            self._speed.draw(speed_curve(thinned(self.following.timing, _MAX_POINTS)))

    def _epoch_lines(self, row: Mapping) -> list[str]:
        """Return the primary metric and the warnings of an evaluation, as lines of text."""
        metric = self.following.status.get("primary_metric")
        score = row.get(metric)
        result = "" if score is None else f": {metric_title(metric)} {score:.1f}"
        architecture = row.get("architecture", {})
        signs = {name: CollapseSigns(**fields) for name, fields in architecture.items()}
        line = f"epoch {row['epoch']}, step {row['step']}{result}"
        return [line, *(f"warning: {warning}" for warning in collapse_warnings(signs))]


def _last_lines(path: Path) -> list[str]:
    """Return the last lines of a log; a progress bar's carriage returns end lines, too."""
    with open(path, "rb") as file:
        file.seek(max(path.stat().st_size - _LOG_BYTES, 0))
        text = file.read().decode(errors="replace")
    return text.replace("\r", "\n").splitlines()[-_LOG_LINES:]

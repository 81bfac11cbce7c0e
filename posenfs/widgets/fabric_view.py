"""The view of a search panel that draws the fabrics and one of their cells."""

import html
from collections.abc import Mapping

import ipywidgets as widgets

from posenfs.messages import plain_name
from posenfs.model.architecture import Architecture
from posenfs.model.space import CellIndex, FabricSpec
from posenfs.search.checkpoints import RunError
from posenfs.search.run_dir import find_run, list_runs
from posenfs.viz.canvas import Canvas
from posenfs.viz.cell_graph import draw_cell
from posenfs.viz.difference_graph import draw_differences
from posenfs.viz.fabric_graph import draw_fabrics
from posenfs.widgets.display import error_html, menu, row, set_options
from posenfs.widgets.plot import Drawing
from posenfs.widgets.run_context import RunContext
from posenfs.widgets.run_reader import RunReader, last_architectures
from posenfs.widgets.step_slider import StepSlider

_MAX_RUNS = 20  # runs in the menu of architectures to subtract


class FabricView:
    """Graphs of all fabrics at one step, and of one of their cells.

    The weights of another step, part or run can be subtracted.
    """

    title, reads = "Fabric", frozenset({"architectures", "checkpoints"})
    empty = "The first training step logs alpha and beta, by which the fabrics are drawn."

    def __init__(self, subject: RunContext, reader: RunReader):
        self.subject, self.reader = subject, reader
        self.follow = widgets.Checkbox(
            True, description="follow the search", indent=False, layout={"width": "150px"}
        )
        self.step = StepSlider(description="at step")
        self.subtracted = menu("less", [("nothing", None)])
        self.cell = menu("one cell", self._cell_options(), width="360px")
        self._note = widgets.HTML()
        self.graph, self.cell_graph = Drawing("cell", self._select_cell), Drawing()
        controls = row(self.follow, self.step, self.subtracted, self.cell)
        self.widget = widgets.VBox([controls, self._note, self.graph, self.cell_graph])
        self._updating = False  # whether the controls are changed by `refresh`
        self._known_steps: tuple[int, ...] = ()  # the steps in the menu `subtracted`
        for control in (self.step, self.subtracted, self.cell, self.follow):
            control.observe(self._changed, "value")

    @property
    def drawn(self) -> bool:
        """Whether there is anything to draw."""
        return len(self.reader.steps) > 0

    def show(self, step: int) -> None:
        """Show the last logged step that is not after this one.

        Args:
            step: A training step.
        """
        if len(self.reader.steps):
            self.follow.value = False
            self.step.value = self.reader.at(step)[0]

    def refresh(self) -> None:
        """Update the controls and redraw the graphs."""
        if not len(self.reader.steps):
            return
        self._updating = True
        try:
            steps, selected = self.reader.steps.tolist(), self.step.value
            stays = selected in steps and not self.follow.value
            self.step.set_steps(steps, selected if stays else steps[-1])
            known_steps = (steps[0], *self.reader.checkpoints)
            if self._known_steps != known_steps:
                self._known_steps = known_steps
                set_options(self.subtracted, self._subtraction_options())
        finally:
            self._updating = False
        self._draw()

    def _changed(self, change: Mapping[str, object]) -> None:
        """Redraw after a change by the user."""
        if self._updating:
            return
        if change["owner"] is self.step:
            self.follow.value = self.step.value == self.step.options[-1]
        self.refresh()

    def _select_cell(self, node: str) -> None:
        """Show the weights of a chosen cell; hide them when the same cell is chosen again."""
        cell = cell_of(node, self.subject.specs)
        self.cell.value = None if self.cell.value == cell else cell

    def _subtraction_options(self) -> list[tuple[str, tuple | None]]:
        """Return the options of the menu `subtracted`: steps, parts and runs."""
        first, subject = int(self.reader.steps[0]), self.subject
        options: list[tuple[str, tuple | None]] = [("nothing", None)]
        options += [("the beginning", ("step", first))]
        steps = (first, *self.reader.checkpoints)
        options += [(f"step {step}", ("step", step)) for step in steps if step]
        if len(subject.specs) > 1:
            options += [(plain_name(name), ("part", name)) for name in subject.specs]
        names = [run.name for run in list_runs()[:_MAX_RUNS] if run.name != subject.run.name]
        return options + [(f"run {name}", ("run", name)) for name in names]

    def _cell_options(self) -> list[tuple[str, tuple | None]]:
        """Return the options of the menu of cells."""
        options: list[tuple[str, tuple | None]] = [("none: select one here, or click it", None)]
        for name, spec in self.subject.specs.items():
            for cell in spec.cells:
                position = f"layer {cell.layer}, 1/{spec.strides[cell.row]}"
                options.append((f"{plain_name(name)}: {position}", (name, cell)))
        return options

    def _draw(self) -> None:
        step, architectures = self.reader.at(self.step.value)
        specs = self.subject.specs
        try:
            self.graph.draw(self._graph(specs, architectures))
            note = f"the weights of step {step}"
            if self.subtracted.value is not None:
                note += f", less that of {html.escape(self.subtracted.label)}"
            self._note.value = note
            if self.cell.value is None:
                self.cell_graph.draw(None)
            else:
                name, cell = self.cell.value
                self.cell_graph.draw(draw_cell(specs[name], architectures[name], name, cell))
        except (ValueError, RunError) as error:
            self._note.value = error_html(str(error))

    def _graph(
        self, specs: Mapping[str, FabricSpec], architectures: dict[str, Architecture]
    ) -> Canvas:
        """Draw the fabrics, or the difference that the menu `subtracted` asks for."""
        if self.subtracted.value is None:
            return draw_fabrics(specs, architectures)
        kind, key = self.subtracted.value
        if kind == "step":
            step, subtrahend = self.reader.at(key)
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

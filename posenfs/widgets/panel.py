"""The panel that runs, pauses, steps, rewinds and branches a search, and shows its progress."""

import asyncio
import base64
import math
import time
from pathlib import Path
from typing import Protocol

import ipywidgets as widgets
from IPython import get_ipython
from IPython.display import HTML, DisplayHandle, display

from posenfs.search.checkpoints import RunError
from posenfs.search.detached import DetachOptions, detach, follow
from posenfs.search.experiment import Experiment
from posenfs.search.run_dir import RunDir
from posenfs.search.session import Search
from posenfs.viz.curves import draw_training
from posenfs.viz.fabric_graph import draw_fabrics
from posenfs.widgets.background import leave_cores
from posenfs.widgets.controller import SearchController
from posenfs.widgets.curve_views import CurvesView, LogView, WeightsView
from posenfs.widgets.display import (
    button,
    column,
    error_html,
    headless,
    refresh_periodically,
    row,
    show,
)
from posenfs.widgets.fabric_view import FabricView
from posenfs.widgets.network_views import CostView, PredictionsView
from posenfs.widgets.run_context import RunContext
from posenfs.widgets.run_reader import RunReader
from posenfs.widgets.search_state import SearchState
from posenfs.widgets.step_slider import StepSlider

_PERIOD = 0.5  # s between two refreshes
_PAUSE = 50  # a tab is redrawn after this multiple of the time that drawing took


class _View(Protocol):
    """A tab: it is redrawn when what it reads of the run's folder has changed.

    A view that computes in the background has `busy`; one that may have nothing to draw yet has
    `drawn`, and `empty`, the note that is then displayed.
    """

    title: str
    reads: frozenset[str]
    widget: widgets.Widget

    def refresh(self) -> None: ...


class SearchPanel:
    """A panel of a search, displayed as the last line of a cell.

    A Search runs in a thread of this kernel. The search of an experiment or a run is controlled in
    the process where it runs, or is started in a new process, which outlives the kernel. Everything
    shown is read from the run's folder, so that a new panel (in another tab, or after a restart of
    the kernel) shows the same. `await panel.finished()` waits for the end of the search.

    Args:
        search: A search, an experiment, or a run (its name or folder).
        device: The device of a search in a new process: auto, cpu, cuda or cuda:N.

    Raises:
        RunError: There is no such run, or it holds another experiment.
    """

    def __init__(self, search: Search | Experiment | RunDir | str | Path, device: str = "auto"):
        self.controller = SearchController(search, device)
        self.run = self.controller.run
        self.reader = RunReader(self.run)
        self.subject = RunContext(self.run, self.controller.experiment, self.controller.search)
        subject, reader = self.subject, self.reader
        self._fabric = FabricView(subject, reader)
        self.views: list[_View] = [
            CurvesView(subject, reader),
            WeightsView(subject, reader, "Alpha"),
            WeightsView(subject, reader, "Beta"),
            self._fabric,
            PredictionsView(subject, reader),
            CostView(subject, reader),
            LogView(subject, reader),
        ]
        self._stale: list[set[str]] = [set(view.reads) for view in self.views]
        self._build()
        self._image: DisplayHandle | None = None
        self._updating = False
        self._image_shown = False  # whether the static image of the end is displayed
        self._next_redraw = 0.0  # the earliest time of the next redraw, by `time.monotonic()`
        self.refresh()

    # -- layout --------------------------------------------------------------------------------

    def _buttons(self) -> dict[str, widgets.Button]:
        step, pause = self.controller.step, self.controller.pause
        return {
            "run": button("Run", "play", "Run to the end", self.controller.go),
            "pause": button("Pause", "pause", "Pause after the current step", pause),
            "step": button(
                "Step", "step-forward", "One training step, then pause", lambda: step(1)
            ),
            "ten": button(
                "10 steps", "forward", "Ten training steps, then pause", lambda: step(10)
            ),
            "epoch": button(
                "Epoch", "fast-forward", "To the end of the epoch, then pause", self._epoch
            ),
            "stop": button(
                "Stop",
                "stop",
                "Stop after the current step, with a checkpoint",
                self.controller.stop,
            ),
            "rewind": button(
                "Rewind",
                "undo",
                "Back to this checkpoint; later steps are kept in branches/",
                self._rewind,
            ),
            "branch": button(
                "Branch",
                "code-fork",
                "Create a run of this name that continues from this checkpoint",
                self._branch,
            ),
        }

    def _build(self) -> None:
        self.buttons = self._buttons()
        self.checkpoint = StepSlider(description="checkpoint")
        self.checkpoint.observe(lambda change: self._show_checkpoint(), "value")
        self.name = widgets.Text(
            f"{self.run.name}_branch", layout={"width": "180px"}, description=""
        )
        self.state, self.message = widgets.HTML(), widgets.HTML()
        self.state.add_class("posenfs-state")
        self.bar = widgets.FloatProgress(max=1.0, layout={"width": "100%", "height": "8px"})
        first = [self.buttons[name] for name in ("run", "pause", "step", "ten", "epoch", "stop")]
        second = [self.checkpoint, self.buttons["rewind"], self.name, self.buttons["branch"]]
        self._notes = [widgets.HTML("<i>drawing …</i>") for _ in self.views]  # until a tab is drawn
        pages = [
            widgets.VBox([note, view.widget])
            for note, view in zip(self._notes, self.views, strict=True)
        ]
        self.tabs = widgets.Tab(pages, titles=[view.title for view in self.views])
        self.tabs.observe(lambda change: self._select_tab(), "selected_index")
        self.widget = column(
            row(*first), row(*second), self.state, self.bar, self.message, self.tabs
        )

    def _ipython_display_(self) -> None:
        if show(self.widget, lambda: ""):  # `finished` displays a static image
            self._image = display(HTML(""), display_id=True)
            refresh_periodically(("panel", self.run.folder.resolve()), self.refresh, _PERIOD)

    # -- actions -------------------------------------------------------------------------------

    def _epoch(self) -> None:
        status = self.reader.status
        steps = status["steps"] // status["epochs"]
        self.controller.step(steps - status["step"] % steps)

    def _rewind(self) -> None:
        self.controller.rewind(self.checkpoint.value)

    def _branch(self) -> None:
        self.controller.branch(self.checkpoint.value, self.name.value)

    def _show_checkpoint(self) -> None:
        if not self._updating:
            self._fabric.show(self.checkpoint.value)

    # -- display -------------------------------------------------------------------------------

    def static_html(self) -> str:
        """Return the state, the curves and the fabrics as static HTML."""
        status = self.reader.status
        figure = draw_training(self.reader.history, status.get("primary_metric"))
        source = f"data:image/png;base64,{base64.b64encode(figure.png()).decode()}"
        curves = f"<img src='{source}' style='max-width: 100%'>"
        _, architectures = self.reader.at(status.get("step", 0))
        graph = draw_fabrics(self.subject.specs, architectures).svg() if architectures else ""
        return f"<div>{self.state.value}</div>{curves}{graph}"

    def refresh(self) -> None:
        """Read what is new in the run's folder; redraw the visible tab and the head."""
        if self.controller.search is not None and self.controller.under_way:
            leave_cores()  # the kernel's main thread leaves the cores to the search thread
        try:
            changed = self.reader.update()
            for stale in self._stale:
                stale |= changed
            if "checkpoints" in changed:
                self._update_checkpoints()
            self._show_tab()
            self._show_head()  # after the tab, so that it announces nothing that is not drawn yet
            self._show_static_image()
        except Exception as error:  # a periodic task would not report it
            self.message.value = error_html(f"{type(error).__name__}: {error}")

    def _show_tab(self) -> None:
        """Redraw the visible tab where its data changed.

        While the search runs, slow tabs are redrawn less often, so that drawing takes little time.
        """
        number, running = self.tabs.selected_index, self.reader.status.get("state") == "running"
        if headless():  # a saved notebook would contain plotly (megabytes) for every live figure
            return
        if number is None or (running and time.monotonic() < self._next_redraw):
            return
        view, stale = self.views[number], self._stale[number]
        if stale & view.reads or getattr(view, "busy", False):
            stale.clear()
            started = time.monotonic()
            view.refresh()
            drawn = getattr(view, "drawn", True)
            self._notes[number].value = "" if drawn else f"<i>{view.empty}</i>"
            self._notes[number].layout.display = "none" if drawn else None
            self._next_redraw = time.monotonic() + _PAUSE * (time.monotonic() - started)

    def _select_tab(self) -> None:
        """Draw another tab."""
        self._next_redraw = 0.0
        self.refresh()

    def _show_static_image(self) -> None:
        """Display a static image below the panel once the search has ended."""
        ended = self.reader.status.get("state") in ("finished", "failed", "interrupted")
        if ended and not self._image_shown and self._image is not None:
            label = "a static image of the end, which stays when the kernel is gone"
            self._image.update(
                HTML(f"<details><summary>{label}</summary>{self.static_html()}</details>")
            )
            self._image_shown = True
        elif not ended:
            self._image_shown = False

    def _update_checkpoints(self) -> None:
        """Update the slider of checkpoints; it follows the last one where that was selected."""
        options = sorted({0, *self.reader.checkpoints})
        selected = self.checkpoint.value
        at_the_end = selected == self.checkpoint.options[-1]
        self._updating = True  # the change is not the user's
        self.checkpoint.set_steps(
            options, options[-1] if at_the_end or selected not in options else selected
        )
        self._updating = False

    def _show_head(self) -> None:
        """Show the state, and the error or a hint; enable the buttons that apply."""
        state = SearchState(self.subject, self.reader, self.controller)
        for name in ("run", "step", "ten", "epoch"):
            self.buttons[name].disabled = not state.can_continue
        self.buttons["epoch"].disabled |= state.steps is None
        self.buttons["pause"].disabled = not state.running
        self.buttons["stop"].disabled = not (state.running or state.paused)
        self.bar.value = state.step / state.steps if state.steps else 0.0
        self.bar.bar_style = {"finished": "success", "failed": "danger"}.get(state.name, "")
        self.state.value = state.html()
        self.message.value = state.message()

    # -- waiting -------------------------------------------------------------------------------

    async def finished(self) -> dict[str, float | None]:
        """Wait until the search is finished. In a headless kernel, run it to its end.

        Returns:
            The metrics.

        Raises:
            RunError: In a headless kernel, the search ended before it was finished.
        """
        if headless() or getattr(get_ipython(), "kernel", None) is None:
            self._run_to_end()
            self.refresh()
            display(HTML(self.static_html()))
        while self.run.status().get("state") != "finished":
            await asyncio.sleep(_PERIOD)
        return self.run.metrics()["metrics"]

    def _run_to_end(self) -> None:
        """Run the search to its end, in this kernel or in its process."""
        controller = self.controller
        if controller.search is not None:
            controller.search.finish()
        elif self.run.status().get("state") != "finished":
            if not self.run.in_use():
                experiment, folder = self.subject.experiment, self.run.folder
                detach(experiment, folder, DetachOptions(controller.device), math.inf)
            status = follow(self.run)
            if (state := status.get("state")) != "finished":
                raise RunError(f"{self.run.folder} ended as {state}: {status.get('error', '')}")

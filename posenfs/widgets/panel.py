"""The panel that runs, pauses, steps, rewinds and branches a search, and shows its progress."""

import asyncio
import base64
import html
import math
import time
from functools import partial
from pathlib import Path

import ipywidgets as widgets
from IPython import get_ipython
from IPython.display import HTML, DisplayHandle, display

from posenfs.evaluation.metrics import metric_title
from posenfs.search.checkpoints import RunError
from posenfs.search.detached import DetachOptions, detach, follow
from posenfs.search.experiment import Experiment
from posenfs.search.run_dir import RunDir
from posenfs.search.session import Search
from posenfs.viz.graphs import draw_fabrics
from posenfs.viz.stills import summary
from posenfs.widgets.controller import SearchController
from posenfs.widgets.display import button, column, error_html, headless, keep_fresh, row, show
from posenfs.widgets.run_context import RunContext
from posenfs.widgets.run_reader import RunReader
from posenfs.widgets.step_slider import StepSlider
from posenfs.widgets.threads import leave_cores
from posenfs.widgets.views import (
    CostView,
    CurvesView,
    FabricView,
    LogView,
    PredictionsView,
    WeightsView,
)

_PERIOD = 0.5  # s between two refreshes
_RECENT = 20  # s over which the speed is averaged
_RESTS = 50  # a tab is redrawn after this multiple of the time that drawing took
_STATES = {  # the label and the colour of each state
    "running": ("running", "#2e7d32"),
    "paused": ("paused", "#e69f00"),
    "finished": ("finished", "#0072b2"),
    "interrupted": ("stopped", "#757575"),
    "failed": ("failed", "#c62828"),
    "gone": ("exited unexpectedly", "#757575"),
}


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
        self.driver = SearchController(search, device)
        self.run = self.driver.run
        self.following = RunReader(self.run)
        self.subject = RunContext(self.run, self.driver.experiment, self.driver.search)
        alpha, beta = partial(WeightsView, title="Alpha"), partial(WeightsView, title="Beta")
        views = (CurvesView, alpha, beta, FabricView, PredictionsView, CostView, LogView)
        self.views = [make(self.subject, self.following) for make in views]
        self._stale: list[set[str]] = [set(view.reads) for view in self.views]
        self._build()
        self._image: DisplayHandle | None = None
        self._filling = False
        self._ended = False  # whether the static image of the end is displayed
        self._rest = 0.0  # the time of `time.monotonic()` before which the tab is not redrawn
        self.refresh()

    # -- layout --------------------------------------------------------------------------------

    def _build(self) -> None:
        driver = self.driver
        self.buttons = {
            "run": button("Run", "play", "Run to the end", driver.go),
            "pause": button("Pause", "pause", "Pause after the current step", driver.pause),
            "step": button(
                "Step", "step-forward", "One training step, then pause", lambda: driver.step(1)
            ),
            "ten": button(
                "10 steps", "forward", "Ten training steps, then pause", lambda: driver.step(10)
            ),
            "epoch": button(
                "Epoch", "fast-forward", "To the end of the epoch, then pause", self._epoch
            ),
            "stop": button(
                "Stop", "stop", "Stop after the current step, with a checkpoint", driver.stop
            ),
        }
        self.moment = StepSlider(description="checkpoint")
        self.moment.observe(lambda change: self._look_back(), "value")
        self.name = widgets.Text(
            f"{self.run.name}_branch", layout={"width": "180px"}, description=""
        )
        self.buttons["rewind"] = button(
            "Rewind",
            "undo",
            "Back to this checkpoint; later steps are kept in branches/",
            self._rewind,
        )
        self.buttons["branch"] = button(
            "Branch",
            "code-fork",
            "Create a run of this name that continues from this checkpoint",
            self._branch,
        )
        self.state, self.bar, self.message = (
            widgets.HTML(),
            widgets.FloatProgress(max=1.0),
            widgets.HTML(),
        )
        self.state.add_class("posenfs-state")
        self.bar.layout = {"width": "100%", "height": "8px"}
        first = [self.buttons[name] for name in ("run", "pause", "step", "ten", "epoch", "stop")]
        second = [self.moment, self.buttons["rewind"], self.name, self.buttons["branch"]]
        self._notes = [widgets.HTML("<i>drawing …</i>") for _ in self.views]  # until a tab is drawn
        pages = [
            widgets.VBox([note, view.widget])
            for note, view in zip(self._notes, self.views, strict=True)
        ]
        self.tabs = widgets.Tab(pages, titles=[view.title for view in self.views])
        self.tabs.observe(lambda change: self._turn_to(), "selected_index")
        self.widget = column(
            row(*first), row(*second), self.state, self.bar, self.message, self.tabs
        )

    def _ipython_display_(self) -> None:
        if show(self.widget, lambda: ""):  # `finished` displays a static image
            self._image = display(HTML(""), display_id=True)
            keep_fresh(("panel", self.run.folder.resolve()), self.refresh, _PERIOD)

    # -- actions -------------------------------------------------------------------------------

    def _epoch(self) -> None:
        status = self.following.status
        steps = status["steps"] // status["epochs"]
        self.driver.step(steps - status["step"] % steps)

    def _rewind(self) -> None:
        self.driver.rewind(self.moment.value)

    def _branch(self) -> None:
        self.driver.branch(self.moment.value, self.name.value)

    def _look_back(self) -> None:
        if self._filling:
            return
        fabric = next(view for view in self.views if isinstance(view, FabricView))
        fabric.show(self.moment.value)

    # -- display -------------------------------------------------------------------------------

    def still(self) -> str:
        """Return the state, the curves and the fabrics as static HTML."""
        steps, architectures = (
            self.following.steps,
            self.following.at(self.following.status.get("step", 0))[1],
        )
        image = base64.b64encode(
            summary(self.following.history, self.following.status.get("primary_metric")).png()
        ).decode()
        graph = (
            draw_fabrics(self.subject.specs, architectures).svg()
            if len(steps) and architectures
            else ""
        )
        source = f"data:image/png;base64,{image}"
        curves = f"<img src='{source}' style='max-width: 100%'>"
        return f"<div>{self.state.value}</div>{curves}{graph}"

    def refresh(self) -> None:
        """Read what is new in the run's folder; redraw the visible tab and the head."""
        if self.driver.search is not None and self.driver.under_way:
            leave_cores()  # the kernel's main thread leaves the cores to the search thread
        try:
            changed = self.following.look()
            for stale in self._stale:
                stale |= changed
            if "checkpoints" in changed:
                self._offer_checkpoints()
            self._show_tab()
            self._show_head()  # after the tab, so that it announces nothing that is not drawn yet
            self._leave_a_image()
        except Exception as error:  # a periodic task would not report it
            self.message.value = error_html(f"{type(error).__name__}: {error}")

    def _show_tab(self) -> None:
        """Redraw the visible tab where its data changed.

        While the search runs, slow tabs are redrawn less often, so that drawing takes little time.
        """
        number, running = self.tabs.selected_index, self.following.status.get("state") == "running"
        if headless():  # a saved notebook would contain plotly (megabytes) for every live figure
            return
        if number is None or (running and time.monotonic() < self._rest):
            return
        view, stale = self.views[number], self._stale[number]
        if stale & view.reads or getattr(view, "busy", False):
            stale.clear()
            started = time.monotonic()
            view.refresh()
            drawn = getattr(view, "drawn", True)
            self._notes[number].value = "" if drawn else f"<i>{view.empty}</i>"
            self._notes[number].layout.display = "none" if drawn else None
            self._rest = time.monotonic() + _RESTS * (time.monotonic() - started)

    def _turn_to(self) -> None:
        """Draw another tab."""
        self._rest = 0.0
        self.refresh()

    def _leave_a_image(self) -> None:
        """Display a static image below the panel once the search has ended."""
        ended = self.following.status.get("state") in ("finished", "failed", "interrupted")
        if ended and not self._ended and self._image is not None:
            label = "a static image of the end, which stays when the kernel is gone"
            self._image.update(HTML(f"<details><summary>{label}</summary>{self.still()}</details>"))
            self._ended = True
        elif not ended:
            self._ended = False

    def _offer_checkpoints(self) -> None:
        """Update the slider of checkpoints; it follows the last one where that was selected."""
        options = sorted({0, *self.following.checkpoints})
        selected = self.moment.value
        at_the_end = selected == self.moment.options[-1]
        self._filling = True  # the change is not the user's
        self.moment.offer(
            options, options[-1] if at_the_end or selected not in options else selected
        )
        self._filling = False

    def _show_head(self) -> None:
        """Show the state, the facts, the error and the hint; enable the buttons that apply."""
        status, driver = self.following.status, self.driver
        state, under_way = self.run.state(status), driver.under_way
        if driver.search is not None:
            status = {**status, "step": driver.search.step_number}
        if state == "paused" and status["step"] != self.following.status["step"]:
            state = "running"  # it has continued since the folder was read
        if not under_way and state in ("not begun", "running", "paused"):
            state = "ready"  # not started, or stepped by calls in this kernel
        step, steps = status.get("step", 0), status.get("steps")  # steps: None before the start
        self._allow(state, under_way)
        self.buttons["epoch"].disabled |= steps is None
        self.bar.value = step / steps if steps else 0.0
        self.bar.bar_style = {"finished": "success", "failed": "danger"}.get(state, "")
        label, colour = _STATES.get(state, (state, "#757575"))
        style = f"color: white; background: {colour}; padding: 2px 8px; border-radius: 8px"
        badge = f"<b style='{style}'>{label}</b>"
        facts = [f"step <b>{step}</b> of {steps or '?'}"]
        facts += [f"epoch {status['epoch']} of {status['epochs']}"] if steps else []
        facts += self._speed(steps - step) if state == "running" and steps else self._speed()
        metric = status.get("primary_metric")
        if metric and (score := status.get("metrics", {}).get(metric)) is not None:
            facts.append(f"{metric_title(metric)} <b>{score:.1f}</b>")
        doing = f" <i>{html.escape(driver.doing)} …</i>" if driver.doing else ""
        self.state.value = f"{badge} &nbsp; {' · '.join(facts)}{doing}"
        error = driver.error or status.get("error", "")
        hint = "" if self.following.history else "<i>Nothing is logged yet: press Run, or Step.</i>"
        if (
            driver.search is None
            and under_way
            and state not in ("running", "paused")
            and not driver.doing
        ):
            holder = self.run.holder()
            hint = f"<i>This run is open in {holder}: until that ends, only a branch can go on.</i>"
        self.message.value = error_html(error) if error else hint

    def _allow(self, state: str, under_way: bool) -> None:
        """Enable the buttons that apply. An ended search keeps its run open for a moment."""
        running, paused = under_way and state == "running", under_way and state == "paused"
        can_continue = state != "finished" and (paused or not under_way)
        for name in ("run", "step", "ten", "epoch"):
            self.buttons[name].disabled = not can_continue
        self.buttons["pause"].disabled = not running
        self.buttons["stop"].disabled = not (running or paused)

    def _speed(self, left: int | None = None) -> list[str]:
        """Return the memory and, with the number of steps left, speed and time left."""
        recent = [row for row in self.following.timing[-50:] if row["time"] > time.time() - _RECENT]
        last = self.following.timing[-1:]
        facts = []
        if recent and left is not None:
            rate = sum(row["images_per_s"] for row in recent) / len(recent)
            facts.append(f"{rate:.1f} images/s")
            if rate:
                facts.append(
                    f"{_duration(left * self.subject.experiment.training.batch_size / rate)} left"
                )
        return facts + [f"{row['peak_mb'] / 1000:.1f} GB" for row in last]

    # -- waiting -------------------------------------------------------------------------------

    async def finished(self) -> dict[str, float | None]:
        """Wait until the search is finished. In a headless kernel, run it to its end.

        Returns:
            The metrics.

        Raises:
            RunError: In a headless kernel, the search ended before it was finished.
        """
        if headless() or getattr(get_ipython(), "kernel", None) is None:
            if self.driver.search is not None:
                self.driver.search.finish()
            elif self.run.status().get("state") != "finished":
                if not self.run.in_use():
                    options = DetachOptions(self.driver.device)
                    detach(self.subject.experiment, self.run.folder, options, math.inf)
                status = follow(self.run)
                if status.get("state") != "finished":
                    raise RunError(
                        f"{self.run.folder} ended as {status.get('state')}: "
                        f"{status.get('error', '')}"
                    )
            self.refresh()
            display(HTML(self.still()))
        while self.run.status().get("state") != "finished":
            await asyncio.sleep(_PERIOD)
        return self.run.metrics()["metrics"]


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes} min"
        if hours
        else f"{minutes} min {seconds} s"
        if minutes
        else f"{seconds} s"
    )

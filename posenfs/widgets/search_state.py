"""The state of a search as text, for the head of its panel."""

import html
import time
from collections.abc import Mapping, Sequence

from posenfs.evaluation.metrics import metric_title
from posenfs.widgets.controller import SearchController
from posenfs.widgets.display import error_html
from posenfs.widgets.run_context import RunContext
from posenfs.widgets.run_reader import RunReader

_RECENT = 20  # s over which the speed is averaged
_LABELS = {  # the label and the colour of each state
    "running": ("running", "#2e7d32"),
    "paused": ("paused", "#e69f00"),
    "finished": ("finished", "#0072b2"),
    "interrupted": ("stopped", "#757575"),
    "failed": ("failed", "#c62828"),
    "gone": ("exited unexpectedly", "#757575"),
}


class SearchState:
    """The state of a search, read once.

    Attributes:
        name: running, paused, finished, interrupted, failed, gone, or ready: not started, or
            stepped by calls in this kernel.
        under_way: Whether a process has the run open.
        status: The fields of the run's status.
        step: The current step.
        steps: All steps, or None before the start.

    Args:
        subject: The run.
        reader: What is read of its folder.
        controller: The control of its search.
    """

    def __init__(self, subject: RunContext, reader: RunReader, controller: SearchController):
        self._subject, self._reader, self._controller = subject, reader, controller
        self.status: Mapping = reader.status
        self.name: str = controller.run.state(reader.status)
        self.under_way = controller.under_way
        if controller.search is not None:
            self.status = {**reader.status, "step": controller.search.step_number}
        if self.name == "paused" and self.status["step"] != reader.status["step"]:
            self.name = "running"  # it has continued since the folder was read
        if not self.under_way and self.name in ("not begun", "running", "paused"):
            self.name = "ready"
        self.step: int = self.status.get("step", 0)
        self.steps: int | None = self.status.get("steps")

    @property
    def running(self) -> bool:
        """Whether the search runs; an ended search keeps its run open for a moment."""
        return self.under_way and self.name == "running"

    @property
    def paused(self) -> bool:
        """Whether the search is paused."""
        return self.under_way and self.name == "paused"

    @property
    def can_continue(self) -> bool:
        """Whether the search can run on from where it is."""
        return self.name != "finished" and (self.paused or not self.under_way)

    def html(self) -> str:
        """Return the state, the step, the speed, the score and the current command as HTML."""
        status = self.status
        label, colour = _LABELS.get(self.name, (self.name, "#757575"))
        style = f"color: white; background: {colour}; padding: 2px 8px; border-radius: 8px"
        badge = f"<b style='{style}'>{label}</b>"
        facts = [f"step <b>{self.step}</b> of {self.steps or '?'}"]
        if self.steps:
            facts.append(f"epoch {status['epoch']} of {status['epochs']}")
        if self.name == "running" and self.steps:
            facts += self._speed(self.steps - self.step)
        facts += [f"{row['peak_mb'] / 1000:.1f} GB" for row in self._reader.timing[-1:]]
        metric = status.get("primary_metric")
        if metric and (score := status.get("metrics", {}).get(metric)) is not None:
            facts.append(f"{metric_title(metric)} <b>{score:.1f}</b>")
        command = self._controller.doing
        doing = f" <i>{html.escape(command)} …</i>" if command else ""
        return f"{badge} &nbsp; {' · '.join(facts)}{doing}"

    def _speed(self, left: int) -> list[str]:
        """Return the speed and the time that the remaining steps need."""
        recent = _recent(self._reader.timing)
        if not recent:
            return []
        rate = sum(row["images_per_s"] for row in recent) / len(recent)
        facts = [f"{rate:.1f} images/s"]
        if rate:
            batch_size = self._subject.experiment.training.batch_size
            facts.append(f"{_duration(left * batch_size / rate)} left")
        return facts

    def message(self) -> str:
        """Return the error or, without one, a hint as HTML."""
        controller = self._controller
        if error := controller.error or self.status.get("error", ""):
            return error_html(error)
        opened_elsewhere = controller.search is None and self.under_way
        if opened_elsewhere and not (self.running or self.paused or controller.doing):
            holder = controller.run.holder()
            return f"<i>This run is open in {holder}: until that ends, only a branch can go on.</i>"
        if not self._reader.history:
            return "<i>Nothing is logged yet: press Run, or Step.</i>"
        return ""


def _recent(timing: Sequence[Mapping]) -> list[Mapping]:
    """Return the rows of the last seconds."""
    return [row for row in timing[-50:] if row["time"] > time.time() - _RECENT]


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"

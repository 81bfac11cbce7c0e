"""Views of a search panel: curves of the training, alpha and beta, and the log."""

import html
from collections.abc import Mapping
from pathlib import Path

import ipywidgets as widgets

from posenfs.data.datasets.catalogue import home
from posenfs.evaluation.metrics import metric_title
from posenfs.model.collapse import CollapseSigns, collapse_warnings
from posenfs.search.detached import LOG
from posenfs.viz.architecture_curves import alpha_curves, beta_curves
from posenfs.viz.architectures import alpha_maps, beta_maps
from posenfs.viz.curves import loss_curve, rate_curve, score_curve, speed_curve, thinned
from posenfs.widgets.plot import Plot
from posenfs.widgets.run_context import RunContext
from posenfs.widgets.run_reader import RunReader

_MAX_POINTS = 1000  # points of a curve
_LOG_LINES, _LOG_BYTES = 200, 2**16  # how much is read from the end of a log


class CurvesView:
    """Loss, metrics and learning rate by training step."""

    title, reads = "Curves", frozenset({"history", "metrics"})
    empty = "The first training step begins the curves."

    def __init__(self, subject: RunContext, reader: RunReader):
        self.reader = reader
        self._loss, self._score, self._rate = Plot(), Plot(), Plot()
        self.widget = widgets.VBox([self._loss, self._score, self._rate])

    @property
    def drawn(self) -> bool:
        """Whether there is anything to draw."""
        return bool(self.reader.history)

    def refresh(self) -> None:
        """Redraw the view."""
        history, metric = self.reader.history, self.reader.status.get("primary_metric")
        if not history:
            return
        self._loss.draw(loss_curve(history, most=_MAX_POINTS))
        self._rate.draw(rate_curve(history))
        if any(metric in row for row in history):
            baseline = self.reader.metrics.get("mean_pose", {}).get(metric)
            self._score.draw(score_curve(history, metric=metric, mean_pose=baseline))


class WeightsView:
    """softmax(alpha) or softmax(beta): curves over time, and the current map of every fabric."""

    reads = frozenset({"architectures"})
    empty = "The first training step logs alpha and beta."

    def __init__(self, subject: RunContext, reader: RunReader, title: str):
        self.subject, self.reader, self.title = subject, reader, title
        self._curves, self._maps = Plot(), Plot()
        self.widget = widgets.VBox([self._maps, self._curves])

    @property
    def drawn(self) -> bool:
        """Whether there is anything to draw."""
        return len(self.reader.steps) > 0

    def refresh(self) -> None:
        """Redraw the view."""
        reader, specs = self.reader, self.subject.specs
        if not len(reader.steps):
            return
        steps, architectures = reader.thinned(_MAX_POINTS)
        step, current = reader.at(int(steps[-1]))
        if self.title == "Alpha":
            self._curves.draw(alpha_curves(steps, architectures, specs))
            self._maps.draw(alpha_maps(specs, current, f"step {step}"))
        else:
            self._curves.draw(beta_curves(steps, architectures, specs))
            self._maps.draw(beta_maps(specs, current, f"step {step}"))


class LogView:
    """The end of the log, the evaluations with their warnings, and the training speed."""

    title, reads = "Log", frozenset({"status", "timing"})

    def __init__(self, subject: RunContext, reader: RunReader):
        self.subject, self.reader = subject, reader
        self._log, self._speed = widgets.HTML(), Plot()
        self.widget = widgets.VBox([self._log, self._speed])

    def refresh(self) -> None:
        """Redraw the view."""
        folder, status = self.reader.run.folder.resolve(), self.reader.status
        log = folder / LOG
        lines = _last_lines(log) if log.is_file() else []
        epochs = [row for row in self.reader.history if "loss" not in row]
        lines += [line for row in epochs for line in self._epoch_lines(row)][-_LOG_LINES:]
        if error := status.get("error"):
            lines.append(f"error: {error}")
        location = folder.relative_to(home()) if folder.is_relative_to(home()) else folder
        state = status.get("state", "not begun")
        lines.append(f"{location}: {state}, process {status.get('pid')} on {status.get('host')}")
        text = html.escape("\n".join(line for line in lines if line.strip()))
        style = "max-height: 300px; overflow: auto; line-height: 1.3"
        self._log.value = f"<pre style='{style}'>{text}</pre>"
        if self.reader.timing:
            self._speed.draw(speed_curve(thinned(self.reader.timing, _MAX_POINTS)))

    def _epoch_lines(self, row: Mapping) -> list[str]:
        """Return the primary metric and the warnings of an evaluation, as lines of text."""
        metric = self.reader.status.get("primary_metric")
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

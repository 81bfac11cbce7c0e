"""Records of a search while it trains: losses, alpha and beta, and timing."""

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from posenfs.model.architecture import Architecture
from posenfs.model.memory import peak_bytes
from posenfs.search.run_writer import RunWriter
from posenfs.search.trainer import Trainer


@dataclass(frozen=True)
class BadLoss:
    """A loss that is NaN or infinite, and its step."""

    value: float
    step: int


class Recorder:
    """Collects the records of a search and writes them every few steps.

    The losses stay on the device until they are written, which is the only synchronisation.

    Args:
        writer: The writer of the run directory.
        trainer: The trainer.
        history_rows: The number of rows that history.jsonl has.

    Attributes:
        history_rows: The number of rows written to history.jsonl.
        last_loss: The last loss that was written, or None.
        written_at: When rows were last written (`time.monotonic`).
    """

    def __init__(self, writer: RunWriter, trainer: Trainer, history_rows: int):
        self._writer, self._trainer = writer, trainer
        self.history_rows = history_rows
        self.last_loss: float | None = None
        self.written_at = time.monotonic()
        self._pending: list[tuple[dict, Tensor]] = []
        self._logged_steps: list[int] = []  # since the last checkpoint
        self._logged: list[dict[str, Architecture]] = []
        self.restart_clock()

    @property
    def has_pending(self) -> bool:
        """Whether there are losses to write."""
        return bool(self._pending)

    def add_loss(self, row: dict, loss: Tensor) -> None:
        """Add the row of a training step, whose loss is a scalar on the device."""
        self._pending.append((row, loss))

    def add_evaluation(self, row: dict) -> None:
        """Write the row of an evaluation."""
        self._writer.append("history.jsonl", [row])
        self.history_rows += 1

    def log_architecture(self) -> None:
        """Add alpha and beta of the current step to the log."""
        self._logged_steps.append(self._trainer.step_number)
        self._logged.append(self._architectures())

    def flush(self) -> BadLoss | None:
        """Write pending losses, the architecture log for live readers, and the timing.

        Returns:
            The first loss that is not finite. It and later ones are not written.
        """
        if not self._pending:
            return None
        losses = torch.stack([loss for _, loss in self._pending]).tolist()
        rows = [{**row, "loss": loss} for (row, _), loss in zip(self._pending, losses, strict=True)]
        self._pending, self.last_loss = [], losses[-1]
        bad = next((i for i, loss in enumerate(losses) if not math.isfinite(loss)), None)
        self._writer.append("history.jsonl", rows[:bad])
        self._write_recent_architectures()
        self.written_at = time.monotonic()
        self.history_rows += len(rows[:bad])
        if bad is not None:
            return BadLoss(losses[bad], rows[bad]["step"])
        self._write_timing()
        return None

    def write_architectures(self) -> None:
        """Write the architecture log since the last checkpoint to a new file."""
        self._writer.append_architectures(self._logged_steps, self._logged)
        self._logged_steps, self._logged = [], []

    def restart_clock(self) -> None:
        """Begin a new timing interval, so that evaluations and pauses are not timed."""
        self._clock, self._clock_step = time.perf_counter(), self._trainer.step_number
        self._waited = self._trainer.batches.wait_seconds

    def _architectures(self) -> dict[str, Architecture]:
        architectures = self._trainer.model.architectures()
        return {name: architecture.detach() for name, architecture in architectures.items()}

    def _write_recent_architectures(self) -> None:
        steps, logged, now = self._logged_steps, self._logged, self._trainer.step_number
        if not steps or steps[-1] != now:
            steps, logged = [*steps, now], [*logged, self._architectures()]
        self._writer.write_recent_architectures(steps, logged)

    def _write_timing(self) -> None:
        trainer, seconds = self._trainer, time.perf_counter() - self._clock
        steps = trainer.step_number - self._clock_step
        images = steps * trainer.experiment.training.batch_size
        row = {
            "step": trainer.step_number,
            "images_per_s": round(images / seconds, 2),
            "wait_share": round((trainer.batches.wait_seconds - self._waited) / seconds, 4),
            "peak_mb": round(peak_bytes(trainer.device) / 2**20),
            "time": time.time(),
        }
        self._writer.append("timing.jsonl", [row])
        self.restart_clock()

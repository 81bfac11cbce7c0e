"""Training whose records and checkpoints go to a run directory."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from tqdm import tqdm

from posenfs.evaluation.metrics import (
    errors_by_measure,
    evaluate,
    nan_to_none,
    primary_metric,
)
from posenfs.messages import note
from posenfs.model.architecture import Architecture
from posenfs.model.collapse import collapse_signs, collapse_warnings
from posenfs.model.network import PoseNFS
from posenfs.search.checkpoints import steps_to_keep
from posenfs.search.control import Control
from posenfs.search.failures import NonFiniteLoss
from posenfs.search.recorder import Recorder
from posenfs.search.result import EarlyStopping, result
from posenfs.search.run_writer import RunWriter
from posenfs.search.saved_models import save_model
from posenfs.search.trainer import Trainer

_LIVE_INTERVAL = 1.0  # s after which rows are written for live readers, however few


class RecordedTrainer:
    """Takes the steps of a search and writes history, checkpoints, status and result.

    Args:
        trainer: The trainer.
        writer: The writer of the run directory; while it is closed nothing is written.
        control: The control of the search, whose last command is part of the status.
        progress: Whether to show warnings about a collapse of the search.

    Attributes:
        metrics: The metrics of the last evaluation, in percent.
        primary_metric: The name of the primary metric.
        steps: The number of training steps of the whole search.
        saved: The step and the metrics of the last checkpoint.
        step_is_broken: Whether the last step was aborted; `restore` undoes it.
    """

    def __init__(self, trainer: Trainer, writer: RunWriter, control: Control, progress: bool):
        self.trainer, self.writer, self.run = trainer, writer, writer.run
        self.experiment, self.control, self.progress = trainer.experiment, control, progress
        self.primary_metric = primary_metric(trainer.batches.valid)
        self.steps = trainer.steps_per_epoch * self.experiment.training.epochs
        self.metrics: dict[str, float | None] = {}
        self.saved: tuple[int, dict[str, float | None]] = 0, {}
        self.progress_bar = tqdm(disable=True)
        self.restore()

    @property
    def finished(self) -> bool:
        """Whether all steps are taken, or the search has stopped early."""
        step = self.trainer.step_number
        return step >= self.steps or self.early_stopping.ends_at(step)

    def begin(self) -> None:
        """Write the status of an opened search; load the result of a finished one."""
        if not self.finished:
            self.write_status("ready")
        elif self.run.is_complete():
            self.metrics = self.run.metrics()["metrics"]
            self.load_chosen()
            self.write_status("finished")
            self.writer.close()
        else:
            self.write_result()

    # -- steps ---------------------------------------------------------------------------------

    def take_step(self) -> None:
        """Take one training step and write its records; at an epoch's end evaluate and save.

        Raises:
            NonFiniteLoss: The loss or a weight is NaN or infinite.
        """
        self.step_is_broken = True
        trainer, experiment = self.trainer, self.experiment
        epoch = trainer.epoch_number
        loss = trainer.train_step()
        lr = experiment.training.lr_at(epoch)
        self.recorder.add_loss({"step": trainer.step_number, "epoch": epoch + 1, "lr": lr}, loss)
        ends_epoch = trainer.step_number % trainer.steps_per_epoch == 0
        logs = trainer.step_number % experiment.runtime.log_every == 0 or ends_epoch
        if logs:
            self.recorder.log_architecture()
        # Several processes write at the same steps; their clocks may differ.
        is_late = time.monotonic() - self.recorder.written_at > _LIVE_INTERVAL
        if logs or (trainer.group.world_size == 1 and is_late):
            self.flush()
        if ends_epoch:
            self._evaluate_epoch()
        every = experiment.checkpoints.every
        if ends_epoch or (every and trainer.step_number % every == 0):
            self.save()
        self.step_is_broken = False
        if self.finished:
            self.write_result()

    def replay(self, step: int) -> None:
        """Take steps up to a step."""
        while self.trainer.step_number < step and not self.finished:
            self.take_step()

    def begin_branch(self, step: int, edits: Mapping[str, Architecture]) -> None:
        """Take steps up to `step`, replace alpha and beta of some fabrics, and save."""
        self.replay(step)
        if edits:
            assert isinstance(self.trainer.model, PoseNFS), "see check_edits"
            self.trainer.model.set_architectures(edits)
            self.recorder.log_architecture()
        self.save(replace=True)

    def flush(self) -> None:
        """Write pending losses and the status; raises as `write_rows`."""
        if self.recorder.has_pending:
            self.write_rows()
            self.write_status("running")

    def write_rows(self) -> None:
        """Write pending losses.

        Raises:
            NonFiniteLoss: One of them is NaN or infinite.
        """
        if (bad := self.recorder.flush()) is not None:
            self._fail(f"the loss is {bad.value}", bad.step)

    def _fail(self, problem: str, step: int) -> None:
        good = self.run.checkpoints.steps()
        saved = "there is no checkpoint yet"
        if good:
            saved = f"the last good checkpoint is step {good[-1]} in {self.run.folder}"
        message = (
            f"{problem} at step {step} (epoch {(step - 1) // self.trainer.steps_per_epoch + 1}); "
            f"{saved}. Try a learning rate below {self.experiment.training.lr:g}, or float32 "
            "precision, under another name"
        )
        self.write_status("failed", error=message)
        raise NonFiniteLoss(message)

    def _evaluate_epoch(self) -> None:
        """Evaluate on the validation split and, if there is one, on the early-stopping split."""
        self.progress_bar.set_description("evaluate")
        trainer, epoch = self.trainer, self.trainer.epoch_number
        self._evaluate()
        score = self.metrics.get(self.primary_metric)
        row: dict[str, object] = {"step": trainer.step_number, "epoch": epoch, **self.metrics}
        if self.experiment.training.early_stopping_split:
            predictions = trainer.predict("early_stopping")
            metrics, _ = evaluate(predictions, trainer.split("early_stopping"))
            score = nan_to_none(metrics).get(self.primary_metric)
            row["early_stopping_score"] = score
        if score is not None:
            self.early_stopping.scores[trainer.step_number] = score
        signs = {
            name: collapse_signs(fabric.architecture, fabric.spec)
            for name, fabric in trainer.model.fabrics().items()
        }
        if signs:
            row["architecture"] = {name: asdict(values) for name, values in signs.items()}
        self.recorder.add_evaluation(row)
        for warning in collapse_warnings(signs) if self.progress else []:
            note(f"warning, epoch {epoch}: {warning}")
        self.recorder.restart_clock()

    def _evaluate(self) -> None:
        """Evaluate on the validation split; write the errors of every annotation."""
        predictions, valid = self.trainer.predict(), self.trainer.split("valid")
        metrics, errors = evaluate(predictions, valid)
        self.metrics = nan_to_none(metrics)
        self.writer.write_errors(errors, errors_by_measure(predictions, valid))

    # -- checkpoints ---------------------------------------------------------------------------

    def restore(self) -> None:
        """Restore the last checkpoint, or the beginning; delete later records."""
        trainer, steps = self.trainer, self.run.checkpoints.steps()
        state: dict = {}
        if steps:
            state = self.run.checkpoints.load(steps[-1], trainer.device)
            trainer.load_state_dict(state)
        else:
            trainer.reset()
        self.metrics = state.get("metrics", {})
        # The scores of epochs whose checkpoint was deleted cannot be chosen.
        scores = state.get("epoch_scores", {})
        scores = {step: score for step, score in scores.items() if step in steps}
        patience = self.experiment.training.patience
        self.early_stopping = EarlyStopping(patience, trainer.steps_per_epoch, scores)
        self.saved = trainer.step_number, self.metrics
        self.recorder = Recorder(self.writer, trainer, state.get("history_rows", 0))
        self.step_is_broken = False
        self.writer.truncate(trainer.step_number, self.recorder.history_rows)
        if not steps:
            self.recorder.log_architecture()

    def save(self, replace: bool = False) -> None:
        """Write a checkpoint; delete those that need not be kept.

        Args:
            replace: Whether an existing checkpoint of this step is replaced.

        Raises:
            NonFiniteLoss: A loss or a weight is NaN or infinite.
        """
        self.flush()
        trainer, step = self.trainer, self.trainer.step_number
        state = {
            **trainer.state_dict(),
            "history_rows": self.recorder.history_rows,
            "metrics": self.metrics,
            "epoch_scores": self.early_stopping.scores,
        }
        floats = [t for t in state["model"].values() if t.is_floating_point()]
        if not torch.stack([t.isfinite().all() for t in floats]).all():
            # The loss is that before the update, and does not show it.
            self._fail("a weight is not finite", step)
        self.recorder.write_architectures()
        self.writer.save_checkpoint(step, state, replace)
        self.saved = step, self.metrics
        branch = self.run.provenance().get("branch", {})
        keep, always = steps_to_keep(
            self.run.checkpoints.steps(),
            self.experiment.checkpoints.keep,
            10 * trainer.steps_per_epoch,
            # A branch keeps its first checkpoints: they alone hold its beginning and its edits.
            [step, self.early_stopping.best_step, branch.get("checkpoint"), branch.get("step")],
        )
        self.writer.prune_checkpoints(keep, always, self.experiment.checkpoints.max_gb)

    def rewind(self, step: int) -> Path:
        """Restore the state after a step; returns the archive of the later records."""
        self.save()
        archive = self.writer.archive_after(step)
        self.restore()
        self.replay(step)
        self.save()
        if self.finished:  # a rewind to the last step
            self.write_result()
        else:
            self.write_status("rewound")
        return archive

    def load_chosen(self) -> bool:
        """Load the best epoch's network with early stopping; returns whether it was another one."""
        step = self.early_stopping.chosen_step
        if step is None or step == self.trainer.step_number:
            return False
        state = self.run.checkpoints.load(step, self.trainer.device)
        self.trainer.model.load_state_dict(state["model"])
        return True

    def write_result(self) -> None:
        """Write model.safetensors, metrics.json and the final status; then close the writer."""
        if self.load_chosen():
            self._evaluate()
        if self.writer.is_open:
            batches, model = self.trainer.batches, self.trainer.model
            size = self.experiment.image_size
            content = result(
                self.metrics, self.run.errors, batches.train, batches.valid, model, size
            )
            save_model(self.run.folder, model, self.experiment)
            is_reported = batches.early_stopping is batches.valid
            choice = self.early_stopping.choice(
                self.trainer.epoch_number, batches.early_stopping.name, is_reported
            )
            self.writer.write_metrics({**content, **choice})
            self.write_status("finished")
        self.writer.close()

    def write_status(self, state: str, **fields: object) -> None:
        """Write status.json.

        Args:
            state: ready, running, paused, rewound, interrupted, finished or failed.
            **fields: Further fields, or other values of the usual ones.
        """
        status = {
            "state": state,
            "step": self.trainer.step_number,
            "steps": self.steps,
            "epoch": self.trainer.epoch_number,
            "epochs": self.experiment.training.epochs,
            "primary_metric": self.primary_metric,
            "metrics": self.metrics,
            "command": self.control.executed,
        }
        self.writer.write_status(**{**status, **fields})

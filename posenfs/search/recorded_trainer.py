"""Training whose records and checkpoints go to a run directory."""

import time
from collections.abc import Mapping
from dataclasses import asdict

import torch
from tqdm import tqdm

from posenfs.evaluation.metrics import (
    errors_by_measure,
    evaluate,
    metric_title,
    nan_to_none,
    primary_metric,
)
from posenfs.messages import note
from posenfs.model.architecture import Architecture
from posenfs.model.collapse import collapse_signs, collapse_warnings
from posenfs.search.control import Control
from posenfs.search.early_stopping import EarlyStopping
from posenfs.search.failures import NonFiniteLoss
from posenfs.search.recorder import Recorder
from posenfs.search.result import result
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
        primary_metric: The name of the metric that stands for the result.
        steps: The number of training steps of the whole search.
        saved: The step and the metrics of the last checkpoint.
        step_is_broken: Whether the last step was aborted; `restore` undoes its part.
        progress_bar: The bar that shows what happens.
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

    @property
    def progress_text(self) -> str:
        """Step, last loss and primary metric, for the progress bar."""
        parts = [f"step {self.trainer.step_number}"]
        if self.recorder.last_loss is not None:
            parts.append(f"loss {self.recorder.last_loss:.3f}")
        if (score := self.metrics.get(self.primary_metric)) is not None:
            parts.append(f"{metric_title(self.primary_metric)} {score:.1f}")
        return " ".join(parts)

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
            self.trainer.model.set_architectures(edits)
            self.recorder.log_architecture()
        self.save(replace=True)

    def flush(self) -> None:
        """Write pending losses and the status.

        Raises:
            NonFiniteLoss: One of them is NaN or infinite.
        """
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
        row = {"step": trainer.step_number, "epoch": epoch, **self.metrics}
        if self.experiment.training.early_stopping_split:
            predictions = trainer.predict("early_stopping")
            found, _ = evaluate(predictions, trainer.split("early_stopping"))
            score = nan_to_none(found).get(self.primary_metric)
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
        """Evaluate on the validation split; write the errors of every person."""
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
        """Write a checkpoint, and delete those that need not be kept.

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
        self._prune_checkpoints()

    def _prune_checkpoints(self) -> None:
        checkpoints, steps = self.experiment.checkpoints, self.run.checkpoints.steps()
        tenth = 10 * self.trainer.steps_per_epoch
        keep = [*steps[-checkpoints.keep :], *(s for s in steps if s and s % tenth == 0)]
        # A branch keeps its first checkpoints: they alone hold its beginning and its edits.
        branch = self.run.provenance().get("branch", {})
        always = [self.trainer.step_number, self.early_stopping.best_step]
        always += [branch.get("checkpoint"), branch.get("step")]
        always = [step for step in always if step is not None]
        self.writer.prune_checkpoints(keep, always, checkpoints.max_gb)

    # -- result --------------------------------------------------------------------------------

    def load_chosen(self) -> bool:
        """Load the network of the best epoch of a search with early stopping.

        Returns:
            Whether it is another network than that of the last step.
        """
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
            self.writer.write_metrics({**content, **self._chosen_epoch()})
            self.write_status("finished")
        self.writer.close()

    def _chosen_epoch(self) -> dict:
        """Return how the best epoch was chosen, for metrics.json."""
        step = self.early_stopping.chosen_step
        if step is None:
            return {}
        chosen = {
            "epoch": step // self.trainer.steps_per_epoch,
            "epochs": self.trainer.epoch_number,
            "score": self.early_stopping.scores[step],
            "selected_on": self.trainer.batches.early_stopping.name,
            "selected_on_reported": not self.experiment.training.early_stopping_split,
        }
        return {"chosen": chosen}

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

"""Training and evaluation of an experiment, in memory."""

import numpy as np
import torch
from torch import Tensor

from posenfs.data.sample import Annotations, Batch, normalise
from posenfs.evaluation.prediction import Predictions, concatenate, predict
from posenfs.model.network import PoseNFS
from posenfs.model.vectors import heatmap_loss
from posenfs.search.batches import BatchSource, LoadingOptions
from posenfs.search.build import Built, build_model
from posenfs.search.context import SearchContext
from posenfs.search.distributed import ProcessGroup
from posenfs.search.experiment import Experiment
from posenfs.search.forward import Forward
from posenfs.search.result import DECODING, FLIP
from posenfs.search.strategies import STRATEGIES, CostTerm, with_defaults


class Trainer:
    """Trains the network of an experiment with its strategy. It writes no files.

    Args:
        experiment: The experiment.
        built: Its network and data.
        group: The processes that share every batch.
        device: The device to train on.
        options: How the data are read.

    Attributes:
        model: The network, on the device.
        batches: The splits and their batches.
        context: What the strategy works with; made by `reset` and by `load_state_dict`.
        step_number: The number of training steps taken.

    Raises:
        ValueError: The strategy, the splits or `runtime.recompute` do not fit the network.
    """

    context: SearchContext[Batch]

    def __init__(
        self,
        experiment: Experiment,
        built: Built,
        group: ProcessGroup,
        device: torch.device,
        options: LoadingOptions = LoadingOptions(),
    ):
        self.experiment, self.group, self.device, self.options = experiment, group, device, options
        self.strategy = STRATEGIES[experiment.search.strategy]
        self.search_config = with_defaults(experiment.search, self.strategy)
        self.parts = built.parts
        self.batches = BatchSource(experiment, built.train, built.valid, group, device, options)
        self.model = built.model.to(device).to(memory_format=torch.channels_last)
        if experiment.runtime.recompute:
            if not isinstance(self.model, PoseNFS):
                raise ValueError(
                    "runtime.recompute is for networks with heads for parts; "
                    f"{experiment.model} has none"
                )
            self.model.recompute = True
        self.forward = Forward(self.model, experiment.training, device)
        self.step_number = 0
        self._epoch_is_set = False  # whether learning rates are those of the current epoch

    @property
    def steps_per_epoch(self) -> int:
        """Number of training steps in an epoch."""
        return self.batches.steps_per_epoch

    @property
    def epoch_number(self) -> int:
        """Number of whole epochs done."""
        return self.step_number // self.steps_per_epoch

    def compute_loss(self, batch: Batch) -> Tensor:
        """Return the mean loss of a batch, a scalar (Eq. 6)."""
        targets = batch.targets(self.experiment.fabric.strides[0])
        maps = self.forward(normalise(batch.images, batch.gains))
        return heatmap_loss(maps, targets, batch.visibility)

    def train_step(self) -> Tensor:
        """Take one training step.

        Returns:
            The mean loss before the step, a scalar on the device.
        """
        epoch, within = divmod(self.step_number, self.steps_per_epoch)
        if within == 0 or not self._epoch_is_set:
            self.context.set_epoch(epoch, self.strategy.trains_architecture)
            self._epoch_is_set = True
        if within == 0:
            self.context.rescale_logits()
        batch, validation_batch = self.batches.next()
        self.model.train()
        loss = self.strategy.step(self.context, batch, validation_batch, self.step_number)
        self.step_number += 1
        return loss

    def predict(self, split: str = "valid") -> Predictions:
        """Predict the keypoints of a split: a part in each process, gathered in all of them.

        Args:
            split: "valid" or "early_stopping".
        """
        annotations, cache = self.split(split), self.batches.caches[split]
        rows = np.arange(len(annotations))[self.group.rows(len(annotations))]
        with self.forward.autocast():
            predictions = predict(
                self.model,
                annotations.select(rows),
                self.experiment.image_size,
                flip=FLIP,
                workers=self.options.workers,
                decoding=DECODING,
                cache=None if cache is None else cache.select(rows),
            )
        return concatenate(self.group.gather(predictions))

    def split(self, name: str) -> Annotations:
        """Return a split to evaluate on: "valid" or "early_stopping"."""
        return self.batches.valid if name == "valid" else self.batches.early_stopping

    def reset(self) -> None:
        """Restore the initial weights, and alpha and beta as the strategy initialises them."""
        initial = build_model(self.experiment, self.parts).state_dict()
        self._restore(0, initial)
        if self.strategy.initialise is not None:
            self.strategy.initialise(self.context)

    def state_dict(self) -> dict:
        """Return the full state; training continues from it bit for bit on a CPU."""
        return {
            "step": self.step_number,
            "model": self.model.state_dict(),
            "strategy": self.context.state_dict(),
        }

    def load_state_dict(self, state: dict) -> None:
        """Restore what `state_dict` returned."""
        self._restore(state["step"], state["model"])
        self.context.load_state_dict(state["strategy"])

    def _restore(self, step: int, weights: dict) -> None:
        self.model.load_state_dict(weights)
        self.context = self._new_context()
        self.step_number, self._epoch_is_set = step, False
        self.batches.seek(step)

    def _new_context(self) -> SearchContext[Batch]:
        search, penalty = self.search_config, None
        if search.cost_budget is not None:
            assert isinstance(self.model, PoseNFS), "see check_searchable"
            size = self.experiment.image_size
            penalty = CostTerm(self.model, *size, search.cost_budget, search.cost_weight)
        training = self.experiment.training
        return SearchContext(
            self.model, training, search, self.compute_loss, penalty, self.group.average
        )


def check_searchable(experiment: Experiment, built: Built) -> None:
    """Check that the network has alpha and beta where the experiment searches them.

    Raises:
        ValueError: It has none, and the strategy is not synchronous or there is a cost budget.
    """
    search = experiment.search
    searches = search.strategy != "synchronous" or search.cost_budget is not None
    if searches and not built.model.architecture_parameters():
        raise ValueError(
            f"{experiment.model} has no alpha and beta to search: strategy synchronous, without a "
            f"cost budget, trains its weights; got strategy {search.strategy}, cost budget "
            f"{search.cost_budget}"
        )

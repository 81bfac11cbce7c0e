"""What a search strategy works with: model, loss, gradients and updates."""

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor

from posenfs.model.network import PoseNetwork
from posenfs.search.configuration import SearchConfig, TrainingConfig


class Chunkable(Protocol):
    """A batch that can be split into smaller ones, such as `posenfs.data.sample.Batch`."""

    def __len__(self) -> int:
        """Return the number of images."""

    def chunk(self, chunks: int) -> Sequence[Self]:
        """Split the batch into at most `chunks` batches, all but the last of one size."""


B = TypeVar("B", bound=Chunkable)


class SearchContext(Generic[B]):
    """Model, loss, optimisers and schedules of a search; the argument of every strategy function.

    Both optimisers are Adam. A temperature T sharpens the softmax of the logits: at the beginning
    of an epoch they are multiplied by the previous T over the current T, which equals
    softmax(logits / T).

    Args:
        model: The network.
        training: Optimisation of the weights.
        search: Optimisation of alpha and beta, without None values
            (`posenfs.search.strategies.with_defaults`).
        compute_loss: Maps a batch to its mean loss, a scalar (Eq. 6), by a forward pass.
        penalty: Returns a scalar that is added to the loss of alpha and beta.
        average: Replaces tensors in place by their means over the processes that share a batch.

    Attributes:
        weights: The parameters of the network without the logits.
        logits: Alpha and beta of every fabric.
        epoch: The current epoch, counted from 0.
    """

    def __init__(
        self,
        model: PoseNetwork,
        training: TrainingConfig,
        search: SearchConfig,
        compute_loss: Callable[[B], Tensor],
        penalty: Callable[[], Tensor] | None = None,
        average: Callable[[Sequence[Tensor]], None] = lambda tensors: None,
    ):
        self.model, self.training, self.search = model, training, search
        self.compute_loss, self._penalty, self._average = compute_loss, penalty, average
        self.weights, self.logits = model.weight_parameters(), model.architecture_parameters()
        self.weight_optimizer = torch.optim.Adam(self.weights, lr=training.lr, fused=True)
        self.logit_optimizer: torch.optim.Adam | None = None
        if self.logits:
            self.logit_optimizer = torch.optim.Adam(
                self.logits, lr=training.lr, weight_decay=search.weight_decay or 0.0, fused=True
            )
        self.epoch = 0

    @property
    def temperature(self) -> float:
        """The softmax temperature of the current epoch."""
        return self.search.temperature_at(self.epoch, self.training.epochs)

    @property
    def weight_lr(self) -> float:
        """The learning rate of the weights in the current epoch."""
        return self.training.lr_at(self.epoch)

    @property
    def architecture_is_trained(self) -> bool:
        """Whether alpha and beta follow a gradient in the current epoch."""
        return any(logits.requires_grad for logits in self.logits)

    # -- gradients -----------------------------------------------------------------------------

    def zero_grad(self) -> None:
        """Remove the gradients of all parameters."""
        self.weight_optimizer.zero_grad()
        for logits in self.logits:
            logits.grad = None

    def backward(self, batch: B, parameters: Sequence[Tensor] | None = None) -> Tensor:
        """Add the gradients of a batch's mean loss to those of the parameters.

        The batch is split into `training.accumulate` chunks. Loss, gradients and
        running statistics are averaged over the processes that share the batch, each with an equal
        part.

        Args:
            batch: The batch.
            parameters: Those to differentiate with respect to; None: all that require a gradient.

        Returns:
            The mean loss, a scalar without a graph.
        """
        losses = []
        for chunk in batch.chunk(self.training.accumulate):
            loss = self.compute_loss(chunk) * (len(chunk) / len(batch))
            loss.backward(inputs=parameters)
            losses.append(loss.detach())
        mean = torch.stack(losses).sum()
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        statistics = [buffer for buffer in self.model.buffers() if buffer.is_floating_point()]
        self._average([*gradients, *statistics, mean])
        return mean

    # -- updates -------------------------------------------------------------------------------

    def update_weights(self) -> None:
        """Take an optimiser step of the weights."""
        self.weight_optimizer.step()

    def update_architecture(self) -> None:
        """Take an optimiser step of alpha and beta, with the gradient of the penalty added.

        Nothing happens in an epoch in which they are frozen.
        """
        if self.logit_optimizer is None or not self.architecture_is_trained:
            return
        if self._penalty is not None:
            self._penalty().backward()
        self.logit_optimizer.step()

    # -- schedule ------------------------------------------------------------------------------

    @torch.no_grad()
    def rescale_logits(self) -> None:
        """Apply the change of temperature at the beginning of the current epoch."""
        before = 1.0
        if self.epoch:
            before = self.search.temperature_at(self.epoch - 1, self.training.epochs)
        if before != self.temperature:
            for logits in self.logits:
                logits.mul_(before / self.temperature)

    def set_epoch(self, epoch: int, train_architecture: bool = True) -> None:
        """Set the learning rates of an epoch, and freeze or release alpha and beta.

        Args:
            epoch: The epoch, counted from 0.
            train_architecture: Whether alpha and beta are trained after the warm-up.
        """
        self.epoch = epoch
        _set_lr(self.weight_optimizer, self.weight_lr)
        if self.logit_optimizer is not None:
            rate = self.search.lr or self.training.lr
            if self.search.lr_drops:
                rate *= self.weight_lr / self.training.lr
            _set_lr(self.logit_optimizer, rate / self.temperature)
        for logits in self.logits:
            logits.requires_grad_(train_architecture and epoch >= self.search.warmup)

    # -- state ---------------------------------------------------------------------------------

    def state_dict(self) -> dict:
        """Return the state of both optimisers."""
        state = {"weights": self.weight_optimizer.state_dict()}
        if self.logit_optimizer is not None:
            state["architecture"] = self.logit_optimizer.state_dict()
        return state

    def load_state_dict(self, state: dict) -> None:
        """Restore what `state_dict` returned."""
        self.weight_optimizer.load_state_dict(state["weights"])
        if self.logit_optimizer is not None:
            self.logit_optimizer.load_state_dict(state["architecture"])


def _set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr

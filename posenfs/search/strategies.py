"""Search strategies (section III-F): how a training step changes the weights, alpha and beta."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from posenfs.data.augment import generator
from posenfs.model.architecture import Architecture
from posenfs.model.expected_cost import ExpectedCost
from posenfs.model.network import PoseNFS, batch_norms_kept
from posenfs.search.configuration import SearchConfig
from posenfs.search.context import SearchContext

# A training step: (context, training batch, validation batch or None) -> loss before the step.
Update = Callable[[SearchContext, Any, Any], Tensor]
# The gradient of alpha and beta: (context, training batch, validation batch), left in `.grad`.
Gradient = Callable[[SearchContext, Any, Any], None]

_GUMBEL_STREAM = 2  # random stream, separate from those of the augmentation
_RADIUS = 0.01  # DARTS: the step of the finite difference is this over the gradient's norm


@dataclass(frozen=True)
class Strategy:
    """A search strategy, composed of functions of a `SearchContext`.

    Attributes:
        update: Takes one training step.
        initialise: Sets alpha and beta before the first step; None: they are as built, 0.
        sample: Returns a context in which step `number` trains a random architecture; None: the
            network mixes by softmax(alpha) and softmax(beta).
        trains_architecture: Whether alpha and beta follow a gradient.
        validation_split: Default of `search.validation_split`. Where it is above 0, `update`
            receives a batch of that split.
        lr: Default of `search.lr`; None: that of the weights.
        lr_drops: Default of `search.lr_drops`.
        weight_decay: Default of `search.weight_decay`.
    """

    update: Update
    initialise: Callable[[SearchContext], None] | None = None
    sample: Callable[[SearchContext, int], AbstractContextManager] | None = None
    trains_architecture: bool = True
    validation_split: float = 0.0
    lr: float | None = None
    lr_drops: bool = True
    weight_decay: float = 0.0

    def step(
        self, context: SearchContext, batch: Any, validation_batch: Any, number: int
    ) -> Tensor:
        """Take training step `number`, counted from 0; returns the mean loss before it."""
        sampled = contextlib.nullcontext() if self.sample is None else self.sample(context, number)
        with sampled:
            return self.update(context, batch, validation_batch)


def with_defaults(search: SearchConfig, strategy: Strategy) -> SearchConfig:
    """Replace each None of a configuration by the strategy's default.

    Raises:
        ValueError: The strategy needs a validation split, and the configuration sets it to 0.
    """
    defaults = {
        name: getattr(strategy, name)
        for name in ("lr", "lr_drops", "weight_decay", "validation_split")
        if getattr(search, name) is None
    }
    search = replace(search, **defaults)
    if strategy.validation_split and not search.validation_split:
        raise ValueError(
            f"strategy {search.strategy} needs an architecture-validation split; "
            "search.validation_split is 0"
        )
    return search


# -- updates -----------------------------------------------------------------------------------


def joint_update(context: SearchContext, batch: Any, validation_batch: Any) -> Tensor:
    """Update weights, alpha and beta by one gradient of the training loss (the paper's choice)."""
    context.zero_grad()
    loss = context.backward(batch)
    context.update_architecture()
    context.update_weights()
    return loss


def alternating_update(
    gradient: Gradient, context: SearchContext, batch: Any, validation_batch: Any
) -> Tensor:
    """Update alpha and beta by `gradient`, then the weights by the training loss (DARTS)."""
    if context.architecture_is_trained:
        architecture_gradient(gradient, context, batch, validation_batch)
        context.update_architecture()
    context.zero_grad()
    loss = context.backward(batch)
    context.update_weights()
    return loss


# -- gradients of alpha and beta ---------------------------------------------------------------


def architecture_gradient(
    gradient: Gradient, context: SearchContext, batch: Any, validation_batch: Any
) -> None:
    """Compute the gradient of alpha and beta; weights and running statistics do not change."""
    context.zero_grad()
    with batch_norms_kept(context.model):
        gradient(context, batch, validation_batch)


def validation_gradient(context: SearchContext, batch: Any, validation_batch: Any) -> None:
    """Compute the gradient of the validation loss at the current weights (DARTS, first order)."""
    context.backward(validation_batch, context.logits)


def unrolled_gradient(
    context: SearchContext, batch: Any, validation_batch: Any, radius: float = _RADIUS
) -> None:
    """Compute d L_val(w - xi * dL_train/dw) / d(alpha, beta) (DARTS, second order).

    xi is the learning rate of the weights w. A central difference replaces the mixed second
    derivative. ReLU has a kink at 0: with a large radius the difference is the derivative of a
    smoothed network, which on a small network is far from the exact one.

    Args:
        context: The search.
        batch: The training batch.
        validation_batch: The batch of the architecture-validation split.
        radius: How far the weights move to either side, over the norm of the direction.
    """
    rate = context.weight_optimizer.param_groups[0]["lr"]
    start = [w.detach().clone() for w in context.weights]
    move = functools.partial(_move, context.weights, start)
    try:
        context.backward(batch, context.weights)
        move([w.grad for w in context.weights], -rate)  # w' = w - xi * dL_train/dw
        context.zero_grad()
        context.backward(validation_batch)
        direct = [logits.grad for logits in context.logits]
        direction = [w.grad for w in context.weights]  # dL_val/dw at w'
        norm = torch.stack([d.norm() for d in direction if d is not None]).norm()
        # The norm is 0 where no keypoint of the batch is labelled.
        step = radius / norm.clamp(min=torch.finfo(norm.dtype).tiny)
        move(direction, step)
        above = _logit_gradients(context, batch)
        move(direction, -step)
        below = _logit_gradients(context, batch)
    finally:
        move([None] * len(start), 0.0)
    context.zero_grad()
    for logits, first, plus, minus in zip(context.logits, direct, above, below, strict=True):
        logits.grad = first - rate * (plus - minus) / (2 * step)


def _logit_gradients(context: SearchContext, batch: Any) -> list[Any]:
    context.zero_grad()
    context.backward(batch, context.logits)
    return [logits.grad for logits in context.logits]


@torch.no_grad()
def _move(
    weights: Sequence[Tensor],
    start: Sequence[Tensor],
    direction: Sequence[Tensor | None],
    length: float | Tensor,
) -> None:
    """Set weights = start + length * direction; the copy `start` avoids rounding errors."""
    for w, origin, d in zip(weights, start, direction, strict=True):
        w.copy_(origin if d is None else origin + length * d)


# -- initialisation and sampling ---------------------------------------------------------------


@torch.no_grad()
def draw_normal_logits(context: SearchContext) -> None:
    """Draw alpha and beta of every fabric from N(0, 1) with the seed (the paper's baseline)."""
    for number, fabric in enumerate(context.model.fabrics().values()):
        drawn = Architecture.random(fabric.spec, seed=1000 * context.training.seed + number)
        fabric.alpha.copy_(drawn.alpha)
        fabric.beta.copy_(drawn.beta)


@contextlib.contextmanager
def gumbel_sample(context: SearchContext, number: int) -> Iterator[None]:
    """Mix by a sample of the concrete distribution of softmax(alpha), softmax(beta) (SNAS).

    As the temperature falls, the sampled network becomes discrete. The network is evaluated without
    noise.

    Args:
        context: The search.
        number: The training step; step and seed determine the sample.
    """
    with contextlib.ExitStack() as samples:
        for index, fabric in enumerate(context.model.fabrics().values()):
            random = generator(context.training.seed, number, index, _GUMBEL_STREAM)
            noisy = [
                logits
                + torch.from_numpy(random.gumbel(size=tuple(logits.shape))).to(logits)
                / context.temperature
                for logits in (fabric.architecture.alpha, fabric.architecture.beta)
            ]
            samples.enter_context(fabric.mixed_by(Architecture(*noisy)))
        yield


class CostTerm:
    """Penalty of a cost above the budget: weight * max(0, expected cost / budget - 1).

    Args:
        model: The network.
        height: Height of an image, px.
        width: Width of an image, px.
        budget: Expected cost that is free, in GMAC per image.
        weight: The penalty where the cost is twice the budget.
    """

    def __init__(self, model: PoseNFS, height: int, width: int, budget: float, weight: float):
        self.model, self.budget, self.weight = model, budget * 1e9, weight
        self.expected = ExpectedCost(model, height, width)

    def __call__(self) -> Tensor:
        """Return the penalty, a scalar that depends on the model's alpha and beta."""
        cost = self.expected(self.model.architectures())
        return self.weight * (cost / self.budget - 1).clamp(min=0)


_DARTS: dict[str, Any] = {
    "validation_split": 0.5,
    "lr": 3e-3,
    "lr_drops": False,
    "weight_decay": 1e-3,
}

# Strategies by name. To add one, add a line.
STRATEGIES: dict[str, Strategy] = {
    "synchronous": Strategy(joint_update),
    "random": Strategy(joint_update, draw_normal_logits, trains_architecture=False),
    "first_order": Strategy(functools.partial(alternating_update, validation_gradient), **_DARTS),
    "second_order": Strategy(functools.partial(alternating_update, unrolled_gradient), **_DARTS),
    "gumbel": Strategy(joint_update, sample=gumbel_sample),
}

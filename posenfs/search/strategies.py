"""Search strategies (section III-F): how a batch changes w, alpha and beta.

Alpha and beta hold the scores whose softmax the network mixes by. A temperature T sharpens them: as it falls from epoch
to epoch they are multiplied by T before / T now, which is what softmax(scores / T) would be.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace as RunConfig

import torch
from torch import Tensor

from posenfs.data.augment import generator
from posenfs.model.architecture import Architecture
from posenfs.model.expected_cost import ExpectedCost
from posenfs.model.network import PoseNetwork, PoseNFS, batch_norms_kept
from posenfs.model.vectors import heatmap_loss

_DRAWS = 2  # the stream of random numbers that Gumbel's draws come from
_RADIUS = (
    0.01  # DARTS: how far, over the gradient's length, the finite difference reaches to either side
)


@dataclass(frozen=True)
class Examples:
    """images [B, 3, H, W] normalised, target maps [B, K, h, w], visibility [B, K]."""

    images: Tensor
    target: Tensor
    visibility: Tensor

    def parts(self, count: int) -> list["Examples"]:
        """In so many parts at most, all but the last of one size."""
        rows = (t.chunk(count) for t in (self.images, self.target, self.visibility))
        return [Examples(*part) for part in zip(*rows, strict=True)]


class CostTerm:
    """weight * max(0, expected multiply-adds / budget - 1): what draws alpha and beta below a budget in GMAC."""

    def __init__(self, model: PoseNFS, height: int, width: int, budget: float, weight: float):
        self.model, self.budget, self.weight = model, budget * 1e9, weight
        self.expected = ExpectedCost(model, height, width)

    def __call__(self) -> Tensor:
        return self.weight * (self.expected(self.model.architectures()) / self.budget - 1).clamp(
            min=0
        )


class Synchronous:
    """w, alpha and beta follow one training gradient together, by Adam (the paper's choice).

    What all strategies have in common stands here: both optimisers, what freezes alpha and beta for the first epochs,
    the temperature, and the term that steers the cost.
    """

    # what RunConfig's None stands for
    held_out = 0.0  # share of the training images kept from w
    architecture_lr: float | None = None  # none: that of w
    architecture_lr_drops = True
    weight_decay = 0.0

    def __init__(
        self,
        model: PoseNetwork,
        config: RunConfig,
        penalty: Callable[[], Tensor] | None = None,
        average: Callable[[Sequence[Tensor]], None] = lambda tensors: None,
    ):
        """`penalty`: what is added to the loss that alpha and beta follow, a scalar of the model's own alpha, beta;
        `average`: what makes each tensor its mean over the processes that share a batch."""
        self.model, self.config, self.penalty, self.average = model, config, penalty, average
        self.weights, self.scores = model.weight_parameters(), model.architecture_parameters()
        self.optimizer = torch.optim.Adam(self.weights, lr=config.lr, fused=True)
        decay = (
            self.weight_decay
            if config.architecture_weight_decay is None
            else config.architecture_weight_decay
        )
        self.architecture_optimizer = (
            torch.optim.Adam(self.scores, lr=config.lr, weight_decay=decay, fused=True)
            if self.scores
            else None
        )

    def begin(self) -> None:
        """Set alpha and beta as the search begins with them: as the network has them."""

    def begin_epoch(self, epoch: int) -> None:
        """What changes once an epoch (0 first), before its first step: the temperature."""
        before, now = (
            self.config.temperature_at(epoch - 1) if epoch else 1.0,
            self.config.temperature_at(epoch),
        )
        if before != now:
            with torch.no_grad():
                for scores in self.scores:
                    scores.mul_(before / now)

    def set_epoch(self, epoch: int) -> None:
        """Learning rates, and whether alpha and beta are frozen, are those of an epoch."""
        _set_lr(self.optimizer, self.config.lr_at(epoch))
        rate = self.config.architecture_lr or self.architecture_lr or self.config.lr
        drops = self.config.architecture_lr_drops
        if self.architecture_lr_drops if drops is None else drops:
            rate *= self.config.lr_at(epoch) / self.config.lr
        if self.architecture_optimizer is not None:
            _set_lr(self.architecture_optimizer, rate / self.config.temperature_at(epoch))
        for scores in self.scores:
            scores.requires_grad_(epoch >= self.config.warmup)

    def step(
        self,
        forward: Callable[[Tensor], Tensor],
        train: Examples,
        held_out: Examples | None,
        number: int,
    ) -> Tensor:
        """Training step `number` (0 first) by a batch, and another of people held out; returns the batch's loss before
        it. `forward`: normalised images -> score maps."""
        self._zero_grad()
        loss = self._backward(forward, train)
        if self._searching:
            self._add_penalty()
            self.architecture_optimizer.step()
        self.optimizer.step()
        return loss

    def state_dict(self) -> dict:
        own = {"weights": self.optimizer.state_dict()}
        if self.architecture_optimizer is not None:
            own["architecture"] = self.architecture_optimizer.state_dict()
        return own

    def load_state_dict(self, state: dict) -> None:
        self.optimizer.load_state_dict(state["weights"])
        if self.architecture_optimizer is not None:
            self.architecture_optimizer.load_state_dict(state["architecture"])

    @property
    def _searching(self) -> bool:
        return any(scores.requires_grad for scores in self.scores)

    def _zero_grad(self) -> None:
        self.optimizer.zero_grad()
        for scores in self.scores:
            scores.grad = None

    def _backward(
        self,
        forward: Callable[[Tensor], Tensor],
        examples: Examples,
        by: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """Add the gradients of the mean loss (by some parameters alone), part by part where they are accumulated, to
        none; returns the loss. Both, and running means and variances, are then those of all who share the batch."""
        parts, total = examples.parts(self.config.accumulate), []
        for part in parts:
            share = len(part.images) / len(examples.images)
            loss = heatmap_loss(forward(part.images), part.target, part.visibility) * share
            loss.backward(inputs=by)
            total.append(loss.detach())
        mean = torch.stack(total).sum()
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        self.average(
            [*gradients, *(b for b in self.model.buffers() if b.is_floating_point()), mean]
        )
        return mean

    def _add_penalty(self) -> None:
        if self.penalty is not None:
            self.penalty().backward()


class Random(Synchronous):
    """alpha and beta are drawn from N(0, 1) and stay; w alone is trained (the paper's baseline)."""

    def begin(self) -> None:
        with torch.no_grad():
            for number, fabric in enumerate(self.model.fabrics().values()):
                drawn = Architecture.random(fabric.spec, seed=1000 * self.config.seed + number)
                fabric.alpha.copy_(drawn.alpha)
                fabric.beta.copy_(drawn.beta)

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(epoch)
        for scores in self.scores:
            scores.requires_grad_(False)


class FirstOrder(Synchronous):
    """alpha and beta follow the gradient on people held out, w that on the others, in turn (DARTS, first order)."""

    held_out = 0.5
    architecture_lr = 3e-3
    architecture_lr_drops = False
    weight_decay = 1e-3

    def step(
        self,
        forward: Callable[[Tensor], Tensor],
        train: Examples,
        held_out: Examples | None,
        number: int,
    ) -> Tensor:
        if self._searching:
            self.architecture_gradient(forward, train, held_out)
            self._add_penalty()
            self.architecture_optimizer.step()
        self._zero_grad()
        loss = self._backward(forward, train)
        self.optimizer.step()
        return loss

    def architecture_gradient(
        self, forward: Callable[[Tensor], Tensor], train: Examples, held_out: Examples
    ) -> None:
        """Set the gradient that alpha and beta follow; neither w nor running means and variances move."""
        self._zero_grad()
        with batch_norms_kept(self.model):
            self._held_out_gradient(forward, train, held_out)

    def _held_out_gradient(
        self, forward: Callable[[Tensor], Tensor], train: Examples, held_out: Examples
    ) -> None:
        self._backward(forward, held_out, self.scores)


class SecondOrder(FirstOrder):
    """As first order, but by the gradient after a step of w (DARTS): alpha and beta follow L_val(w - xi * dL_train/dw),
    the mixed second derivative by a finite difference.

    A ReLU has a kink in every pixel: the difference is that of a smoothed network, and on small ones far from the exact
    derivative unless the radius is tiny.
    """

    radius = _RADIUS

    def _held_out_gradient(
        self, forward: Callable[[Tensor], Tensor], train: Examples, held_out: Examples
    ) -> None:
        rate = self.optimizer.param_groups[0]["lr"]  # xi
        kept = [w.detach().clone() for w in self.weights]
        try:
            self._backward(forward, train, self.weights)
            self._move(kept, [w.grad for w in self.weights], -rate)  # w'
            self._zero_grad()
            self._backward(forward, held_out)
            # v, taken at w'
            direct, direction = (
                [s.grad for s in self.scores],
                [w.grad for w in self.weights],
            )
            length = torch.stack([d.norm() for d in direction if d is not None]).norm()
            # nobody labelled: no gradient
            radius = self.radius / length.clamp(min=torch.finfo(length.dtype).tiny)
            self._move(kept, direction, radius)
            above = self._scores_gradient(forward, train)
            self._move(kept, direction, -radius)
            below = self._scores_gradient(forward, train)
        finally:
            self._move(kept, [None] * len(kept), 0.0)
        self._zero_grad()
        for scores, straight, plus, minus in zip(self.scores, direct, above, below, strict=True):
            scores.grad = straight - rate * (plus - minus) / (2 * radius)

    def _scores_gradient(
        self, forward: Callable[[Tensor], Tensor], examples: Examples
    ) -> list[Tensor | None]:
        self._zero_grad()
        self._backward(forward, examples, self.scores)
        return [scores.grad for scores in self.scores]

    @torch.no_grad()
    def _move(
        self, start: Sequence[Tensor], direction: Sequence[Tensor | None], length: float | Tensor
    ) -> None:
        """w = start + length * direction, always from the copy: nothing is left over."""
        for w, kept, d in zip(self.weights, start, direction, strict=True):
            w.copy_(kept if d is None else kept + length * d)


class Gumbel(Synchronous):
    """Each step draws from the concrete distribution of softmax(alpha), softmax(beta) (SNAS): as the temperature falls
    the drawn network becomes a discrete one, and so does what is evaluated, without noise."""

    def step(
        self,
        forward: Callable[[Tensor], Tensor],
        train: Examples,
        held_out: Examples | None,
        number: int,
    ) -> Tensor:
        temperature = self.config.temperature_at(self._epoch)
        with contextlib.ExitStack() as drawn:
            for place, fabric in enumerate(self.model.fabrics().values()):
                noise = generator(self.config.seed, number, place, _DRAWS)
                own = fabric.architecture
                noisy = (s + torch.from_numpy(noise.gumbel(size=tuple(s.shape))).to(s) / temperature
                         for s in (own.alpha, own.beta))  # fmt: skip
                drawn.enter_context(fabric.mixed_by(Architecture(*noisy)))
            return super().step(forward, train, held_out, number)

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(epoch)
        self._epoch = epoch


def _set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr


# Strategies by name. To add one, add a class and a line.
STRATEGIES: dict[str, type[Synchronous]] = {
    "synchronous": Synchronous,
    "random": Random,
    "first_order": FirstOrder,
    "second_order": SecondOrder,
    "gumbel": Gumbel,
}

"""Numerical checks of the strategies with an architecture-validation split, on a tiny network.

The network computes in float64.
"""

import contextlib
import copy
import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from posenfs.body.parts import Part
from posenfs.model.network import PoseNFS
from posenfs.model.space import FabricSpec
from posenfs.model.vectors import heatmap_loss
from posenfs.search.configuration import SearchConfig, TrainingConfig
from posenfs.search.context import SearchContext
from posenfs.search.strategies import (
    STRATEGIES,
    Gradient,
    Strategy,
    architecture_gradient,
    unrolled_gradient,
    validation_gradient,
    with_defaults,
)


@dataclass(frozen=True)
class TargetBatch:
    """A batch of normalised images [B, 3, H, W], targets [B, K, h, w] and visibility [B, K]."""

    images: Tensor
    target: Tensor
    visibility: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def chunk(self, chunks: int) -> list["TargetBatch"]:
        """Split the batch into at most `chunks` batches."""
        columns = [t.chunk(chunks) for t in (self.images, self.target, self.visibility)]
        return [TargetBatch(*tensors) for tensors in zip(*columns, strict=True)]


class TinyBackbone(nn.Module):
    """A pyramid of four convolutions with batch normalisation."""

    channels = (3, 4, 5, 6)
    strides = (4, 8, 16, 32)
    initial_weights = "random"

    def __init__(self):
        super().__init__()
        self.stages = nn.ModuleList()
        width_in = 3
        for width, stride in zip(self.channels, (4, 2, 2, 2), strict=True):
            convolution = nn.Conv2d(width_in, width, 3, stride, 1)
            self.stages.append(nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU()))
            width_in = width

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the four maps of images [B, 3, H, W]."""
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class Smooth(TorchFunctionMode):
    """A context in which softplus replaces ReLU, so that a network is smooth."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Iterable[type],
        arguments: tuple = (),
        options: dict | None = None,
    ) -> Any:
        if function is F.relu:
            return F.softplus(arguments[0])
        return function(*arguments, **(options or {}))


def tiny_network(seed: int = 0) -> PoseNFS:
    """Return a network of two parts with random alpha and beta, in float64 and training mode.

    Args:
        seed: Seed of its weights and logits.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = (Part("arm", (0, 1)), Part("leg", (2,)))
        model = PoseNFS(TinyBackbone(), parts, FabricSpec(width=1), vector_dim=2).double()
        for logits in model.architecture_parameters():
            nn.init.normal_(logits)
    return model.train()


def tiny_batch(seed: int, count: int = 3) -> TargetBatch:
    """Return noise as a training batch for `tiny_network`.

    Args:
        seed: Seed of the noise.
        count: Images in the batch.
    """
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, 32, 32, generator=generator, dtype=torch.float64)
    target = torch.rand(count, 3, 8, 8, generator=generator, dtype=torch.float64)
    return TargetBatch(images, target, torch.tensor([[2, 1, 0]] * count))


def exact_gradient(
    model: PoseNFS, train: TargetBatch, validation: TargetBatch, rate: float
) -> tuple[Tensor, ...]:
    """Return d L_val(w - rate * dL_train(w, a) / dw, a) / da for the logits a.

    The step of the weights w itself is differentiated.

    Args:
        model: The network; it is not changed.
        train: Batch of the training loss.
        validation: Batch of the architecture-validation loss.
        rate: Learning rate of w.
    """
    model = copy.deepcopy(model)
    logits = {id(parameter) for parameter in model.architecture_parameters()}
    parameters = dict(model.named_parameters())
    w = {name: value for name, value in parameters.items() if id(value) not in logits}
    loss = heatmap_loss(model(train.images), train.target, train.visibility)
    gradients = torch.autograd.grad(loss, list(w.values()), create_graph=True, allow_unused=True)
    after = {}
    for (name, value), gradient in zip(w.items(), gradients, strict=True):
        after[name] = value if gradient is None else value - rate * gradient
    maps = functional_call(model, {**parameters, **after}, (validation.images,))
    validation_loss = heatmap_loss(maps, validation.target, validation.visibility)
    return torch.autograd.grad(validation_loss, list(model.architecture_parameters()))


def gradient_errors(
    radii: Sequence[float] = (0.1, 0.03, 0.01, 1e-5), rate: float = 1e-3
) -> pd.DataFrame:
    """Return the relative errors of the gradients of alpha and beta against `exact_gradient`.

    Args:
        radii: Radii of the finite difference in the second-order gradient (DARTS: 0.01).
        rate: Learning rate of w.

    Returns:
        A row for each gradient; a column for the network with ReLU and with softplus.
    """
    model, train, validation = tiny_network(), tiny_batch(1), tiny_batch(2)
    rows = []
    for activation in ("softplus", "ReLU"):
        with Smooth() if activation == "softplus" else contextlib.nullcontext():
            exact = _flat(exact_gradient(model, train, validation, rate))
            gradients: dict[str, Gradient] = {"first order": validation_gradient}
            for radius in radii:
                gradient = functools.partial(unrolled_gradient, radius=radius)
                gradients[f"second order, radius {radius:g}"] = gradient
            for name, gradient in gradients.items():
                context = tiny_context(model, rate)
                architecture_gradient(gradient, context, train, validation)
                approximate = _flat([p.grad for p in context.logits if p.grad is not None])
                error = float((approximate - exact).norm() / exact.norm())
                rows.append({"activation": activation, "gradient": name, "relative error": error})
    table = pd.DataFrame(rows)
    pivot = table.pivot(index="gradient", columns="activation", values="relative error")
    return pivot.loc[table["gradient"].unique()]


def movements() -> pd.DataFrame:
    """Return what an architecture step changes, for each strategy with a validation split.

    The columns are the largest changes of alpha and beta, of w, and of the running statistics in an
    architecture step; and the largest difference of w after two steps with other validation
    batches, while alpha and beta are fixed.
    """
    rows = {}
    for name, strategy in STRATEGIES.items():
        if not strategy.validation_split:
            continue
        before, after = _architecture_step(strategy)
        logits = [key for key in before if key.endswith((".alpha", ".beta"))]
        running = [key for key in before if "running" in key]
        w = [key for key, _ in tiny_network().named_parameters() if key not in logits]
        groups = {"alpha, beta": logits, "w": w, "running means, variances": running}
        row = {
            title: max(float((after[key] - before[key]).abs().max()) for key in keys)
            for title, keys in groups.items()
        }
        difference = _weights_after_steps(strategy, 2) - _weights_after_steps(strategy, 3)
        rows[name] = row | {"w, other validation batches": float(difference.abs().max())}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("architecture step of")


def tiny_context(
    model: PoseNFS, rate: float = 1e-3, strategy: Strategy = STRATEGIES["first_order"]
) -> SearchContext[TargetBatch]:
    """Return the context of a search of `tiny_network` in its first epoch.

    Args:
        model: The network.
        rate: Learning rate of w.
        strategy: The strategy, whose defaults it has.
    """

    def compute_loss(batch: TargetBatch) -> Tensor:
        return heatmap_loss(model(batch.images), batch.target, batch.visibility)

    training = TrainingConfig(batch_size=3, lr=rate)
    search = with_defaults(SearchConfig(), strategy)
    context = SearchContext(model, training, search, compute_loss)
    context.set_epoch(0)
    return context


def _architecture_step(strategy: Strategy) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the state of a network before and after its architecture step."""
    model = tiny_network()
    context = tiny_context(model, strategy=strategy)
    before, after = _copy(model), {}

    def keep(*_: object) -> None:
        after.update(_copy(model))

    context.logit_optimizer.register_step_post_hook(keep)
    strategy.step(context, tiny_batch(1), tiny_batch(2), 0)
    return before, after


def _weights_after_steps(strategy: Strategy, validation_seed: int) -> Tensor:
    """Return w after two steps in which alpha and beta are fixed."""
    model = tiny_network()
    context = tiny_context(model, strategy=strategy)
    context.logit_optimizer.param_groups[0]["lr"] = 0.0
    for number in range(2):
        strategy.step(context, tiny_batch(number), tiny_batch(validation_seed), number)
    return _flat(model.weight_parameters())


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])

"""Whether the strategies that hold people out do what they say, on a tiny network in float64."""

import contextlib
import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from posenfs.body.parts import Part
from posenfs.model.losses import heatmap_loss
from posenfs.model.network import PoseNFS
from posenfs.model.space import FabricSpec
from posenfs.search.experiment import RunConfig
from posenfs.search.strategies import STRATEGIES, Examples, FirstOrder, SecondOrder, Synchronous

_Strategy = TypeVar("_Strategy", bound=Synchronous)


class TinyBackbone(nn.Module):
    """A pyramid of four convolutions with batch-norm."""

    channels, strides, initial_weights = (3, 4, 5, 6), (4, 8, 16, 32), "random"

    def __init__(self):
        super().__init__()
        widths = zip((3, *self.channels), self.channels, (4, 2, 2, 2), strict=False)
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, 3, step, 1), nn.BatchNorm2d(after), nn.ReLU())
            for before, after, step in widths
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class Smooth(TorchFunctionMode):
    """While it lasts, softplus stands in the place of ReLU: a network without kinks."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Iterable[type], arguments: tuple = (), options: dict | None = None
    ) -> Any:
        return F.softplus(arguments[0]) if function is F.relu else function(*arguments, **(options or {}))


def tiny_network(seed: int = 0) -> PoseNFS:
    """Two parts, fabrics of width 1, random alpha and beta; in float64, to be trained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = (Part("arm", (0, 1)), Part("leg", (2,)))
        model = PoseNFS(TinyBackbone(), parts, FabricSpec(width=1), vector_dim=2).double()
        for scores in model.architecture_parameters():
            nn.init.normal_(scores)
    return model.train()


def tiny_examples(seed: int, count: int = 3) -> Examples:
    """Noise for a tiny network to be trained on."""
    draw = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, 32, 32, generator=draw, dtype=torch.float64)
    target = torch.rand(count, 3, 8, 8, generator=draw, dtype=torch.float64)
    return Examples(images, target, torch.tensor([[2, 1, 0]] * count))


def exact_gradient(model: PoseNFS, train: Examples, held_out: Examples, rate: float) -> tuple[Tensor, ...]:
    """d L_val(w - rate * dL_train(w, a) / dw, a) / da, by differentiating through the step itself."""
    model = copy.deepcopy(model)
    scores = {id(p) for p in model.architecture_parameters()}
    named = dict(model.named_parameters())
    w = {name: p for name, p in named.items() if id(p) not in scores}
    loss = heatmap_loss(model(train.images), train.target, train.visibility)
    gradient = torch.autograd.grad(loss, w.values(), create_graph=True, allow_unused=True)
    after = {n: p if g is None else p - rate * g for (n, p), g in zip(w.items(), gradient, strict=True)}
    maps = functional_call(model, {**named, **after}, (held_out.images,))
    held_out_loss = heatmap_loss(maps, held_out.target, held_out.visibility)
    return torch.autograd.grad(held_out_loss, model.architecture_parameters())


def gradient_errors(radii: Sequence[float] = (0.1, 0.03, 0.01, 1e-5), rate: float = 1e-3) -> pd.DataFrame:
    """Relative error of the gradient that alpha and beta follow, against exact differentiation through a step of w:
    that of the first order, and of the second by the radius of its finite difference (DARTS: 0.01); by whether the
    network has kinks (ReLU), or softplus in their place."""
    model, train, held_out, rows = tiny_network(), tiny_examples(1), tiny_examples(2), []
    for activation in ("softplus", "ReLU"):
        with Smooth() if activation == "softplus" else contextlib.nullcontext():
            exact = _flat(exact_gradient(model, train, held_out, rate))
            for kind, radius in [(FirstOrder, None), *((SecondOrder, radius) for radius in radii)]:
                strategy = _begun(kind, model, rate)
                if isinstance(strategy, SecondOrder):
                    strategy.radius = radius
                strategy.architecture_gradient(model, train, held_out)
                found = _flat([s.grad for s in strategy.scores if s.grad is not None])
                error = float((found - exact).norm() / exact.norm())
                way = "first order" if radius is None else f"second order, radius {radius:g}"
                rows.append({"activation": activation, "gradient": way, "relative error": error})
    table = pd.DataFrame(rows)
    return table.pivot(index="gradient", columns="activation", values="relative error").loc[table["gradient"].unique()]


def movements() -> pd.DataFrame:
    """What an architecture step of each strategy that holds people out moves, by its greatest change; and by how much w
    differs after two steps where others are held out, alpha and beta standing still."""
    rows = {}
    for name, kind in STRATEGIES.items():
        if not kind.held_out:
            continue
        model = tiny_network()
        after: dict[str, Tensor] = {}
        strategy, before = _begun(kind, model), _copy(model)
        strategy.architecture_optimizer.register_step_post_hook(lambda *_, m=model, to=after: to.update(_copy(m)))
        strategy.step(model, tiny_examples(1), tiny_examples(2), 0)
        ends = []
        for others in (2, 3):
            model = tiny_network()
            strategy = _begun(kind, model)
            strategy.architecture_optimizer.param_groups[0]["lr"] = 0.0
            for number in range(2):
                strategy.step(model, tiny_examples(number), tiny_examples(others), number)
            ends.append(_flat(model.weight_parameters()))
        scores = [key for key in before if key.endswith((".alpha", ".beta"))]
        running = [key for key in before if "running" in key]
        w = [key for key, _ in model.named_parameters() if key not in scores]
        rows[name] = {
            title: max(float((after[key] - before[key]).abs().max()) for key in keys)
            for title, keys in (("alpha, beta", scores), ("w", w), ("running means, variances", running))
        } | {"w, others held out": float((ends[0] - ends[1]).abs().max())}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("architecture step of")


def _begun(kind: type[_Strategy], model: PoseNFS, rate: float = 1e-3) -> _Strategy:
    strategy = kind(model, RunConfig(batch_size=3, lr=rate))
    strategy.set_epoch(0)
    return strategy


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors])

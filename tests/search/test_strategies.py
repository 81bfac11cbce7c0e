"""Every strategy changes what it should and nothing else; second order against exact derivatives."""

import copy
import functools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from posenfs.data.datasets.mpii import read_mpii
from posenfs.model.architecture import Architecture
from posenfs.model.expected_cost import ExpectedCost
from posenfs.model.space import FabricSpec
from posenfs.model.vectors import heatmap_loss
from posenfs.search.batches import BatchSource
from posenfs.search.configuration import SearchConfig, TrainingConfig
from posenfs.search.context import SearchContext
from posenfs.search.distributed import ProcessGroup
from posenfs.search.session import Search
from posenfs.search.strategies import (
    STRATEGIES,
    CostTerm,
    architecture_gradient,
    unrolled_gradient,
    validation_gradient,
    with_defaults,
)
from posenfs.study.gradient_checks import Smooth, exact_gradient, tiny_batch, tiny_network
from tests.sweeps import sweep

FABRIC = FabricSpec(layers=6, width=1, hidden_nodes=1, first=0, last=3)
ALTERNATING = ("first_order", "second_order")


@pytest.fixture
def model():
    return tiny_network()


def context_of(model, name="synchronous", penalty=None, accumulate=1, weight_lr=1e-3, **search):
    """The context of a strategy in its first epoch."""

    def compute_loss(batch):
        return heatmap_loss(model(batch.images), batch.target, batch.visibility)

    training = TrainingConfig(batch_size=2, accumulate=accumulate, lr=weight_lr)
    config = with_defaults(SearchConfig(name, **search), STRATEGIES[name])
    context = SearchContext(model, training, config, compute_loss, penalty)
    context.set_epoch(0)
    return context


def distances_from_exact(model, lr, radii):
    """Relative errors of the first order and, for each radius, of the second."""
    train, validation, errors = tiny_batch(1), tiny_batch(2), []
    exact = torch.cat([g.flatten() for g in exact_gradient(model, train, validation, lr)])
    unrolled = [functools.partial(unrolled_gradient, radius=radius) for radius in radii]
    for gradient in (validation_gradient, *unrolled):
        context = context_of(model, "second_order", weight_lr=lr)
        architecture_gradient(gradient, context, train, validation)
        difference = torch.cat([p.grad.flatten() for p in context.logits]) - exact
        errors.append(float(difference.norm() / exact.norm()))
    return errors


def test_second_order_is_the_gradient_through_a_step(model):
    """On a network without kinks the error falls with the square of the radius."""
    with Smooth():
        first, *second = distances_from_exact(model, 1e-3, (0.1, 0.03, 0.01))
    assert first > 0.1  # the second order matters here
    assert second[1] < second[0] / 5 and second[2] < second[1] / 5 and second[2] < 1e-3, second


def test_second_order_with_kinks_is_exact_between_them(model):
    first, second = distances_from_exact(model, 1e-5, (1e-6,))
    assert first > 1e-3 and second < 1e-6


@pytest.mark.parametrize("name", ALTERNATING)
def test_an_architecture_step_moves_alpha_and_beta_alone(model, name):
    context, before = context_of(model, name), {k: v.clone() for k, v in model.state_dict().items()}
    between = {}
    context.logit_optimizer.register_step_post_hook(
        lambda *_: between.update({k: v.clone() for k, v in model.state_dict().items()})
    )
    STRATEGIES[name].step(context, tiny_batch(1), tiny_batch(2), 0)
    moved = {name for name, value in between.items() if not torch.equal(value, before[name])}
    assert moved and all(name.endswith((".alpha", ".beta")) for name in moved)
    after = {
        name for name, value in model.state_dict().items() if not torch.equal(value, between[name])
    }
    assert after and not any(name.endswith((".alpha", ".beta")) for name in after)


@pytest.mark.parametrize("name", ALTERNATING)
def test_the_validation_split_never_trains_the_weights(model, name):
    """With alpha and beta fixed, other validation batches give the same weights."""
    results = []
    for validation in (tiny_batch(2), tiny_batch(3)):
        network = copy.deepcopy(model)
        context = context_of(network, name)
        context.logit_optimizer.param_groups[0]["lr"] = 0.0
        strategy = STRATEGIES[name]
        losses = [strategy.step(context, tiny_batch(seed), validation, seed) for seed in range(3)]
        results.append((losses, [p.clone() for p in network.weight_parameters()]))
    (losses, weights), (other_losses, other_weights) = results
    assert losses == other_losses and all(map(torch.equal, weights, other_weights))


def test_the_validation_split_is_by_image(drawn, tiny):
    annotations = read_mpii(drawn, "train")
    device = torch.device("cpu")
    group = ProcessGroup(device)

    def source_of(strategy="synchronous", validation_split=None, batch_size=6):
        training = replace(tiny.training, batch_size=batch_size)
        search = replace(tiny.search, strategy=strategy, validation_split=validation_split)
        experiment = replace(tiny, training=training, search=search)
        return BatchSource(experiment, annotations, annotations, group, device)

    source = source_of("first_order", batch_size=2)
    ours, theirs = (set(np.unique(split.image_index)) for split in source.training_splits)
    assert not ours & theirs and len(ours | theirs) == len(np.unique(annotations.image_index))
    assert len(source.train) + len(source.architecture_validation) == len(annotations)
    assert "architecture validation (seed 0)" in source.architecture_validation.name
    other = annotations.sample_images(0.5, 1)
    assert (other != annotations.sample_images(0.5, 0)).any()
    with pytest.raises(
        ValueError,
        match=r"people left of \d+, as other splits take 95% of the images: fewer than one batch",
    ):
        source_of(validation_split=0.95)
    with pytest.raises(
        ValueError,
        match="strategy second_order needs an architecture-validation split; search.validation_split is 0",
    ):
        source_of("second_order", 0.0)
    # Synchronous does not train on the split, nor look at it.
    assert source_of(validation_split=0.5, batch_size=2).next()[1] is None


def moved(before, after):
    return any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


WAYS = [(name, backbone_fabric) for name in STRATEGIES for backbone_fabric in (None, FABRIC)]


@pytest.mark.parametrize(
    ("name", "backbone_fabric"),
    sweep(WAYS, fast=[("synchronous", FABRIC), *((name, None) for name in STRATEGIES)]),
)
def test_every_strategy_finishes_and_repeats_itself(name, backbone_fabric, tiny, tmp_path):
    settings = {
        "search": replace(tiny.search, strategy=name),
        "training": replace(tiny.training, batch_size=3, epochs=1),
    }
    experiment = replace(tiny, **settings, backbone_fabric=backbone_fabric)
    search = Search(experiment, tmp_path / "whole", device="cpu", progress=False)
    w, scores = (
        [p.clone() for p in found]
        for found in (search.trainer.context.weights, search.trainer.context.logits)
    )
    metrics = search.finish()
    assert metrics["pckh@0.5"] is not None
    assert moved(w, search.trainer.context.weights) and moved(
        scores, search.trainer.context.logits
    ) == (name != "random")
    search.close()
    broken = Search(experiment, tmp_path / "broken", device="cpu", progress=False)
    broken.step()
    broken.checkpoint()
    broken.step()
    broken.close()
    again = Search(experiment, tmp_path / "broken", device="cpu", progress=False)
    assert again.step_number == 1
    again.finish()
    assert (tmp_path / "broken" / "history.jsonl").read_bytes() == (
        tmp_path / "whole" / "history.jsonl"
    ).read_bytes()
    assert not moved(again.model.state_dict().values(), search.model.state_dict().values())


def test_random_is_drawn_once_by_the_seed(tiny, tmp_path):
    drawn = []
    for seed in (0, 1):
        settings = {
            "search": replace(tiny.search, strategy="random"),
            "training": replace(tiny.training, seed=seed),
        }
        search = Search(
            replace(tiny, **settings), tmp_path / str(seed), device="cpu", progress=False
        )
        drawn.append(torch.cat([s.flatten() for s in search.trainer.context.logits]).detach())
        assert (
            not any(s.requires_grad for s in search.trainer.context.logits)
            or search.step_number == 0
        )
    assert (drawn[0] != drawn[1]).all()
    assert abs(drawn[0].mean()) < 0.4 and 0.7 < drawn[0].std() < 1.3
    fabrics = search.model.fabrics().values()
    assert (
        len({tuple(fabric.alpha.flatten().tolist()) for fabric in fabrics}) == 3
    )  # each part its own


@pytest.mark.parametrize("name", ["synchronous", "first_order", "gumbel"])
def test_warmup_freezes_alpha_and_beta(name, tiny, tmp_path):
    settings = {
        "search": replace(tiny.search, strategy=name, warmup=1),
        "training": replace(tiny.training, batch_size=3),
    }
    search = Search(replace(tiny, **settings), tmp_path, device="cpu", progress=False)
    start = [s.clone() for s in search.trainer.context.logits]
    search.epoch()
    assert not moved(start, search.trainer.context.logits)
    search.epoch()
    assert moved(start, search.trainer.context.logits)


def test_learning_rates_of_alpha_and_beta(model):
    def rates(name, **search):
        context = context_of(model, name, **search)
        result = []
        for epoch in (0, 90, 150):
            context.set_epoch(epoch)
            groups = [
                optimizer.param_groups[0]
                for optimizer in (context.weight_optimizer, context.logit_optimizer)
            ]
            result.append(tuple(group["lr"] for group in groups))
        return result, groups[1]["weight_decay"]

    w = [1e-3, 2.5e-4, 1e-3 / 64]
    assert rates("synchronous") == ([(a, pytest.approx(a)) for a in w], 0)
    assert rates("synchronous", lr_drops=False) == ([(a, pytest.approx(1e-3)) for a in w], 0)
    assert rates("first_order") == ([(a, pytest.approx(3e-3)) for a in w], 1e-3)
    assert rates("second_order", lr=0.1, lr_drops=True, weight_decay=0.0) == (
        [(a, pytest.approx(100 * a)) for a in w],
        0,
    )


def test_temperature_sharpens_as_it_falls(model):
    search = SearchConfig(temperature=(4.0, 1.0))
    assert [search.temperature_at(epoch, 3) for epoch in range(3)] == pytest.approx([4, 2, 1])
    raw = [p.clone() for p in model.architecture_parameters()]
    context = SearchContext(model, TrainingConfig(epochs=3), search, lambda batch: None)
    for epoch, temperature in enumerate((4, 2, 1)):
        context.set_epoch(epoch)
        context.rescale_logits()
        for logits, before in zip(context.logits, raw, strict=True):
            torch.testing.assert_close(logits.softmax(-1), (before / temperature).softmax(-1))


def test_gumbel_samples_by_the_softmax_weights(model):
    """The greatest of the noisy logits is an operation as often as its softmax weight says."""
    fabric, sampled = model.heads[0].fabric, []
    expected = fabric.architecture.operation_weights
    context = context_of(model, "gumbel", temperature=(0.1, 0.1))
    context.rescale_logits()
    for number in range(2000):
        with STRATEGIES["gumbel"].sample(context, number):
            sampled.append(fabric.mixing_weights()[0][0].detach())
    drawn = torch.stack(sampled)
    scaled = fabric.architecture.operation_weights
    chosen = nn.functional.one_hot(drawn.argmax(-1), drawn.shape[-1]).double().mean(0)
    assert (chosen - expected).abs().max() < 4 * math.sqrt(0.25 / len(sampled))
    assert drawn.max(-1).values.mean() > 0.9  # at a low temperature nearly discrete
    assert torch.equal(fabric.mixing_weights()[0], scaled.expand(len(fabric.spec.cells), -1, -1))


def test_accumulated_gradients_are_the_whole_ones(model):
    """With batch-norms that do not look at the batch."""
    model.eval()
    losses, gradients = [], []
    for context in (context_of(model), context_of(model, accumulate=2)):
        context.zero_grad()
        losses.append(context.backward(tiny_batch(1, count=5)))
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-12, atol=0)
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_the_cost_term_steers_to_the_budget(model):
    start = float(ExpectedCost(model, 64, 64)(model.architectures()).detach())
    for budget, steered in ((0.5 * start / 1e9, True), (2 * start / 1e9, False)):
        network = copy.deepcopy(model)
        context = context_of(
            network, penalty=CostTerm(network, 64, 64, budget, 1e4), weight_lr=0.05
        )
        for number in range(40):
            STRATEGIES["synchronous"].step(context, tiny_batch(number), None, number)
        after = float(ExpectedCost(network, 64, 64)(network.architectures()).detach())
        assert (after < 0.7 * start) == steered
        if steered:
            assert 0.3 * start < after  # and no further than it should


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        (TrainingConfig, {"accumulate": 0}, "accumulate is from 1 to the batch size 24; got 0"),
        (SearchConfig, {"cost_budget": -1.0}, "above 0; got -1"),
        (
            SearchConfig,
            {"temperature": (1.0, 0.0)},
            r"temperature must be above 0; got \(1.0, 0.0\)",
        ),
        (SearchConfig, {"validation_split": 1.0}, "below 1"),
        (SearchConfig, {"warmup": -1}, "must not be negative"),
        (SearchConfig, {"lr": float("nan")}, "above 0; got nan"),
    ],
)
def test_invalid_values_are_refused(config, options, message):
    with pytest.raises(ValueError, match=message):
        config(**options)


def test_architectures_of_a_draw_stay_inside_it(model):
    fabric = model.heads[0].fabric
    with fabric.mixed_by(Architecture.zeros(fabric.spec)):
        assert fabric.mixing_weights()[0].std() == 0
    assert fabric.mixing_weights()[0].std() > 0

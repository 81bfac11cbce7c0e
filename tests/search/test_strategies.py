"""Every strategy changes what it should and nothing else; the second order against exact differentiation."""

import copy
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
from posenfs.search.batches import Feed
from posenfs.search.configuration import RunConfig
from posenfs.search.distributed import ProcessGroup
from posenfs.search.session import Search
from posenfs.search.strategies import (
    STRATEGIES,
    CostTerm,
    FirstOrder,
    Gumbel,
    SecondOrder,
    Synchronous,
)
from posenfs.study.gradient_checks import Smooth, exact_gradient, tiny_examples, tiny_network
from tests.sweeps import sweep

FABRIC = FabricSpec(layers=6, width=1, hidden_nodes=1, first=0, last=3)


@pytest.fixture
def model():
    return tiny_network()


def strategy(kind, model, **options):
    found = kind(model, RunConfig(batch_size=2, **options))
    found.set_epoch(0)
    return found


def distances_from_exact(model, lr, radii):
    """Relative errors of the first order and, for each radius, of the second."""
    train, held_out, errors = tiny_examples(1), tiny_examples(2), []
    exact = torch.cat([g.flatten() for g in exact_gradient(model, train, held_out, lr)])
    for kind, radius in [(FirstOrder, None), *((SecondOrder, radius) for radius in radii)]:
        found = strategy(kind, model, lr=lr)
        found.radius = radius
        found.architecture_gradient(model, train, held_out)
        errors.append(
            float(
                (torch.cat([s.grad.flatten() for s in found.scores]) - exact).norm() / exact.norm()
            )
        )
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


@pytest.mark.parametrize("kind", [FirstOrder, SecondOrder])
def test_an_architecture_step_moves_alpha_and_beta_alone(model, kind):
    found, before = strategy(kind, model), {k: v.clone() for k, v in model.state_dict().items()}
    between = {}
    step = found.architecture_optimizer.step

    def look():
        step()
        between.update({k: v.clone() for k, v in model.state_dict().items()})

    found.architecture_optimizer.step = look
    found.step(model, tiny_examples(1), tiny_examples(2), 0)
    moved = {name for name, value in between.items() if not torch.equal(value, before[name])}
    assert moved and all(name.endswith((".alpha", ".beta")) for name in moved)
    after = {
        name for name, value in model.state_dict().items() if not torch.equal(value, between[name])
    }
    assert after and not any(name.endswith((".alpha", ".beta")) for name in after)


@pytest.mark.parametrize("kind", [FirstOrder, SecondOrder])
def test_people_held_out_never_train_w(model, kind):
    """Alpha and beta held still, it is all the same to w who is held out."""
    results = []
    for held_out in (tiny_examples(2), tiny_examples(3)):
        own = copy.deepcopy(model)
        found = strategy(kind, own)
        found.architecture_optimizer.step = lambda: None
        losses = [found.step(own, tiny_examples(seed), held_out, seed) for seed in range(3)]
        results.append((losses, [p.clone() for p in own.weight_parameters()]))
    (losses, weights), (other_losses, other_weights) = results
    assert losses == other_losses and all(map(torch.equal, weights, other_weights))


def test_people_are_held_out_by_image(drawn, tiny):
    people = read_mpii(drawn, "train")
    device = torch.device("cpu")
    ranks = ProcessGroup(device)

    def feed_of(**options):
        return Feed(replace(tiny, run=replace(tiny.run, **options)), people, people, ranks, device)

    feed = feed_of(batch_size=2, strategy="first_order")
    ours, theirs = (set(np.unique(part.image_index)) for part in feed.parts)
    assert not ours & theirs and len(ours | theirs) == len(np.unique(people.image_index))
    assert (
        len(feed.train) + len(feed.held_out) == len(people)
        and "held out (seed 0)" in feed.held_out.name
    )
    other = people.sample_images(0.5, 1)
    assert (other != people.sample_images(0.5, 0)).any()
    with pytest.raises(
        ValueError, match=r"people left of \d+, 95% of the images being held out, fewer than one"
    ):
        feed_of(held_out=0.95)
    with pytest.raises(
        ValueError,
        match="strategy second_order needs people held out; search.validation_split is 0",
    ):
        feed_of(strategy="second_order", held_out=0.0)
    assert (
        feed_of(batch_size=2, held_out=0.5).next()[1] is None
    )  # held out from w; synchronous does not look at them


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
        [p.clone() for p in found] for found in (search.strategy.weights, search.strategy.scores)
    )
    metrics = search.finish()
    assert metrics["pckh@0.5"] is not None
    assert moved(w, search.strategy.weights) and moved(scores, search.strategy.scores) == (
        name != "random"
    )
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
        drawn.append(torch.cat([s.flatten() for s in search.strategy.scores]).detach())
        assert not any(s.requires_grad for s in search.strategy.scores) or search.step_number == 0
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
    start = [s.clone() for s in search.strategy.scores]
    search.epoch()
    assert not moved(start, search.strategy.scores)
    search.epoch()
    assert moved(start, search.strategy.scores)


def test_learning_rates_of_alpha_and_beta(model):
    def rates(kind, **options):
        found = kind(model, RunConfig(epochs=200, **options))
        result = []
        for epoch in (0, 90, 150):
            found.set_epoch(epoch)
            result.append(
                (
                    found.optimizer.param_groups[0]["lr"],
                    found.architecture_optimizer.param_groups[0]["lr"],
                )
            )
        return result, found.architecture_optimizer.param_groups[0]["weight_decay"]

    w = [1e-3, 2.5e-4, 1e-3 / 64]
    assert rates(Synchronous) == ([(a, pytest.approx(a)) for a in w], 0)
    assert rates(Synchronous, architecture_lr_drops=False) == (
        [(a, pytest.approx(1e-3)) for a in w],
        0,
    )
    assert rates(FirstOrder) == ([(a, pytest.approx(3e-3)) for a in w], 1e-3)
    own = {"architecture_lr": 0.1, "architecture_lr_drops": True, "architecture_weight_decay": 0.0}
    assert rates(SecondOrder, **own) == ([(a, pytest.approx(100 * a)) for a in w], 0)


def test_temperature_sharpens_as_it_falls(model):
    config = RunConfig(epochs=3, temperature=(4.0, 1.0), batch_size=2)
    assert [config.temperature_at(epoch) for epoch in range(3)] == pytest.approx([4, 2, 1])
    raw = [s.clone() for s in model.architecture_parameters()]
    found = Synchronous(model, config)
    for epoch, temperature in enumerate((4, 2, 1)):
        found.begin_epoch(epoch)
        for scores, before in zip(found.scores, raw, strict=True):
            torch.testing.assert_close(scores.softmax(-1), (before / temperature).softmax(-1))


def test_gumbel_draws_what_softmax_says(model):
    """The greatest of the noisy scores is an operation as often as its softmax weight says."""
    fabric, seen = model.heads[0].fabric, []
    expected = fabric.architecture.operation_weights
    found = Gumbel(model, RunConfig(batch_size=2, temperature=(0.1, 0.1)))
    found.begin_epoch(0)
    found.set_epoch(0)
    fabric.mixing_weights, weights = (
        (lambda: (seen.append(weights()), seen[-1])[1]),
        fabric.mixing_weights,
    )
    found._backward = lambda forward, train: fabric.mixing_weights()[0].sum()
    for number in range(2000):
        found.scores[0].requires_grad_(False)
        found.step(model, tiny_examples(0), None, number)
    drawn = torch.stack([alpha[0] for alpha, _ in seen])
    chosen = nn.functional.one_hot(drawn.argmax(-1), drawn.shape[-1]).double().mean(0)
    assert (chosen - expected).abs().max() < 4 * math.sqrt(0.25 / len(seen))
    assert drawn.max(-1).values.mean() > 0.9  # at a low temperature nearly discrete
    assert torch.equal(
        weights()[0], fabric.architecture.operation_weights.expand(len(fabric.spec.cells), -1, -1)
    )


def test_accumulated_gradients_are_the_whole_ones(model):
    """With batch-norms that do not look at the batch."""
    whole = strategy(Synchronous, model)
    parts = strategy(Synchronous, model, accumulate=2)
    losses, gradients = [], []
    for found in (whole, parts):
        found._zero_grad()
        losses.append(found._backward(model.eval(), tiny_examples(1, count=5)))
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-12, atol=0)
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


def test_the_cost_term_steers_to_the_budget(model):
    start = float(ExpectedCost(model, 64, 64)(model.architectures()).detach())
    for budget, steered in ((0.5 * start / 1e9, True), (2 * start / 1e9, False)):
        own = copy.deepcopy(model)
        found = Synchronous(
            own, RunConfig(batch_size=2, lr=0.05), CostTerm(own, 64, 64, budget, 1e4)
        )
        found.set_epoch(0)
        for number in range(40):
            found.step(own, tiny_examples(number), None, number)
        after = float(ExpectedCost(own, 64, 64)(own.architectures()).detach())
        assert (after < 0.7 * start) == steered
        if steered:
            assert 0.3 * start < after  # and no further than it should


@pytest.mark.parametrize(
    ("options", "message"),
    [({"accumulate": 0}, "accumulate is from 1 to the batch size 2; got 0"), ({"cost_budget": -1.0}, "above 0; got -1"),
     ({"temperature": (1.0, 0.0)}, r"temperature must be above 0; got \(1.0, 0.0\)"), ({"held_out": 1.0}, "below 1"),
     ({"warmup": -1}, "must not be negative"), ({"architecture_lr": float("nan")}, "above 0; got nan")],
)  # fmt: skip
def test_choices_that_are_none(options, message):
    with pytest.raises(ValueError, match=message):
        RunConfig(batch_size=2, **options)


def test_architectures_of_a_draw_stay_inside_it(model):
    fabric = model.heads[0].fabric
    with fabric.mixed_by(Architecture.zeros(fabric.spec)):
        assert fabric.mixing_weights()[0].std() == 0
    assert fabric.mixing_weights()[0].std() > 0

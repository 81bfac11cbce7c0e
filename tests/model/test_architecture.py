"""What is read off alpha and beta: entropy, genotype, distance, samples; and how one weight is changed."""

import pytest
import torch

from posenfs.model.architecture import Architecture, Genotype
from posenfs.model.backbones.fabric import FABRIC_1
from posenfs.model.space import CellIndex, FabricSpec

SPECS = [
    FabricSpec(width=2),
    FabricSpec(width=2, hidden_nodes=3),
    FabricSpec(hidden_nodes=2, alpha_per_cell=True),
    FABRIC_1,
]


def test_entropy_is_one_at_the_start_and_zero_when_decided():
    spec = FabricSpec(width=2)
    assert Architecture.zeros(spec).entropy() == pytest.approx((1.0, 1.0))
    decided = Architecture(100 * torch.eye(4)[:1], 100 * torch.eye(3)[[0, 1, 2, 0, 1, 2]])
    assert decided.entropy() == pytest.approx((0.0, 0.0))


@pytest.mark.parametrize("spec", SPECS)
def test_a_genotype_is_its_own_architectures(spec):
    chosen = Architecture.random(spec, seed=3).genotype(spec)
    discrete = chosen.architecture(spec)
    assert discrete.genotype(spec) == chosen and discrete.entropy() == (0, 0)
    for weights in (
        discrete.operation_weights,
        discrete.scale_weights,
        discrete.operation_weights.double(),
    ):
        assert set(weights.unique().tolist()) == {0.0, 1.0}
    first = chosen.operations[0][0]
    soft = Architecture.random(spec, seed=3).operation_weights.reshape(-1, len(spec.operations))[0]
    assert spec.operations[int(soft.argmax())] == first


@pytest.mark.parametrize("spec", SPECS)
def test_a_genotype_without_zero_takes_the_best_of_the_others(spec):
    architecture = Architecture.random(spec, seed=4, deviation=2)
    chosen = [name for row in architecture.genotype(spec, zero=False).operations for name in row]
    weights = architecture.operation_weights.reshape(-1, len(spec.operations))
    for name, own in zip(chosen, weights, strict=True):
        assert name != "zero" and own[spec.operations.index(name)] == own[1:].max()
    assert architecture.genotype(spec, zero=False).sources == architecture.genotype(spec).sources


@pytest.mark.parametrize("spec", SPECS)
def test_source_weights_are_those_of_the_rows_they_come_from(spec):
    architecture = Architecture.random(spec, seed=1, deviation=2)
    found = architecture.source_weights(spec)
    torch.testing.assert_close(found.sum(1), torch.ones(len(spec.cells)))
    for cell, weights, row in zip(
        spec.cells, architecture.scale_weights.tolist(), found.tolist(), strict=True
    ):
        by_hand = [0.0] * len(row)
        for weight, source in zip(
            weights, spec.sources(cell.row, spec.rows(cell.layer - 1)), strict=True
        ):
            by_hand[source] += weight
        assert row == pytest.approx(by_hand)


def test_distance():
    spec = FabricSpec(width=2, hidden_nodes=2)
    one, other = Architecture.random(spec, 1), Architecture.random(spec, 2)
    assert one.distance(one, spec) == (0, 0)
    with pytest.raises(ValueError, match="architectures of different fabrics"):
        one.distance(Architecture.random(FabricSpec(width=2)), spec)
    assert one.distance(other, spec) == pytest.approx(other.distance(one, spec))
    assert all(0 < d < 1 for d in one.distance(other, spec))
    skip, separable = (
        Genotype(((o,) * 3,), ("coarser",) * 6).architecture(spec)
        for o in ("skip", "separable_3x3")
    )
    assert skip.distance(separable, spec) == (1, 0)
    by_hand = (one.operation_weights - other.operation_weights).clamp(min=0).sum(-1).mean()
    assert one.distance(other, spec)[0] == pytest.approx(by_hand.item(), rel=1e-5)


def test_a_weight_that_moves_between_copies_of_a_map_moves_nothing():
    spec = FabricSpec(
        width=2
    )  # the finest cell has no finer neighbour: that slot holds a copy of the same map
    start = Architecture.zeros(spec)
    cell = CellIndex(4, 0)
    assert spec.sources(0, 3).finer == spec.sources(0, 3).same == 0
    moved = start.beta.clone()
    moved[spec.cells.index(cell)] = torch.tensor([2 / 3, 1e-9, 1 / 3]).log()
    distance = start.distance(Architecture(start.alpha, moved), spec)
    assert distance == pytest.approx((0, 0), abs=1e-6)


def test_the_mean_is_of_weights_not_of_scores():
    spec = FabricSpec(width=2, hidden_nodes=2)
    several = [Architecture.random(spec, seed, 3) for seed in range(4)]
    mean = Architecture.mean(several)
    torch.testing.assert_close(
        mean.operation_weights, sum(a.operation_weights for a in several) / 4
    )
    torch.testing.assert_close(mean.scale_weights, sum(a.scale_weights for a in several) / 4)
    one_hot = several[0].genotype(spec).architecture(spec)
    assert Architecture.mean([one_hot, one_hot]).genotype(spec) == one_hot.genotype(spec)


@pytest.mark.parametrize("spec", SPECS)
def test_samples_follow_the_weights(spec):
    architecture, generator = Architecture.random(spec, 5), torch.Generator().manual_seed(0)
    drawn = [architecture.sample(spec, generator).architecture(spec) for _ in range(600)]
    mean = Architecture.mean(drawn)
    assert (mean.operation_weights - architecture.operation_weights).abs().max() < 0.1
    assert (mean.scale_weights - architecture.scale_weights).abs().max() < 0.1


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_one_operation_takes_a_weight_and_the_others_share_the_rest(weight):
    spec = FabricSpec(width=2, hidden_nodes=2)
    before = Architecture.random(spec, 7)
    after = before.with_operation(spec, "skip", weight, edge=(1, 2))
    edge, skip = spec.edges.index((1, 2)), spec.operations.index("skip")
    found, was = after.operation_weights[edge], before.operation_weights[edge]
    assert found[skip] == pytest.approx(weight, abs=1e-6)
    if weight < 1:
        others = [o for o in range(4) if o != skip]
        torch.testing.assert_close(
            found[others] / found[others].sum(), was[others] / was[others].sum()
        )
    same = [e for e in range(3) if e != edge]
    assert torch.equal(after.alpha[same], before.alpha[same]) and torch.equal(
        after.beta, before.beta
    )
    assert torch.equal(before.alpha, Architecture.random(spec, 7).alpha)


def test_one_source_of_one_cell():
    spec = FabricSpec(width=2, hidden_nodes=2, alpha_per_cell=True)
    decided = Architecture.random(spec, 8).genotype(spec).architecture(spec)
    after = decided.with_source(spec, "coarser", 0.4, (3, 1))
    number = spec.cells.index(CellIndex(3, 1))
    assert after.scale_weights[number, 2] == pytest.approx(0.4) and after.scale_weights.sum(
        1
    ).allclose(torch.ones(6))
    edited = decided.with_operation(spec, "zero", 0.5, edge=(0, 1), cell=(4, 1))
    assert edited.operation_weights[spec.cells.index(CellIndex(4, 1)), 0, 0] == pytest.approx(0.5)
    with pytest.raises(ValueError, match="name a cell if, and only if"):
        decided.with_operation(spec, "zero", 0.5)
    with pytest.raises(ValueError, match=r"lies in \[0, 1\]; got 1.5"):
        decided.with_source(spec, "same", 1.5, (3, 1))


def test_what_no_fabric_has_is_named():
    spec = FabricSpec()
    found = Architecture.random(spec)
    with pytest.raises(ValueError, match="no operation 'skipp'; there are zero, skip"):
        found.with_operation(spec, "skipp", 0.5)
    with pytest.raises(ValueError, match=r"no edge \(0, 2\); there are \(0, 1\)"):
        found.with_operation(spec, "skip", 0.5, edge=(0, 2))
    with pytest.raises(ValueError, match=r"no cell \(9, 9\); there are \(3, 0\), \(3, 1\)"):
        found.with_source(spec, "same", 0.5, (9, 9))
    with pytest.raises(ValueError, match="no source 'up'; there are finer, same, coarser"):
        found.with_source(spec, "up", 0.5, spec.cells[0])
    with pytest.raises(ValueError, match="the mean needs at least one architecture"):
        Architecture.mean([])

"""Quantities derived from alpha and beta, and edits of single weights."""

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


def test_entropy_is_one_for_equal_weights_and_zero_for_a_choice():
    spec = FabricSpec(width=2)
    assert Architecture.zeros(spec).entropy() == pytest.approx((1.0, 1.0))
    decided = Architecture(100 * torch.eye(4)[:1], 100 * torch.eye(3)[[0, 1, 2, 0, 1, 2]])
    assert decided.entropy() == pytest.approx((0.0, 0.0))


@pytest.mark.parametrize("spec", SPECS)
def test_genotype_round_trip(spec):
    genotype = Architecture.random(spec, seed=3).genotype(spec)
    discrete = genotype.architecture(spec)
    assert discrete.genotype(spec) == genotype and discrete.entropy() == (0, 0)
    for weights in (
        discrete.operation_weights,
        discrete.scale_weights,
        discrete.operation_weights.double(),
    ):
        assert set(weights.unique().tolist()) == {0.0, 1.0}
    soft_weights = Architecture.random(spec, seed=3).operation_weights
    first_edge = soft_weights.reshape(-1, len(spec.operations))[0]
    assert spec.operations[int(first_edge.argmax())] == genotype.operations[0][0]


@pytest.mark.parametrize("spec", SPECS)
def test_genotype_without_zero_takes_the_greatest_other_weight(spec):
    architecture = Architecture.random(spec, seed=4, deviation=2)
    genotype = architecture.genotype(spec, zero=False)
    names = [name for row in genotype.operations for name in row]
    weights = architecture.operation_weights.reshape(-1, len(spec.operations))
    for name, edge_weights in zip(names, weights, strict=True):
        assert name != "zero"
        assert edge_weights[spec.operations.index(name)] == edge_weights[1:].max()
    assert genotype.sources == architecture.genotype(spec).sources


@pytest.mark.parametrize("spec", SPECS)
def test_source_weights_by_row(spec):
    architecture = Architecture.random(spec, seed=1, deviation=2)
    source_weights = architecture.source_weights(spec)
    torch.testing.assert_close(source_weights.sum(1), torch.ones(len(spec.cells)))
    for number, cell in enumerate(spec.cells):
        weights = architecture.scale_weights[number].tolist()
        expected = [0.0] * source_weights.shape[1]
        for weight, source in zip(
            weights, spec.sources(cell.row, spec.rows(cell.layer - 1)), strict=True
        ):
            expected[source] += weight
        assert source_weights[number].tolist() == pytest.approx(expected)


def test_distance():
    spec = FabricSpec(width=2, hidden_nodes=2)
    first, second = Architecture.random(spec, 1), Architecture.random(spec, 2)
    assert first.distance(first, spec) == (0, 0)
    with pytest.raises(ValueError, match="architectures of different fabrics"):
        first.distance(Architecture.random(FabricSpec(width=2)), spec)
    assert first.distance(second, spec) == pytest.approx(second.distance(first, spec))
    assert all(0 < distance < 1 for distance in first.distance(second, spec))
    skip = Genotype((("skip",) * 3,), ("coarser",) * 6).architecture(spec)
    separable = Genotype((("separable_3x3",) * 3,), ("coarser",) * 6).architecture(spec)
    assert skip.distance(separable, spec) == (1, 0)
    expected = (first.operation_weights - second.operation_weights).clamp(min=0).sum(-1).mean()
    assert first.distance(second, spec)[0] == pytest.approx(expected.item(), rel=1e-5)


def test_weight_moved_between_copies_of_a_map_has_distance_zero():
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


def test_mean_averages_weights_not_logits():
    spec = FabricSpec(width=2, hidden_nodes=2)
    architectures = [Architecture.random(spec, seed, 3) for seed in range(4)]
    mean = Architecture.mean(architectures)
    torch.testing.assert_close(
        mean.operation_weights, sum(a.operation_weights for a in architectures) / 4
    )
    torch.testing.assert_close(mean.scale_weights, sum(a.scale_weights for a in architectures) / 4)
    one_hot = architectures[0].genotype(spec).architecture(spec)
    assert Architecture.mean([one_hot, one_hot]).genotype(spec) == one_hot.genotype(spec)


@pytest.mark.parametrize("spec", SPECS)
def test_samples_follow_the_weights(spec):
    architecture, generator = Architecture.random(spec, 5), torch.Generator().manual_seed(0)
    drawn = [architecture.sample(spec, generator).architecture(spec) for _ in range(600)]
    mean = Architecture.mean(drawn)
    assert (mean.operation_weights - architecture.operation_weights).abs().max() < 0.1
    assert (mean.scale_weights - architecture.scale_weights).abs().max() < 0.1


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_with_operation_sets_one_weight_and_the_others_share_the_rest(weight):
    spec = FabricSpec(width=2, hidden_nodes=2)
    before = Architecture.random(spec, 7)
    after = before.with_operation(spec, "skip", weight, edge=(1, 2))
    edge, skip = spec.edges.index((1, 2)), spec.operations.index("skip")
    weights_after, weights_before = after.operation_weights[edge], before.operation_weights[edge]
    assert weights_after[skip] == pytest.approx(weight, abs=1e-6)
    if weight < 1:
        others = [o for o in range(4) if o != skip]
        rest_after, rest_before = weights_after[others], weights_before[others]
        torch.testing.assert_close(rest_after / rest_after.sum(), rest_before / rest_before.sum())
    other_edges = [e for e in range(3) if e != edge]
    assert torch.equal(after.alpha[other_edges], before.alpha[other_edges])
    assert torch.equal(after.beta, before.beta)
    assert torch.equal(before.alpha, Architecture.random(spec, 7).alpha)


def test_with_source_edits_one_cell():
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


def test_unknown_names_are_refused():
    spec = FabricSpec()
    architecture = Architecture.random(spec)
    with pytest.raises(ValueError, match="no operation 'skipp'; there are zero, skip"):
        architecture.with_operation(spec, "skipp", 0.5)
    with pytest.raises(ValueError, match=r"no edge \(0, 2\); there are \(0, 1\)"):
        architecture.with_operation(spec, "skip", 0.5, edge=(0, 2))
    with pytest.raises(ValueError, match=r"no cell \(9, 9\); there are \(3, 0\), \(3, 1\)"):
        architecture.with_source(spec, "same", 0.5, (9, 9))
    with pytest.raises(ValueError, match="no source 'up'; there are finer, same, coarser"):
        architecture.with_source(spec, "up", 0.5, spec.cells[0])
    with pytest.raises(ValueError, match="the mean needs at least one architecture"):
        Architecture.mean([])

"""Expected multiply-adds: equal to the count at one-hot architectures, with a correct gradient."""

import itertools

import pytest
import torch
from hypothesis import given, strategies as st

from posenfs.body.parts import part_scheme
from posenfs.body.skeleton import MPII
from posenfs.model.architecture import Architecture, Genotype
from posenfs.model.backbones.fabric import FabricBackbone
from posenfs.model.backbones.torchvision_backbones import MobileNetV2
from posenfs.model.cost import measured_cost
from posenfs.model.expected_cost import ExpectedCost
from posenfs.model.network import PoseNFS
from posenfs.model.pruning import prune
from posenfs.model.space import FabricSpec, Rules, Sources
from tests.sweeps import examples

SIX = ("zero", "skip", "separable_3x3", "dilated_3x3", "avg_pool_3x3", "max_pool_3x3")


def expected_multiply_adds(model, height, width):
    return ExpectedCost(model, height, width)(model.architectures())


def network(seed=0, parts=2, fabric_backbone=False, **options):
    torch.manual_seed(seed)
    spec = FabricSpec(width=1, **options)
    whole = FabricSpec(width=1, first=0, last=3, operations=SIX, hidden_nodes=spec.hidden_nodes)
    scheme = part_scheme(MPII, {1: 1, 2: 3}[parts])
    backbone = FabricBackbone(whole) if fabric_backbone else MobileNetV2()
    return PoseNFS(backbone, scheme, spec, 4, Rules(always_entries=bool(seed % 2)))


@examples(fast=12, every=25)
@given(
    st.integers(0, 10**6), st.sampled_from([1, 2, 3]), st.booleans(), st.booleans(), st.floats(0, 3)
)
def test_equals_the_measured_cost_at_one_hot(seed, hidden, per_cell, fabric_backbone, zeros):
    model = network(
        seed, fabric_backbone=fabric_backbone, hidden_nodes=hidden, alpha_per_cell=per_cell
    )
    with torch.no_grad():
        for fabric in model.fabrics().values():
            for parameter in (fabric.alpha, fabric.beta):
                parameter.normal_()
            fabric.alpha[..., 0] += zeros  # some networks lose most of their cells
            for parameter in (fabric.alpha, fabric.beta):
                best = torch.nn.functional.one_hot(parameter.argmax(-1), parameter.shape[-1])
                parameter.copy_(torch.where(best > 0, 0.0, -1000.0))
    expected = expected_multiply_adds(model, 64, 96)
    assert expected.item() == measured_cost(prune(model), 64, 96).multiply_adds


def test_soft_network_costs_less_than_the_whole_supernet():
    model = network()
    assert (
        0
        < expected_multiply_adds(model, 64, 64).item()
        < measured_cost(model, 64, 64).multiply_adds
    )


@pytest.mark.parametrize("fabric_backbone", [False, True], ids=["MobileNet-V2", "fabric"])
def test_gradient_by_finite_differences(fabric_backbone):
    model = network(fabric_backbone=fabric_backbone).double()
    with torch.no_grad():
        for parameter in model.architecture_parameters():
            parameter.normal_()
    cost = ExpectedCost(model, 64, 64)
    cost(model.architectures()).backward()
    for parameter in model.architecture_parameters():
        flat, gradient = parameter.data.view(-1), parameter.grad.view(-1)
        for place in range(0, len(flat), 5):
            values = []
            for step in (1e-4, -1e-4):
                flat[place] += step
                values.append(cost(model.architectures()).item())
                flat[place] -= step
            assert gradient[place].item() == pytest.approx(
                (values[0] - values[1]) / 2e-4, rel=1e-4, abs=1e-1
            )


def test_gradient_descent_reduces_the_cost():
    model = network()
    optimizer = torch.optim.Adam(model.architecture_parameters(), lr=0.1)
    cost = ExpectedCost(model, 64, 64)
    before = cost(model.architectures()).item()
    for _ in range(30):
        optimizer.zero_grad()
        cost(model.architectures()).backward()
        optimizer.step()
    fixed = measured_cost(model.backbone, 64, 64).multiply_adds
    assert cost(model.architectures()).item() - fixed < 0.6 * (before - fixed)


def test_equals_the_mean_over_all_discrete_networks():
    """A head with two operations has 1,458 networks, each weighted by its probability."""
    model = network(parts=1, operations=("zero", "separable_3x3"))
    [(name, fabric)] = model.fabrics().items()
    cost = ExpectedCost(model, 64, 64)
    soft = Architecture.random(fabric.spec, 3)
    alpha, beta = soft.operation_weights[0].double(), soft.scale_weights.double()
    total = 0.0
    for operation, *choices in itertools.product(range(2), *[range(3)] * 6):
        genotype = Genotype(
            ((fabric.spec.operations[operation],),), tuple(Sources._fields[c] for c in choices)
        )
        probability = (
            alpha[operation] * torch.stack([beta[n, c] for n, c in enumerate(choices)]).prod()
        )
        total += (probability * cost({name: genotype.architecture(fabric.spec)})).item()
    assert cost({name: soft}).item() == pytest.approx(total, rel=1e-6)


@pytest.mark.parametrize("per_cell", [False, True])
@pytest.mark.parametrize("fabric_backbone", [False, True])
def test_equals_the_mean_of_sampled_networks(per_cell, fabric_backbone):
    model = network(fabric_backbone=fabric_backbone, hidden_nodes=2, alpha_per_cell=per_cell)
    cost, generator = ExpectedCost(model, 64, 64), torch.Generator().manual_seed(0)
    cost.fixed = 0  # an unread backbone is too rare and too expensive for a few hundred samples
    specs = {name: fabric.spec for name, fabric in model.fabrics().items()}
    soft = {
        name: Architecture.random(spec, number) for number, (name, spec) in enumerate(specs.items())
    }
    costs = []
    for _ in range(300):
        samples = {name: soft[name].sample(spec, generator) for name, spec in specs.items()}
        costs.append(
            cost({name: sample.architecture(specs[name]) for name, sample in samples.items()})
        )
    costs = torch.stack(costs)
    assert abs(cost(soft) - costs.mean()) < 4 * costs.std() / len(costs) ** 0.5

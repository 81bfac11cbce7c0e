"""Signs of collapse, computed in another way."""

import itertools
import math

import pytest
import torch

from posenfs.model.architecture import Architecture
from posenfs.model.backbones.fabric import FABRIC_1
from posenfs.model.collapse import CollapseSigns, collapse_signs, collapse_warnings, effective_paths
from posenfs.model.space import FabricSpec


@pytest.mark.parametrize(
    "spec", [FabricSpec(), FabricSpec(layers=7), FABRIC_1], ids=["head", "deep head", "backbone"]
)
@pytest.mark.parametrize("seed", range(3))
def test_effective_paths_by_enumeration(spec, seed):
    architecture = Architecture.random(spec, seed)
    weights = dict(zip(spec.cells, architecture.scale_weights.tolist(), strict=True))
    grid = spec.grid()
    probabilities: dict[tuple, float] = {}
    for cell in grid[-1]:
        for choices in itertools.product(range(3), repeat=len(grid)):
            rows, probability = [cell.row], 1 / len(grid[-1])
            for layer, choice in zip(reversed(grid), choices, strict=True):
                here = layer[rows[-1]]
                probability *= weights[here][choice]
                rows.append(spec.sources(here.row, spec.rows(here.layer - 1))[choice])
            probabilities[tuple(rows)] = probabilities.get(tuple(rows), 0) + probability
    assert sum(probabilities.values()) == pytest.approx(1)
    entropy = -sum(p * math.log(p) for p in probabilities.values())
    assert effective_paths(architecture, spec) == pytest.approx(math.exp(entropy), rel=1e-6)


def test_discrete_fabric_has_one_path():
    spec = FabricSpec()
    decided = Architecture.random(spec).genotype(spec).architecture(spec)
    assert effective_paths(decided, spec) == pytest.approx(1)
    signs = collapse_signs(decided, spec)
    assert signs.entropy_alpha == pytest.approx(0) and signs.entropy_beta == pytest.approx(0)


def test_signs_and_warnings():
    spec = FabricSpec(hidden_nodes=2)
    alpha = torch.log(
        torch.tensor([[0.7, 0.25, 0.04, 0.01], [0.5, 0.5, 1e-9, 1e-9], [0.9, 0.1, 1e-9, 1e-9]])
    )
    signs = collapse_signs(Architecture(alpha, torch.zeros(spec.beta_shape)), spec)
    assert signs.zero == pytest.approx(0.7) and signs.skip == pytest.approx(0.85 / 3)
    assert signs.entropy_beta == pytest.approx(1)
    messages = collapse_warnings({"legs": signs, "arms": CollapseSigns(0.4, 0.4, 1, 1, 9.0)})
    assert messages == [
        "fabric legs is collapsing: 98% of its operations' weight is on zero (70%) and skip "
        "(28%); the warning is given above 90%"
    ]
    without = FabricSpec(operations=("separable_3x3", "dilated_3x3"))
    assert collapse_signs(Architecture.zeros(without), without).zero == 0

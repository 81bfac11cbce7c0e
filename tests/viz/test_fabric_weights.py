"""The weights that graphs show."""

import pytest
import torch

from posenfs.model.architecture import Architecture
from posenfs.model.space import FabricSpec
from posenfs.viz.fabric_weights import path_shares


def architecture(spec, scale=1.0):
    torch.manual_seed(0)
    return Architecture(scale * torch.randn(spec.alpha_shape), scale * torch.randn(spec.beta_shape))


def test_path_shares_agree_with_all_paths():
    spec = FabricSpec()
    weights = architecture(spec, 2.0).scale_weights
    expected = dict.fromkeys(spec.cells, 0.0)
    beta = dict(zip(spec.cells, weights.tolist(), strict=True))

    def walk(cell, share, seen):
        seen = [*seen, cell]
        if cell.layer == spec.first:
            for passed in seen:
                expected[passed] += share
            return
        for source, weight in zip(
            spec.sources(cell.row, spec.rows(cell.layer - 1)), beta[cell], strict=True
        ):
            walk(type(cell)(cell.layer - 1, source), share * weight, seen)

    walk(spec.cells[-1], 1.0, [])
    first = {cell: share for cell, share in expected.items() if cell.layer == spec.first}
    assert sum(first.values()) == pytest.approx(1)
    assert path_shares(spec, weights) == pytest.approx(expected)

"""Networks that are not searched: what they begin with, and that they learn."""

import pytest
import torch

from posenfs.body.parts import part_scheme
from posenfs.body.skeleton import MPII
from posenfs.model.backbones.hrnet import HRNet
from posenfs.model.baselines import Branchnet, HRNetPose, SimpleBaseline
from posenfs.model.losses import heatmap_loss

WHOLE, THREE = part_scheme(MPII, 1), part_scheme(MPII, 3)
MODELS = {
    "SimpleBaseline": lambda d: SimpleBaseline(WHOLE, 50, d),
    "HRNet": lambda d: HRNetPose(WHOLE, 32, d),
    "Branchnet": lambda d: Branchnet(HRNet(), THREE, 40, 2, d),
}


@pytest.mark.parametrize("vector_dim", [1, 8])
@pytest.mark.parametrize("name", MODELS)
def test_they_begin_with_empty_maps(name, vector_dim):
    torch.manual_seed(0)
    maps = MODELS[name](vector_dim)(torch.randn(2, 3, 64, 64))
    assert maps.shape == (2, 16, 16, 16) and 0 < maps.abs().max() < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("vector_dim", [1, 8])
def test_a_simple_baseline_learns_eight_pictures_by_heart(vector_dim):
    """From random weights: a plateau of some two hundred steps, and then everything."""
    torch.manual_seed(0)
    model, images = SimpleBaseline(WHOLE, 50, vector_dim), torch.randn(8, 3, 64, 64)
    peaks = torch.randint(2, 14, (8, 16, 2))
    place = torch.arange(16.0)
    across, down = (torch.exp(-((place - peaks[..., n, None]) ** 2) / 2) for n in (0, 1))
    target, seen = down[..., :, None] * across[..., None, :], torch.ones(8, 16)
    empty = heatmap_loss(torch.zeros_like(target), target, seen).item()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(400):
        optimizer.zero_grad()
        loss = heatmap_loss(model(images), target, seen)
        loss.backward()
        optimizer.step()
        if loss.item() < 0.2 * empty:
            return
    raise AssertionError(
        f"loss {loss.item():.3f} after 400 steps, where empty maps cost {empty:.3f}"
    )

"""Networks without a search: their initial score maps, and that they learn."""

import pytest
import torch

from posenfs.body.parts import part_scheme
from posenfs.body.skeleton import MPII
from posenfs.model.backbones.hrnet import HRNet
from posenfs.model.baselines import Branchnet, HRNetPose, SimpleBaseline
from posenfs.model.vectors import heatmap_loss

WHOLE, THREE = part_scheme(MPII, 1), part_scheme(MPII, 3)
MODELS = {
    "SimpleBaseline": lambda d: SimpleBaseline(WHOLE, 50, d),
    "HRNet": lambda d: HRNetPose(WHOLE, 32, d),
    "Branchnet": lambda d: Branchnet(HRNet(), THREE, 40, 2, d),
}


@pytest.mark.parametrize("vector_dim", [1, 8])
@pytest.mark.parametrize("name", MODELS)
def test_initial_score_maps_are_almost_empty(name, vector_dim):
    torch.manual_seed(0)
    maps = MODELS[name](vector_dim)(torch.randn(2, 3, 64, 64))
    assert maps.shape == (2, 16, 16, 16) and 0 < maps.abs().max() < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("vector_dim", [1, 8])
def test_simple_baseline_overfits_eight_images(vector_dim):
    """From random weights the loss stays on a plateau for about 200 steps and then falls."""
    torch.manual_seed(0)
    model, images = SimpleBaseline(WHOLE, 50, vector_dim), torch.randn(8, 3, 64, 64)
    peaks = torch.randint(2, 14, (8, 16, 2))
    gaussians = torch.exp(-((torch.arange(16.0) - peaks[..., None]) ** 2) / 2)  # [B, K, 2, 16]
    target = gaussians[:, :, 1, :, None] * gaussians[:, :, 0, None, :]
    visibility = torch.ones(8, 16)
    empty_loss = heatmap_loss(torch.zeros_like(target), target, visibility).item()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(400):
        optimizer.zero_grad()
        loss = heatmap_loss(model(images), target, visibility)
        loss.backward()
        optimizer.step()
        if loss.item() < 0.2 * empty_loss:
            return
    raise AssertionError(
        f"loss {loss.item():.3f} after 400 steps, that of empty maps is {empty_loss:.3f}"
    )

"""Heatmaps: targets, decodings without bias, mirrored maps."""

import numpy as np
import pytest
import torch

from posenfs.body.skeleton import MPII
from posenfs.data.geometry import ImageSize, crop_to_heatmap, heatmap_to_crop
from posenfs.data.heatmaps import DECODINGS, argmax, dark, encode, mirror_maps, quarter_offset
from tests.sweeps import sweep


@pytest.mark.parametrize(("height", "sigma"), [(32, 1.0), (64, 2.0), (96, 3.0)])
def test_targets_are_gaussians_of_peak_one(height, sigma):
    keypoints = torch.tensor([[[10.0, 12.0], [7.25, 20.5]]], dtype=torch.double)
    maps = encode(keypoints, ImageSize(height, 48))
    y, x = np.mgrid[0:height, 0:48]
    for k, (kx, ky) in enumerate(keypoints[0].tolist()):
        expected = np.exp(-((x - kx) ** 2 + (y - ky) ** 2) / (2 * sigma**2))
        np.testing.assert_allclose(maps[0, k].numpy(), expected, atol=1e-12)
    assert maps[0, 0, 12, 10] == 1


SIZES = [(128, 128), (256, 256), (384, 288), (256, 192)]
# Largest mean absolute error along an axis and largest error of any point, in heatmap px.
MAX_ERRORS = {"argmax": (0.26, 0.51), "quarter offset": (0.13, 0.36), "dark": (0.01, 0.05)}


@pytest.mark.parametrize("decoding", DECODINGS)
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(("height", "width"), sweep(SIZES, fast=[(128, 128), (256, 192)]))
def test_perfect_maps_decode_without_bias(height, width, flip, decoding):
    """The mean signed error is below 0.05 crop px over 4,000 keypoints away from the border."""
    generator = torch.Generator().manual_seed(height + width)
    low, high = 8, torch.tensor([width, height]) - 9
    keypoints = low + (high - low) * torch.rand(250, 16, 2, generator=generator, dtype=torch.double)
    map_size = ImageSize(height // 4, width // 4)
    maps = encode(crop_to_heatmap(keypoints), map_size)
    if flip:
        mirrored = keypoints.clone()
        mirrored[..., 0] = width - 1 - mirrored[..., 0]
        mirrored_maps = encode(crop_to_heatmap(mirrored[:, list(MPII.flip_order)]), map_size)
        maps = (maps + mirror_maps(mirrored_maps, MPII.flip_order)) / 2
    decoded, peaks = DECODINGS[decoding](maps)
    error = heatmap_to_crop(decoded) - keypoints
    max_mean_error, max_error = MAX_ERRORS[decoding]
    assert error.mean((0, 1)).abs().max() < 0.05
    assert error.abs().mean((0, 1)).max() < 4 * max_mean_error
    assert error.abs().max() <= 4 * max_error
    assert peaks.equal(maps.flatten(2).max(-1).values)


def test_mirrored_maps_are_the_maps_of_mirrored_keypoints():
    keypoints = 4 + 20 * torch.rand(3, 16, 2, dtype=torch.double)
    mirrored = keypoints[:, list(MPII.flip_order)].clone()
    mirrored[..., 0] = 31 - mirrored[..., 0]
    size = ImageSize(32, 32)
    torch.testing.assert_close(
        mirror_maps(encode(keypoints, size), MPII.flip_order), encode(mirrored, size)
    )


def test_decoding_at_the_border_stays_on_the_map():
    maps = torch.zeros(1, 4, 8, 6)
    corners = [(0, 0), (0, 5), (7, 0), (7, 5)]
    for k, (y, x) in enumerate(corners):
        maps[0, k, y, x] = 1
    keypoints, peaks = quarter_offset(maps)
    assert keypoints[0].tolist() == [[x, y] for y, x in corners]
    assert peaks.eq(1).all()


def test_quarter_offset_equals_a_loop_over_maps():
    maps = torch.rand(2, 3, 9, 7)
    keypoints, peaks = quarter_offset(maps)
    for b in range(2):
        for k in range(3):
            m = maps[b, k].numpy()
            y, x = np.unravel_index(m.argmax(), m.shape)
            dx = 0.25 * np.sign(m[y, x + 1] - m[y, x - 1]) if 0 < x < 6 else 0
            dy = 0.25 * np.sign(m[y + 1, x] - m[y - 1, x]) if 0 < y < 8 else 0
            assert keypoints[b, k].tolist() == [x + dx, y + dy]
            assert peaks[b, k] == m.max()


def test_argmax_is_the_highest_pixel():
    maps = torch.rand(2, 3, 9, 7)
    keypoints, peaks = argmax(maps)
    for b in range(2):
        for k in range(3):
            x, y = keypoints[b, k].tolist()
            assert maps[b, k, y, x] == peaks[b, k] == maps[b, k].max()


def test_dark_finds_the_peak_of_a_wider_gaussian_and_falls_back_for_ragged_maps():
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(40.0), indexing="ij")
    blob = (-((x - 20.3) ** 2 / 18 + (y - 23.8) ** 2 / 10)).exp()
    maps = torch.stack([0.4 * blob, torch.zeros(48, 40), torch.rand(48, 40)])[None]
    keypoints, peaks = dark(maps)
    assert keypoints[0, 0].tolist() == pytest.approx([20.3, 23.8], abs=0.02) and peaks[0, 0] < 0.4
    assert keypoints[0, 1].tolist() == quarter_offset(maps)[0][0, 1].tolist()
    assert (keypoints - argmax(maps)[0]).abs().max() <= 1 and keypoints.isfinite().all()

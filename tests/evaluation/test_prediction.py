"""Scores and losses at annotated keypoints against plain loops, and restored training modes."""

import numpy as np
import pytest
import torch

from posenfs.data.datasets.catalogue import DataSpec, open_data
from posenfs.data.datasets.mpii import read_mpii
from posenfs.data.geometry import ImageSize, crop_of_box, image_to_crop
from posenfs.data.loader import crop_people
from posenfs.data.sample import normalise
from posenfs.evaluation.prediction import keypoint_vectors, predict, scores_and_losses
from posenfs.model.latency import measure_latency
from posenfs.search.build import build
from posenfs.viz.poses import draw_person_maps


def test_scores_and_losses_at_keypoints_equal_plain_loops(tiny, drawn):
    model, people = build(tiny, progress=False).model, read_mpii(drawn, "valid").select(slice(5))
    scores, losses = scores_and_losses(model, people, ImageSize(64, 64), batch_size=2)
    assert model.training
    with torch.no_grad():
        maps = (
            model.eval()(normalise(crop_people(people, ImageSize(64, 64)).images)).double().numpy()
        )
    grid = np.stack(np.meshgrid(np.arange(16), np.arange(16)), -1)
    count = 0
    for n in range(5):
        crop_px = image_to_crop(
            people.keypoints_image[n], crop_of_box(people.boxes[n], ImageSize(64, 64))
        )
        for k in range(16):
            inside = ((crop_px[k] > -0.5) & (crop_px[k] < 63.5)).all()
            if not inside or people.visibility[n, k] == 0:
                assert np.isnan(scores[n, k]) and np.isnan(losses[n, k])
                continue
            place = (crop_px[k] + 0.5) / 4 - 0.5  # a heatmap pixel covers 4 x 4 crop pixels
            x, y = np.clip(np.round(place).astype(int), 0, 15)
            target = np.exp(-((grid - place) ** 2).sum(-1) / (2 * 0.5**2))  # sigma: 16 / 32 px
            assert scores[n, k] == pytest.approx(maps[n, k, y, x], abs=1e-5)
            assert losses[n, k] == pytest.approx(
                ((maps[n, k] - target) ** 2).sum(), rel=1e-3, abs=1e-4
            )
            count += 1
    assert count > 40


def test_training_mode_is_restored_after_an_error(tiny, drawn):
    model, people = (
        build(tiny, progress=False).model.train(),
        read_mpii(drawn, "valid").select(slice(2)),
    )
    for call in (
        lambda: keypoint_vectors(model, torch.zeros(1, 3, 60, 60, dtype=torch.uint8), 0),
        lambda: draw_person_maps(model, people, 0, ImageSize(60, 60)),
        lambda: scores_and_losses(model, people, ImageSize(60, 60)),
        lambda: measure_latency(model, (1,), 60, 60),
    ):
        with pytest.raises(ValueError, match="not divisible"):
            call()
        assert model.training


def test_other_number_of_keypoints_raises_an_error(tiny, drawn):
    """A network of 16 keypoints cannot average mirrored heatmaps for people with 14."""
    model = build(tiny).model
    people = open_data(DataSpec("synthetic_lsp", str(drawn), (12, 6)), progress=False)[1]
    with pytest.raises(ValueError, match="predicts 16 keypoints, but these annotations have 14"):
        predict(model, people, ImageSize(64, 64))

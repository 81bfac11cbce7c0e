"""Figures of poses and score maps."""

import warnings

import numpy as np
import pytest
import torch
from matplotlib.patches import Circle

from posenfs.body.skeleton import MPII
from posenfs.data.datasets.mpii import read_mpii
from posenfs.data.geometry import ImageSize
from posenfs.search.build import build
from posenfs.viz.poses import (
    draw_map_change,
    draw_people,
    draw_person_maps,
    draw_score_map,
    draw_score_maps,
    draw_skeletons,
)


@pytest.fixture
def crops():
    random = np.random.default_rng(0)
    images = torch.from_numpy(random.integers(0, 256, (5, 3, 64, 96), dtype=np.uint8))
    return images, random.uniform(5, 60, (5, 16, 2)), random.integers(0, 3, (5, 16))


def is_drawn(figure, path) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(path / "figure.png")
    return (
        figure._repr_png_().startswith(b"\x89PNG") and (path / "figure.png").stat().st_size > 5000
    )


def test_truth_beside_prediction(crops, tmp_path):
    images, keypoints, visibility = crops
    figure = draw_skeletons(images, MPII, keypoints, keypoints + 2, visibility, columns=2)
    assert is_drawn(figure, tmp_path)
    used = [axes for axes in figure.axes if axes.images]
    assert len(used) == 10
    truth = used[0]
    circles = [artist for artist in truth.patches + truth.artists if isinstance(artist, Circle)]
    centres = [circle.get_transform().transform((0, 0)) for circle in circles]
    drawn = truth.transData.inverted().transform(centres)
    assert drawn == pytest.approx(keypoints[0][visibility[0] > 0] + 2)
    hollow = [circle for circle in circles if circle.get_facecolor()[3] == 0]
    assert len(hollow) == (visibility[0] == 1).sum()


def test_score_maps_cover_their_crop(crops, tmp_path):
    image = crops[0][0]
    maps = np.zeros((16, 16, 24))
    maps[:, 3, 5] = 1
    figure = draw_score_maps(image, maps, MPII)
    assert is_drawn(figure, tmp_path)
    crop, overlay = figure.axes[0].images
    assert crop.get_extent() == pytest.approx([-0.5, 95.5, 63.5, -0.5])
    assert overlay.get_extent() == pytest.approx(
        [-0.5, 95.5, 63.5, -0.5]
    )  # the edges of pixels coincide
    assert "head top, peak 1.00" in figure.axes[0].get_title()


def test_one_score_map(crops, tmp_path):
    figure = draw_score_map(
        crops[0][0], np.random.default_rng(0).random((16, 24)), "left_wrist", crops[1][0, 7]
    )
    assert is_drawn(figure, tmp_path)
    assert figure.axes[-1].get_ylabel() == "score"


def test_errors_name_the_shapes(crops):
    with pytest.raises(ValueError, match=r"\[5, 3, 64, 96\].*\(4, 16, 2\)"):
        draw_skeletons(crops[0], MPII, crops[1][:4])
    with pytest.raises(
        ValueError, match=r"MPII-16 needs score maps \[16, h, w\]; got \(15, 16, 24\)"
    ):
        draw_score_maps(crops[0][0], np.zeros((15, 16, 24)), MPII)


def test_figures_of_a_model_keep_its_mode(tiny, drawn, tmp_path):
    model, people = build(tiny, progress=False).model, read_mpii(drawn, "valid")
    model.train()
    assert is_drawn(draw_people(model, people.select([0, 1, 2]), ImageSize(64, 64)), tmp_path)
    assert is_drawn(draw_person_maps(model, people, 1, ImageSize(64, 64)), tmp_path)
    assert model.training


def test_change_by_another_architecture(tiny, drawn, tmp_path):
    model, people = build(tiny, progress=False).model.eval(), read_mpii(drawn, "valid")
    name, fabric = next(iter(model.fabrics().items()))
    edited = fabric.architecture.with_source(fabric.spec, "coarser", 1.0, (5, 0))
    changed = model.with_architectures({name: edited}).train()
    shown = [people.skeleton.keypoints[k] for k in model.parts[0].keypoints[:2]]
    figure = draw_map_change(model, changed, people, 0, shown, ImageSize(64, 64))
    assert is_drawn(figure, tmp_path) and changed.training and not model.training
    titles = [axes.get_title() for axes in figure.axes[:6]]
    assert titles[0].startswith(f"{shown[0].replace('_', ' ')} before, peak") and titles[
        2
    ].startswith("change, at most")
    assert np.abs(figure.axes[2].images[0].get_array()).max() > 0
    same = draw_map_change(model, model, people, 0, shown[:1], ImageSize(64, 64))
    assert same.axes[2].get_title() == "change, at most 0"

"""Figures of score maps and vectors."""

from dataclasses import replace

import numpy as np
import pytest

from posenfs.body.skeleton import MPII
from posenfs.data.datasets.mpii import read_mpii
from posenfs.data.geometry import ImageSize
from posenfs.data.loader import crop_people
from posenfs.evaluation.prediction import score_maps
from posenfs.model.network import evaluating
from posenfs.search.build import build
from posenfs.viz.score_maps import (
    draw_map_change,
    draw_person_maps,
    draw_score_map,
    draw_score_maps,
    draw_vectors,
)


def test_score_maps_cover_their_crop(crops, is_drawn):
    image = crops[0][0]
    maps = np.zeros((16, 16, 24))
    maps[:, 3, 5] = 1
    figure = draw_score_maps(image, maps, MPII)
    assert is_drawn(figure)
    crop, overlay = figure.axes[0].images
    assert crop.get_extent() == pytest.approx([-0.5, 95.5, 63.5, -0.5])
    assert overlay.get_extent() == pytest.approx(
        [-0.5, 95.5, 63.5, -0.5]
    )  # the edges of pixels coincide
    assert "head top, peak 1.00" in figure.axes[0].get_title()


def test_one_score_map(crops, is_drawn):
    figure = draw_score_map(
        crops[0][0], np.random.default_rng(0).random((16, 24)), "left_wrist", crops[1][0, 7]
    )
    assert is_drawn(figure)
    assert figure.axes[-1].get_ylabel() == "score"


def test_errors_name_the_shapes(crops):
    with pytest.raises(
        ValueError, match=r"MPII-16 needs score maps \[16, h, w\]; got \(15, 16, 24\)"
    ):
        draw_score_maps(crops[0][0], np.zeros((15, 16, 24)), MPII)


def test_figures_of_a_model_keep_its_mode(tiny, drawn, is_drawn):
    model, people = build(tiny, progress=False).model, read_mpii(drawn, "valid")
    model.train()
    assert is_drawn(draw_person_maps(model, people, 1, ImageSize(64, 64)))
    assert model.training


def test_change_by_another_architecture(tiny, drawn, is_drawn):
    model, people = build(tiny, progress=False).model.eval(), read_mpii(drawn, "valid")
    name, fabric = next(iter(model.fabrics().items()))
    edited = fabric.architecture.with_source(fabric.spec, "coarser", 1.0, (5, 0))
    changed = model.with_architectures({name: edited}).train()
    shown = [people.skeleton.keypoints[k] for k in model.parts[0].keypoints[:2]]
    figure = draw_map_change(model, changed, people, 0, shown, ImageSize(64, 64))
    assert is_drawn(figure) and changed.training and not model.training
    titles = [axes.get_title() for axes in figure.axes[:6]]
    assert titles[0].startswith(f"{shown[0].replace('_', ' ')} before, peak") and titles[
        2
    ].startswith("change, at most")
    assert np.abs(figure.axes[2].images[0].get_array()).max() > 0
    same = draw_map_change(model, model, people, 0, shown[:1], ImageSize(64, 64))
    assert same.axes[2].get_title() == "change, at most 0"


def test_vectors_have_a_row_for_each_part_of_a_keypoint(tiny, drawn):
    people = read_mpii(drawn, "valid")
    model = build(replace(tiny, parts=8), progress=False).model
    figure = draw_vectors(model, people, 0, "left_shoulder", ImageSize(64, 64))
    titles = [axes.get_title() for axes in figure.axes]
    assert [t.split(":")[0] for t in titles if "length" in t] == ["left upper arm", "head shoulder"]
    assert sum(t.startswith("component") for t in titles) == 2 * 8
    assert model.training and len(figure._repr_png_()) > 10_000
    assert (
        len(draw_vectors(model, people, 0, "pelvis", ImageSize(64, 64)).axes) == 2 * 5 + 1
    )  # with the colour scales


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({"vector_dim": 1}, "plain score map: d = 1 has no vectors"),
        ({"vector_dim": 1, "parts": 8}, "plain score map: d = 1 has no vectors"),
        ({"model": "simple_baseline_50"}, "score map; vectors are drawn for fabrics only"),
    ],
)
def test_a_network_without_vectors_has_its_score_map_drawn(changes, title, tiny, drawn, is_drawn):
    people = read_mpii(drawn, "valid")
    model = build(replace(tiny, **changes), progress=False).model
    figure = draw_vectors(model, people, 0, "left_shoulder", ImageSize(64, 64))
    assert is_drawn(figure) and figure.get_suptitle() == title
    shown = np.asarray(figure.axes[1].images[1].get_array())
    with evaluating(model):
        maps = score_maps(model, crop_people(people.select([0]), ImageSize(64, 64)).images)
    np.testing.assert_array_equal(shown, maps[0, MPII.index("left_shoulder")])

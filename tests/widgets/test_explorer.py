"""The heatmap explorer: maps and vectors equal the network's output."""

import time

import numpy as np
import pytest
import torch

from posenfs.data.datasets.catalogue import DataSpec
from posenfs.data.geometry import crop_to_image, heatmap_to_crop
from posenfs.data.heatmaps import DECODINGS
from posenfs.data.loader import crop_people
from posenfs.data.pixels import load_image
from posenfs.evaluation.prediction import predict, score_maps
from posenfs.search.run_dir import RunDir
from posenfs.widgets.explorer import HeatmapExplorer
from posenfs.widgets.keypoint_maps import compute_maps
from tests.widgets.searches import search


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory):
    finished = search(tiny, tmp_path_factory.mktemp("explored") / "run")
    finished.finish()
    finished.close()
    return RunDir(finished.run.folder)


@pytest.fixture
def explorer(finished):
    return HeatmapExplorer(finished)


def settle(explorer):
    end = time.monotonic() + 60
    while explorer._worker.busy and time.monotonic() < end:
        explorer.refresh()
        time.sleep(0.01)
    assert explorer.message.value == ""


@pytest.mark.parametrize("flip", [False, True])
def test_scores_equal_the_score_map_and_the_sum_of_the_vectors_lengths(explorer, flip):
    model, people, size = explorer.model, explorer.subject.people, explorer.subject.size
    result = compute_maps(model, people, 1, "left_elbow", size, flip, "quarter offset")
    order = people.skeleton.flip_order if flip else None
    maps = score_maps(model, crop_people(people.select([1]), size).images, order)[0].numpy()
    assert np.array_equal(result.scores, maps[people.skeleton.index("left_elbow")])
    if not flip:
        np.testing.assert_allclose(
            sum(result.part_scores().values()), result.scores, rtol=1e-5, atol=1e-6
        )
        with torch.no_grad():
            prediction = predict(model, people, size, flip=False)
        expected = prediction.keypoints_image[1, people.skeleton.index("left_elbow")]
        crop = crop_people(people.select([1]), size).crop
        place = crop_to_image(heatmap_to_crop(result.predicted[None, None].astype(float), 4), crop)[
            0, 0
        ]
        # `predict` folds its batch-norms, which changes positions by rounding only.
        np.testing.assert_allclose(place, expected, atol=0.05)


def test_click_selects_a_pixel_and_an_image_file_is_explored(explorer, drawn):
    settle(explorer)
    first = explorer.facts.value
    explorer._click(3, 5)
    assert (explorer.x.value, explorer.y.value) == (
        3,
        5,
    ) and "pixel (3, 5)" in explorer.facts.value != first
    components = explorer.bars.figure.data[0].y
    part = next(iter(explorer.shown.vectors))
    np.testing.assert_allclose(components, explorer.shown.vectors[part][:, 5, 3])
    path = next((drawn / "images").glob("*"))
    explorer.image_path.value = str(path)
    settle(explorer)
    assert "truth" not in explorer.facts.value and load_image(path).shape[0] == 3
    explorer.image_path.value = "nowhere.png"
    end = time.monotonic() + 20
    while not explorer.message.value and time.monotonic() < end:
        explorer.refresh()
    assert "no image at nowhere.png" in explorer.message.value
    explorer.image_path.value = ""
    settle(explorer)


def test_explorer_continues_after_an_error(explorer, monkeypatch):
    settle(explorer)

    def fails(*args):
        raise RuntimeError("out of luck")

    for function in ("compute_maps", "draw_maps"):
        with monkeypatch.context() as patched:
            patched.setattr(f"posenfs.widgets.explorer.{function}", fails)
            explorer._submit()
            end = time.monotonic() + 20
            while not explorer.message.value and time.monotonic() < end:
                explorer.refresh()
            assert "RuntimeError: out of luck" in explorer.message.value
        explorer._submit()
        settle(explorer)


def test_training_split_and_every_option(explorer):
    explorer.split.value = "training"
    assert explorer.person.max == len(explorer.subject.train) - 1
    for decoding in DECODINGS:
        explorer.decoding.value = decoding
        settle(explorer)
    explorer.flip.value = True
    settle(explorer)
    assert "mirror image" in explorer.facts.value


def test_static_html_has_maps_and_vectors(explorer):
    assert explorer.static_html().count("data:image/png") == 2


def test_other_data(finished, tmp_path):
    """A run's network is applied to data that are not the run's."""
    explorer = HeatmapExplorer(
        finished, DataSpec("synthetic", str(tmp_path / "others"), (1, 2), seed=7)
    )
    assert explorer.subject.people.root == tmp_path / "others" / "images"
    settle(explorer)
    assert explorer.shown is not None

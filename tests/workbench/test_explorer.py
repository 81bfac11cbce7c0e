"""Where a network looks: what is shown is what the network says."""

import time

import numpy as np
import pytest
import torch

from posenfs.data.datasets.catalogue import DataSpec
from posenfs.data.geometry import crop_to_image, heatmap_to_crop
from posenfs.data.heatmaps import DECODINGS
from posenfs.data.loader import crop_people
from posenfs.data.sample import load_image
from posenfs.evaluation.predict import predict, score_maps
from posenfs.search.run import Run
from posenfs.workbench.explorer import HeatmapExplorer, look_at
from tests.search.test_engine import search


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory):
    own = search(tiny, tmp_path_factory.mktemp("explored") / "run")
    own.finish()
    own.close()
    return Run(own.run.folder)


@pytest.fixture
def explorer(finished):
    return HeatmapExplorer(finished)


def settle(explorer):
    end = time.monotonic() + 60
    while explorer._work.busy and time.monotonic() < end:
        explorer.refresh()
        time.sleep(0.01)
    assert explorer.message.value == ""


@pytest.mark.parametrize("flip", [False, True])
def test_what_is_seen_is_the_score_map_and_the_vectors_lengths_sum_to_it(explorer, flip):
    model, people, size = explorer.model, explorer.subject.people, explorer.subject.size
    seen = look_at(model, people, 1, "left_elbow", size, flip, "quarter offset")
    order = people.skeleton.flip_order if flip else None
    maps = score_maps(model, crop_people(people.select([1]), size).images, order)[0].numpy()
    assert np.array_equal(seen.scores, maps[people.skeleton.index("left_elbow")])
    if not flip:
        np.testing.assert_allclose(sum(seen.part_scores().values()), seen.scores, rtol=1e-5, atol=1e-6)
        with torch.no_grad():
            found = predict(model, people, size, flip=False).keypoints_image[1, people.skeleton.index("left_elbow")]
        crop = crop_people(people.select([1]), size).crop
        place = crop_to_image(heatmap_to_crop(seen.predicted[None, None].astype(float), 4), crop)[0, 0]
        np.testing.assert_allclose(place, found, atol=0.05)  # prediction folds its batch-norms: rounding moves nothing


def test_a_click_chooses_a_pixel_and_a_file_of_ones_own_is_looked_at(explorer, drawn):
    settle(explorer)
    first = explorer.facts.value
    explorer._click(3, 5)
    assert (explorer.x.value, explorer.y.value) == (3, 5) and "pixel (3, 5)" in explorer.facts.value != first
    components = explorer.bars.figure.data[0].y
    part = next(iter(explorer.seen.vectors))
    np.testing.assert_allclose(components, explorer.seen.vectors[part][:, 5, 3])
    own = next((drawn / "images").glob("*"))
    explorer.image_path.value = str(own)
    settle(explorer)
    assert "truth" not in explorer.facts.value and load_image(own).shape[0] == 3
    explorer.image_path.value = "nowhere.png"
    end = time.monotonic() + 20
    while not explorer.message.value and time.monotonic() < end:
        explorer.refresh()
    assert "no image at nowhere.png" in explorer.message.value
    explorer.image_path.value = ""
    settle(explorer)


def test_no_error_ends_the_looking(explorer, monkeypatch):
    settle(explorer)

    def fails(*args):
        raise RuntimeError("out of luck")

    for place in ("look_at", "draw_maps"):
        with monkeypatch.context() as patched:
            patched.setattr(f"posenfs.workbench.explorer.{place}", fails)
            explorer._submit()
            end = time.monotonic() + 20
            while not explorer.message.value and time.monotonic() < end:
                explorer.refresh()
            assert "RuntimeError: out of luck" in explorer.message.value
        explorer._submit()
        settle(explorer)


def test_training_people_and_every_choice(explorer):
    explorer.set.value = "training"
    assert explorer.person.max == len(explorer.subject.train) - 1
    for decoding in DECODINGS:
        explorer.decoding.value = decoding
        settle(explorer)
    explorer.flip.value = True
    settle(explorer)
    assert "mirror image" in explorer.facts.value


def test_of_a_file_that_nobody_can_touch_a_still_picture_is_left(explorer):
    assert explorer.still().count("data:image/png") == 2


def test_people_of_other_data(finished, tmp_path):
    """A run's network looks at people that are not the run's."""
    explorer = HeatmapExplorer(finished, DataSpec("synthetic", str(tmp_path / "others"), (1, 2), seed=7))
    assert explorer.subject.people.root == tmp_path / "others" / "images"
    settle(explorer)
    assert explorer.seen is not None

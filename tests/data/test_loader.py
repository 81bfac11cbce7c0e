"""Loader and augmentation: reproducible batches, ranges, keypoints of crops."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from posenfs.data.augment import PAPER, RELEASED, augment, epoch_order, generator
from posenfs.data.datasets.mpii import read_mpii
from posenfs.data.geometry import Crop, ImageSize, crop_of_box, crop_to_image
from posenfs.data.loader import Crops, Loader, collate, keypoints_of_crop


@pytest.fixture(scope="module")
def people(drawn):
    return read_mpii(drawn, "train")


def _same(batches, other_batches):
    return all(
        torch.equal(getattr(batch, name), getattr(other_batch, name))
        for batch, other_batch in zip(batches, other_batches, strict=True)
        for name in ("images", "keypoints_crop", "visibility")
    )


def test_batches_depend_on_seed_epoch_and_index_only(people):
    crops = Crops(people, ImageSize(64, 64), PAPER, seed=3)
    plain, workers = Loader(crops, 4), Loader(crops, 4, workers=2)
    for epoch in (0, 1):
        batches = list(plain.epoch(epoch))
        assert len(batches) == plain.steps
        assert _same(batches, list(workers.epoch(epoch)))
        assert _same(batches[2:], list(plain.epoch(epoch, start=2)))  # what a resume sees
    assert not _same(list(plain.epoch(0)), list(plain.epoch(1)))
    assert not _same(
        list(plain.epoch(0)),
        list(Loader(Crops(people, ImageSize(64, 64), PAPER, seed=4), 4).epoch(0)),
    )


def test_once_gives_all_people_in_order(people):
    index = np.concatenate(
        [batch.index for batch in Loader(Crops(people, ImageSize(64, 64)), 4).once()]
    )
    assert index.tolist() == list(range(len(people)))


def test_orders_are_permutations_and_differ():
    orders = [epoch_order(seed, epoch, 50) for seed in (0, 1) for epoch in (0, 1)]
    assert all(sorted(o) == list(range(50)) for o in orders)
    assert len({tuple(o) for o in orders}) == 4


def test_generators_of_neighbours_do_not_overlap():
    draws = [generator(0, epoch, index).random(64) for epoch in range(4) for index in range(16)]
    assert len(np.unique(np.concatenate(draws))) == 4 * 16 * 64


@pytest.mark.parametrize("augmentation", [PAPER, RELEASED], ids=["paper", "released"])
def test_augmentation_stays_in_its_range(augmentation):
    crop = crop_of_box(np.tile([0.0, 0.0, 100.0, 100.0], (2000, 1)), ImageSize(100, 100))
    drawn = augment(crop, augmentation, 0, 0, np.arange(2000))
    turns, zooms = drawn.rotation, drawn.scale / crop.scale
    assert abs(drawn.flip.mean() - 0.5) < 0.05
    assert zooms.min() >= 0.7 - 1e-9 and zooms.max() <= 1.3 + 1e-9
    if augmentation is PAPER:
        assert np.abs(turns).max() <= 45 and np.abs(turns).max() > 44
        assert abs(turns.std() - 90 / np.sqrt(12)) < 1
    else:
        assert np.abs(turns).max() == 90
        assert abs((turns == 0).mean() - 0.4) < 0.05
        assert abs(np.isclose(zooms, 1.3).mean() - 0.16) < 0.04


@pytest.mark.parametrize(
    "augmentation", [None, replace(PAPER, colour=0.3), RELEASED], ids=["no", "paper", "released"]
)
def test_a_batch_is_placed_like_its_people_one_by_one(people, augmentation):
    crops, index = Crops(people, ImageSize(48, 64), augmentation, seed=3), np.array([4, 0, 2])
    together, apart = (
        crops.labels(5, index),
        collate([crops.labels(5, index[i : i + 1]) for i in range(3)]),
    )
    for name in ("keypoints_crop", "visibility", "gains"):
        torch.testing.assert_close(getattr(together, name), getattr(apart, name), rtol=0, atol=0)
    for name in ("center", "scale", "rotation", "flip"):
        np.testing.assert_array_equal(getattr(together.crop, name), getattr(apart.crop, name))


def test_keypoints_of_a_crop_map_back_to_the_image(people):
    for batch in Loader(Crops(people, ImageSize(64, 64), PAPER, seed=1), 5).epoch(0):
        back = crop_to_image(batch.keypoints_crop.double().numpy(), batch.crop)
        for person, flip, points, visible in zip(
            batch.index, batch.crop.flip, back, batch.visibility, strict=True
        ):
            keypoint_order = list(people.skeleton.flip_order if flip else range(16))
            truth = people.keypoints_image[person][keypoint_order]
            np.testing.assert_allclose(points[visible > 0], truth[visible > 0], atol=1e-3)


def test_keypoints_outside_the_crop_are_unlabelled_and_zero(people):

    crops = Crops(people.select([0]), ImageSize(64, 64))
    sample = crops[0, 0]
    small = Crop(
        sample.crop.center,
        sample.crop.scale / 8,
        sample.crop.rotation,
        sample.crop.flip,
        ImageSize(64, 64),
    )
    keypoints, visibility = keypoints_of_crop(crops.annotations, np.array([0]), small)
    assert (visibility == 0).any()
    assert (keypoints[visibility == 0] == 0).all()
    assert ((keypoints >= -0.5) & (keypoints < 63.5)).all()

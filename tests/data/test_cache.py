"""Crop cache: equal to crops cut from images, with a key that changes with what they show."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from posenfs.data.augment import PAPER, RELEASED, Augmentation
from posenfs.data.cache import CacheRequest
from posenfs.data.cache_files import build_caches
from posenfs.data.datasets.mpii import read_mpii
from posenfs.data.geometry import Crop, ImageSize, cut_crop
from posenfs.data.loader import Crops, Loader
from posenfs.data.pixels import load_image
from posenfs.data.sample import normalise
from tests.data.conftest import open_cache


def plain_and_cached(crops, epoch, density=1.0):
    """Batches of one epoch, cut from the images and warped from the cache."""
    crop_cache = open_cache(
        CacheRequest(crops.annotations, crops.size, crops.augmentation, density)
    )
    plain_loader, cached_loader = Loader(crops, 4), Loader(crops, 4, cache=crop_cache)
    return list(plain_loader.epoch(epoch)), list(cached_loader.epoch(epoch))


def difference(plain, warped):
    return (plain.images.int() - warped.images.int()).abs()


@pytest.mark.parametrize("size", [ImageSize(64, 64), ImageSize(128, 96), ImageSize(256, 256)])
def test_upright_crops_are_cached_exactly(people, size, cache_folder):
    crops = Crops(people, size)
    crop_cache = open_cache(CacheRequest(people, size, density=0.5))
    plain_batches, cached_batches = (
        Loader(crops, 5).once(),
        Loader(crops, 5, cache=crop_cache).once(),
    )
    for plain, warped in zip(plain_batches, cached_batches, strict=True):
        assert torch.equal(plain.images, warped.images)
        assert torch.equal(plain.keypoints_crop, warped.keypoints_crop)
        assert np.array_equal(plain.index, warped.index)


boxes = st.tuples(st.floats(-250, 600), st.floats(-250, 600), st.floats(1, 180), st.floats(1, 180))


@settings(max_examples=25)
@given(
    st.lists(boxes, min_size=4, max_size=4), st.sampled_from([PAPER, RELEASED]), st.integers(0, 99)
)
def test_crops_of_full_resolution_differ_by_one_grey_level_at_most(
    people, boxes, augmentation, seed
):
    """Small boxes, for which no pixels are averaged, also outside the image."""
    four_people = replace(people.select(slice(4)), boxes=np.array(boxes))
    crops = Crops(four_people, ImageSize(192, 160), augmentation, seed)
    for plain, warped in zip(*plain_and_cached(crops, 0), strict=True):
        assert difference(plain, warped).max() <= 1
        assert torch.equal(plain.keypoints_crop, warped.keypoints_crop)
        assert torch.equal(plain.visibility, warped.visibility)


@pytest.mark.parametrize("augmentation", [PAPER, RELEASED])
def test_shrunk_cached_crops_are_as_accurate_as_plain_ones(people, augmentation, cache_folder):
    """The reference averages four samples along each axis for every pixel of the crop."""
    crops, errors = Crops(people, ImageSize(64, 64), augmentation), []
    for plain, warped in zip(*plain_and_cached(crops, 3), strict=True):
        fields = (plain.crop.center, plain.crop.scale, plain.crop.rotation, plain.crop.flip)
        for row, person in enumerate(plain.index):
            center, scale, rotation, flip = (field[row] for field in fields)
            fine_crop = Crop(center, scale / 4, rotation, flip, ImageSize(256, 256))
            fine = cut_crop(load_image(people.image_path(person)), fine_crop)
            truth = torch.nn.functional.avg_pool2d(fine.float(), 4)
            errors.append([(batch.images[row] - truth).abs().mean() for batch in (plain, warped)])
    plain_error, warped_error = np.mean(errors, 0)
    assert warped_error < 1.2 * plain_error and warped_error < 5


def test_half_the_resolution_takes_a_quarter_of_the_space(people, cache_folder):
    requests = [CacheRequest(people, ImageSize(64, 64), PAPER, density) for density in (1.0, 0.5)]
    full, half = build_caches(requests, progress=False)
    assert 0.2 < half.regions.bytes / full.regions.bytes < 0.35
    batches = plain_and_cached(Crops(people, ImageSize(64, 64), PAPER), 0, density=0.5)
    differences = [difference(plain, warped) for plain, warped in zip(*batches, strict=True)]
    assert 1 < torch.cat(differences).float().mean() < 12


def test_colour_gains_are_the_same_from_images_and_cache_and_change_with_the_epoch(
    people, cache_folder
):
    crops = Crops(people, ImageSize(64, 64), Augmentation(0, 0, 0, colour=0.4), seed=5)
    plain, warped = plain_and_cached(crops, 0)
    gains = plain[0].gains
    assert torch.equal(gains, warped[0].gains) and gains.std() > 0.1
    assert (gains - 1).abs().max() <= 0.4
    next_epoch = list(Loader(crops, 4).epoch(1))
    assert not torch.equal(gains, next_epoch[0].gains[: len(gains)])


def test_normalise_multiplies_by_gains_and_clamps_at_white():
    images = torch.full((1, 3, 2, 2), 200, dtype=torch.uint8)
    normalised = normalise(images, torch.tensor([[0.5, 1.0, 1.5]]))
    pixel = np.array([100, 200, 255])
    mean, deviation = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    np.testing.assert_allclose(normalised[0, :, 0, 0], (pixel - mean) / deviation, rtol=1e-5)
    assert torch.equal(normalise(images, torch.ones(1, 3)), normalise(images))


def test_the_key_changes_with_images_and_geometry(people, drawn, cache_folder, tmp_path):
    data = shutil.copytree(drawn, tmp_path / "data")
    copied_people = read_mpii(data, "train")
    request = CacheRequest(copied_people, ImageSize(64, 64), PAPER)
    key = request.key
    changed = [
        replace(request, size=ImageSize(96, 64)),
        replace(request, augmentation=RELEASED),
        replace(request, density=0.5),
        replace(request, augmentation=None),
        replace(request, annotations=copied_people.select(slice(5))),
    ]
    assert len({key, *(other.key for other in changed)}) == 6
    # Flip and colour do not change which pixels a crop can show.
    assert replace(request, augmentation=replace(PAPER, flip=0.0, colour=0.5)).key == key
    os.utime(copied_people.image_path(0), (1, 1))
    assert replace(request).key != key


def test_regions_are_read_equally_on_cpu_and_gpu(people, cache_folder):
    """`gathered` is the way of a GPU, `padded` that of a CPU."""
    crop_cache = open_cache(CacheRequest(people, ImageSize(48, 64), PAPER, 1.0))
    index = np.array([3, 0, 7, 3])
    size = crop_cache.regions.sizes[index].max(0) + (2, 1)
    assert torch.equal(crop_cache.padded(index, size), crop_cache.gathered(index, size))

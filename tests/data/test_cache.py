"""Crop cache: equal to crops cut from images, and an incomplete cache is never used."""

import io
import json
import os
import shutil
import sys
import threading
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from posenfs.cli.main import main
from posenfs.cli.search import _open_search
from posenfs.data import cache
from posenfs.data.augment import PAPER, RELEASED, Augmentation
from posenfs.data.cache import CacheBudgetError, CacheRequest, build_caches
from posenfs.data.datasets.mpii import read_mpii
from posenfs.data.geometry import Crop, ImageSize, cut_crop
from posenfs.data.loader import Crops, Loader
from posenfs.data.sample import DataError, load_image, normalise


@pytest.fixture(scope="module")
def people(drawn):
    return read_mpii(drawn, "train")


@pytest.fixture
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("POSENFS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def open_cache(wanted):
    return build_caches([wanted], progress=False)[0]


def plain_and_cached(crops, epoch, density=1.0):
    """Batches of one epoch, cut from the images and warped from the cache."""
    crop_cache = open_cache(CacheRequest(crops.people, crops.size, crops.augmentation, density))
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
    assert 0.2 < half.places.bytes / full.places.bytes < 0.35
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


def test_several_processes_build_the_same_file(people, cache_folder, monkeypatch):
    wanted = CacheRequest(people, ImageSize(64, 64), PAPER)
    pixels = open_cache(wanted).pixels.clone()
    shutil.rmtree(cache_folder)
    monkeypatch.setattr(cache, "_MIN_PARALLEL", 2)
    monkeypatch.setattr(cache, "cpu_count", lambda: 2)
    assert torch.equal(open_cache(wanted).pixels, pixels)


def test_a_killed_process_raises_a_data_error(people, cache_folder, monkeypatch):
    def killed(*_):
        raise BrokenProcessPool("terminated abruptly")

    monkeypatch.setattr(cache, "_cut_all", killed)
    with pytest.raises(
        DataError, match="a process that cut crops of mpii train was killed; start again"
    ):
        open_cache(CacheRequest(people, ImageSize(64, 64)))


def remove_summary(folder):
    (folder / "crops.json").unlink()


def change_format(folder):
    summary = json.loads((folder / "crops.json").read_text())
    (folder / "crops.json").write_text(json.dumps(summary | {"format": 0}))


def truncate_pixels(folder):
    os.truncate(folder / "pixels.u8", 1000)


def damage_places(folder):
    (folder / "places.npz").write_bytes(b"PK nothing")


@pytest.mark.parametrize("damage", [remove_summary, change_format, truncate_pixels, damage_places])
def test_a_damaged_cache_is_rebuilt(people, cache_folder, damage):
    wanted = CacheRequest(people, ImageSize(64, 64), PAPER)
    pixels = open_cache(wanted).pixels.clone()
    damage(wanted.folder)
    assert torch.equal(open_cache(wanted).pixels, pixels)
    assert len(list(cache_folder.glob("*/"))) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interrupted_build_leaves_no_valid_cache(people, cache_folder, error, monkeypatch):
    wanted, cut, jobs = CacheRequest(people, ImageSize(64, 64), PAPER), cache._cut, []

    def fail_at_third_job(*job):
        jobs.append(job)
        if len(jobs) == 3:
            raise error
        return cut(*job)

    monkeypatch.setattr(cache, "_cut", fail_at_third_job)
    with pytest.raises(type(error) if isinstance(error, Exception) else error):
        open_cache(wanted)
    assert cache._load_places(wanted) is None and not (wanted.folder / "pixels.u8").exists()
    monkeypatch.setattr(cache, "_cut", cut)
    pixels = open_cache(wanted).pixels.clone()
    shutil.rmtree(cache_folder)
    assert torch.equal(open_cache(wanted).pixels, pixels)


def test_two_threads_build_one_cache(people, cache_folder, monkeypatch):
    wanted, cut, jobs = CacheRequest(people, ImageSize(64, 64), PAPER), cache._cut, []
    monkeypatch.setattr(cache, "_cut", lambda *job: (jobs.append(job), cut(*job)))
    threads = [threading.Thread(target=open_cache, args=(wanted,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(jobs) == len(np.unique(people.image_index))
    assert cache._load_places(wanted) is not None


def test_the_key_changes_with_images_and_geometry(people, drawn, cache_folder, tmp_path):
    data = shutil.copytree(drawn, tmp_path / "data")
    copied_people = read_mpii(data, "train")
    wanted = CacheRequest(copied_people, ImageSize(64, 64), PAPER)
    key = wanted.key
    changed = [
        replace(wanted, size=ImageSize(96, 64)),
        replace(wanted, augmentation=RELEASED),
        replace(wanted, density=0.5),
        replace(wanted, augmentation=None),
        replace(wanted, people=copied_people.select(slice(5))),
    ]
    assert len({key, *(other.key for other in changed)}) == 6
    # Flip and colour do not change which pixels a crop can show.
    assert replace(wanted, augmentation=replace(PAPER, flip=0.0, colour=0.5)).key == key
    os.utime(copied_people.image_path(0), (1, 1))
    assert replace(wanted).key != key


def test_the_budget_and_the_free_space_are_checked_before_writing(
    people, cache_folder, monkeypatch
):
    wanted = CacheRequest(people, ImageSize(64, 64), PAPER)
    message = r"takes 0.0 GB, .*the budget is 1e-06 GB.*--cache-gb.*`half`.*`plain`"
    with pytest.raises(ValueError, match=message):
        build_caches([wanted], budget=1e-6, progress=False)
    with pytest.raises(CacheBudgetError, match="the budget is nan GB"):
        build_caches([wanted], budget=float("nan"), progress=False)
    assert not list(cache_folder.glob("*"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(DataError, match=r"has 0.0 GB free; set POSENFS_CACHE"):
        open_cache(wanted)
    assert not list(cache_folder.glob("*"))


@pytest.mark.parametrize(("answer", "caches"), [("plain", 0), ("yes", 2), ("no", 0), ("", 0)])
def test_at_a_terminal_the_user_is_asked_before_the_budget_is_exceeded(
    answer, caches, tiny, cache_folder, tmp_path, monkeypatch
):
    tiny = replace(tiny, training=replace(tiny.training, crops="cached"))
    with pytest.raises(CacheBudgetError):  # no terminal
        _open_search(tiny, tmp_path / "run", 1e-6, progress=False)
    for stream in (terminal := io.StringIO(answer + "\n"), sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdin", terminal)
    if answer in ("no", ""):
        with pytest.raises(KeyboardInterrupt, match="nothing was written"):
            _open_search(tiny, tmp_path / "run", 1e-6, progress=False)
        assert not (tmp_path / "run").exists()
    else:
        search = _open_search(tiny, tmp_path / "run", 1e-6, progress=False)
        assert search.config.crops == ("plain" if answer == "plain" else "cached")
        search.close()
    assert len(list(cache_folder.glob("*/"))) == caches


def test_a_broken_image_is_named(people, drawn, cache_folder, tmp_path):
    data = shutil.copytree(drawn, tmp_path / "data")
    copied_people = read_mpii(data, "train")
    path = copied_people.image_path(0)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(DataError, match=rf"{path.name} \(900 bytes\) is not a whole image"):
        open_cache(CacheRequest(copied_people, ImageSize(64, 64)))


def test_caches_are_listed_and_deleted(people, cache_folder, capsys):
    folder = CacheRequest(people, ImageSize(64, 64), PAPER).folder
    open_cache(CacheRequest(people, ImageSize(64, 64), PAPER))
    (folder.parent / "unrelated").mkdir()
    main(["data", "cache"])
    output = capsys.readouterr().out
    assert f"{folder.name} " in output and "in 1 folders" in output
    with pytest.raises(SystemExit, match="no cached crops '../data'"):
        main(["data", "cache", "--delete", "../data"])
    with pytest.raises(SystemExit, match="no cached crops 'unrelated'"):
        main(["data", "cache", "--delete", "unrelated"])
    main(["data", "cache", "--delete", folder.name])
    assert not folder.exists() and "0.00 GB in 0 folders" in capsys.readouterr().out


def test_regions_are_read_equally_on_cpu_and_gpu(people, cache_folder):
    """`gathered` is the way of a GPU, `padded` that of a CPU."""
    crop_cache = open_cache(CacheRequest(people, ImageSize(48, 64), PAPER, 1.0))
    index = np.array([3, 0, 7, 3])
    size = crop_cache.places.sizes[index].max(0) + (2, 1)
    assert torch.equal(crop_cache.padded(index, size), crop_cache.gathered(index, size))

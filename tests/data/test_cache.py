"""Kept crops: the same as those cut from the picture, and never taken for whole when they are not."""

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

from posenfs.cli import main
from posenfs.commands.search import _open_search
from posenfs.data import cache
from posenfs.data.augment import PAPER, RELEASED, Augmentation
from posenfs.data.cache import OverBudget, Wanted, keep_crops
from posenfs.data.datasets.mpii import read_mpii
from posenfs.data.geometry import Crop, cut_crop
from posenfs.data.loader import Crops, Loader
from posenfs.data.sample import DataError, load_image, normalise


@pytest.fixture(scope="module")
def people(drawn):
    return read_mpii(drawn, "train")


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("POSENFS_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept"


def both(crops, epoch, density=1.0):
    """Batches of one epoch, cut from the pictures and warped from what is kept."""
    found = keep_crops([Wanted(crops.people, crops.size, crops.augmentation, density)], progress=False)[0]
    return list(Loader(crops, 4).epoch(epoch)), list(Loader(crops, 4, cache=found).epoch(epoch))


def difference(one, other):
    return (one.images.int() - other.images.int()).abs()


@pytest.mark.parametrize("size", [(64, 64), (96, 128), (256, 256)])
def test_upright_crops_are_kept_exactly(people, size, kept):
    crops = Crops(people, size)
    found = keep_crops([Wanted(people, size, density=0.5)], progress=False)[0]
    for plain, warped in zip(Loader(crops, 5).once(), Loader(crops, 5, cache=found).once(), strict=True):
        assert torch.equal(plain.images, warped.images)
        assert torch.equal(plain.keypoints_crop, warped.keypoints_crop)
        assert np.array_equal(plain.index, warped.index)


boxes = st.tuples(st.floats(-250, 600), st.floats(-250, 600), st.floats(1, 180), st.floats(1, 180))


@settings(max_examples=25)
@given(st.lists(boxes, min_size=4, max_size=4), st.sampled_from([PAPER, RELEASED]), st.integers(0, 99))
def test_what_the_picture_has_no_finer_is_the_same_to_a_grey_level(people, boxes, augmentation, seed):
    """Boxes so small that no two pixels are averaged, wherever they lie, also outside the picture."""
    crops = Crops(replace(people.select(slice(4)), boxes=np.array(boxes)), (160, 192), augmentation, seed)
    for plain, warped in zip(*both(crops, 0), strict=True):
        assert difference(plain, warped).max() <= 1
        assert torch.equal(plain.keypoints_crop, warped.keypoints_crop)
        assert torch.equal(plain.visibility, warped.visibility)


@pytest.mark.parametrize("augmentation", [PAPER, RELEASED])
def test_shrunk_pictures_are_as_near_to_the_truth_as_plain_ones(people, augmentation, kept):
    """The truth: four samples along each axis for every pixel of the crop, averaged."""
    crops, errors = Crops(people, (64, 64), augmentation), []
    for plain, warped in zip(*both(crops, 3), strict=True):
        fields = (plain.crop.center, plain.crop.scale, plain.crop.rotation, plain.crop.flip)
        for row, person in enumerate(plain.index):
            center, scale, rotation, flip = (field[row] for field in fields)
            fine = cut_crop(load_image(people.image_path(person)), Crop(center, scale / 4, rotation, flip, (256, 256)))
            truth = torch.nn.functional.avg_pool2d(fine.float(), 4)
            errors.append([(batch.images[row] - truth).abs().mean() for batch in (plain, warped)])
    plain, warped = np.mean(errors, 0)
    assert warped < 1.2 * plain and warped < 5


def test_half_the_resolution_takes_a_quarter_of_the_room(people, kept):
    whole, half = keep_crops([Wanted(people, (64, 64), PAPER, density) for density in (1.0, 0.5)], progress=False)
    assert 0.2 < half.places.bytes / whole.places.bytes < 0.35
    one, other = both(Crops(people, (64, 64), PAPER), 0, density=0.5)
    assert 1 < torch.cat([difference(a, b) for a, b in zip(one, other, strict=True)]).float().mean() < 12


def test_colours_are_the_same_whichever_way_and_change_with_the_epoch(people, kept):
    crops = Crops(people, (64, 64), Augmentation(0, 0, 0, colour=0.4), seed=5)
    one, other = both(crops, 0)
    assert torch.equal(one[0].gains, other[0].gains) and one[0].gains.std() > 0.1
    assert (one[0].gains - 1).abs().max() <= 0.4
    assert not torch.equal(one[0].gains, next(Loader(crops, 4).epoch(1)).gains[: len(one[0].gains)])
    images = torch.full((1, 3, 2, 2), 200, dtype=torch.uint8)
    plain = normalise(images, torch.tensor([[0.5, 1.0, 1.5]]))
    by_hand = [(v - m) / d for v, m, d in zip((100, 200, 255), (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))]  # noqa: B905
    np.testing.assert_allclose(plain[0, :, 0, 0], by_hand, rtol=1e-5)
    assert torch.equal(normalise(images, torch.ones(1, 3)), normalise(images))


def test_processes_make_the_same_file(people, kept, monkeypatch):
    wanted = Wanted(people, (64, 64), PAPER)
    alone = keep_crops([wanted], progress=False)[0].pixels.clone()
    shutil.rmtree(kept)
    monkeypatch.setattr(cache, "_FEW", 2)
    monkeypatch.setattr(cache, "cpu_count", lambda: 2)
    assert torch.equal(keep_crops([wanted], progress=False)[0].pixels, alone)


def test_a_killed_process_is_no_traceback(people, kept, monkeypatch):
    def killed(*_):
        raise BrokenProcessPool("terminated abruptly")

    monkeypatch.setattr(cache, "_cut_all", killed)
    with pytest.raises(DataError, match="a process that cut crops of mpii train was killed; begin again"):
        keep_crops([Wanted(people, (64, 64))], progress=False)


def half_written(folder):
    (folder / "crops.json").unlink()


def of_another_version(folder):
    said = json.loads((folder / "crops.json").read_text())
    (folder / "crops.json").write_text(json.dumps(said | {"format": 0}))


def cut_off(folder):
    os.truncate(folder / "pixels.u8", 1000)


def without_places(folder):
    (folder / "places.npz").write_bytes(b"PK nothing")


@pytest.mark.parametrize("fault", [half_written, of_another_version, cut_off, without_places])
def test_what_is_not_whole_is_made_anew(people, kept, fault):
    wanted = Wanted(people, (64, 64), PAPER)
    before = keep_crops([wanted], progress=False)[0].pixels.clone()
    fault(wanted.folder)
    assert torch.equal(keep_crops([wanted], progress=False)[0].pixels, before)
    assert len(list(kept.glob("*/"))) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interrupted_making_leaves_nothing_that_counts(people, kept, error, monkeypatch):
    wanted, cut, done = Wanted(people, (64, 64), PAPER), cache._cut, []

    def breaks(*job):
        done.append(job)
        if len(done) == 3:
            raise error
        return cut(*job)

    monkeypatch.setattr(cache, "_cut", breaks)
    with pytest.raises(type(error) if isinstance(error, Exception) else error):
        keep_crops([wanted], progress=False)
    assert cache._read(wanted) is None and not (wanted.folder / "pixels.u8").exists()
    monkeypatch.setattr(cache, "_cut", cut)
    whole = keep_crops([wanted], progress=False)[0].pixels.clone()
    shutil.rmtree(kept)
    assert torch.equal(keep_crops([wanted], progress=False)[0].pixels, whole)


def test_two_at_once_make_one(people, kept, monkeypatch):
    wanted, cut, done = Wanted(people, (64, 64), PAPER), cache._cut, []
    monkeypatch.setattr(cache, "_cut", lambda *job: (done.append(job), cut(*job)))
    threads = [threading.Thread(target=keep_crops, args=([wanted],), kwargs={"progress": False}) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == len(np.unique(people.image_index))
    assert cache._read(wanted) is not None


def test_changed_pictures_and_another_geometry_are_kept_apart(people, drawn, kept, tmp_path):
    data = shutil.copytree(drawn, tmp_path / "data")
    own = read_mpii(data, "train")
    first = Wanted(own, (64, 64), PAPER)
    before = first.key
    others = [replace(first, size=(64, 96)), replace(first, augmentation=RELEASED), replace(first, density=0.5),
              replace(first, augmentation=None), replace(first, people=own.select(slice(5)))]  # fmt: skip
    assert len({before, *(other.key for other in others)}) == 6
    # what reaches no further needs no crops of its own
    assert replace(first, augmentation=replace(PAPER, flip=0.0, colour=0.5)).key == before
    os.utime(own.image_path(0), (1, 1))
    assert replace(first).key != before


def test_no_room(people, kept, monkeypatch, capsys):
    wanted = Wanted(people, (64, 64), PAPER)
    with pytest.raises(ValueError, match=r"takes 0.0 GB, .*the budget is 1e-06 GB.*--cache-gb.*`half`.*`plain`"):
        keep_crops([wanted], budget=1e-6, progress=False)
    with pytest.raises(OverBudget, match="the budget is nan GB"):
        keep_crops([wanted], budget=float("nan"), progress=False)
    assert not list(kept.glob("*"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(DataError, match=r"has 0.0 GB free; set POSENFS_CACHE"):
        keep_crops([wanted], progress=False)
    assert not list(kept.glob("*"))


@pytest.mark.parametrize(("answer", "kept_there"), [("plain", 0), ("yes", 2), ("no", 0), ("", 0)])
def test_whoever_is_there_is_asked_before_the_budget_is_passed(answer, kept_there, tiny, kept, tmp_path, monkeypatch):
    tiny = replace(tiny, run=replace(tiny.run, crops="cached"))
    with pytest.raises(OverBudget):  # nobody is there
        _open_search(tiny, 1e-6, folder=tmp_path / "run", progress=False)
    for stream in (terminal := io.StringIO(answer + "\n"), sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdin", terminal)
    if answer in ("no", ""):
        with pytest.raises(KeyboardInterrupt, match="nothing was written"):
            _open_search(tiny, 1e-6, folder=tmp_path / "run", progress=False)
        assert not (tmp_path / "run").exists()
    else:
        search = _open_search(tiny, 1e-6, folder=tmp_path / "run", progress=False)
        assert search.config.crops == ("plain" if answer == "plain" else "cached")
        search.close()
    assert len(list(kept.glob("*/"))) == kept_there


def test_a_broken_picture_is_named(people, drawn, kept, tmp_path):
    data = shutil.copytree(drawn, tmp_path / "data")
    own = read_mpii(data, "train")
    own.image_path(0).write_bytes(own.image_path(0).read_bytes()[:900])
    with pytest.raises(DataError, match=rf"{own.image_path(0).name} \(900 bytes\) is not a whole image"):
        keep_crops([Wanted(own, (64, 64))], progress=False)


def test_listed_and_deleted(people, kept, capsys):
    folder = Wanted(people, (64, 64), PAPER).folder
    keep_crops([Wanted(people, (64, 64), PAPER)], progress=False)
    (folder.parent / "somebody_elses").mkdir()
    main(["data", "cache"])
    assert f"{folder.name} " in (said := capsys.readouterr().out) and "in 1 folders" in said
    with pytest.raises(SystemExit, match="no kept crops '../data'"):
        main(["data", "cache", "--delete", "../data"])
    with pytest.raises(SystemExit, match="no kept crops 'somebody_elses'"):
        main(["data", "cache", "--delete", "somebody_elses"])
    main(["data", "cache", "--delete", folder.name])
    assert not folder.exists() and "0.00 GB in 0 folders" in capsys.readouterr().out


def test_looked_up_as_copied(people, kept):
    """How a GPU takes kept pixels, and how a CPU does."""
    found = keep_crops([Wanted(people, (64, 48), PAPER, 1.0)], progress=False)[0]
    index = np.array([3, 0, 7, 3])
    size = found.places.sizes[index].max(0) + (2, 1)
    assert torch.equal(found.padded(index, size), found.gathered(index, size))

"""Files of the crop caches: an incomplete cache is never used, and nothing exceeds the budget."""

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

from posenfs.cli.main import main
from posenfs.cli.options import SearchOptions
from posenfs.cli.search import _open_search
from posenfs.data import cache_files
from posenfs.data.augment import PAPER
from posenfs.data.cache import CacheRequest
from posenfs.data.cache_files import CacheBudgetError, build_caches
from posenfs.data.datasets.mpii import read_mpii
from posenfs.data.geometry import ImageSize
from posenfs.data.sample import DataError
from tests.data.conftest import open_cache


def test_several_processes_build_the_same_file(people, cache_folder, monkeypatch):
    request = CacheRequest(people, ImageSize(64, 64), PAPER)
    pixels = open_cache(request).pixels.clone()
    shutil.rmtree(cache_folder)
    monkeypatch.setattr(cache_files, "_MIN_PARALLEL", 2)
    monkeypatch.setattr(cache_files, "cpu_count", lambda: 2)
    assert torch.equal(open_cache(request).pixels, pixels)


def test_a_killed_process_raises_a_data_error(people, cache_folder, monkeypatch):
    def killed(*_):
        raise BrokenProcessPool("terminated abruptly")

    monkeypatch.setattr(cache_files, "_cut_all", killed)
    with pytest.raises(
        DataError, match="a process that cut crops of mpii train was killed .*; start again"
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
    request = CacheRequest(people, ImageSize(64, 64), PAPER)
    pixels = open_cache(request).pixels.clone()
    damage(request.folder)
    assert torch.equal(open_cache(request).pixels, pixels)
    assert len(list(cache_folder.glob("*/"))) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interrupted_build_leaves_no_valid_cache(people, cache_folder, error, monkeypatch):
    request, cut, jobs = CacheRequest(people, ImageSize(64, 64), PAPER), cache_files._cut_image, []

    def fail_at_third_job(*job):
        jobs.append(job)
        if len(jobs) == 3:
            raise error
        return cut(*job)

    monkeypatch.setattr(cache_files, "_cut_image", fail_at_third_job)
    with pytest.raises(type(error) if isinstance(error, Exception) else error):
        open_cache(request)
    assert (
        cache_files._load_regions(request) is None and not (request.folder / "pixels.u8").exists()
    )
    monkeypatch.setattr(cache_files, "_cut_image", cut)
    pixels = open_cache(request).pixels.clone()
    shutil.rmtree(cache_folder)
    assert torch.equal(open_cache(request).pixels, pixels)


def test_two_threads_build_one_cache(people, cache_folder, monkeypatch):
    request, cut, jobs = CacheRequest(people, ImageSize(64, 64), PAPER), cache_files._cut_image, []
    monkeypatch.setattr(cache_files, "_cut_image", lambda *job: (jobs.append(job), cut(*job)))
    threads = [threading.Thread(target=open_cache, args=(request,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(jobs) == len(np.unique(people.image_index))
    assert cache_files._load_regions(request) is not None


def test_the_budget_and_the_free_space_are_checked_before_writing(
    people, cache_folder, monkeypatch
):
    request = CacheRequest(people, ImageSize(64, 64), PAPER)
    message = r"takes 0.0 GB, .*the budget is 1e-06 GB.*--cache-gb.*`half`.*`plain`"
    with pytest.raises(ValueError, match=message):
        build_caches([request], budget=1e-6, progress=False)
    with pytest.raises(CacheBudgetError, match="the budget is nan GB"):
        build_caches([request], budget=float("nan"), progress=False)
    assert not list(cache_folder.glob("*"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(DataError, match=r"has 0.0 GB free; set POSENFS_CACHE"):
        open_cache(request)
    assert not list(cache_folder.glob("*"))


@pytest.mark.parametrize(("answer", "caches"), [("plain", 0), ("yes", 2), ("no", 0), ("", 0)])
def test_at_a_terminal_the_user_is_asked_before_the_budget_is_exceeded(
    answer, caches, tiny, cache_folder, tmp_path, monkeypatch
):
    tiny = replace(tiny, training=replace(tiny.training, crops="cached"))
    options = SearchOptions(cache_gb=1e-6, quiet=True)
    with pytest.raises(CacheBudgetError):  # no terminal
        _open_search(tiny, tmp_path / "run", options)
    for stream in (terminal := io.StringIO(answer + "\n"), sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdin", terminal)
    if answer in ("no", ""):
        with pytest.raises(KeyboardInterrupt, match="nothing was written"):
            _open_search(tiny, tmp_path / "run", options)
        assert not (tmp_path / "run").exists()
    else:
        search = _open_search(tiny, tmp_path / "run", options)
        assert search.experiment.training.crops == ("plain" if answer == "plain" else "cached")
        search.close()
    assert len(list(cache_folder.glob("*/"))) == caches


def test_a_broken_image_is_named(people, drawn, cache_folder, tmp_path):
    data = shutil.copytree(drawn, tmp_path / "data")
    copied_people = read_mpii(data, "train")
    path = copied_people.image_path(0)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(DataError, match=rf"{path.name} is not a whole image, 900 bytes"):
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

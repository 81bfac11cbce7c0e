"""Fixtures of the tests of data."""

import pytest

from posenfs.data.cache_files import build_caches
from posenfs.data.datasets.mpii import read_mpii


@pytest.fixture(scope="module")
def people(drawn):
    return read_mpii(drawn, "train")


@pytest.fixture
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("POSENFS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def open_cache(request):
    """The cached crops of one request."""
    return build_caches([request], progress=False)[0]

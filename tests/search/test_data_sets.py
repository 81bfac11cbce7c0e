"""Every kind of data set goes the whole way: check, a few training steps, evaluation, images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from posenfs.data.check import check_data
from posenfs.data.datasets.catalogue import DATASETS, DataSpec, open_data
from posenfs.data.geometry import ImageSize
from posenfs.search.session import Search
from posenfs.viz.poses import draw_people
from posenfs.viz.score_maps import draw_person_maps
from tests.data.test_mpii_release import release_of


@pytest.fixture
def root(request, drawn, real, tmp_path) -> Path:
    """The folder of the data set of this name: drawn, or a real sample."""
    if DATASETS[request.param].drawn:
        return drawn
    if request.param == "mpii_release":
        release_of(drawn, tmp_path)
        (tmp_path / "images").symlink_to(drawn / "images")
        return tmp_path
    if request.param == "custom":
        return request.getfixturevalue("own")
    if request.param != "mpii":
        return real({"coco": "coco_mini", "lsp": "lspet"}[request.param])
    sample = real("mpii_sample")  # five people and no others: they both train and validate
    (tmp_path / "annot").mkdir()
    for split in ("train", "valid"):
        (tmp_path / "annot" / f"{split}.json").symlink_to(sample / "valid.json")
    (tmp_path / "images").symlink_to(sample / "images")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "root"), [(name, name) for name in DATASETS], indirect=["root"], ids=list(DATASETS)
)
def test_the_whole_way(name, root, tiny, tmp_path, monkeypatch):
    kind = {
        "synthetic": "mpii",
        "synthetic_coco": "coco",
        "synthetic_lsp": "mpii",
        "custom": "tips",
    }.get(name, name)
    checks = [found for found in check_data(root, progress=False) if found.name.startswith(kind)]
    assert [found.name for found in checks] == [f"{kind} train", f"{kind} valid"]
    spec = DataSpec(name, str(root), images=(12, 6))
    people = open_data(spec, progress=False)
    assert [len(split) for split in people] == [found.people for found in checks]
    assert [dict(split.excluded) for split in people] == [found.left_out for found in checks]
    # of the large sets a dozen people will do
    monkeypatch.setattr(
        "posenfs.search.build.open_data",
        lambda *_: [split.select(slice(12)) for split in people],
    )
    settings = {"training": replace(tiny.training, batch_size=4, epochs=1)}
    search = Search(replace(tiny, data=spec, **settings), tmp_path / "run", progress=False)
    before = {name: p.clone() for name, p in search.model.named_parameters()}
    metrics = search.finish()
    assert any((p != before[name]).any() for name, p in search.model.named_parameters())
    assert 0 <= metrics[search.primary_metric] <= 100
    assert search.primary_metric == ("ap" if kind in ("coco", "tips") else "pckh@0.5")
    found = search.run.metrics()
    assert (
        found["primary_metric"] == search.primary_metric
        and found["boxes"] == search.valid.box_source
    )
    losses = [row["loss"] for row in search.run.history() if "loss" in row]
    assert len(losses) == search.steps and np.isfinite(losses).all()
    best = search.run.ranking()[0]
    for image in (
        draw_people(search.model, search.valid.select(slice(3)), ImageSize(64, 64)),
        draw_person_maps(search.model, search.valid, best, ImageSize(64, 64)),
    ):
        assert len(image._repr_png_()) > 10_000

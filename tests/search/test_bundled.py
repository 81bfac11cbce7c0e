"""The bundled model: small, read as any saved model, with the run's own numbers on its card."""

from dataclasses import replace

import pytest
import torch

from posenfs.search.bundled import BUNDLED_MODEL, bundle
from posenfs.search.run_dir import RunDir
from posenfs.search.saved_models import load_model, save_model
from posenfs.search.session import Search


def test_a_run_is_bundled(tiny, tmp_path):
    search = Search(tiny, tmp_path / "run", progress=False)
    with pytest.raises(ValueError, match="run is not finished: there are no numbers"):
        bundle(search.run, tmp_path / "starter")
    search.finish()
    search.close()
    card = " ".join(bundle(search.run, tmp_path / "starter").read_text().split())
    model, bundled = load_model(search.run).model, load_model(tmp_path / "starter").model
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(model(images), bundled(images), atol=5e-3, rtol=0)
    found = search.run.metrics()
    low = found["intervals"]["pckh@0.5"]["low"]
    assert f"| PCKh@0.5 | {found['metrics']['pckh@0.5']:.1f} [{low:.1f}, " in card
    assert f"on {found['people']} validation people" in card and str(tmp_path) not in card
    people = ", ".join(
        f"{name} {own['people']}" for name, own in search.run.provenance()["data"].items()
    )
    assert (
        f"**Data**: people: {people}; none" in card
        and "initial weights: random." in card
        and "Leeds" not in card
    )
    config = (tmp_path / "starter" / "config.json").read_text()
    assert str(tiny.data.root) not in config


def test_initial_weights_are_named_without_their_folder(tiny, tmp_path):
    first = Search(tiny, tmp_path / "run", progress=False)
    save_model(tmp_path / "before", first.model, tiny)
    second = Search(
        replace(tiny, init_from=str(tmp_path / "before")), tmp_path / "second", progress=False
    )
    second.finish()
    card = bundle(second.run, tmp_path / "starter").read_text()
    assert "initial weights: those of before." in card and str(tmp_path) not in card


@pytest.mark.skipif(not BUNDLED_MODEL.is_dir(), reason="no model comes with this checkout")
def test_the_bundled_model():
    assert (BUNDLED_MODEL / "model.safetensors").stat().st_size < 8e6
    saved = load_model(RunDir(BUNDLED_MODEL))
    assert saved.experiment.data.root is None and saved.experiment.backbone_weights is None
    assert "**Use**: research" in (BUNDLED_MODEL / "CARD.md").read_text()

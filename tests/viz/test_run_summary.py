"""The summary of a run agrees with the files of its folder."""

import re

import numpy as np
import pytest

from posenfs.search.run_dir import RunDir
from posenfs.search.session import Search
from posenfs.viz.run_summary import run_summary


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory) -> RunDir:
    search = Search(tiny, tmp_path_factory.mktemp("summary") / "tiny", device="cpu", progress=False)
    search.finish()
    return search.run


def test_summary_of_a_finished_run(run, tiny):
    text, metrics = run_summary(run), run.metrics()
    name = metrics["primary_metric"]
    interval = metrics["intervals"][name]
    assert f"**{metrics['metrics'][name]:.1f}**" in text
    assert (
        f"{interval['low']:.1f} to {interval['high']:.1f}" in text
        and "95% interval over people" in text
    )
    assert (
        f"on {metrics['people']} people" in text
        and f"reaches {metrics['mean_pose'][name]:.1f}" in text
    )
    assert f"{metrics['multiply_adds'] / 1e9:.3f} GMAC" in text and "2 epochs, seed 0" in text
    assert re.search(r"training steps took [\d.]+ (s|min) on .* with 1 thread;", text)
    assert "not finished" not in text


def test_summary_names_the_greatest_mean_weights(run, tiny):
    _, architectures = run.architectures()
    text, distances = run_summary(run), []
    for name, history in architectures.items():
        exponents = [
            np.exp(scores[-1].numpy().astype(float)) for scores in (history.alpha, history.beta)
        ]
        alpha, beta = (
            (e / e.sum(-1, keepdims=True)).reshape(-1, e.shape[-1]).mean(0) for e in exponents
        )
        operation = tiny.fabric.operations[alpha.argmax()].replace("_3x3", " 3×3")
        source = ("finer", "same", "coarser")[beta.argmax()]
        part = name.removesuffix("_part").replace("_", " ")
        assert (
            f"the {part} {operation} ({alpha.max():.1%}) and the {source} map ({beta.max():.1%})"
            in text
        )
        distances += [abs(weights - 1 / len(weights)).max() for weights in (alpha, beta)]
    assert f"from them is {100 * max(distances):.1f} percentage points" in text


def test_summary_of_an_unfinished_run(tiny, tmp_path):
    search = Search(tiny, tmp_path / "begun", device="cpu", progress=False)
    search.step()
    search.checkpoint()
    text = run_summary(search.run)
    assert (
        "not finished" in text
        and f"at step 1 of {search.steps}" in text
        and "**Result.**" not in text
    )

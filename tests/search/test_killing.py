"""A search killed at random moments, and in the middle of what it writes, ends as one that was not."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("kills", "strategy"),
    [(3, "synchronous"), pytest.param(20, "synchronous", marks=pytest.mark.slow),
     pytest.param(20, "second_order", marks=pytest.mark.slow)],
)  # fmt: skip
def test_killed_again_and_again(kills, strategy, tiny, tmp_path):
    settings = {
        "search": replace(tiny.search, strategy=strategy),
        "training": replace(tiny.training, batch_size=3),
        "checkpoints": replace(tiny.checkpoints, every=2),
    }
    (tmp_path / "experiment.json").write_text(replace(tiny, **settings).to_json())
    command = [
        sys.executable,
        "-m",
        "tests.search.killing",
        "experiment.json",
        ".",
        str(kills),
        "0",
    ]
    home = str(Path(__file__).parents[2])
    done = subprocess.run(
        [*command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": home},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr

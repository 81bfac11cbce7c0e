"""Every model of the paper's tables goes through the same search: a few steps, evaluation, checkpoint."""

from dataclasses import replace

import numpy as np
import pytest

from posenfs.model.space import RELEASED, FabricSpec
from posenfs.search.build import MODELS
from posenfs.search.experiment import Experiment
from posenfs.search.session import Search
from tests.sweeps import sweep

SMALL = FabricSpec(width=2)
VARIANTS = {
    "t2": {},
    "t3_p1": {"parts": 1},
    "t3_p5": {"parts": 5},
    "t3_p8": {"parts": 8},
    "t4_d1": {"vector_dim": 1},
    "t5_fabric_1": {"backbone": "fabric_1", "parts": 1},
    "ours_a": {"fabric": replace(SMALL, hidden_nodes=2)},
    "ours_b": {"backbone": "hrnet_w32", "parts": 5},
    "ours_2": {"backbone": "resnet50"},
    "released": {"rules": RELEASED},
    **{name: {"model": name, "vector_dim": 1} for name in MODELS if name != "pose_nfs"},
    "t4_simple_baseline_d8": {"model": "simple_baseline_50", "vector_dim": 8},
    "t4_hrnet_d8": {"model": "hrnet_w32", "vector_dim": 8},
}


SLOW = {"t3_p1", "t3_p8", "ours_a", "ours_b", "hrnet_w48", "branchnet_2", "t4_hrnet_d8"} | {
    f"simple_baseline_{depth}" for depth in (50, 101, 152)
}


@pytest.mark.parametrize("variant", sweep(VARIANTS, fast=VARIANTS.keys() - SLOW))
def test_a_few_steps_and_an_evaluation(variant, tiny, tmp_path):
    changes = {"fabric": SMALL, **VARIANTS[variant]}
    if changes.get("model", "").startswith("branchnet"):
        changes["backbone"] = "hrnet_w32"  # of Table VI
    experiment: Experiment = replace(tiny, **changes, training=replace(tiny.training, epochs=1))
    search = Search(experiment, tmp_path / "run", progress=False)
    before = [p.detach().clone() for p in search.model.weight_parameters()]
    metrics = search.finish()
    assert metrics["pckh@0.5"] is not None
    losses = [row["loss"] for row in search.run.history() if "loss" in row]
    assert len(losses) == search.steps and np.isfinite(losses).all()
    assert any(
        (p != q).any() for p, q in zip(search.model.weight_parameters(), before, strict=True)
    )
    searched = experiment.model == "pose_nfs"
    assert (
        bool(search.model.architecture_parameters())
        == bool(search.run.architectures()[1])
        == searched
    )
    search.close()
    again = Search(tmp_path / "run", progress=False)
    assert again.finished and again.metrics == metrics

"""Tests of fingerprints: what they depend on."""

import json
from dataclasses import replace

import pytest

from posenfs.data.datasets.catalogue import DataSpec
from posenfs.model.space import FabricSpec, Rules
from posenfs.search.configuration import CheckpointConfig, RuntimeConfig
from posenfs.search.experiment import Experiment
from posenfs.study import fingerprints
from posenfs.study.fingerprints import DataFingerprints, configuration, fingerprint
from posenfs.study.results import of_row, read_results

DATA = {"train": "a", "valid": "b", "weights": None}


def same(**changes) -> bool:
    return fingerprint(replace(Experiment(), **changes), DATA) == fingerprint(Experiment(), DATA)


def test_what_a_fingerprint_depends_on(monkeypatch):
    training = Experiment().training
    assert same(name="another") and same(data=DataSpec(root="elsewhere"))
    assert same(
        checkpoints=CheckpointConfig(every=2, keep=1, max_gb=1),
        runtime=RuntimeConfig(log_every=3, recompute=True),
    )
    assert (
        not same(parts=5)
        and not same(training=replace(training, seed=1))
        and not same(training=replace(training, lr=2e-3))
    )
    assert not same(backbone_weights="imagenet") and not same(data=DataSpec("mpii"))
    assert fingerprint(Experiment(), DATA) != fingerprint(
        Experiment(), {**DATA, "weights": "another file"}
    )
    before = fingerprint(Experiment(), DATA)
    monkeypatch.setattr(fingerprints, "NUMERICS", 99)
    assert fingerprint(Experiment(), DATA) != before
    before = fingerprint(Experiment(model="hrnet_w32", vector_dim=1), DATA)
    monkeypatch.setattr(fingerprints, "NUMERICS", 100)
    assert fingerprint(Experiment(model="hrnet_w32", vector_dim=1), DATA) == before
    monkeypatch.setattr(fingerprints, "BASELINE_NUMERICS", 99)
    assert fingerprint(Experiment(model="hrnet_w32", vector_dim=1), DATA) != before


def test_weights_are_identified_by_their_content(tmp_path, drawn):
    for name, content in (("one", b"x"), ("two", b"x"), ("three", b"y")):
        (tmp_path / name).write_bytes(content)
    experiment = Experiment(data=DataSpec("mpii", str(drawn)))
    prints = DataFingerprints(progress=False)
    one, two, three = (
        fingerprint(variant, prints.of(variant))
        for variant in (
            replace(experiment, backbone_weights=str(tmp_path / name))
            for name in ("one", "two", "three")
        )
    )
    assert one == two != three
    assert prints.people(experiment)[1] == 6 or prints.people(experiment)[1] > 0


FIVE_RULES = {
    "edge_factor": False,
    "source_factor": False,
    "relu_after_fusion": False,
    "relu_after_down": True,
    "align_corners": True,
}


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({}, False),
        ({"backbone": "fabric_1"}, True),
        ({"backbone": "fabric_3"}, False),  # of width 12
        ({"backbone": "fabric_3", "fabric": FabricSpec(width=12)}, True),
        ({"backbone": "hrnet_w32", "fabric": FabricSpec(width=8)}, True),
        ({"backbone": "hrnet_w32", "fabric": FabricSpec(width=16)}, False),
        ({"backbone": "resnet50", "fabric": FabricSpec(width=64)}, True),
        ({"fabric": FabricSpec(width=6)}, False),  # only the finest channels are the same
        ({"backbone_fabric": FabricSpec(width=3, first=0, last=3)}, False),
        ({"backbone_fabric": FabricSpec(width=10, first=0, last=3)}, True),
        ({"backbone": "fabric_1", "model": "simple_baseline_50"}, False),
    ],
)
def test_heads_without_entries_change_only_the_fingerprints_of_their_networks(changes, fits):
    experiment = Experiment(**changes)
    old = replace(experiment, rules=Rules(always_entries=True))
    assert experiment.fits_backbone == fits
    # Results of the time when heads always had entries hold five rules.
    assert configuration(old)["rules"] == FIVE_RULES
    expected = {**FIVE_RULES, "always_entries": False} if fits else FIVE_RULES
    assert configuration(experiment)["rules"] == expected
    assert (fingerprint(experiment, DATA) != fingerprint(old, DATA)) == fits
    assert (experiment == old) == (not fits)  # without effect, the rule has its default


def test_a_result_without_the_rule_is_one_of_heads_with_entries(tmp_path):
    experiment = Experiment(backbone="fabric_1")
    old = replace(experiment, rules=Rules(always_entries=True))
    content = {"numerics": 1, "configuration": configuration(old), "data": DATA, "metrics": {}}
    assert "always_entries" not in content["configuration"]["rules"]
    (tmp_path / "old.json").write_text(json.dumps(content))
    [result] = read_results(tmp_path)
    assert result["fingerprint"] == fingerprint(old, DATA)
    assert of_row([result], old) == [result] and of_row([result], experiment) == []
    read = Experiment.from_json(json.dumps(result["configuration"]))
    assert read.rules == old.rules and fingerprint(read, DATA) == result["fingerprint"]

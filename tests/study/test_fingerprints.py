"""Tests of fingerprints: what they depend on."""

from dataclasses import replace

from posenfs.data.datasets.catalogue import DataSpec
from posenfs.search.configuration import CheckpointConfig, RuntimeConfig
from posenfs.search.experiment import Experiment
from posenfs.study import fingerprints
from posenfs.study.fingerprints import DataFingerprints, fingerprint

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

"""Tests of results: what a fingerprint depends on, and that results are read as written."""

import json
from dataclasses import replace

import pytest
import torch

from posenfs.data.datasets.catalogue import DataSpec
from posenfs.search.checkpoints import RunError
from posenfs.search.configuration import CheckpointConfig, RuntimeConfig
from posenfs.search.experiment import Experiment
from posenfs.search.run_dir import RunDir
from posenfs.search.session import Search
from posenfs.study import results
from posenfs.study.results import (
    DataFingerprints,
    architectures_of,
    collect,
    configuration,
    fingerprint,
    of_row,
    read_results,
    write_result,
)

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
    monkeypatch.setattr(results, "NUMERICS", 99)
    assert fingerprint(Experiment(), DATA) != before
    before = fingerprint(Experiment(model="hrnet_w32", vector_dim=1), DATA)
    monkeypatch.setattr(results, "NUMERICS", 100)
    assert fingerprint(Experiment(model="hrnet_w32", vector_dim=1), DATA) == before
    monkeypatch.setattr(results, "BASELINE_NUMERICS", 99)
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


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory) -> RunDir:
    search = Search(tiny, tmp_path_factory.mktemp("runs") / "one", progress=False)
    search.finish()
    search.close()
    return search.run


def test_a_result_is_read_as_written(run, tmp_path):
    written = collect(run, "abc", DATA)
    assert write_result(written, tmp_path).name == "one.json"
    (result,) = read_results(tmp_path)
    assert result == json.loads(json.dumps(written)) and result["metrics"] == run.metrics()
    last = {name: (a.alpha[-1], a.beta[-1]) for name, a in run.architectures()[1].items()}
    for name, architecture in architectures_of(result).items():
        torch.testing.assert_close(architecture.alpha, last[name][0], atol=1e-6, rtol=0)
        torch.testing.assert_close(architecture.beta, last[name][1], atol=1e-6, rtol=0)
    assert [step for step, _ in result["losses"]][-1] == run.status()["step"]
    assert result["losses"][0][1] == pytest.approx(run.history()[0]["loss"], abs=1e-5)
    assert (
        len(result["epochs"]) == 2
        and result["time"]["images_per_s"] > 0
        and result["time"]["hours"] > 0
    )


def test_results_of_a_row(run):
    first = collect(run, "one", DATA)
    second = json.loads(json.dumps(first))
    second["configuration"]["run"]["seed"], second["fingerprint"] = 5, "two"
    other = json.loads(json.dumps(first))
    other["configuration"]["parts"] = 5
    experiment = run.experiment()
    assert of_row([second, first, other], experiment) == [first, second]
    assert of_row([other], experiment) == []


def test_invalid_results(tmp_path, tiny):
    (tmp_path / "torn.json").write_text('{"numerics": 1, ')
    with pytest.raises(RunError, match=r"torn.json is not a result .*delete it"):
        read_results(tmp_path)
    (tmp_path / "torn.json").write_text('{"numerics": -1, "configuration": {"model": "pose_nfs"}}')
    assert read_results(tmp_path) == []
    assert read_results(tmp_path / "nowhere") == []
    with pytest.raises(RunError, match=r"is not finished \(not begun\)"):
        collect(RunDir(tmp_path / "none"), "x", DATA)
    assert configuration(tiny)["data"]["root"] is None

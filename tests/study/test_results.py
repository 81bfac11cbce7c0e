"""Tests of results: what a fingerprint depends on, and that results are read as written."""

import json
from pathlib import Path

import pytest
import torch

from posenfs.search.experiment import Experiment
from posenfs.search.run_dir import RunDir
from posenfs.search.session import Search
from posenfs.study.fingerprints import configuration, fingerprint
from posenfs.study.results import (
    architectures_of,
    collect,
    of_row,
    read_results,
    results_home,
    write_result,
)

DATA = {"train": "a", "valid": "b", "weights": None}


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory) -> RunDir:
    search = Search(tiny, tmp_path_factory.mktemp("runs") / "one", progress=False)
    search.finish()
    search.close()
    return search.run


def test_a_result_is_read_as_written(run, tmp_path):
    written = collect(run, DATA)
    assert write_result(written, tmp_path).name == "one.json"
    (result,) = read_results(tmp_path)
    assert result["fingerprint"] == fingerprint(run.experiment(), DATA)
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
    first = collect(run, DATA)
    second = json.loads(json.dumps(first))
    second["configuration"]["training"]["seed"] = 5
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
        collect(RunDir(tmp_path / "none"), DATA)
    assert configuration(tiny)["data"]["root"] is None


OLD = Path(__file__).parent.parent / "data_files" / "results_0_1_0"


def test_results_of_version_0_1_0_are_read_as_those_of_today():
    """Two files as 0.1.0 wrote them, beside the committed files that hold the same in today's names."""
    old, today = read_results(OLD), {r["fingerprint"]: r for r in read_results()}
    assert len(old) == len(list(OLD.glob("*.json"))) == 2
    for result in old:
        key = result["fingerprint"]
        assert result["name"] != f"study_{key}"  # its name holds the fingerprint of its version
        assert result | {"name": f"study_{key}"} == today[key]
        experiment = Experiment.from_json(json.dumps(result["configuration"]))
        assert key == fingerprint(experiment, result["data"])
        assert result in of_row(old, experiment)
        assert today[key] in of_row(today.values(), experiment)


def test_an_old_and_a_rewritten_file_are_one_result(tmp_path):
    old = read_results(OLD)
    for path in OLD.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    for result in old:
        write_result(result | {"name": f"study_{result['fingerprint']}"}, tmp_path)
    assert len(list(tmp_path.glob("*.json"))) == 4
    fingerprints = {result["fingerprint"] for result in read_results(tmp_path)}
    assert len(read_results(tmp_path)) == 2 and fingerprints == {r["fingerprint"] for r in old}


def test_committed_results_are_written_in_todays_names():
    results = {result["name"]: result for result in read_results()}
    for path in results_home().glob("study_*.json"):
        result = results[path.stem]
        assert json.loads(path.read_text()) == result and path.stem.endswith(result["fingerprint"])

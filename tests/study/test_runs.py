"""Tests of the paired comparison of two runs."""

import json
from dataclasses import replace

import pytest

from posenfs.cli.main import main
from posenfs.search.checkpoints import RunError
from posenfs.search.run_dir import RunDir
from posenfs.search.session import Search
from posenfs.study.runs import compare_runs


@pytest.fixture(scope="module")
def runs(tiny, drawn, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    by_name = {}
    coco = replace(tiny.data, name="coco")
    for name, experiment in {
        "one": tiny,
        "two": replace(tiny, vector_dim=4),
        "coco": replace(tiny, data=coco),
    }.items():
        search = Search(experiment, folder / name, progress=False)
        search.finish()
        search.close()
        by_name[name] = search.run
    return by_name


def test_the_difference_equals_that_of_the_metrics(runs, capsys):
    scores = [runs[name].metrics()["metrics"]["pckh@0.5"] for name in ("one", "two")]
    comparison, metric = compare_runs(runs["one"], runs["two"])
    assert metric == "PCKh@0.5" and comparison.difference.value == pytest.approx(
        scores[1] - scores[0]
    )
    interval = runs["one"].metrics()["interval"]
    assert interval["metric"] == "pckh@0.5" and interval["low"] <= scores[0] <= interval["high"]
    assert interval["value"] == pytest.approx(scores[0])
    main(["compare", str(runs["one"].folder), str(runs["one"].folder), "--json"])
    same = json.loads(capsys.readouterr().out)
    assert (
        same["value"] == 0
        and same["distinguishable"] is False
        and same["people"] == comparison.people
    )
    main(["compare", str(runs["one"].folder), str(runs["two"].folder)])
    assert "points: " in capsys.readouterr().out


def test_different_runs_cannot_be_compared(runs, tiny, tmp_path):
    with pytest.raises(ValueError, match="evaluated by pckh@0.5, coco by pck_torso@0.2"):
        compare_runs(runs["one"], runs["coco"])
    search = Search(tiny, tmp_path / "young", progress=False)
    search.close()
    with pytest.raises(RunError, match="young has no result yet"):
        compare_runs(runs["one"], RunDir(tmp_path / "young"))
    changed = json.loads((runs["two"].folder / "provenance.json").read_text())
    list(changed["data"].values())[-1]["fingerprint"] = "another"
    (runs["two"].folder / "provenance.json").write_text(json.dumps(changed))
    with pytest.raises(ValueError, match="not evaluated on the same people"):
        compare_runs(runs["one"], runs["two"])

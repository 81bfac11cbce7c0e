"""An ablation as a command: the plan before, the tables after, what failed by name, and nothing done twice."""

import json

import pytest

from posenfs.cli import main
from posenfs.search.run import RunError
from posenfs.study.campaign import run_tables
from posenfs.study.planning import estimate
from posenfs.study.results import read_results
from tests.study.test_ablation import Here

SMOKE = ("table_2", "--profile", "smoke")


@pytest.fixture
def command(house, profile, monkeypatch):
    """`posenfs ablate table_2 --profile smoke` on drawn people, by an engine that searches in this process."""

    def run(engine, seeds=1, table="table_2", **options):
        engine.jobs = engine.threads = 1
        monkeypatch.setattr("posenfs.study.campaign.LocalEngine", lambda *asked: engine)
        monkeypatch.setattr("posenfs.study.campaign.choose_profile", lambda *asked, **changes: profile)
        run_tables([table], "smoke", seeds, "local", None, None, None, "cpu", {}, [], **options)

    return run


def page_of(house) -> str:
    (page,) = (house / "reports" / "drafts").glob("table_2_smoke*.md")
    return page.read_text()


def test_what_fails_is_named_after_the_tables_are_written(command, house, capsys):
    with pytest.raises(
        RunError, match=r"1 of 3 runs failed; --retry runs them again\n  table_2 first.order, seed 0: brok"
    ):
        command(Here(broken=("first_order",)))
    said = capsys.readouterr().out
    assert "3 runs" in said and "as in reports/LOG.md" in said and "Table II: search strategies: " in said
    assert "missing" in page_of(house)

    command(again := Here(), retry=True)
    said = capsys.readouterr().out
    assert len(again.done) == 1 and "seeds to do" in said
    assert "missing" not in page_of(house)

    command(idle := Here())
    said = capsys.readouterr().out
    assert not idle.done and "hours" not in said and said.strip().endswith(".md")

    command(planned := Here(), seeds=3, only_plan=True)
    assert not planned.done and len(read_results()) == 3 and "as in reports/LOG.md" in capsys.readouterr().out


def test_more_seeds_are_planned_by_the_scatter_of_those_that_are_there(command, capsys):
    command(Here(), seeds=2, table="figure_6", quiet=True)
    assert capsys.readouterr().out == ""
    command(Here(), seeds=3, table="figure_6", only_plan=True)
    assert "of 2 rows that have several" in capsys.readouterr().out


def test_a_plan_is_printed_even_quietly_and_calibrates_what_is_left_alone(command, capsys, monkeypatch):
    calibrated = []

    def watched(runs, *options):
        calibrated.extend(runs)
        return estimate(runs, *options)

    monkeypatch.setattr("posenfs.study.campaign.estimate", watched)
    command(Here(), quiet=True)
    assert capsys.readouterr().out == "" and not calibrated

    command(Here(), only_plan=True, quiet=True)
    captured = capsys.readouterr()
    assert "0 runs of 3 to do" in captured.out and not calibrated and captured.err == ""

    command(Here(), seeds=2, only_plan=True, quiet=True)
    said = capsys.readouterr().out
    assert "3 runs of 6 to do" in said and "cores while this was measured" in said
    assert [own.experiment.run.seed for own in calibrated] == [1, 1, 1]


def test_results_on_other_people_stay_out_of_the_table(command, house):
    command(Here(), quiet=True)
    other = next(iter((house / "reports" / "results").glob("*.json")))
    result = json.loads(other.read_text())
    foreign = result | {"name": "foreign", "fingerprint": "0" * 12, "data": {"mpii train": "other people"}}
    other.with_name("foreign.json").write_text(json.dumps(foreign))
    command(Here(), quiet=True)
    assert "3 runs" in page_of(house)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name tables, or all: table_2"),
        ([*SMOKE, "--weights", "resnet50"], "write it as NETWORK=FILE"),
        ([*SMOKE, "--weights", "mobilnet_v2=imagenet"], "unknown network 'mobilnet_v2'; known: mobilenet_v2, resnet50"),
        ([*SMOKE, "--weights", "mobilenet_v2=nofile.pth"], "no weights at 'nofile.pth'; give a file, or imagenet"),
        (
            ["table_2"],
            "no LSP annotation at .* --root; .*; without photographs: --dataset synthetic, or --prof",
        ),
        (["table_2", "--profile", "paper"], "without photographs: --profile smoke for a try"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_planned(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=said):
        main(["ablate", *arguments, "--plan"])
    assert not list(tmp_path.iterdir())

"""Tests of `posenfs ablate`: plan, tables, failed runs, and runs that are not repeated."""

import json

import pytest

from posenfs.cli.main import main
from posenfs.search.checkpoints import RunError
from posenfs.study.campaign import run_tables
from posenfs.study.planning import estimate
from posenfs.study.results import read_results
from tests.study.test_ablation import InProcessEngine

SMOKE = ("table_2", "--profile", "smoke")


@pytest.fixture
def command(project, profile, monkeypatch):
    """Run `posenfs ablate table_2 --profile smoke` with an engine that searches in this process."""

    def run(engine, seeds=1, table="table_2", **options):
        engine.jobs = engine.threads = 1
        monkeypatch.setattr("posenfs.study.campaign.LocalEngine", lambda *arguments: engine)
        monkeypatch.setattr(
            "posenfs.study.campaign.choose_profile", lambda *arguments, **changes: profile
        )
        run_tables([table], "smoke", seeds, "local", None, None, None, "cpu", {}, [], **options)

    return run


def page_of(project) -> str:
    (page,) = (project / "reports" / "drafts").glob("table_2_smoke*.md")
    return page.read_text()


def test_failed_runs_are_reported_after_the_tables_are_written(command, project, capsys):
    with pytest.raises(
        RunError,
        match=r"1 of 3 runs failed; --retry runs them again\n  table_2 first.order, seed 0: brok",
    ):
        command(InProcessEngine(broken=("first_order",)))
    output = capsys.readouterr().out
    assert (
        "3 runs" in output
        and "as in reports/LOG.md" in output
        and "Table II: search strategies: " in output
    )
    assert "missing" in page_of(project)

    retried = InProcessEngine()
    command(retried, retry=True)
    output = capsys.readouterr().out
    assert len(retried.done) == 1 and "seeds to do" in output
    assert "missing" not in page_of(project)

    idle = InProcessEngine()
    command(idle)
    output = capsys.readouterr().out
    assert not idle.done and "hours" not in output and output.strip().endswith(".md")

    planned = InProcessEngine()
    command(planned, seeds=3, only_plan=True)
    assert (
        not planned.done
        and len(read_results()) == 3
        and "as in reports/LOG.md" in capsys.readouterr().out
    )


def test_the_plan_uses_the_deviation_of_existing_seeds(command, capsys):
    command(InProcessEngine(), seeds=2, table="figure_6", quiet=True)
    assert capsys.readouterr().out == ""
    command(InProcessEngine(), seeds=3, table="figure_6", only_plan=True)
    assert "of 2 rows that have several" in capsys.readouterr().out


def test_a_quiet_plan_is_printed_and_calibrates_only_open_runs(command, capsys, monkeypatch):
    calibrated = []

    def recording_estimate(runs, *options):
        calibrated.extend(runs)
        return estimate(runs, *options)

    monkeypatch.setattr("posenfs.study.campaign.estimate", recording_estimate)
    command(InProcessEngine(), quiet=True)
    assert capsys.readouterr().out == "" and not calibrated

    command(InProcessEngine(), only_plan=True, quiet=True)
    captured = capsys.readouterr()
    assert "0 runs of 3 to do" in captured.out and not calibrated and captured.err == ""

    command(InProcessEngine(), seeds=2, only_plan=True, quiet=True)
    output = capsys.readouterr().out
    assert "3 runs of 6 to do" in output and "cores while this was measured" in output
    assert [run.experiment.training.seed for run in calibrated] == [1, 1, 1]


def test_results_on_other_people_are_not_in_the_table(command, project):
    command(InProcessEngine(), quiet=True)
    other = next(iter((project / "reports" / "results").glob("*.json")))
    result = json.loads(other.read_text())
    foreign = result | {
        "name": "foreign",
        "fingerprint": "0" * 12,
        "data": {"mpii train": "other people"},
    }
    other.with_name("foreign.json").write_text(json.dumps(foreign))
    command(InProcessEngine(), quiet=True)
    assert "3 runs" in page_of(project)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name tables, or all: table_2"),
        ([*SMOKE, "--weights", "resnet50"], "write it as NETWORK=FILE"),
        (
            [*SMOKE, "--weights", "mobilnet_v2=imagenet"],
            "unknown network 'mobilnet_v2'; known: mobilenet_v2, resnet50",
        ),
        (
            [*SMOKE, "--weights", "mobilenet_v2=nofile.pth"],
            "no weights at 'nofile.pth'; give a file, or imagenet",
        ),
        (
            ["table_2"],
            "no LSP annotation at .* --root; .*; without photographs: "
            "--dataset synthetic, or --prof",
        ),
        (["table_2", "--profile", "paper"], "without photographs: --profile smoke for a try"),
    ],
)
def test_errors_are_reported_before_the_plan(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=message):
        main(["ablate", *arguments, "--plan"])
    assert not list(tmp_path.iterdir())

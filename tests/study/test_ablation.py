"""Tests of ablations: plan, executed runs, results that are not repeated, and tables."""

import json
import shutil

import pytest

from posenfs.cli.main import main
from posenfs.search.checkpoints import RunError
from posenfs.search.session import Search
from posenfs.study.ablation import Ablation, ExecutorOptions, ablate, run_ablation
from posenfs.study.estimates import estimate
from posenfs.study.fingerprints import DataFingerprints
from posenfs.study.plan import plan, state_of
from posenfs.study.profiles import PROFILES
from posenfs.study.results import read_results
from posenfs.study.rows import TABLES
from tests.study.in_process import InProcessExecutor


def test_finished_runs_are_skipped_and_failed_runs_reported(project, profile):
    runs = plan(["table_2"], profile, 1, DataFingerprints(progress=False))
    changes = []
    failed = ablate(
        runs,
        InProcessExecutor(broken=("first_order",)),
        report=lambda planned, change: changes.append((planned.title, change)),
    )
    assert list(failed.values()) == ["broken on purpose"]
    assert sorted(result["configuration"]["search"]["strategy"] for result in read_results()) == [
        "random",
        "synchronous",
    ]
    assert ("table_2 random, seed 0", "done") in changes

    second = InProcessExecutor()
    assert (
        list(ablate(runs, second).values()) == ["failed before: broken on purpose"]
        and second.done == []
    )
    retried = InProcessExecutor()
    (runs[2].run.folder / "status.json").write_text(json.dumps({"state": "failed", "error": "x"}))
    assert (
        ablate(runs, retried, retry=True) == {}
        and len(retried.done) == 1
        and len(read_results()) == 3
    )


def test_a_deleted_result_is_computed_again(project, profile):
    """The numbers are the same when the run's folder is deleted, too."""
    runs = plan(["table_2"], profile, 1, DataFingerprints(progress=False))
    ablate(runs, InProcessExecutor())
    before = {result["fingerprint"]: result for result in read_results()}
    path = project / "reports" / "results" / f"{runs[0].experiment.name}.json"
    path.unlink()
    assert state_of(runs[0], set()) == "finished"
    shutil.rmtree(runs[0].run.folder)
    executor = InProcessExecutor()
    assert ablate(runs, executor) == {} and executor.done == [runs[0].key]
    after = {result["fingerprint"]: result for result in read_results()}
    numbers = ("metrics", "architectures", "losses", "epochs", "configuration", "data")
    assert {k: [v[n] for n in numbers] for k, v in before.items()} == {
        k: [v[n] for n in numbers] for k, v in after.items()
    }


def test_more_seeds_add_runs(project, profile):
    prints = DataFingerprints(progress=False)
    ablate(plan(["figure_6"], profile, 1, prints), InProcessExecutor())
    executor = InProcessExecutor()
    ablate(plan(["figure_6"], profile, 2, prints), executor)
    assert len(executor.done) == 2 and len(read_results()) == 4


def test_ctrl_c_stops_the_executor(project, profile):
    class Interrupted(InProcessExecutor):
        def run(self, jobs, poll):
            yield from super().run(jobs[:1], poll)
            raise KeyboardInterrupt

    runs, executor = plan(["table_2"], profile, 1, DataFingerprints(progress=False)), Interrupted()
    with pytest.raises(KeyboardInterrupt, match="The same command continues them"):
        ablate(runs, executor)
    assert executor.stopped and len(read_results()) == 1
    assert ablate(runs, InProcessExecutor()) == {} and len(read_results()) == 3


def test_a_run_of_another_process_is_not_started(project, profile):
    runs = plan(["table_2"], profile, 1, DataFingerprints(progress=False))
    active = Search(runs[0].experiment, device="cpu", progress=False)
    executor = InProcessExecutor()
    assert (
        ablate(runs[:1], executor) == {runs[0].key: "is running in another process"}
        and not executor.done
    )
    active.close()


def test_an_executor_without_result_and_a_failing_executor(project, profile):
    class Idle(InProcessExecutor):
        def run(self, jobs, poll):
            yield jobs[0].key, None
            raise RuntimeError("the executor broke")

    runs, executor = plan(["table_2"], profile, 1, DataFingerprints(progress=False)), Idle()
    changes = []
    with pytest.raises(RuntimeError, match="the executor broke"):
        ablate(runs, executor, report=lambda planned, change: changes.append(change))
    assert changes == ["ended in state 'not begun'"] and executor.stopped and read_results() == []


def test_a_missing_notebook_is_reported(tmp_path, monkeypatch, profile):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ValueError, match=r"no notebook .*one_run.ipynb: ablations are run in the project's folder"
    ):
        ablate(
            plan(["figure_6"], profile, 1, DataFingerprints(progress=False)), InProcessExecutor()
        )


def test_the_command_line_knows_profiles_and_tables():
    from posenfs.cli.study import ablate as command

    known = command.__annotations__["profile"].__args__
    assert set(known) == set(PROFILES) and all(
        name in command.__doc__ for name in ("table_2", "figure_7", "rules")
    )
    assert {"table_2", "figure_7", "rules"} <= set(TABLES)


SMOKE = ("table_2", "--profile", "smoke")


@pytest.fixture
def command(project, profile, monkeypatch):
    """Run `posenfs ablate table_2 --profile smoke` with an executor that searches in this process."""

    def run(executor, seeds=1, table="table_2", only_plan=False, **options):
        executor.jobs = executor.threads = 1
        monkeypatch.setattr("posenfs.study.ablation.LocalExecutor", lambda *arguments: executor)
        cpu = ExecutorOptions(device="cpu")
        run_ablation(Ablation([table], "smoke", profile, seeds, executor=cpu, **options), only_plan)

    return run


def page_of(project) -> str:
    (page,) = (project / "reports" / "drafts").glob("table_2_smoke*.md")
    return page.read_text()


def test_failed_runs_are_reported_after_the_tables_are_written(command, project, capsys):
    with pytest.raises(
        RunError,
        match=r"1 of 3 runs failed; --retry runs them again\n  table_2 first.order, seed 0: brok",
    ):
        command(InProcessExecutor(broken=("first_order",)))
    output = capsys.readouterr().out
    assert (
        "3 runs" in output
        and "as in reports/LOG.md" in output
        and "Table II: search strategies: " in output
    )
    assert "missing" in page_of(project)

    retried = InProcessExecutor()
    command(retried, retry=True)
    output = capsys.readouterr().out
    assert len(retried.done) == 1 and "seeds to do" in output
    assert "missing" not in page_of(project)

    idle = InProcessExecutor()
    command(idle)
    output = capsys.readouterr().out
    assert not idle.done and "hours" not in output and output.strip().endswith(".md")

    planned = InProcessExecutor()
    command(planned, seeds=3, only_plan=True)
    assert (
        not planned.done
        and len(read_results()) == 3
        and "as in reports/LOG.md" in capsys.readouterr().out
    )


def test_the_plan_uses_the_deviation_of_existing_seeds(command, capsys):
    command(InProcessExecutor(), seeds=2, table="figure_6", quiet=True)
    assert capsys.readouterr().out == ""
    command(InProcessExecutor(), seeds=3, table="figure_6", only_plan=True)
    assert "pooled over 2 rows with several seeds" in capsys.readouterr().out


def test_a_quiet_plan_is_printed_and_calibrates_only_open_runs(command, capsys, monkeypatch):
    calibrated = []

    def recording_estimate(runs, *options):
        calibrated.extend(runs)
        return estimate(runs, *options)

    monkeypatch.setattr("posenfs.study.ablation.estimate", recording_estimate)
    command(InProcessExecutor(), quiet=True)
    assert capsys.readouterr().out == "" and not calibrated

    command(InProcessExecutor(), only_plan=True, quiet=True)
    captured = capsys.readouterr()
    assert "0 runs of 3 to do" in captured.out and not calibrated and captured.err == ""

    command(InProcessExecutor(), seeds=2, only_plan=True, quiet=True)
    output = capsys.readouterr().out
    assert "3 runs of 6 to do" in output and "cores while this was measured" in output
    assert [run.experiment.training.seed for run in calibrated] == [1, 1, 1]


def test_results_on_other_people_are_not_in_the_table(command, project):
    command(InProcessExecutor(), quiet=True)
    other = next(iter((project / "reports" / "results").glob("*.json")))
    result = json.loads(other.read_text())
    foreign = result | {
        "name": "foreign",
        "fingerprint": "0" * 12,
        "data": {"mpii train": "other people"},
    }
    other.with_name("foreign.json").write_text(json.dumps(foreign))
    command(InProcessExecutor(), quiet=True)
    assert "3 runs" in page_of(project)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give names of tables, or all: table_2"),
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
        (["table_2", "--profile", "paper"], "without photographs: --profile smoke for a quick"),
    ],
)
def test_errors_are_reported_before_the_plan(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=message):
        main(["ablate", *arguments, "--plan"])
    assert not list(tmp_path.iterdir())

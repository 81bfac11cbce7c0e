"""Tests of ablations: shared runs, failed and finished runs, stored results, killed processes."""

import json
import os
import shutil
import signal
import threading
import time
from dataclasses import replace

import psutil
import pytest

from posenfs.search.experiment import Experiment
from posenfs.search.run_dir import RunDir
from posenfs.search.session import Search
from posenfs.study.ablation import ablate, plan, progress_of, state_of
from posenfs.study.executors import LocalEngine
from posenfs.study.experiments import PROFILES, TABLES, choose_profile
from posenfs.study.results import DataFingerprints, read_results
from posenfs.study.watching import LiveTable


class InProcessEngine:
    """An engine that searches in this process and fails for the strategies in `broken`."""

    def __init__(self, broken=()):
        self.broken, self.done, self.stopped = broken, [], False

    def run(self, jobs, look):
        for job in jobs:
            look()
            experiment = Experiment.from_json(job.experiment)
            if experiment.search.strategy in self.broken:
                RunDir(job.folder).folder.mkdir(parents=True, exist_ok=True)
                RunDir(job.folder).write_status(state="failed", error="broken on purpose")
                yield job.key, "broken on purpose"
                continue
            search = Search(experiment, device="cpu", progress=False)
            search.finish()
            search.close()
            self.done.append(job.key)
            yield job.key, None

    def stop(self):
        self.stopped = True


def test_rows_with_equal_experiments_share_a_run(drawn):
    profile = choose_profile("smoke", dataset="mpii", root=str(drawn))
    runs = plan(
        ["table_2", "table_3", "table_4", "figure_6"], profile, 2, DataFingerprints(progress=False)
    )
    shared = [run for run in runs if ("table_2", "synchronous") in run.rows]
    assert [run.experiment.training.seed for run in shared] == [0, 1]
    assert shared[0].rows == (
        ("table_2", "synchronous"),
        ("table_3", "p3"),
        ("table_4", "d8"),
        ("figure_6", "d8"),
    )
    assert len({run.key for run in runs}) == len(runs) == 2 * (3 + 3 + 7)
    seeds = [run.experiment.training.seed for run in runs]
    assert seeds == sorted(seeds)
    with pytest.raises(ValueError, match="unknown table 'table_1'; known: table_2"):
        plan(["table_1"], profile, 1, DataFingerprints(progress=False))
    chosen = plan(["table_2"], profile, 1, DataFingerprints(progress=False), ["random"])
    assert [run.words for run in chosen] == ["table_2 random, seed 0"]
    with pytest.raises(
        ValueError, match="unknown row 'p3'; known: random, synchronous, first_order"
    ):
        plan(["table_2"], profile, 1, DataFingerprints(progress=False), ["p3"])
    with pytest.raises(ValueError, match="at least 1 seed; got 0"):
        plan(["table_2"], profile, 0, DataFingerprints(progress=False))


def test_finished_runs_are_skipped_and_failed_runs_reported(project, profile):
    runs = plan(["table_2"], profile, 1, DataFingerprints(progress=False))
    changes = []
    failed = ablate(
        runs,
        InProcessEngine(broken=("first_order",)),
        say=lambda planned, change: changes.append((planned.words, change)),
    )
    assert list(failed.values()) == ["broken on purpose"]
    assert sorted(result["configuration"]["run"]["strategy"] for result in read_results()) == [
        "random",
        "synchronous",
    ]
    assert ("table_2 random, seed 0", "done") in changes

    second = InProcessEngine()
    assert (
        list(ablate(runs, second).values()) == ["failed before: broken on purpose"]
        and second.done == []
    )
    retried = InProcessEngine()
    (runs[2].run.folder / "status.json").write_text(json.dumps({"state": "failed", "error": "x"}))
    assert (
        ablate(runs, retried, retry=True) == {}
        and len(retried.done) == 1
        and len(read_results()) == 3
    )


def test_a_deleted_result_is_computed_again(project, profile):
    """The numbers are the same when the run's folder is deleted, too."""
    runs = plan(["table_2"], profile, 1, DataFingerprints(progress=False))
    ablate(runs, InProcessEngine())
    before = {result["fingerprint"]: result for result in read_results()}
    path = project / "reports" / "results" / f"{runs[0].experiment.name}.json"
    path.unlink()
    assert state_of(runs[0], set()) == "finished"
    shutil.rmtree(runs[0].run.folder)
    engine = InProcessEngine()
    assert ablate(runs, engine) == {} and engine.done == [runs[0].key]
    after = {result["fingerprint"]: result for result in read_results()}
    numbers = ("metrics", "architectures", "losses", "epochs", "configuration", "data")
    assert {k: [v[n] for n in numbers] for k, v in before.items()} == {
        k: [v[n] for n in numbers] for k, v in after.items()
    }


def test_more_seeds_add_runs(project, profile):
    prints = DataFingerprints(progress=False)
    ablate(plan(["figure_6"], profile, 1, prints), InProcessEngine())
    engine = InProcessEngine()
    ablate(plan(["figure_6"], profile, 2, prints), engine)
    assert len(engine.done) == 2 and len(read_results()) == 4


def test_ctrl_c_stops_the_engine(project, profile):
    class Interrupted(InProcessEngine):
        def run(self, jobs, look):
            yield from super().run(jobs[:1], look)
            raise KeyboardInterrupt

    runs, engine = plan(["table_2"], profile, 1, DataFingerprints(progress=False)), Interrupted()
    with pytest.raises(KeyboardInterrupt, match="The same command goes on"):
        ablate(runs, engine)
    assert engine.stopped and len(read_results()) == 1
    assert ablate(runs, InProcessEngine()) == {} and len(read_results()) == 3


def test_a_run_of_another_process_is_not_started(project, profile):
    runs = plan(["table_2"], profile, 1, DataFingerprints(progress=False))
    active = Search(runs[0].experiment, device="cpu", progress=False)
    engine = InProcessEngine()
    assert (
        ablate(runs[:1], engine) == {runs[0].key: "is under way in another process"}
        and not engine.done
    )
    active.close()


def test_an_engine_without_result_and_a_failing_engine(project, profile):
    class Idle(InProcessEngine):
        def run(self, jobs, look):
            yield jobs[0].key, None
            raise RuntimeError("the engine broke")

    runs, engine = plan(["table_2"], profile, 1, DataFingerprints(progress=False)), Idle()
    changes = []
    with pytest.raises(RuntimeError, match="the engine broke"):
        ablate(runs, engine, say=lambda planned, change: changes.append(change))
    assert changes == ["ended as nothing"] and engine.stopped and read_results() == []


def test_live_table(project, profile, monkeypatch):
    runs = plan(["table_2"], profile, 1, DataFingerprints(progress=False))
    table = LiveTable(runs)
    assert table.lines()[-1] == "0 done, 0 running, 3 waiting, 0 failed"
    ablate(runs[:1], InProcessEngine(), say=table.say, look=table.look)
    table.known[runs[1].key] = "broken"
    assert table.lines()[-1] == "1 done, 0 running, 1 waiting, 1 failed"
    assert any("table_2 random, seed 0" in line and "done" in line for line in table.lines())
    assert [row[1] for row in progress_of(runs, table.known)] == ["done", "broken", "waiting"]
    monkeypatch.setenv("LINES", "6")  # a terminal of six lines
    assert len(table.lines()) == 5 and table.lines()[-2] == "… and 1 more"


def test_invalid_numbers_of_jobs_are_refused():
    with pytest.raises(ValueError, match="jobs are at least 1"):
        LocalEngine(jobs=0)
    with pytest.raises(ValueError, match="a run's share of a GPU is above 0"):
        LocalEngine(gpus_per_run=0)


def test_a_missing_notebook_is_reported(tmp_path, monkeypatch, profile):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ValueError, match=r"no notebook .*one_run.ipynb: ablations are run in the project's folder"
    ):
        ablate(plan(["figure_6"], profile, 1, DataFingerprints(progress=False)), InProcessEngine())


def test_local_processes_report_errors(project, profile):
    runs = plan(["figure_6"], profile, 1, DataFingerprints(progress=False))
    broken = replace(
        runs[0],
        key="broken",
        experiment=replace(runs[0].experiment, name="broken", image_size=(96, 96)),
    )
    broken.run.folder.mkdir(parents=True)
    (broken.run.folder / "config.json").write_text(
        runs[0].experiment.to_json()
    )  # belongs to another experiment
    failed = ablate([broken, runs[1]], LocalEngine(2))
    assert "holds another experiment" in failed["broken"] and len(read_results()) == 1
    assert (runs[1].run.folder / "notebook.ipynb").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("with_process", [True, False], ids=["process and kernel", "kernel alone"])
def test_a_killed_run_is_started_again(project, profile, with_process):
    longer = replace(
        profile, base=replace(profile.base, training=replace(profile.base.training, epochs=12))
    )
    runs = plan(["figure_6"], longer, 1, DataFingerprints(progress=False))
    killed = []

    def kill():
        while not killed:
            time.sleep(0.05)
            if runs[0].run.status().get("epoch", 0) >= 2:
                kernel = psutil.Process(runs[0].run.status()["pid"])
                killed.append(kernel.parent().pid)
                if with_process:
                    os.kill(killed[0], signal.SIGKILL)
                kernel.kill()

    thread = threading.Thread(target=kill)
    thread.start()
    assert ablate(runs, LocalEngine(2)) == {}
    thread.join()
    assert killed and len(read_results()) == 2
    undisturbed = Search(
        replace(runs[0].experiment, name="undisturbed"), device="cpu", progress=False
    )
    undisturbed.finish()
    assert undisturbed.run.history() == runs[0].run.history()


def test_the_command_line_knows_profiles_and_tables():
    from posenfs.cli.study import ablate as command

    known = command.__annotations__["profile"].__args__
    assert set(known) == set(PROFILES) and all(
        name in command.__doc__ for name in ("table_2", "figure_7", "rules")
    )
    assert {"table_2", "figure_7", "rules"} <= set(TABLES)

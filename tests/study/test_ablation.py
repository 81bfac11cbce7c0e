"""Ablations: every run once, what failed and what is done left alone, results kept one by one; processes killed."""

import json
import os
import shutil
import signal
import threading
import time
from dataclasses import replace

import psutil
import pytest

from posenfs.search.engine import Search
from posenfs.search.experiment import Experiment
from posenfs.search.run import Run
from posenfs.study.ablation import ablate, plan, progress_of, state_of
from posenfs.study.engines import LocalEngine
from posenfs.study.experiments import PROFILES, TABLES, choose_profile
from posenfs.study.results import DataFingerprints, read_results
from posenfs.study.watching import LiveTable


class Here:
    """An engine that searches in this process; those whose strategy is in `broken` fail."""

    def __init__(self, broken=()):
        self.broken, self.done, self.stopped = broken, [], False

    def run(self, jobs, look):
        for job in jobs:
            look()
            asked = Experiment.from_json(job.experiment)
            if asked.run.strategy in self.broken:
                Run(job.folder).folder.mkdir(parents=True, exist_ok=True)
                Run(job.folder).write_status(state="failed", error="broken on purpose")
                yield job.key, "broken on purpose"
                continue
            search = Search(asked, device="cpu", progress=False)
            search.finish()
            search.close()
            self.done.append(job.key)
            yield job.key, None

    def stop(self):
        self.stopped = True


def test_what_rows_share_is_one_run(drawn):
    profile = choose_profile("smoke", dataset="mpii", root=str(drawn))
    runs = plan(["table_2", "table_3", "table_4", "figure_6"], profile, 2, DataFingerprints(progress=False))
    shared = [own for own in runs if ("table_2", "synchronous") in own.rows]
    assert [own.experiment.run.seed for own in shared] == [0, 1]
    assert shared[0].rows == (("table_2", "synchronous"), ("table_3", "p3"), ("table_4", "d8"), ("figure_6", "d8"))
    assert len({own.key for own in runs}) == len(runs) == 2 * (3 + 3 + 7)
    seeds = [own.experiment.run.seed for own in runs]
    assert seeds == sorted(seeds)
    with pytest.raises(ValueError, match="unknown table 'table_1'; known: table_2"):
        plan(["table_1"], profile, 1, DataFingerprints(progress=False))
    chosen = plan(["table_2"], profile, 1, DataFingerprints(progress=False), ["random"])
    assert [own.words for own in chosen] == ["table_2 random, seed 0"]
    with pytest.raises(ValueError, match="unknown row 'p3'; known: random, synchronous, first_order"):
        plan(["table_2"], profile, 1, DataFingerprints(progress=False), ["p3"])
    with pytest.raises(ValueError, match="at least 1 seed; got 0"):
        plan(["table_2"], profile, 0, DataFingerprints(progress=False))


def test_done_is_done_and_failed_is_named(house, profile):
    runs = plan(["table_2"], profile, 1, DataFingerprints(progress=False))
    heard = []
    failed = ablate(runs, Here(broken=("first_order",)), say=lambda own, words: heard.append((own.words, words)))
    assert list(failed.values()) == ["broken on purpose"]
    assert sorted(own["configuration"]["run"]["strategy"] for own in read_results()) == ["random", "synchronous"]
    assert ("table_2 random, seed 0", "done") in heard

    again = Here()
    assert list(ablate(runs, again).values()) == ["failed before: broken on purpose"] and again.done == []
    mended = Here()
    (runs[2].run.folder / "status.json").write_text(json.dumps({"state": "failed", "error": "x"}))
    assert ablate(runs, mended, retry=True) == {} and len(mended.done) == 1 and len(read_results()) == 3


def test_one_result_deleted_is_one_run_again(house, profile):
    """And it comes to the same numbers: from its run's folder, and anew where that is gone as well."""
    runs = plan(["table_2"], profile, 1, DataFingerprints(progress=False))
    ablate(runs, Here())
    before = {own["fingerprint"]: own for own in read_results()}
    gone = house / "reports" / "results" / f"{runs[0].experiment.name}.json"
    gone.unlink()
    assert state_of(runs[0], set()) == "finished"
    shutil.rmtree(runs[0].run.folder)
    engine = Here()
    assert ablate(runs, engine) == {} and engine.done == [runs[0].key]
    after = {own["fingerprint"]: own for own in read_results()}
    numbers = ("metrics", "architectures", "losses", "epochs", "configuration", "data")
    assert {k: [v[n] for n in numbers] for k, v in before.items()} == {
        k: [v[n] for n in numbers] for k, v in after.items()
    }


def test_more_seeds_add(house, profile):
    prints = DataFingerprints(progress=False)
    ablate(plan(["figure_6"], profile, 1, prints), Here())
    engine = Here()
    ablate(plan(["figure_6"], profile, 2, prints), engine)
    assert len(engine.done) == 2 and len(read_results()) == 4


def test_ctrl_c_stops_the_engine(house, profile):
    class Interrupted(Here):
        def run(self, jobs, look):
            yield from super().run(jobs[:1], look)
            raise KeyboardInterrupt

    runs, engine = plan(["table_2"], profile, 1, DataFingerprints(progress=False)), Interrupted()
    with pytest.raises(KeyboardInterrupt, match="The same command goes on"):
        ablate(runs, engine)
    assert engine.stopped and len(read_results()) == 1
    assert ablate(runs, Here()) == {} and len(read_results()) == 3


def test_what_is_under_way_elsewhere_is_left_alone(house, profile):
    runs = plan(["table_2"], profile, 1, DataFingerprints(progress=False))
    held = Search(runs[0].experiment, device="cpu", progress=False)
    engine = Here()
    assert ablate(runs[:1], engine) == {runs[0].key: "is under way in another process"} and not engine.done
    held.close()


def test_an_engine_that_does_nothing_or_breaks(house, profile):
    class Idle(Here):
        def run(self, jobs, look):
            yield jobs[0].key, None
            raise RuntimeError("the engine broke")

    runs, engine = plan(["table_2"], profile, 1, DataFingerprints(progress=False)), Idle()
    heard = []
    with pytest.raises(RuntimeError, match="the engine broke"):
        ablate(runs, engine, say=lambda own, words: heard.append(words))
    assert heard == ["ended as nothing"] and engine.stopped and read_results() == []


def test_the_live_table(house, profile, monkeypatch):
    runs = plan(["table_2"], profile, 1, DataFingerprints(progress=False))
    table = LiveTable(runs)
    assert table.lines()[-1] == "0 done, 0 running, 3 waiting, 0 failed"
    ablate(runs[:1], Here(), say=table.say, look=table.look)
    table.known[runs[1].key] = "broken"
    assert table.lines()[-1] == "1 done, 0 running, 1 waiting, 1 failed"
    assert any("table_2 random, seed 0" in line and "done" in line for line in table.lines())
    assert [row[1] for row in progress_of(runs, table.known)] == ["done", "broken", "waiting"]
    monkeypatch.setenv("LINES", "6")  # of a terminal so low
    assert len(table.lines()) == 5 and table.lines()[-2] == "… and 1 more"


def test_bad_numbers_of_jobs():
    with pytest.raises(ValueError, match="jobs are at least 1"):
        LocalEngine(jobs=0)
    with pytest.raises(ValueError, match="a run's share of a GPU is above 0"):
        LocalEngine(gpus_per_run=0)


def test_without_its_notebook(tmp_path, monkeypatch, profile):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"no notebook .*one_run.ipynb: ablations are run in the project's folder"):
        ablate(plan(["figure_6"], profile, 1, DataFingerprints(progress=False)), Here())


def test_processes_and_their_errors(house, profile):
    runs = plan(["figure_6"], profile, 1, DataFingerprints(progress=False))
    broken = replace(runs[0], key="broken", experiment=replace(runs[0].experiment, name="broken", image_size=(96, 96)))
    broken.run.folder.mkdir(parents=True)
    (broken.run.folder / "config.json").write_text(runs[0].experiment.to_json())  # of another experiment
    failed = ablate([broken, runs[1]], LocalEngine(2))
    assert "holds another experiment" in failed["broken"] and len(read_results()) == 1
    assert (runs[1].run.folder / "notebook.ipynb").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("whole", [True, False], ids=["process and kernel", "kernel alone"])
def test_what_is_killed_is_begun_again(house, profile, whole):
    longer = replace(profile, base=replace(profile.base, run=replace(profile.base.run, epochs=12)))
    runs = plan(["figure_6"], longer, 1, DataFingerprints(progress=False))
    killed = []

    def kill():
        while not killed:
            time.sleep(0.05)
            if runs[0].run.status().get("epoch", 0) >= 2:
                kernel = psutil.Process(runs[0].run.status()["pid"])
                killed.append(kernel.parent().pid)
                if whole:
                    os.kill(killed[0], signal.SIGKILL)
                kernel.kill()

    thread = threading.Thread(target=kill)
    thread.start()
    assert ablate(runs, LocalEngine(2)) == {}
    thread.join()
    assert killed and len(read_results()) == 2
    undisturbed = Search(replace(runs[0].experiment, name="undisturbed"), device="cpu", progress=False)
    undisturbed.finish()
    assert undisturbed.run.history() == runs[0].run.history()


def test_profiles_and_tables_are_known_to_the_command_line():
    from posenfs.commands.study import ablate as command

    known = command.__annotations__["profile"].__args__
    assert set(known) == set(PROFILES) and all(name in command.__doc__ for name in ("table_2", "figure_7", "rules"))
    assert {"table_2", "figure_7", "rules"} <= set(TABLES)

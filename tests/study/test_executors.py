"""Tests of local processes: reported errors, and killed runs."""

import os
import signal
import threading
import time
from dataclasses import replace

import psutil
import pytest

from posenfs.search.session import Search
from posenfs.study.ablation import ablate
from posenfs.study.executors import LocalExecutor
from posenfs.study.fingerprints import DataFingerprints
from posenfs.study.plan import plan
from posenfs.study.results import read_results


def test_invalid_numbers_of_jobs_are_refused():
    with pytest.raises(ValueError, match="jobs must be at least 1"):
        LocalExecutor(jobs=0)
    with pytest.raises(ValueError, match="a run's share of a GPU above 0"):
        LocalExecutor(gpus_per_run=0)


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
    failed = ablate([broken, runs[1]], LocalExecutor(2))
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
    assert ablate(runs, LocalExecutor(2)) == {}
    thread.join()
    assert killed and len(read_results()) == 2
    undisturbed = Search(
        replace(runs[0].experiment, name="undisturbed"), device="cpu", progress=False
    )
    undisturbed.finish()
    assert undisturbed.run.history() == runs[0].run.history()

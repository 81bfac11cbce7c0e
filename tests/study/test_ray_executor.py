"""Tests of the Ray executor on a local cluster of two nodes, with a run that is killed."""

import os
import signal
import threading
import time
from dataclasses import replace

import psutil
import pytest

from posenfs.study.ablation import ablate
from posenfs.study.fingerprints import DataFingerprints
from posenfs.study.plan import plan
from posenfs.study.ray_executor import RayExecutor
from posenfs.study.results import read_results

ray = pytest.importorskip("ray", reason="no Ray (pip install 'posenfs[ray]')")


@pytest.fixture
def cluster(monkeypatch):
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    nodes = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    nodes.add_node(num_cpus=1)
    yield nodes
    ray.shutdown()
    nodes.shutdown()


@pytest.mark.slow
def test_a_killed_run_is_completed(project, profile, cluster):
    longer = replace(
        profile, base=replace(profile.base, training=replace(profile.base.training, epochs=12))
    )
    runs = plan(["table_2"], longer, 1, DataFingerprints(progress=False))
    killed = []

    def kill():
        while not killed:
            time.sleep(0.05)
            for planned in runs:
                if planned.run.status().get("epoch", 0) >= 2 and planned.run.in_use():
                    worker = psutil.Process(planned.run.status()["pid"]).parent()
                    killed.append((planned, worker.name()))
                    os.kill(worker.pid, signal.SIGKILL)
                    break

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    executor = RayExecutor(cluster.address)
    nodes = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
    try:
        assert ablate(runs, executor) == {}
    finally:
        executor.close()
    assert len(nodes) == 2 and killed and len(read_results()) == 3


@pytest.mark.slow
def test_an_interrupted_run_is_saved(project, profile, cluster):
    longer = replace(
        profile, base=replace(profile.base, training=replace(profile.base.training, epochs=200))
    )
    runs = plan(["table_2"], longer, 1, DataFingerprints(progress=False), ["synchronous"])
    run = runs[0].run

    def interrupt():
        if run.status().get("epoch", 0) >= 2:
            raise KeyboardInterrupt

    executor = RayExecutor(cluster.address)
    try:
        with pytest.raises(KeyboardInterrupt, match="the active runs are saved"):
            ablate(runs, executor, poll=interrupt)
    finally:
        executor.close()
    status = run.status()
    assert status["state"] == "interrupted" and not run.in_use()
    assert run.checkpoints.steps()[-1] == status["step"]


def test_an_unreachable_cluster_is_reported():
    with pytest.raises(ValueError, match=r"no Ray cluster at '127.0.0.1:1'"):
        RayExecutor("127.0.0.1:1")

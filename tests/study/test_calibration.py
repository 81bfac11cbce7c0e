"""Tests of the load meter."""

import psutil
import pytest

from posenfs.study import calibration
from posenfs.study.calibration import LoadMeter


@pytest.mark.skipif(not psutil.LINUX, reason="the counters have other fields")
def test_the_load_is_that_of_other_processes(monkeypatch):
    """It is all that was not idle, without guests (counted twice) and without this process."""
    fields = (
        "user",
        "nice",
        "system",
        "idle",
        "iowait",
        "irq",
        "softirq",
        "steal",
        "guest",
        "guest_nice",
    )
    counters = {"user": 100.0, "idle": 1000.0, "iowait": 50.0, "guest": 30.0}
    clock = [10.0]
    process_time = [5.0]
    kind = type(psutil.cpu_times())
    monkeypatch.setattr(calibration.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(calibration.time, "process_time", lambda: process_time[0])
    monkeypatch.setattr(
        psutil, "cpu_times", lambda: kind(*(counters.get(name, 0.0) for name in fields))
    )
    monkeypatch.setattr(psutil, "cpu_count", lambda: 4)
    meter = LoadMeter()
    clock[0], process_time[0] = 20.0, 12.0  # ten seconds, seven of them of this process
    counters |= {"user": 117.0, "idle": 1020.0, "iowait": 53.0, "guest": 40.0}
    load = meter.read()
    assert load.others == pytest.approx(1.0) and load.cores == 4 and not load.idle
    process_time[0] = 22.0
    assert meter.read().others == 0.0 and meter.read().idle

"""Tests of the table of progress."""

from posenfs.study.ablation import ablate
from posenfs.study.fingerprints import DataFingerprints
from posenfs.study.plan import plan
from posenfs.study.progress import ProgressTable, progress_rows
from tests.study.in_process import InProcessExecutor


def test_live_table(project, profile, monkeypatch):
    runs = plan(["table_2"], profile, 1, DataFingerprints(progress=False))
    table = ProgressTable(runs)
    assert table.lines()[-1] == "0 done, 0 running, 3 waiting, 0 failed"
    ablate(runs[:1], InProcessExecutor(), report=table.report, poll=table.poll)
    table.changes[runs[1].key] = "broken"
    assert table.lines()[-1] == "1 done, 0 running, 1 waiting, 1 failed"
    assert any("table_2 random, seed 0" in line and "done" in line for line in table.lines())
    assert [row[1] for row in progress_rows(runs, table.changes)] == ["done", "broken", "waiting"]
    monkeypatch.setenv("LINES", "6")  # a terminal of six lines
    assert len(table.lines()) == 5 and table.lines()[-2] == "… and 1 more"

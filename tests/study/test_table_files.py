"""Tests of written tables: captions, names of files, and their content."""

import csv
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas
import pytest

from posenfs.study.outcomes import outcomes
from posenfs.study.profiles import choose_profile
from posenfs.study.table_files import as_markdown, page_stem, write_table
from tests.study.table_results import PROFILE, SCORES


def test_each_size_has_its_own_files():
    profile = choose_profile("smoke", image_size=96, epochs=7, images=(30, 9))
    names = {
        page_stem("table_2", "smoke", outcomes("table_2", variant, []))
        for variant in (PROFILE, profile)
    }
    assert names == {"table_2_smoke", "table_2_smoke_30_9_images_96x96_7_epochs"}
    study = choose_profile("study", dataset="mpii", root="somewhere", batch_size=4)
    assert (
        page_stem("table_2", "study", outcomes("table_2", study, []))
        == "table_2_study_mpii_batch_4"
    )


def test_written_files(rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page, *tables = write_table("table_2", "smoke", rows)
    text = " ".join(page.read_text().split())  # without line breaks and padding of columns
    assert (
        text.startswith("# Table II: search strategies") and "| first order | synchronous |" in text
    )
    assert "head size: 0.6 x head-box diagonal" in text and "not distinguishable at n = 3" in text
    with open(tables[0]) as file:
        lines = list(csv.DictReader(file))
    assert [line["row"] for line in lines] == ["random", "synchronous", "first order"]
    assert float(lines[0]["ours PCKh@0.5"]) == pytest.approx(np.mean(SCORES["random"]))


def test_markdown_of_a_frame():
    frame = pandas.DataFrame(
        {"mean": [87.0, 1.23456, None], "seeds": [3, "quoted", "missing"], "n": [1, 2, 3]},
        index=pandas.Index(["a", "b", "c"], name="row"),
    )
    lines = [" ".join(line.split()) for line in as_markdown(frame).splitlines()]
    assert lines[0] == "| row | mean | seeds | n |" and set(lines[1]) <= set("|:-")
    assert lines[2:] == [
        "| a | 87 | 3 | 1 |",
        "| b | 1.235 | quoted | 2 |",
        "| c | | missing | 3 |",
    ]


@pytest.mark.skipif(shutil.which("git") is None, reason="no git here")
def test_only_published_tables_are_seen_by_git(rows, tmp_path, monkeypatch):
    def changed() -> list[str]:
        command = ["git", "status", "--porcelain", "--untracked-files=all"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[
            1::2
        ]

    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").write_text("")
    shutil.copy(Path(__file__).parents[2] / ".gitignore", tmp_path)
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "--quiet"], check=True)
    before = changed()
    write_table("table_2", "study", rows)
    assert changed() == before
    page, *_ = write_table("table_2", "study", rows, publish=True)
    assert (
        page == tmp_path / "reports" / "tables" / page.name
        and f"reports/tables/{page.name}" in changed()
    )

"""The notebooks, run by papermill with small parameters and turned into pages."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
import torch

from posenfs.cli.main import main
from posenfs.search.run_dir import RunDir
from posenfs.search.session import Search

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


SMALL = {"train_images": 24, "valid_images": 8, "image_size": 64, "epochs": 1, "width": 2}


@pytest.mark.parametrize(
    ("name", "parameters", "seen"),
    [
        (
            "00_tour",
            SMALL,
            (
                r">P = 8<",
                r">left shoulder<",
                r">separable 3×3 25%<",
                "Eq. 5",
                "Training loss",
                "PCKh@0.5 on",
                "runs/tour",
            ),
        ),
        (
            "01_parts",
            {"train_images": 24, "valid_images": 8},
            (
                r">MPII.{1,5}16: 16 keypoints<",
                r">halves<",
                r"mean offset [+-]0\.0",
                "P = 3: 2.895M",
                r"valid, COCO-17:.*occluded",
            ),
        ),
        (
            "02_fabric",
            {},
            (
                r"largest difference: \d\.\de-0[6-8]",
                r">three hidden nodes: layer 3",
                r">Fabric.{1,5}1: 9 cells<",
                "4.090M",
            ),
        ),
        (
            "03_vectors",
            SMALL,
            (
                r"= score 0\.628",
                r"d = 1: PCKh@0.5 \d",
                "Occlusion",
                r"d = 8  loss .* within keypoints [+-]\d",
            ),
        ),
        (
            "05_architectures",
            {**SMALL, "child_epochs": 1},
            (
                r"edge 0 → 2",
                r"two random fabrics: operations 0\.4",
                r">more weight than in the mean of the parts<",
                r"largest batch in 8 GiB: \d+ crops",
                r"expected 0\.\d+ GMAC; mean of 200",
                r"greatest difference of score maps: 0 \(random\), 0 \(validation\)",
                r">kept: 4 of 6 cells, 10 of 18 sources, 36 of 54 operations<",
                r"weights below 0\.25 removed",
                r"child, trained from scratch",
            ),
        ),
        (
            "06_predictions",
            {"images": 12},
            (
                r"PCKh@0\.5 \d+\.\d \[\d+\.\d, \d+\.\d\] on \d+ people",
                r"starter: area",
                r"occluded<br>",
                r"perfect calibration",
                r"quarter offset",
            ),
        ),
        (
            "figures_8_9",
            {"images": 6, "count": 4, "coco_count": 2},
            (
                r"starter on drawn people \(synthetic\), valid, MPII-16; boxes: annotated",
                r"starter on drawn people \(synthetic\), valid, COCO-17; boxes: annotated",
            ),
        ),
        (
            "one_run",
            {},
            (r"one_run: synchronous, seed 0", r"PCKh@0\.5 \d+\.\d on \d+ people", "Training loss"),
        ),
        pytest.param(
            "table",
            {"profile": "smoke"},
            (
                r"Table II: search strategies",
                r"Ours: synthetic, 64 x 64 px",
                "missing",
                "nothing can be said",
                "3\\.319",
            ),
            marks=pytest.mark.slow,  # test_a_table_reports_itself runs another
        ),
        pytest.param(
            "table",
            {"profile": "smoke", "table": "table_5"},
            (r"Paper: MPII test set", "Tompson et al", "62.8", "quoted", "L = 8, C = 12"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "figure_7",
            {"profile": "smoke", "latency": "[1]"},
            ("Lite-HRNet-30", "EvoPose2D-L", "the paper, Table VII", "ms, batch of 1"),
            marks=pytest.mark.slow,
        ),
        (
            "are_parts_different",
            {"profile": "smoke"},
            ("no row has two searched parts and two seeds yet",),
        ),
        pytest.param(
            "parent_and_child",
            {"train_images": 24, "valid_images": 8, "width": 2, "epochs": 1},
            ("parent, soft", "child, trained from scratch", "entropy of operations"),
            marks=pytest.mark.slow,  # 05 does the same on the way
        ),
    ],
)
def test_notebooks_tell_their_story(name, parameters, seen, tmp_path, monkeypatch):
    """Run with small parameters and made into a page: what it promises is among its outputs, and no warning is."""
    monkeypatch.chdir(tmp_path)
    given = [word for key, value in parameters.items() for word in ("-p", f"{key}={value}")]
    main(["run", str(NOTEBOOKS / f"{name}.ipynb"), *given, "--quiet", "--output", "done.ipynb"])
    main(["report", "done.ipynb"])
    page = (tmp_path / "done.html").read_text()
    outputs = [
        o
        for cell in nbformat.read(tmp_path / "done.ipynb", 4).cells
        for o in cell.get("outputs", ())
    ]
    printed = "".join(output.get("text", "") for output in outputs)
    shown = printed + "".join(json.dumps(o.get("data", {}), ensure_ascii=False) for o in outputs)
    for words in seen:
        assert re.search(words, shown, re.DOTALL), words
    images = sum("image/png" in output.get("data", {}) for output in outputs)
    assert page.count('src="data:image/png') >= images and page.count("<svg") >= shown.count("<svg")
    assert "Warning" not in printed


@pytest.mark.parametrize(
    "changes",
    [{"vector_dim": 1}, {"model": "simple_baseline_50", "parts": 1}],
    ids=["plain score maps", "a baseline"],
)
def test_predictions_of_a_network_without_vectors(changes, tiny, drawn, tmp_path, monkeypatch):
    """The notebook draws the score map where it would draw vectors, and runs to its end."""
    monkeypatch.chdir(tmp_path)
    experiment = replace(tiny, name="plain", training=replace(tiny.training, epochs=1), **changes)
    Search(experiment, device="cpu", progress=False).finish()
    notebook = str(NOTEBOOKS / "06_predictions.ipynb")
    main(["run", notebook, "-p", "run=plain", "--quiet", "--output", "done.ipynb"])
    cells = nbformat.read(tmp_path / "done.ipynb", 4).cells
    (cell,) = [cell for cell in cells if cell.source.rstrip().endswith("name, size)")]
    assert "draw_vectors" in cell.source and "image/png" in cell.outputs[-1]["data"]


@pytest.mark.parametrize(
    "text", [*NOTEBOOKS.glob("*.ipynb"), *NOTEBOOKS.parent.glob("reports/tables/*.md")], ids=str
)
def test_nothing_looks_like_an_e_mail_address(text):
    """JupyterLab's Markdown makes a link of one (GitHub's rule): PCKh@0.5 is written with a backslash before the @."""
    address = re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+")
    assert address.search("PCKh@0.5 is") and not address.search(r"PCKh\@0.5 is")
    content = text.read_text()
    if text.suffix == ".ipynb":
        cells = nbformat.reads(content, 4).cells
        content = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert not address.search(re.sub("`[^`]*`", "", content))


def test_a_table_reports_itself(tmp_path, monkeypatch, capsys):
    """Its notebook is executed and becomes a page, and the index lists it; without results all is missing."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "notebooks" / "figure_6.ipynb").write_bytes(
        (NOTEBOOKS / "figure_6.ipynb").read_bytes()
    )
    monkeypatch.chdir(tmp_path)
    main(["report", "figure_6"])
    assert capsys.readouterr().out.strip().endswith("reports/figure_6.html")
    index = (tmp_path / "reports" / "index.html").read_text()
    assert "<a href='figure_6.html'>Figure 6: loss with and without vectors" in index
    assert "| missing |" in (tmp_path / "reports" / "drafts" / "figure_6_study.md").read_text()
    with pytest.raises(
        SystemExit,
        match=r"no notebook .*table.ipynb; reports are written in the project's folder",
    ):
        main(["report", "table_3"])


def test_a_run_without_a_notebook_is_reported_from_its_folder(tiny, tmp_path, monkeypatch, capsys):
    """The page is made in the run's folder, and the run is left as it is; without weights it is refused in words."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "notebooks" / "run_page.ipynb").write_bytes(
        (NOTEBOOKS / "run_page.ipynb").read_bytes()
    )
    monkeypatch.chdir(tmp_path)
    search = Search(tiny, device="cpu", progress=False)
    search.epoch()  # half of it: an unfinished run is shown as far as it is
    search.checkpoint()
    folder = search.run.folder
    del search
    before = {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }
    main(["report", "tiny"])
    printed = capsys.readouterr()
    assert (
        printed.out.strip().endswith("reports/runs/tiny/report.html")
        and "half a minute" in printed.err
    )
    page = (folder / "report.html").read_text()
    for seen in (
        "This run is not finished",
        "Training loss",
        "Signs of collapse",
        "data:image/png",
        "upper limb",
    ):
        assert seen in page, seen
    assert before == {path: path.read_bytes() for path in before}

    (folder / "model.safetensors").unlink(missing_ok=True)
    shutil.rmtree(folder / "checkpoints")
    with pytest.raises(SystemExit, match=r"tiny has no weights yet .*posenfs status tiny"):
        main(["report", "tiny"])


def test_04_search(drawn, tmp_path, monkeypatch, capsys):
    """From parameters to the page; run again it goes on from the folder, and the page is the same story."""
    monkeypatch.chdir(tmp_path)
    small = {
        "name": "small",
        "dataset": "mpii",
        "root": drawn,
        "image_size": 64,
        "width": 2,
        "epochs": 2,
        "batch_size": 6,
    }
    given = [word for name, value in small.items() for word in ("-p", f"{name}={value}")]
    main(["run", str(NOTEBOOKS / "04_search.ipynb"), *given, "--quiet"])
    main(["report", "small"])
    folder = tmp_path / "reports" / "runs" / "small"
    assert str(folder / "notebook.html") in capsys.readouterr().out.replace(
        "reports/runs", f"{tmp_path}/reports/runs"
    )
    page = (folder / "notebook.html").read_text()
    for seen in (
        "Training loss",
        "PCKh@0.5 on the validation split",
        "softmax(alpha)",
        "softmax(beta)",
        "upper limb",
        "ratio",
    ):
        assert seen in page, seen
    assert page.count("<svg") >= 2 and page.count("data:image/png") >= 3
    assert len(page) < 9e6  # plotly itself is 5 MB; a live figure's state would be 5 MB each
    history = (folder / "history.jsonl").read_bytes()
    main(["run", str(NOTEBOOKS / "04_search.ipynb"), *given, "--quiet"])
    assert (folder / "history.jsonl").read_bytes() == history
    printed = "".join(
        output.get("text", "")
        for cell in nbformat.read(folder / "notebook.ipynb", 4).cells
        for output in cell.get("outputs", ())
    )
    assert re.search(r"PCKh@0\.5 \d+\.\d on \d+ people; mean pose", printed)
    assert "Warning" not in printed


@pytest.mark.slow
def test_interrupting_a_notebook_saves_its_search(drawn, tmp_path):
    """Ctrl-C on `posenfs run` lets the search in the notebook finish its step and save."""
    small = {
        "dataset": "mpii",
        "root": drawn,
        "image_size": 64,
        "width": 2,
        "epochs": 1000,
        "batch_size": 6,
    }
    given = [word for name, value in small.items() for word in ("-p", f"{name}={value}")]
    command = [
        sys.executable,
        "-m",
        "posenfs.cli",
        "run",
        str(NOTEBOOKS / "04_search.ipynb"),
        *given,
    ]
    running = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    status = tmp_path / "reports" / "runs" / "search" / "status.json"
    end = time.monotonic() + 120
    while time.monotonic() < end and not (
        status.exists() and json.loads(status.read_text())["state"] == "running"
    ):
        time.sleep(0.2)
    running.send_signal(signal.SIGINT)
    out, _ = running.communicate(
        timeout=180
    )  # 2 s on idle cores, 16 s where two others keep them busy
    assert running.returncode == 130, out
    assert "goes on from here" in out and "Traceback" not in out
    found = json.loads(status.read_text())
    assert found["state"] == "interrupted"
    assert (status.parent / "checkpoints" / f"{found['step']:08d}").is_dir()


@pytest.mark.slow
def test_a_killed_kernel_loses_nothing(drawn, tmp_path, monkeypatch):
    """As a restart or a time-out kills it, in the middle of a search: the same command ends in the same history."""
    small = {
        "dataset": "mpii",
        "root": drawn,
        "image_size": 64,
        "width": 2,
        "epochs": 12,
        "batch_size": 6,
    }
    given = [word for name, value in small.items() for word in ("-p", f"{name}={value}")]
    command = ["run", str(NOTEBOOKS / "04_search.ipynb"), *given, "--quiet"]
    running = subprocess.Popen(
        [sys.executable, "-m", "posenfs.cli", *command],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    run, end = RunDir(tmp_path / "reports" / "runs" / "search"), time.monotonic() + 120
    while time.monotonic() < end and not run.checkpoints.steps():
        time.sleep(0.05)
    os.kill(run.status()["pid"], signal.SIGKILL)
    _, said = running.communicate(timeout=120)
    assert running.returncode == 1 and "died" in said and "the same command continues" in said, said
    assert run.status()["state"] == "running" and not run.in_use()
    monkeypatch.chdir(tmp_path)
    main(command)
    assert run.status()["state"] == "finished"
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(run.provenance()["threads"])
        whole = Search(run.experiment(), tmp_path / "whole", device="cpu", progress=False)
        whole.finish()
    finally:
        torch.set_num_threads(threads)
    assert (run.folder / "history.jsonl").read_bytes() == (
        whole.run.folder / "history.jsonl"
    ).read_bytes()

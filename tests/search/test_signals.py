"""Ctrl-C and SIGTERM: a sentence, an exit code, and a status that is true, whatever they break off."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from posenfs.search.run_dir import RunDir

HOME = Path(__file__).parents[2]
SEARCH = ["search", "--name", "a", "--image-size", "64", "64", "--fabric.width", "2", "--training.epochs", "1000",
          "--training.batch-size", "6", "--device", "cpu"]  # fmt: skip


SLOW = """
import pathlib, sys, time
from PIL import Image
from posenfs.cli.main import main
def slowly(function):
    def call(*arguments, **options):
        pathlib.Path("begun").touch()
        time.sleep(1)
        return function(*arguments, **options)
    return call
Image.open, Image.Image.save = slowly(Image.open), slowly(Image.Image.save)
main(sys.argv[1:])
"""


def start(arguments, folder, slow=False):
    """A command as a terminal or a scheduler starts it: in a process group of its own."""
    environment = {**os.environ, "PYTHONPATH": str(HOME), "POSENFS_CACHE": str(folder / "cache")}
    return subprocess.Popen(
        [sys.executable, *(["-c", SLOW] if slow else ["-m", "posenfs.cli"]), *map(str, arguments)],
        cwd=folder, env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def wait_until(condition, process=None, patience=120):
    end = time.monotonic() + patience
    while not condition() and time.monotonic() < end:
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.02)
    assert condition()


def ended(process, code):
    """What a process printed on stderr, without the lines of progress bars."""
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, (process.returncode, out, err)
    # tqdm's own, if the signal comes while a bar is created: its __del__ misses attributes.
    err = re.sub(
        r"Exception ignored in: <function tqdm\.__del__.*?AttributeError: [^\n]*\n",
        "",
        err,
        flags=re.S,
    )
    assert "Traceback" not in out + err and "Exception" not in out + err, err
    return " ".join(err.splitlines()[-1].split()) if err else ""


def read_status(run):
    """The status, which must not name a step that no checkpoint has."""
    status = run.status()
    assert status["state"] == "interrupted" and status["step"] in [0, *run.checkpoints.steps()]
    assert not run.in_use()
    return status


@pytest.fixture
def data(drawn):
    return ["--data.name", "mpii", "--data.root", drawn]


@pytest.fixture
def run(tmp_path):
    return RunDir(tmp_path / "reports" / "runs" / "a")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_search_finishes_its_step_and_saves_and_resume_goes_on(number, code, data, run, tmp_path):
    process = start([*SEARCH, *data], tmp_path)
    wait_until(lambda: run.status().get("step", 0) > 3, process)
    os.killpg(process.pid, number)
    message = ended(process, code)
    status = read_status(run)
    assert f"stopped after step {status['step']} of" in message and "`posenfs resume a`" in message
    assert status["step"] == run.checkpoints.steps()[-1] == run.history()[-1]["step"]

    process = start(["resume", "a", "--device", "cpu"], tmp_path)
    wait_until(lambda: run.status()["step"] > status["step"], process)
    assert run.holder() == f"`posenfs resume` (process {process.pid} on {run.status()['host']})"
    os.killpg(process.pid, number)
    ended(process, code)
    assert read_status(run)["step"] > status["step"]


def test_a_second_ctrl_c_breaks_the_step_off_and_the_status_is_that_of_the_checkpoint(
    data, run, tmp_path
):
    """The step of this search takes longer than a second signal needs."""
    slow = """
import sys, time
from posenfs.search.trainer import Trainer
from posenfs.cli.main import main
step = Trainer.train_step
def slowly(trainer):
    if trainer.step_number == 3:
        open("stepping", "w").close()
        time.sleep(60)
    return step(trainer)
Trainer.train_step = slowly
main(sys.argv[1:])
"""
    environment = {**os.environ, "PYTHONPATH": str(HOME)}
    process = subprocess.Popen(
        [sys.executable, "-c", slow, *map(str, [*SEARCH, *data, "--checkpoints.every", "2", "--runtime.log-every", "1"])],
        cwd=tmp_path, env=environment, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    wait_until((tmp_path / "stepping").exists, process)
    assert run.status()["step"] == 3  # which no checkpoint has
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    message = ended(process, 130)
    assert read_status(run)["step"] == run.checkpoints.steps()[-1] == 2
    assert "aborted after step 3." in message and "continues from step 2 of" in message


@pytest.mark.slow
def test_the_sigterm_of_a_scheduler_reaches_loader_workers_too(data, run, tmp_path):
    """They are gone at once: the step under way ends if it can, and the last checkpoint is what is left otherwise."""
    process = start([*SEARCH, *data, "--training.crops", "plain", "--workers", "1"], tmp_path)
    wait_until(lambda: run.checkpoints.steps(), process)
    os.killpg(process.pid, signal.SIGTERM)
    assert "posenfs resume a" in ended(process, 143)
    assert read_status(run)["step"] > 0


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)],
)
def test_drawing_and_caching_leave_nothing_half_done(number, code, run, tmp_path):
    search = [
        *SEARCH,
        "--data.images",
        "210",
        "10",
    ]  # so many are drawn and cropped in processes of their own
    images = tmp_path / "data" / "synthetic" / "default_210_10_seed0" / "images"
    process = start(search, tmp_path)
    wait_until(lambda: images.is_dir() and len(list(images.iterdir())) > 10, process)
    os.killpg(process.pid, number)
    assert "before any training step" in ended(process, code)
    assert not (images.parent / "synthetic.json").exists() and not run.folder.exists()

    process = start(search, tmp_path)
    wait_until(lambda: list((tmp_path / "cache").glob("*/pixels.unfinished")), process)
    os.killpg(process.pid, number)
    assert "before any training step" in ended(process, code)
    assert (images.parent / "synthetic.json").exists() and len(list(images.iterdir())) == 220
    assert not run.folder.exists() and not list((tmp_path / "cache").glob("*/crops.json"))

    process = start(search, tmp_path)
    wait_until(lambda: run.status().get("step", 0) > 0, process)
    os.killpg(process.pid, number)
    ended(process, code)
    read_status(run)


def test_a_detached_search_and_whoever_follows_it(data, run, tmp_path):
    process = start([*SEARCH, *data, "--detach"], tmp_path)
    assert process.wait(120) == 0, process.communicate()
    wait_until(lambda: run.status().get("step", 0) > 0)
    assert run.holder().startswith("a detached search (process ")
    follower = start(["follow", "a"], tmp_path)
    wait_until(lambda: os.read(follower.stderr.fileno(), 1), follower)
    os.killpg(follower.pid, signal.SIGINT)
    assert "the search continues: posenfs follow a" in ended(follower, 130)
    pid = run.status()["pid"]
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not run.in_use())
    read_status(run)
    assert "stopped after step" in (run.folder / "search.log").read_text().splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_several_processes_save_as_one(number, code, data, run, tmp_path):
    process = start([*SEARCH, *data, "--devices", "2"], tmp_path)
    wait_until(lambda: run.status().get("step", 0) > 1, process)
    os.kill(process.pid, number)
    assert "stopped after step" in ended(process, code)
    step = read_status(run)["step"]
    process = start(["resume", "a", "--device", "cpu", "--devices", "2"], tmp_path)
    wait_until(lambda: run.status()["step"] > step, process)
    os.kill(process.pid, number)
    assert "stopped after step" in ended(process, code)
    assert read_status(run)["step"] > step


@pytest.mark.parametrize(
    "command",
    [
        ["data", "synthetic", "--root", "drawn", "--images", "20", "10"],
        ["data", "check", "DATA"],
        ["predict", "IMAGES", "--boxes", "whole", "--output", "out", "--device", "cpu"],
    ],
    ids=" ".join,
)
def test_other_commands_end_with_a_sentence(command, drawn, tmp_path):
    """Interrupted while they read, draw or predict, which takes a second an image here."""
    places = {"IMAGES": sorted((drawn / "images").iterdir()), "DATA": [drawn]}
    process = start(
        [place for word in command for place in places.get(word, [word])], tmp_path, slow=True
    )
    wait_until((tmp_path / "begun").exists, process)
    os.killpg(process.pid, signal.SIGINT)
    assert ended(process, 130) == "posenfs: interrupted"
    assert (
        not (tmp_path / "out" / "predictions.json").exists()
        and not (tmp_path / "drawn" / "synthetic.json").exists()
    )

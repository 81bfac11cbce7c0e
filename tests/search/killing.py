"""A search killed again and again beside one that is not.

    python -m tests.search.killing EXPERIMENT.json FOLDER KILLS SEED

Every search is a child forked from this process, which has loaded everything beforehand. Exit code 0 where both end in
the same history and weights, and no half-written file was ever there to be read.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from posenfs.search.experiment import Experiment
from posenfs.search.run_dir import RunDir
from posenfs.search.session import Search


def main(experiment: Experiment, folder: Path, kills: int, seed: int) -> None:
    torch.set_num_threads(1)
    draw, started = random.Random(seed), time.monotonic()
    assert wait(start(experiment, folder / "whole")) == 0
    length, killed = time.monotonic() - started, 0
    places = [None, "torch.save", "os.replace", "os.fsync"]
    while killed < kills:
        place = places[killed % len(places)]
        child = start(
            experiment,
            folder / "killed",
            place,
            draw.randrange(1, 6 if place == "torch.save" else 20),
        )
        if place is None:
            time.sleep(draw.uniform(0.1, 0.9) * length)
            os.kill(child, signal.SIGKILL)
        code = wait(child)
        assert code in (0, -signal.SIGKILL), f"a search ended with {code}"
        if code == 0:  # it came to its end before its end came: begin again
            (folder / "killed").rename(folder / f"done_{killed}")
        killed += 1
        read_all(RunDir(folder / "killed"))
    assert wait(start(experiment, folder / "killed")) == 0
    for ended in [folder / "killed", *folder.glob("done_*")]:
        compare(RunDir(ended), RunDir(folder / "whole"))


def start(experiment: Experiment, folder: Path, place: str | None = None, call: int = 0) -> int:
    """A child that searches; killed in the middle of its so-and-so-manieth call of a function, if one is named."""
    if child := os.fork():
        return child
    try:
        if place is not None:
            die_in(place, call)
        Search(experiment, folder, device="cpu", progress=False).finish()
        os._exit(0)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)


def die_in(place: str, call: int) -> None:
    owner, name = {"torch": torch, "os": os}[place.partition(".")[0]], place.partition(".")[2]
    original, calls = getattr(owner, name), []

    def dies(*args):
        calls.append(args)
        if len(calls) == call:
            if name == "save":  # half of the checkpoint is on disk
                args[1].write(b"PK half of a file")
                args[1].flush()
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args)

    setattr(owner, name, dies)


def wait(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def read_all(run: RunDir) -> None:
    """Whatever is there can be read."""
    if (run.folder / "config.json").exists():
        (
            run.experiment(),
            run.provenance(),
            run.status(),
            run.metrics(),
            run.history(),
            run.timing(),
            run.architectures(),
        )
        for step in run.checkpoints.steps():
            run.checkpoints.load(step)
        if (run.folder / "errors.npz").exists():
            run.errors()


def compare(run: RunDir, whole: RunDir) -> None:
    for name in ("history.jsonl", "metrics.json", "config.json", "model.safetensors"):
        assert (run.folder / name).read_bytes() == (whole.folder / name).read_bytes(), name
    assert run.checkpoints.steps() == whole.checkpoints.steps()
    (steps, one), (others, other) = run.architectures(), whole.architectures()
    assert steps.tolist() == others.tolist() and all(
        one[n].alpha.equal(other[n].alpha) for n in other
    )
    assert json.loads((run.folder / "status.json").read_text())["state"] == "finished"


if __name__ == "__main__":
    path, folder, kills, seed = sys.argv[1:]
    main(Experiment.from_json(Path(path).read_text()), Path(folder), int(kills), int(seed))

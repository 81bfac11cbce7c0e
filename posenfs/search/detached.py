"""A search in a process of its own, which outlives whoever began it; anyone follows and steers it by its run folder."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from posenfs.data.sample import DataError
from posenfs.messages import error_message
from posenfs.plugins import PluginError, load_plugins
from posenfs.search.distributed import ProcessLost, is_distributed, launch
from posenfs.search.experiment import Experiment
from posenfs.search.failures import NonFiniteLoss, OutOfMemory
from posenfs.search.run_dir import Run, RunError, runs_home
from posenfs.search.session import Search
from posenfs.search.signals import say_interrupted, terminable

LOG = "search.log"  # in the run folder: what the search would have said to the terminal
_REFUSED = "posenfs: "  # with which the last words of a search begin that cannot be run
_LAST = 5  # lines of it in a message


def detach(
    experiment: Experiment,
    folder: str | Path | None = None,
    device: str = "auto",
    workers: int = 0,
    strict: bool = False,
    cache_gb: float = 20.0,
    devices: int = 1,
    patience: float = 60.0,
    held: bool = False,
) -> Run:
    """Begin a search, or go on with one, in a process of its own, or in several that share every batch, each with a GPU
    or some threads; if `held` it waits there for a command. Returns its run once it is under way, or after so many
    seconds of preparing its data. Raises RunError with its last words where it ends before."""
    run = Run(folder or runs_home() / experiment.name)
    if devices < 1:
        raise ValueError(f"a search runs in at least 1 process; got {devices}")
    run.check_holds(experiment)
    run.check_free()
    fresh = not run.folder.exists()
    run.folder.mkdir(parents=True, exist_ok=True)
    numbers = (str(n) for n in (workers, int(strict), cache_gb, devices, int(held)))
    options = [experiment.to_json(), str(run.folder.resolve()), device, *numbers]
    began, end = time.time(), time.monotonic() + patience
    with open(run.folder / LOG, "a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "posenfs.search.detached", *options],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    while time.monotonic() < end and run.status().get("heartbeat", 0) < began:
        if (code := process.poll()) not in (None, 0):
            text = (run.folder / LOG).read_text()
            if fresh and _REFUSED in text and not (run.folder / "config.json").exists():
                shutil.rmtree(run.folder)  # which holds nothing but these words
                # of several processes the first knows
                raise RunError(text.split(_REFUSED)[1].strip())
            words = text.splitlines()[-_LAST:]
            raise RunError(
                f"the search ended with exit code {code}: {' / '.join(words)} ({run.folder / LOG})"
            )
        time.sleep(0.1)
    return run


def send(
    run: Run,
    command: str,
    steps: int = 1,
    patience: float = 120.0,
    under_way: Callable[[], bool] | None = None,
) -> dict:
    """Give a command to the search under way in a folder, and wait until it has heeded it; returns its status then.
    Whether one is under way the folder's lock tells, or `under_way`.

    Raises RunError where none is under way, where it does not answer in so many seconds, or cannot do it.
    """
    under_way = under_way or run.in_use
    if not under_way():
        raise RunError(
            f"no search is under way in {run.folder}; `posenfs resume {run.argument} --detach` goes on with it"
        )
    number, end = run.command(command, steps), time.monotonic() + patience
    while run.status().get("command", 0) < number:
        if not under_way():
            raise RunError(
                f"the search in {run.folder} ended: {run.status().get('error') or run.state()}"
            )
        if time.monotonic() > end:
            raise RunError(
                f"the search in {run.folder} has not heeded {command!r} in {patience:g} s; is it in a long step?"
            )
        time.sleep(0.05)
    if "error" in (status := run.status()):
        raise RunError(status["error"])
    return status


def follow(run: Run, progress: bool = True) -> dict:
    """Show how far the search in a folder is, until none is under way there; returns its last status."""
    status = run.status()
    with tqdm(total=status.get("steps"), unit="step", disable=not progress) as bar:
        while run.in_use():
            status = run.status()
            bar.n, bar.total = status.get("step", 0), status.get("steps")
            bar.set_description(status.get("state", "preparing"))
            time.sleep(0.5)
    return run.status()


def main() -> None:
    """The process itself: experiment (JSON), folder, device, workers, strict, cache_gb, devices, held as arguments."""
    experiment, folder, device, workers, strict, cache_gb, devices, held = sys.argv[1:]
    if int(devices) != 1 and not is_distributed():
        sys.exit(launch(int(devices), "posenfs.search.detached", sys.argv[1:]))
    try:
        load_plugins()
        asked = Experiment.from_json(experiment)
        search = Search(
            asked, folder, device, int(workers), strict=bool(int(strict)), cache_gb=float(cache_gb)
        )
        search.finish(held=bool(int(held)))
    except (
        ValueError,
        OSError,
        DataError,
        RunError,
        PluginError,
        NonFiniteLoss,
        OutOfMemory,
        ProcessLost,
    ) as error:
        sys.exit(f"{_REFUSED}{error_message(error)}")
    except KeyboardInterrupt as interrupt:
        sys.exit(say_interrupted(interrupt))


if __name__ == "__main__":
    with terminable():
        main()

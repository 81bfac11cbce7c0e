"""Searches in a separate process, controlled through their run directory."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from posenfs.errors import PosenfsError
from posenfs.messages import error_message
from posenfs.plugins import load_plugins
from posenfs.search.checkpoints import RunError
from posenfs.search.control import Command, CommandFile
from posenfs.search.distributed import is_distributed, launch
from posenfs.search.experiment import Experiment
from posenfs.search.run_dir import RunDir, runs_home
from posenfs.search.session import Search
from posenfs.search.signals import say_interrupted, terminable

LOG = "search.log"  # in the run directory: the output of a detached search
_REFUSED = "posenfs: "  # begins the message of a search that cannot run
_LAST_LINES = 5  # of the log in an error message


@dataclass(frozen=True)
class DetachOptions:
    """How a detached search runs; nothing here but `devices` changes its numbers.

    Attributes:
        device: auto, cpu, cuda or cuda:N.
        devices: The number of processes that share every batch, each with a GPU or some threads.
        workers: Number of processes that decode images.
        strict: Whether a broken image is an error.
        cache_gb: Disk space for cached crops, in GB.
        wait_for_command: Whether the search waits for a command before its first step.
    """

    device: str = "auto"
    devices: int = 1
    workers: int = 0
    strict: bool = False
    cache_gb: float = 20.0
    wait_for_command: bool = False

    def __post_init__(self):
        if self.devices < 1:
            raise ValueError(f"a search runs in at least 1 process; got {self.devices}")


def detach(
    experiment: Experiment,
    folder: str | Path | None = None,
    options: DetachOptions = DetachOptions(),
    timeout: float = 60.0,
) -> RunDir:
    """Start or continue a search in a new process, which outlives this one.

    Args:
        experiment: The experiment.
        folder: The run directory; None: reports/runs/<name>.
        options: How the search runs.
        timeout: Seconds to wait until it is ready; preparing its data may take longer.

    Raises:
        RunError: The process ended before it was ready (the message is that of the process), or
            the directory holds another experiment or is in use.
    """
    run = RunDir(folder or runs_home() / experiment.name)
    run.check_holds(experiment)
    run.check_unlocked()
    is_new = not run.folder.exists()
    run.folder.mkdir(parents=True, exist_ok=True)
    arguments = [experiment.to_json(), str(run.folder.resolve()), json.dumps(asdict(options))]
    started, deadline = time.time(), time.monotonic() + timeout
    with open(run.folder / LOG, "a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "posenfs.search.detached", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    while time.monotonic() < deadline and run.status().get("heartbeat", 0) < started:
        if process.poll() not in (None, 0):
            raise _start_error(run, is_new, process.returncode)
        time.sleep(0.1)
    return run


def _start_error(run: RunDir, is_new: bool, code: int) -> RunError:
    """Return the error of a process that ended early; remove a directory with nothing but a log."""
    text = (run.folder / LOG).read_text()
    if is_new and _REFUSED in text and not (run.folder / "config.json").exists():
        shutil.rmtree(run.folder)
        # Of several processes rank 0 prints the reason first.
        return RunError(text.split(_REFUSED)[1].strip())
    lines = " / ".join(text.splitlines()[-_LAST_LINES:])
    return RunError(f"the search ended with exit code {code}: {lines} ({run.folder / LOG})")


def send(
    run: RunDir,
    command: str,
    steps: int = 1,
    timeout: float = 120.0,
    under_way: Callable[[], bool] | None = None,
) -> dict:
    """Send a command to the search of a run in another process, and wait until it is executed.

    Args:
        run: The run.
        command: pause, resume, step, checkpoint, rewind or stop (`Command`).
        steps: A number of steps, or for rewind a step.
        timeout: Seconds to wait.
        under_way: Returns whether the search is running; None: whether the run is locked.

    Returns:
        The status of the search afterwards.

    Raises:
        ValueError: The command is unknown.
        RunError: No search is running, it does not answer in time, or the command fails.
    """
    under_way = under_way or run.in_use
    if not under_way():
        raise RunError(
            f"no search is running in {run.folder}; `posenfs resume {run.argument} --detach` "
            "continues it"
        )
    number = CommandFile(run.folder).send(Command(command, steps))
    deadline = time.monotonic() + timeout
    while run.status().get("command", 0) < number:
        if not under_way():
            reason = run.status().get("error") or run.state()
            raise RunError(f"the search in {run.folder} ended: {reason}")
        if time.monotonic() > deadline:
            raise RunError(
                f"the search in {run.folder} has not executed {command!r} in {timeout:g} s; is it "
                "in a long step?"
            )
        time.sleep(0.05)
    status = run.status()
    if "error" in status:
        raise RunError(status["error"])
    return status


def follow(run: RunDir, progress: bool = True) -> dict:
    """Show the progress of a search in another process until it ends.

    Args:
        run: The run.
        progress: Whether to show a progress bar.

    Returns:
        Its last status.
    """
    status = run.status()
    with tqdm(total=status.get("steps"), unit="step", disable=not progress) as bar:
        while run.in_use():
            status = run.status()
            bar.n, bar.total = status.get("step", 0), status.get("steps")
            bar.set_description(status.get("state", "preparing"))
            time.sleep(0.5)
    return run.status()


def main() -> None:
    """Run the search; the arguments are the experiment, the folder and the options (JSON)."""
    experiment, folder, encoded = sys.argv[1:]
    options = DetachOptions(**json.loads(encoded))
    if options.devices != 1 and not is_distributed():
        sys.exit(launch(options.devices, "posenfs.search.detached", sys.argv[1:]))
    try:
        load_plugins()
        search = Search(
            Experiment.from_json(experiment),
            folder,
            options.device,
            options.workers,
            strict=options.strict,
            cache_gb=options.cache_gb,
        )
        search.finish(options.wait_for_command)
    except (ValueError, OSError, PosenfsError) as error:
        sys.exit(f"{_REFUSED}{error_message(error)}")
    except KeyboardInterrupt as interrupt:
        sys.exit(say_interrupted(interrupt))


if __name__ == "__main__":
    with terminable():
        main()

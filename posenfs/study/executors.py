"""Executors of an ablation: they execute the notebooks of its runs, here in local processes."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from posenfs.plugins import VARIABLE
from posenfs.search.run_dir import RunDir
from posenfs.study.notebooks import KernelDied, NotebookError, run_notebook

LOG = "notebook.log"  # in the run's folder: the output of its process
ATTEMPTS = 3  # of a run whose process was killed; each resumes from the last checkpoint
PERIOD = 0.5  # s between polls of the running jobs
GRACE = 120.0  # s in which an interrupted run saves its state
_KERNEL_DIED = 75  # exit code of a process whose kernel was killed (EX_TEMPFAIL: try again later)


@dataclass(frozen=True)
class Job:
    """One notebook to execute.

    Attributes:
        key: The run's fingerprint.
        folder: The run's folder.
        notebook: The notebook.
        experiment: The experiment as JSON.
    """

    key: str
    folder: Path
    notebook: Path
    experiment: str


class Executor(Protocol):
    """Executes jobs."""

    def run(
        self, jobs: Sequence[Job], poll: Callable[[], None]
    ) -> Iterator[tuple[str, str | None]]:
        """Execute jobs, and yield the key of each as it ends, with an error message or None.

        Args:
            jobs: The jobs.
            poll: Called regularly while jobs run.
        """

    def stop(self) -> None:
        """Interrupt the running jobs, and wait until they have saved their state."""


def execute(
    folder: str,
    notebook: str,
    experiment: str,
    device: str,
    where: str,
    plugins: str | None = None,
) -> None:
    """Execute a job in this process, which an executor has started for it.

    Args:
        folder: The run's folder.
        notebook: The notebook to execute.
        experiment: The experiment as JSON.
        device: The device of the search.
        where: The working folder.
        plugins: The value of POSENFS_PLUGINS; None leaves it as it is.

    Raises:
        NotebookError: A cell fails.
        KernelDied: The kernel was killed.
    """
    os.chdir(where)
    if plugins is not None:  # the processes of a cluster do not inherit the environment
        os.environ[VARIABLE] = plugins
    run = RunDir(folder)
    deadline = time.monotonic() + GRACE
    # The kernel of a killed process ends a moment after it.
    while run.in_use() and time.monotonic() < deadline:
        time.sleep(0.5)
    parameters = {"experiment": json.loads(experiment), "device": device}
    run_notebook(Path(notebook), run.folder / "notebook.ipynb", parameters, progress=False)


class LocalExecutor:
    """Executes jobs in processes of this machine.

    Args:
        jobs: How many run at a time; None: as many as the GPUs hold, or one on the CPU.
        gpus_per_run: The share of a GPU that a run gets (0.5: two runs share a GPU).
        device: auto, cpu, cuda or cuda:N.

    Raises:
        ValueError: `jobs` or `gpus_per_run` is out of range.
    """

    def __init__(self, jobs: int | None = None, gpus_per_run: float = 1.0, device: str = "auto"):
        if (jobs is not None and jobs < 1) or not 0 < gpus_per_run <= 1:
            raise ValueError(
                "jobs must be at least 1, and a run's share of a GPU above 0 and at most 1; "
                f"got {jobs}, {gpus_per_run}"
            )
        self.device = device
        self.gpus = _gpus() if device in ("auto", "cuda") else []
        self.jobs = jobs or max(int(len(self.gpus) / gpus_per_run), 1)
        self.threads = max((os.cpu_count() or 1) // self.jobs, 1)
        self._running: dict[int, tuple[Job, subprocess.Popen]] = {}  # by slot

    def run(
        self, jobs: Sequence[Job], poll: Callable[[], None]
    ) -> Iterator[tuple[str, str | None]]:
        """See Executor. A job whose process or kernel was killed is started again and resumes."""
        waiting = deque(jobs)
        attempts = dict.fromkeys((job.key for job in jobs), 0)
        while waiting or self._running:
            for slot in range(self.jobs):
                if slot not in self._running and waiting:
                    job = waiting.popleft()
                    self._running[slot] = job, self._start(job, slot)
                    attempts[job.key] += 1
            poll()
            time.sleep(PERIOD)
            for slot, (job, process) in list(self._running.items()):
                code = process.poll()
                if code is None:
                    continue
                del self._running[slot]
                if (code < 0 or code == _KERNEL_DIED) and attempts[job.key] < ATTEMPTS:
                    waiting.append(job)
                else:
                    yield job.key, None if code == 0 else _failure(job, code)

    def _start(self, job: Job, slot: int) -> subprocess.Popen:
        job.folder.mkdir(parents=True, exist_ok=True)
        threads = str(self.threads)
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[slot * len(self.gpus) // self.jobs]
        arguments = [str(job.folder), str(job.notebook), self.device]
        with open(job.folder / LOG, "a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "posenfs.study.executors", *arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        # A process that ends at once closes the pipe; its exit code is reported by `run`.
        if process.stdin is not None:
            with process.stdin as pipe, contextlib.suppress(BrokenPipeError):
                pipe.write(job.experiment.encode())
        return process

    def stop(self) -> None:
        """See Executor."""
        for _, process in self._running.values():
            process.send_signal(signal.SIGINT)
        for _, process in self._running.values():
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
        self._running.clear()


def _gpus() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    count = torch.cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(number) for number in range(count)]
    return names[:count]


def _failure(job: Job, code: int) -> str:
    """Return why a process failed: the error in the run's status, or the last line of the log."""
    if code < 0:
        return f"killed by signal {-code}, {ATTEMPTS} times"
    error = RunDir(job.folder).overview().get("error")
    if error:
        return error
    lines = (job.folder / LOG).read_text().strip().splitlines() or [""]
    return f"exit code {code}: {lines[-1][:300]} ({job.folder / LOG})"


def main() -> None:
    """Execute the job of a local executor.

    The arguments are folder, notebook and device; standard input holds the experiment as JSON.
    """
    folder, notebook, device = sys.argv[1:]
    try:
        execute(folder, notebook, sys.stdin.read(), device, os.getcwd())
    except KernelDied as error:
        print(error, file=sys.stderr)
        sys.exit(_KERNEL_DIED)
    except NotebookError as error:
        sys.exit(str(error).replace("\n", "; "))  # the executor reports the last line of the log
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

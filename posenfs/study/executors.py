"""Engines that execute the notebooks of an ablation: local processes, or a Ray cluster."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from posenfs.messages import error_reason
from posenfs.plugins import VARIABLE
from posenfs.search.checkpoints import RunError
from posenfs.search.detached import send
from posenfs.search.run_dir import RunDir
from posenfs.study.sweep import KernelDied, NotebookError, run_notebook

LOG = "notebook.log"  # in the run's folder: the output of its process
_ATTEMPTS = 3  # of a run whose process was killed; each resumes from the last checkpoint
_PERIOD = 0.5  # s between polls of the running jobs
_GRACE = 120.0  # s in which an interrupted run saves its state
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


class Engine(Protocol):
    """Executes jobs."""

    def run(
        self, jobs: Sequence[Job], look: Callable[[], None]
    ) -> Iterator[tuple[str, str | None]]:
        """Execute jobs, and yield the key of each as it ends, with an error message or None.

        Args:
            jobs: The jobs.
            look: Called regularly while jobs run.
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
    """Execute a job in this process, which an engine has started for it.

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
    deadline = time.monotonic() + _GRACE
    # The kernel of a killed process ends a moment after it.
    while run.in_use() and time.monotonic() < deadline:
        time.sleep(0.5)
    parameters = {"experiment": json.loads(experiment), "device": device}
    run_notebook(Path(notebook), run.folder / "notebook.ipynb", parameters, progress=False)


class LocalEngine:
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
                "jobs are at least 1, a run's share of a GPU is above 0 and at most 1; "
                f"got {jobs}, {gpus_per_run}"
            )
        self.device = device
        self.gpus = _gpus() if device in ("auto", "cuda") else []
        self.jobs = jobs or max(int(len(self.gpus) / gpus_per_run), 1)
        self.threads = max((os.cpu_count() or 1) // self.jobs, 1)
        self._running: dict[int, tuple[Job, subprocess.Popen]] = {}  # by slot

    def run(
        self, jobs: Sequence[Job], look: Callable[[], None]
    ) -> Iterator[tuple[str, str | None]]:
        """See Engine. A job whose process or kernel was killed is started again and resumes."""
        waiting = deque(jobs)
        attempts = dict.fromkeys((job.key for job in jobs), 0)
        while waiting or self._running:
            for slot in range(self.jobs):
                if slot not in self._running and waiting:
                    job = waiting.popleft()
                    self._running[slot] = job, self._start(job, slot)
                    attempts[job.key] += 1
            look()
            time.sleep(_PERIOD)
            for slot, (job, process) in list(self._running.items()):
                code = process.poll()
                if code is None:
                    continue
                del self._running[slot]
                if (code < 0 or code == _KERNEL_DIED) and attempts[job.key] < _ATTEMPTS:
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
        """See Engine."""
        for _, process in self._running.values():
            process.send_signal(signal.SIGINT)
        for _, process in self._running.values():
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
        self._running.clear()


class RayEngine:
    """Executes jobs as tasks of a Ray cluster.

    Args:
        address: The address of an existing cluster; None: start one on this machine.
        gpus_per_run: GPUs of a run; None: one where the cluster has GPUs, else 0.

    Raises:
        ValueError: Ray is not installed, or no cluster answers.
    """

    def __init__(self, address: str | None = None, gpus_per_run: float | None = None):
        try:
            import ray
        except ImportError:
            raise ValueError(
                "Ray is not installed: pip install 'posenfs[ray]', or choose --engine local"
            ) from None
        self.ray = ray
        self._connected_here = not ray.is_initialized()
        if self._connected_here:
            try:
                _check_address(address)
                ray.init(address=address or "local", log_to_driver=False, include_dashboard=False)
            except (OSError, ValueError) as error:
                raise ValueError(
                    f"no Ray cluster at {address!r} ({error}); ray start --head starts one"
                ) from None
        if gpus_per_run is None:
            gpus_per_run = min(ray.cluster_resources().get("GPU", 0.0), 1.0)
        options = ray.remote(
            num_cpus=1,
            num_gpus=gpus_per_run,
            max_retries=_ATTEMPTS - 1,
            retry_exceptions=[KernelDied],
        )
        self._task = options(execute)
        self._running: dict = {}  # jobs by the references of their tasks

    def run(
        self, jobs: Sequence[Job], look: Callable[[], None]
    ) -> Iterator[tuple[str, str | None]]:
        """See Engine. Ray restarts a task whose process or kernel was killed; its run resumes."""
        working_folder, plugins = os.getcwd(), os.environ.get(VARIABLE, "")
        for job in jobs:
            folder, notebook = str(job.folder), str(job.notebook)
            task = self._task.remote(
                folder, notebook, job.experiment, "auto", working_folder, plugins
            )
            self._running[task] = job
        while self._running:
            ended, _ = self.ray.wait(list(self._running), timeout=_PERIOD)
            look()
            for task in ended:
                job = self._running.pop(task)
                try:
                    self.ray.get(task)
                    yield job.key, None
                except self.ray.exceptions.RayError as error:
                    cause = getattr(error, "cause", None) or error
                    yield job.key, error_reason(cause)

    def stop(self) -> None:
        """See Engine."""
        runs = []
        for task, job in self._running.items():
            run = RunDir(job.folder)
            runs.append(run)
            if run.in_use():
                # A command file lets the run save its state, which a cancelled task cannot do.
                with contextlib.suppress(RunError):  # the run has just ended by itself
                    send(run, "stop")
            else:
                self.ray.cancel(task)
        deadline = time.monotonic() + _GRACE
        while any(run.in_use() for run in runs) and time.monotonic() < deadline:
            time.sleep(_PERIOD)
        self._running.clear()

    def close(self) -> None:
        """Disconnect from the cluster; a cluster that this engine started ends."""
        if self._connected_here:
            self.ray.shutdown()


def _gpus() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    count = torch.cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(number) for number in range(count)]
    return names[:count]


def _check_address(address: str | None) -> None:
    """Raise OSError if HOST:PORT refuses connections; Ray itself would try for minutes."""
    host, colon, port = (address or "").rpartition(":")
    if colon and "/" not in host:
        socket.create_connection((host, int(port)), timeout=5).close()


def _failure(job: Job, code: int) -> str:
    """Return why a process failed: the error in the run's status, or the last line of the log."""
    if code < 0:
        return f"killed by signal {-code}, {_ATTEMPTS} times"
    error = RunDir(job.folder).status().get("error")
    if error:
        return error
    lines = (job.folder / LOG).read_text().strip().splitlines() or [""]
    return f"exit code {code}: {lines[-1][:300]} ({job.folder / LOG})"


def main() -> None:
    """Execute the job of a local engine.

    The arguments are folder, notebook and device; standard input holds the experiment as JSON.
    """
    folder, notebook, device = sys.argv[1:]
    try:
        execute(folder, notebook, sys.stdin.read(), device, os.getcwd())
    except KernelDied as error:
        print(error, file=sys.stderr)
        sys.exit(_KERNEL_DIED)
    except NotebookError as error:
        sys.exit(str(error).replace("\n", "; "))  # the engine reports the last line of the log
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

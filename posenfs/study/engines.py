"""Who executes an ablation's notebooks: processes of this machine, or a Ray cluster."""

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

from posenfs.body.words import reason_of
from posenfs.plugins import VARIABLE
from posenfs.search.detached import send
from posenfs.search.run import Run, RunError
from posenfs.study.sweep import KernelDied, NotebookError, run_notebook

LOG = "notebook.log"  # in the run's folder: what its process said
_TRIES = 3  # of a run whose process was killed: it goes on from its last snapshot
_PERIOD = 0.5  # s between looks at what is under way
_GRACE = 120.0  # s in which what is stopped saves itself
_KERNEL_DIED = 75  # the exit code of a process whose kernel was killed ("try again later")


@dataclass(frozen=True)
class Job:
    """One notebook to execute: the run's fingerprint and folder, the notebook, and the experiment as JSON."""

    key: str
    folder: Path
    notebook: Path
    experiment: str


class Engine(Protocol):
    """Executes jobs, and yields each one's key as it ends, with what went wrong, or None."""

    def run(self, jobs: Sequence[Job], look: Callable[[], None]) -> Iterator[tuple[str, str | None]]: ...

    def stop(self) -> None:
        """Interrupt what is under way, and wait until it is saved."""


def execute(folder: str, notebook: str, experiment: str, device: str, where: str, plugins: str | None = None) -> None:
    """Run a job in this process, which an engine has started for it.

    Args:
        folder: The run's folder.
        notebook: The notebook to execute.
        experiment: The experiment as JSON.
        device: The device to search on.
        where: The working folder.
        plugins: The value of POSENFS_PLUGINS; None leaves it as it is.

    Raises:
        NotebookError: A cell fails.
        KernelDied: The kernel was killed.
    """
    os.chdir(where)
    if plugins is not None:  # the processes of a cluster do not inherit the environment
        os.environ[VARIABLE] = plugins
    run, end = Run(folder), time.monotonic() + _GRACE
    while run.in_use() and time.monotonic() < end:  # a kernel whose process was killed ends a moment later
        time.sleep(0.5)
    parameters = {"experiment": json.loads(experiment), "device": device}
    run_notebook(Path(notebook), run.folder / "notebook.ipynb", parameters, progress=False)


class LocalEngine:
    """Processes of this machine, so many at a time; with GPUs each gets its share of one (0.5: two runs share it)."""

    def __init__(self, jobs: int | None = None, gpus_per_run: float = 1.0, device: str = "auto"):
        """`jobs`: at a time; none: as many as the GPUs hold, or one on the CPU. Raises ValueError where that cannot
        be."""
        if (jobs is not None and jobs < 1) or not 0 < gpus_per_run <= 1:
            raise ValueError(
                f"jobs are at least 1, a run's share of a GPU is above 0 and at most 1; got {jobs}, {gpus_per_run}"
            )
        self.device, self.gpus = device, _gpus() if device in ("auto", "cuda") else []
        self.jobs = jobs or max(int(len(self.gpus) / gpus_per_run), 1)
        self.threads = max((os.cpu_count() or 1) // self.jobs, 1)
        self._under_way: dict[int, tuple[Job, subprocess.Popen]] = {}  # by slot

    def run(self, jobs: Sequence[Job], look: Callable[[], None]) -> Iterator[tuple[str, str | None]]:
        """See Engine. What is killed, a process or its kernel, is begun again, and goes on; what fails is told."""
        waiting, tries = deque(jobs), dict.fromkeys((job.key for job in jobs), 0)
        while waiting or self._under_way:
            for slot in range(self.jobs):
                if slot not in self._under_way and waiting:
                    self._under_way[slot] = (job := waiting.popleft()), self._begin(job, slot)
                    tries[job.key] += 1
            look()
            time.sleep(_PERIOD)
            for slot, (job, process) in list(self._under_way.items()):
                if (code := process.poll()) is None:
                    continue
                del self._under_way[slot]
                if (code < 0 or code == _KERNEL_DIED) and tries[job.key] < _TRIES:
                    waiting.append(job)
                else:
                    yield job.key, None if code == 0 else _last_words(job, code)

    def _begin(self, job: Job, slot: int) -> subprocess.Popen:
        job.folder.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.threads), "MKL_NUM_THREADS": str(self.threads)}
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[slot * len(self.gpus) // self.jobs]
        command = [sys.executable, "-m", "posenfs.study.engines", str(job.folder), str(job.notebook), self.device]
        with open(job.folder / LOG, "a") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        with process.stdin as pipe, contextlib.suppress(BrokenPipeError):  # one that ends at once has its own words
            pipe.write(job.experiment.encode())
        return process

    def stop(self) -> None:
        """See Engine."""
        for _, process in self._under_way.values():
            process.send_signal(signal.SIGINT)
        for _, process in self._under_way.values():
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
        self._under_way.clear()


class RayEngine:
    """Tasks of a Ray cluster: an existing one by its address, or one of this machine."""

    def __init__(self, address: str | None = None, gpus_per_run: float | None = None):
        """`gpus_per_run`: none: one where the cluster has any, else 0. Raises ValueError where Ray is not installed or
        no cluster answers."""
        try:
            import ray
        except ImportError:
            raise ValueError("no Ray here: pip install 'posenfs[ray]', or take --engine local") from None
        self.ray, self._begun = ray, not ray.is_initialized()
        if self._begun:
            try:
                _knock(address)
                ray.init(address=address or "local", log_to_driver=False, include_dashboard=False)
            except (OSError, ValueError) as error:
                raise ValueError(f"no Ray cluster at {address!r} ({error}); ray start --head begins one") from None
        if gpus_per_run is None:
            gpus_per_run = min(ray.cluster_resources().get("GPU", 0.0), 1.0)
        self._task = ray.remote(
            num_cpus=1, num_gpus=gpus_per_run, max_retries=_TRIES - 1, retry_exceptions=[KernelDied]
        )(execute)
        self._under_way: dict = {}  # the job by the reference of its task

    def run(self, jobs: Sequence[Job], look: Callable[[], None]) -> Iterator[tuple[str, str | None]]:
        """See Engine. Ray begins a task again whose process or kernel was killed, and the run in it goes on."""
        where = os.getcwd()
        for job in jobs:
            plugins = os.environ.get(VARIABLE, "")
            task = self._task.remote(str(job.folder), str(job.notebook), job.experiment, "auto", where, plugins)
            self._under_way[task] = job
        while self._under_way:
            ended, _ = self.ray.wait(list(self._under_way), timeout=_PERIOD)
            look()
            for task in ended:
                job = self._under_way.pop(task)
                try:
                    self.ray.get(task)
                    yield job.key, None
                except self.ray.exceptions.RayError as error:
                    cause = getattr(error, "cause", None) or error
                    yield job.key, reason_of(cause)

    def stop(self) -> None:
        """See Engine."""
        for task, job in self._under_way.items():
            if (run := Run(job.folder)).in_use():
                with contextlib.suppress(RunError):  # it ends by itself just now
                    send(run, "stop")  # by its folder: a cancelled task has no chance to save
            else:
                self.ray.cancel(task)
        end = time.monotonic() + _GRACE
        while any(Run(job.folder).in_use() for job in self._under_way.values()) and time.monotonic() < end:
            time.sleep(_PERIOD)
        self._under_way.clear()

    def close(self) -> None:
        """Leave the cluster; one that was begun here ends."""
        if self._begun:
            self.ray.shutdown()


def _gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    count, named = torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES")
    return (named.split(",") if named else [str(n) for n in range(count)])[:count]


def _knock(address: str | None) -> None:
    """Raise OSError where nobody listens at HOST:PORT: Ray itself would try for minutes."""
    host, colon, port = (address or "").rpartition(":")
    if colon and "/" not in host:
        socket.create_connection((host, int(port)), timeout=5).close()


def _last_words(job: Job, code: int) -> str:
    """Why a process ended: the error that its run tells, or its last line."""
    if code < 0:
        return f"killed by signal {-code}, {_TRIES} times"
    lines = (job.folder / LOG).read_text().strip().splitlines() or [""]
    return Run(job.folder).status().get("error") or f"exit code {code}: {lines[-1][:300]} ({job.folder / LOG})"


def main() -> None:
    """A local engine's process: folder, notebook and device as arguments, the experiment's JSON on standard input."""
    folder, notebook, device = sys.argv[1:]
    try:
        execute(folder, notebook, sys.stdin.read(), device, os.getcwd())
    except KernelDied as error:
        print(error, file=sys.stderr)
        sys.exit(_KERNEL_DIED)
    except NotebookError as error:
        sys.exit(str(error).replace("\n", "; "))  # the last line of the log says all
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

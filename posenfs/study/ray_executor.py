"""The executor of an ablation on a Ray cluster."""

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence

from posenfs.messages import error_reason
from posenfs.plugins import VARIABLE
from posenfs.search.checkpoints import RunError
from posenfs.search.detached import send
from posenfs.search.run_dir import RunDir
from posenfs.study.executors import ATTEMPTS, GRACE, PERIOD, Job, execute
from posenfs.study.notebooks import KernelDied


class RayExecutor:
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
                "Ray is not installed: pip install 'posenfs[ray]', or choose --executor local"
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
            max_retries=ATTEMPTS - 1,
            retry_exceptions=[KernelDied],
        )
        self._task = options(execute)
        self._running: dict = {}  # jobs by the references of their tasks

    def run(
        self, jobs: Sequence[Job], poll: Callable[[], None]
    ) -> Iterator[tuple[str, str | None]]:
        """See Executor. Ray restarts a task whose process or kernel was killed; its run resumes."""
        working_folder, plugins = os.getcwd(), os.environ.get(VARIABLE, "")
        for job in jobs:
            folder, notebook = str(job.folder), str(job.notebook)
            task = self._task.remote(
                folder, notebook, job.experiment, "auto", working_folder, plugins
            )
            self._running[task] = job
        while self._running:
            ended, _ = self.ray.wait(list(self._running), timeout=PERIOD)
            poll()
            for task in ended:
                job = self._running.pop(task)
                try:
                    self.ray.get(task)
                    yield job.key, None
                except self.ray.exceptions.RayError as error:
                    cause = getattr(error, "cause", None) or error
                    yield job.key, error_reason(cause)

    def stop(self) -> None:
        """See Executor."""
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
        deadline = time.monotonic() + GRACE
        while any(run.in_use() for run in runs) and time.monotonic() < deadline:
            time.sleep(PERIOD)
        self._running.clear()

    def close(self) -> None:
        """Disconnect from the cluster; a cluster that this executor started ends."""
        if self._connected_here:
            self.ray.shutdown()


def _check_address(address: str | None) -> None:
    """Raise OSError if HOST:PORT refuses connections; Ray itself would try for minutes."""
    host, colon, port = (address or "").rpartition(":")
    if colon and "/" not in host:
        socket.create_connection((host, int(port)), timeout=5).close()

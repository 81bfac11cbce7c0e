"""Distributed search: the processes share every batch, and hold the same weights, alpha and beta.

`ProcessGroup.average` averages the gradients. DistributedDataParallel does not fit: a strategy
computes two to four gradients per step, some of them with respect to a subset of the parameters,
and freezes alpha and beta at times.
"""

import contextlib
import logging
import os
import sys
import uuid
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from posenfs.errors import PosenfsError
from posenfs.messages import error_reason

# Rank 0 may cut crops for hours while the others wait. The launcher ends all processes if one dies.
_TIMEOUT = timedelta(days=1)


class ProcessLost(PosenfsError, RuntimeError):
    """Another process of a distributed search has ended."""


class ProcessGroup:
    """The processes of a distributed search, or a single process.

    torchrun or `launch` starts them.

    Args:
        device: The device of this process.

    Attributes:
        rank: The number of this process. Rank 0 alone writes files.
        world_size: The number of processes.
    """

    def __init__(self, device: torch.device):
        environment = os.environ if is_distributed() else {}
        self.rank = int(environment.get("RANK", 0))
        self.world_size = int(environment.get("WORLD_SIZE", 1))
        if self.world_size == 1:
            return
        if device.type == "cuda":
            torch.cuda.set_device(device)
        if not dist.is_initialized():
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_TIMEOUT)
        # Python objects travel through host memory.
        self._objects = cast(dist.ProcessGroup, dist.new_group(backend="gloo", timeout=_TIMEOUT))

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    def rows(self, count: int) -> slice:
        """Return this process's contiguous share of `count` rows, in the order of the ranks."""
        return slice(
            self.rank * count // self.world_size, (self.rank + 1) * count // self.world_size
        )

    @torch.no_grad()
    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor in place by its mean over the processes, bit-identical in all.

        Raises:
            ProcessLost: Another process has ended.
        """
        if self.world_size == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        with _communication():
            dist.all_reduce(flat)
        flat /= self.world_size
        sizes = [tensor.numel() for tensor in tensors]
        for tensor, mean in zip(tensors, flat.split(sizes), strict=True):
            tensor.copy_(mean.view_as(tensor))

    def broadcast(self, value: Any) -> Any:
        """Return rank 0's value in all processes.

        Raises:
            ProcessLost: Another process has ended.
        """
        if self.world_size == 1:
            return value
        values = [value]
        with _communication():
            dist.broadcast_object_list(values, src=0, group=self._objects)
        return values[0]

    def gather(self, value: Any) -> list:
        """Return the values of all processes, in the order of the ranks.

        Raises:
            ProcessLost: Another process has ended.
        """
        values = [value] * self.world_size
        if self.world_size > 1:
            with _communication():
                dist.all_gather_object(values, value, group=self._objects)
        return values

    @contextlib.contextmanager
    def main_first(self) -> Iterator[None]:
        """Run the context in rank 0, then in the other processes, which find the files it made."""
        if not self.is_main:
            self.broadcast(None)
        yield
        if self.is_main:
            self.broadcast(None)


@contextlib.contextmanager
def _communication() -> Iterator[None]:
    """Turn a failure of torch.distributed into ProcessLost."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise ProcessLost(
            f"no answer from another process of this search; has it ended? ({error_reason(error)})"
        ) from error


def local_device(name: str) -> str:
    """Return the device name of this process: in a distributed search each process has its own GPU.

    Args:
        name: auto, cpu, cuda or cuda:N.

    Raises:
        ValueError: One GPU is named for several processes.
    """
    local_rank = os.environ.get("LOCAL_RANK") if is_distributed() else None
    if local_rank is None:
        return name
    if name.startswith("cuda:") and os.environ.get("LOCAL_WORLD_SIZE", "1") != "1":
        raise ValueError(
            f"each process needs a GPU of its own; choose device cuda or auto, not {name}"
        )
    uses_gpu = name == "cuda" or (name == "auto" and torch.cuda.is_available())
    return f"cuda:{local_rank}" if uses_gpu else name


def is_distributed() -> bool:
    """Whether torchrun or `launch` began this process."""
    return {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= set(os.environ)


def launch(processes: int, module: str, arguments: Sequence[str]) -> int:
    """Run a module in several processes of this machine, as one distributed search.

    Ctrl-C reaches each process once.

    Args:
        processes: The number of processes.
        module: The module that `python -m` runs.
        arguments: Its command-line arguments.

    Returns:
        The exit code of the first process that failed, or 0.

    Raises:
        ValueError: There is less than one process.
    """
    if processes < 1:
        raise ValueError(f"a search runs in at least 1 process; got {processes}")
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // processes, 1)))
    # After an interrupt a process finishes its step, which may end in an evaluation, and saves.
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "86400")
    # Each process prints its own error.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-m", module, *arguments)
    except ChildFailedError as error:
        code = error.get_first_failure()[1].exitcode
        return code if code > 0 else 128 - code  # negative: the signal that killed it
    except SignalException as error:
        return 128 + error.sigval
    return 0

"""Several processes that search as one: each has a part of every batch, all have the same w, alpha and beta.

Gradients are averaged here, once for each of them, and not by DistributedDataParallel's hooks: a strategy asks for
gradients of some parameters alone, twice or four times a step, and holds alpha and beta still for a while.
"""

import contextlib
import logging
import os
import sys
import uuid
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from posenfs.body.words import reason_of

# the first may have to keep crops for long; whoever launched us ends us if one dies
_PATIENCE = timedelta(days=1)


class Lost(RuntimeError):
    """Another of the processes that search as one has ended."""


class Ranks:
    """This process among those that torchrun, or `launch`, began together; alone it waits for nobody.

    `number` counts from 0, the first: it alone writes.
    """

    def __init__(self, device: torch.device):
        known = os.environ if among_others() else {}
        self.number, self.count = int(known.get("RANK", 0)), int(known.get("WORLD_SIZE", 1))
        if self.count == 1:
            return
        if device.type == "cuda":
            torch.cuda.set_device(device)
        if not dist.is_initialized():
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
        # for words, which are on the CPU
        self._talk = dist.new_group(backend="gloo", timeout=_PATIENCE)

    @property
    def first(self) -> bool:
        return self.number == 0

    def rows(self, count: int) -> slice:
        """Which of so many this process has: a contiguous part, in the order of the processes."""
        return slice(self.number * count // self.count, (self.number + 1) * count // self.count)

    @torch.no_grad()
    def average(self, tensors: Sequence[Tensor]) -> None:
        """Each becomes its mean over the processes, the same bits in all of them."""
        if self.count == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        with _all_there():
            dist.all_reduce(flat)
        flat /= self.count
        for tensor, mean in zip(
            tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True
        ):
            tensor.copy_(mean.view_as(tensor))

    def agree(self, value: Any) -> Any:
        """What the first says."""
        if self.count == 1:
            return value
        said = [value]
        with _all_there():
            dist.broadcast_object_list(said, src=0, group=self._talk)
        return said[0]

    def gather(self, value: Any) -> list:
        """What each says, in order."""
        said = [value] * self.count
        if self.count > 1:
            with _all_there():
                dist.all_gather_object(said, value, group=self._talk)
        return said

    @contextlib.contextmanager
    def first_alone(self) -> Iterator[None]:
        """The first does it, then the others, who find what it made."""
        if not self.first:
            self.agree(None)
        yield
        if self.first:
            self.agree(None)


@contextlib.contextmanager
def _all_there() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise Lost(
            f"no word from another process of this search; has it ended? ({reason_of(error)})"
        ) from error


def local_device(name: str) -> str:
    """The device of that name for this process: each has a GPU of its own; ValueError where all would have one."""
    number = os.environ.get("LOCAL_RANK") if among_others() else None
    if number and name.startswith("cuda:") and os.environ.get("LOCAL_WORLD_SIZE", "1") != "1":
        raise ValueError(
            f"each process needs a GPU of its own; choose device cuda or auto, not {name}"
        )
    return (
        f"cuda:{number}"
        if number and (name == "cuda" or (name == "auto" and torch.cuda.is_available()))
        else name
    )


def among_others() -> bool:
    """Whether this process is one of several that torchrun or `launch` began."""
    return {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= set(os.environ)


def launch(processes: int, module: str, arguments: Sequence[str]) -> int:
    """Run a module in so many processes of this machine that search as one; returns the exit code of the first that
    failed. Ctrl-C reaches each of them once. Raises ValueError for less than one process."""
    if processes < 1:
        raise ValueError(f"a search runs in at least 1 process; got {processes}")
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // processes, 1)))
    # a step may end in an evaluation; then they save
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "86400")
    # each process says what went wrong
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        1,
        1,
        processes,
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

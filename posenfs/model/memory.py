"""Memory of a training step, estimated beforehand (shapes alone are run, nothing is computed), and kept from step to
step."""

import copy
import ctypes
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from posenfs.model.losses import heatmap_loss


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes that a training step holds at its peak.

    `weights`: parameters and buffers. `gradients`: of the parameters that the loss depends on. `optimizer`: Adam's two
    moments of each. `activations`: what autograd keeps for the backward pass, the images among it. `working`: what
    comes and goes at the peak, gradients of activations and an operation's temporaries.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    working: int

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.activations + self.working

    def __str__(self) -> str:
        parts = ("weights", "gradients", "optimizer", "activations", "working")
        return f"{_text(self.total)}: " + ", ".join(f"{part} {_text(getattr(self, part))}" for part in parts)


@torch.enable_grad()
def training_memory(model: nn.Module, batch_size: int, height: int = 256, width: int = 256) -> TrainingMemory:
    """The memory of one step of training by Adam (fused) on Eq. 6, with images [batch_size, 3, height, width], in
    float32 and channels-last; the model, from images to score maps [B, K, h, w], is left as it is.

    Counted is the peak of every step after the first: the end of the forward pass, while the gradients of the step
    before still stand, and the beginning of the backward pass. Of what comes and goes there it allows one map as large
    as the largest (the gradient that goes backward), and one weight as large as the largest (the copy that a kernel
    makes in an order of its own).

    Measured: the resident memory of a second step on a CPU (Linux, oneDNN, one thread), less that of the process before
    there is a model (0.7 GiB with torch), is met within 5 % for MobileNet-V2 with P = 3, SimpleBaseline-50 and
    HRNet-W32 with 4 to 16 images of 128 and 256 px. So it is where freed memory goes back to the system at once
    (MALLOC_MMAP_THRESHOLD_=65536). glibc's allocator as it comes holds on to pieces: up to 8 % above the estimate at
    that step, 14 % (HRNet) and 24 % (P = 3) after forty. Not measured on a GPU.

    Raises ValueError for a batch size below 1, and what the model raises for an image that it cannot take.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1; got {batch_size}")
    model = copy.deepcopy(model).to("meta", torch.float32, memory_format=torch.channels_last).train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    stored = {t.untyped_storage() for t in (*model.parameters(), *model.buffers())}
    kept = set()  # storages, since views of one tensor share theirs

    def keep(tensor: Tensor) -> Tensor:
        kept.add(tensor.untyped_storage())
        return tensor

    images = torch.empty(batch_size, 3, height, width, device="meta")
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        maps = model(images)
        loss = heatmap_loss(maps, torch.empty_like(maps), torch.ones(maps.shape[:2], device="meta"))
    gradients = sum(g.nbytes for g in torch.autograd.grad(loss, parameters, allow_unused=True) if g is not None)
    activations = [storage.nbytes() for storage in kept - stored]
    return TrainingMemory(
        weights=sum(storage.nbytes() for storage in stored),
        gradients=gradients,
        optimizer=2 * gradients,
        activations=sum(activations),
        working=max(activations) + max(p.nbytes for p in parameters),
    )


def largest_batch(model: nn.Module, available_bytes: int, height: int = 256, width: int = 256) -> int:
    """The largest batch size whose `training_memory` is at most `available_bytes`; 0 where not even one image fits.

    `available_bytes` is what the process may take beyond what it holds before there is a model; an allocator's losses
    (see `training_memory`) are for the caller to leave free.
    """
    two, four = (training_memory(model, batch_size, height, width).total for batch_size in (2, 4))
    return max(0, 2 + 2 * (available_bytes - two) // (four - two))  # memory is affine in the batch size


def peak_bytes(device: torch.device) -> int:
    """The most that this process has held so far; of a GPU, its tensors."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "linux":  # where ru_maxrss is inherited from the process that began this one
        lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS counts bytes


def keep_freed_memory() -> None:
    """Let this process keep what it frees for what it allocates next; where the C library is not glibc nothing happens.

    A step allocates the hundreds of megabytes again that the one before freed. glibc gives them back to the system in
    between, and every page of them is then faulted in and cleared anew, which takes as long as much of the arithmetic
    (benchmarks/README.md has the figures). The peak stays what it is; what is kept stays until the process ends.
    """
    if (library := _glibc()) is None:
        return
    library.mallopt(_MMAP_MAX, 0)  # no block is mapped, and unmapped again, on its own
    library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)  # nor the end of the heap given back
    library.mallopt(_TOP_PAD, 2**26)  # which grows by this much more than is asked for


def give_back_memory() -> None:
    """Give what was kept back to the system: a search that ends in a thread leaves its gigabyte where the next thread
    may not look for it."""
    if (library := _glibc()) is not None:
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "gnu_get_libc_version") else None


_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # glibc's malloc.h


def _text(size: int) -> str:
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"

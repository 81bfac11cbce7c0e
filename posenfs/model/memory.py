"""Memory of a training step: an estimate from shapes alone, and reuse of freed memory."""

import copy
import ctypes
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from posenfs.model.vectors import heatmap_loss


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes that a training step holds at its peak.

    Attributes:
        weights: Parameters and buffers.
        gradients: Gradients of the parameters that the loss depends on.
        optimizer: Adam's two moments of each of these parameters.
        activations: What autograd stores for the backward pass, the images included.
        working: Temporary tensors at the peak: gradients of activations and scratch memory.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    working: int

    @property
    def total(self) -> int:
        """The sum of all parts."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.working

    def __str__(self) -> str:
        parts = ("weights", "gradients", "optimizer", "activations", "working")
        sizes = ", ".join(f"{part} {_format_bytes(getattr(self, part))}" for part in parts)
        return f"{_format_bytes(self.total)}: {sizes}"


@torch.enable_grad()
def training_memory(
    model: nn.Module, batch_size: int, height: int = 256, width: int = 256
) -> TrainingMemory:
    """Estimate the memory of one training step with fused Adam on Eq. 6.

    The images are [batch_size, 3, height, width] in float32 and channels-last.

    The estimate is the peak of every step after the first: the end of the forward pass, while the
    gradients of the previous step still exist, and the start of the backward pass. As temporary
    memory it allows one map as large as the largest (the gradient that flows backward), and one
    weight as large as the largest (the copy that a kernel makes in its own layout).

    Measured: the estimate agrees within 5 % with the resident memory of a second step on a CPU
    (Linux, oneDNN, one thread), minus that of the process without a model (0.7 GiB with torch),
    for MobileNet-V2 with P = 3, SimpleBaseline-50 and HRNet-W32 with 4 to 16 images of 128 and
    256 px, where freed memory goes back to the system at once (MALLOC_MMAP_THRESHOLD_=65536).
    glibc's allocator keeps pieces by default: up to 8 % above the estimate at that step, 14 %
    (HRNet) and 24 % (P = 3) after forty. It is not measured on a GPU.

    Args:
        model: A network from images to score maps [B, K, h, w]; it is left unchanged.
        batch_size: The number of images.
        height: The height of the images in px.
        width: The width of the images in px.

    Raises:
        ValueError: The batch size is below 1, or the model rejects the image size.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1; got {batch_size}")
    model = copy.deepcopy(model).to("meta", torch.float32).to(memory_format=torch.channels_last)
    model.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    model_storages = {t.untyped_storage() for t in (*model.parameters(), *model.buffers())}
    saved_storages = set()  # storages, because views of one tensor share theirs

    def save(tensor: Tensor) -> Tensor:
        saved_storages.add(tensor.untyped_storage())
        return tensor

    images = torch.empty(batch_size, 3, height, width, device="meta")
    with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        maps = model(images)
        visibility = torch.ones(maps.shape[:2], device="meta")
        loss = heatmap_loss(maps, torch.empty_like(maps), visibility)
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    gradient_bytes = sum(gradient.nbytes for gradient in gradients if gradient is not None)
    activations = [storage.nbytes() for storage in saved_storages - model_storages]
    return TrainingMemory(
        weights=sum(storage.nbytes() for storage in model_storages),
        gradients=gradient_bytes,
        optimizer=2 * gradient_bytes,
        activations=sum(activations),
        working=max(activations) + max(p.nbytes for p in parameters),
    )


def largest_batch(
    model: nn.Module, available_bytes: int, height: int = 256, width: int = 256
) -> int:
    """Return the largest batch size whose `training_memory` fits; 0 if not even one image fits.

    Args:
        model: A network from images to score maps [B, K, h, w]; it is left unchanged.
        available_bytes: The memory that the process may take beyond what it holds without a
            model. The caller subtracts the allocator's losses (see `training_memory`).
        height: The height of the images in px.
        width: The width of the images in px.
    """
    two_images = training_memory(model, 2, height, width).total
    four_images = training_memory(model, 4, height, width).total
    # memory is affine in the batch size
    return max(0, 2 + 2 * (available_bytes - two_images) // (four_images - two_images))


def peak_bytes(device: torch.device) -> int:
    """Return the peak memory of this process so far; on a GPU, that of its tensors."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "linux":  # where ru_maxrss includes the peak of the parent process
        status = Path("/proc/self/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        return int(fields["VmHWM"].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS counts bytes


def keep_freed_memory() -> None:
    """Let this process keep freed memory for its next allocations; without glibc, do nothing.

    Each step allocates again the hundreds of megabytes that the previous step freed. By default
    glibc returns them to the system in between, and every page is then faulted in and cleared
    again, which takes a large share of the step (numbers in benchmarks/README.md). The peak stays
    the same; the process keeps the memory until it ends.
    """
    library = _glibc()
    if library is None:
        return
    library.mallopt(_MMAP_MAX, 0)  # do not map and unmap single blocks
    library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)  # do not give back the end of the heap
    library.mallopt(_TOP_PAD, 2**26)  # grow the heap by this much more than is requested


def give_back_memory() -> None:
    """Give freed memory back to the system.

    A search that ends in a thread leaves memory in an arena that the next thread may not use.
    """
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "gnu_get_libc_version") else None


_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # glibc's malloc.h


def _format_bytes(size: int) -> str:
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"

"""Errors that end a search, with what to do about them."""

import math

import psutil
import torch

from posenfs.errors import PosenfsError
from posenfs.model.memory import largest_batch, training_memory
from posenfs.model.network import PoseNetwork
from posenfs.search.experiment import Experiment


class NonFiniteLoss(PosenfsError, RuntimeError):
    """The loss is NaN or infinite. The message names the step and the last good checkpoint."""


class OutOfMemory(PosenfsError, RuntimeError):
    """The device's memory is too small. The message says what a step takes, and what would fit."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch or Python ran out of memory; on a CPU torch raises a plain RuntimeError."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return "can't allocate memory" in str(error)


def memory_message(
    model: PoseNetwork, experiment: Experiment, device: torch.device, processes: int = 1
) -> str:
    """Describe the estimated memory of a training step, the memory there is, and what would fit.

    Args:
        model: The network.
        experiment: The experiment, with image size and batch size.
        device: The device that ran out of memory.
        processes: The number of processes that share a batch, each with its own device.
    """
    (height, width), training = experiment.image_size, experiment.training
    images = math.ceil(training.batch_size // processes / training.accumulate)
    if device.type == "cuda":
        memory = torch.cuda.mem_get_info(device)[1]
    else:
        memory = psutil.virtual_memory().total
    fits = min(largest_batch(model, memory, height, width), images)
    needed = training_memory(model, images, height, width)
    message = (
        f"out of memory: a step with {images} images of {height} x {width} px takes about {needed} "
        f"(in float32), and {device} has {memory / 2**30:.1f} GiB in all"
    )
    if not fits:
        return (
            f"{message}; not even one image fits: choose a smaller --image-size or --fabric.width"
        )
    if fits == images:  # other processes use the memory
        fits = max(images // 2, 1)
        message += ", of which other processes hold a part"
    chunks = math.ceil(training.batch_size // processes / fits)
    return (
        f"{message}. Under another name, try --training.accumulate {chunks} (chunks of a batch, "
        f"one after the other), or --training.batch-size {fits * processes}"
    )

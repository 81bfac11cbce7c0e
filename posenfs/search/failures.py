"""What a search cannot go on from, said with what to do about it."""

import math

import psutil
import torch

from posenfs.errors import PosenfsError
from posenfs.model.memory import largest_batch, training_memory
from posenfs.model.network import PoseNetwork
from posenfs.search.experiment import Experiment


class NonFiniteLoss(PosenfsError, RuntimeError):
    """The loss became NaN or infinite; the message names the step and the last good checkpoint."""


class OutOfMemory(PosenfsError, RuntimeError):
    """The device's memory is not enough; the message says how much a step takes, and what would fit."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch or Python said so: on the CPU torch has no exception of its own for it."""
    return isinstance(
        error, torch.OutOfMemoryError | MemoryError
    ) or "can't allocate memory" in str(error)


def memory_message(
    model: PoseNetwork, experiment: Experiment, device: torch.device, processes: int = 1
) -> str:
    """What a training step takes by the estimate, what there is, and what would fit; of a batch that is shared by so
    many processes, each with a device."""
    (height, width), size = experiment.image_size, experiment.training.batch_size // processes
    cuda = device.type == "cuda"
    room = torch.cuda.mem_get_info(device)[1] if cuda else psutil.virtual_memory().total
    part = math.ceil(size / experiment.training.accumulate)
    fits = min(largest_batch(model, room, height, width), part)
    said = (
        f"out of memory: a step with {part} images of {height} x {width} px takes about "
        f"{training_memory(model, part, height, width)} (in float32), and {device} has {room / 2**30:.1f} GiB in all"
    )
    if not fits:
        return f"{said}; not even one image fits: choose a smaller --image-size or --fabric.width"
    if fits == part:  # others have it
        fits = max(part // 2, 1)
        said += ", of which other processes hold a part"
    return (
        f"{said}. Under another name, try --training.accumulate {math.ceil(size / fits)} (so many parts of a batch, one "
        f"after the other), or --training.batch-size {fits * processes}"
    )

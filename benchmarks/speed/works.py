"""What is measured: kinds of work, networks and batches."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from posenfs.data.datasets.catalogue import DataSpec
from posenfs.model.space import FabricSpec
from posenfs.search.experiment import Experiment

_COCO = DataSpec("synthetic_coco")

# The networks that are timed by default, by name.
NETWORKS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        Experiment("table_2"),
        Experiment("p1", parts=1),
        Experiment("p5", parts=5),
        Experiment("p8", parts=8),
        Experiment("ours_1", _COCO, fabric=FabricSpec(width=16)),
        Experiment("ours_b", backbone="hrnet_w32", parts=5, fabric=FabricSpec(width=16)),
        Experiment("simple_baseline_50", model="simple_baseline_50", parts=1, vector_dim=1),
        Experiment("hrnet_w32", model="hrnet_w32", parts=1, vector_dim=1),
    )
}
# Images of a training step, by device and image size.
BATCHES = {"cpu": {128: 16, 256: 4}, "cuda": {128: 256, 256: 128}}


@dataclass(frozen=True)
class Work:
    """One measurement: a kind of work, a network, and a batch of square images.

    Attributes:
        kind: training step, inference, data or search step (see `implementations.KINDS`).
        experiment: The experiment whose network is timed.
        size: Height and width of the images, px.
        batch: Images in a batch.
        dtype: float32 or bfloat16, of the fast implementation. The reference runs in float32, whose
            convolutions are TF32 on a GPU (PyTorch's default).
    """

    kind: str
    experiment: Experiment
    size: int
    batch: int
    dtype: str = "float32"

    @property
    def timed_experiment(self) -> Experiment:
        """The experiment at this size, batch and precision, with practically endless epochs."""
        training = replace(
            self.experiment.training, batch_size=self.batch, precision=self.dtype, epochs=10**6
        )
        return replace(self.experiment, image_size=(self.size, self.size), training=training)


def default_works(
    device: str = "cpu",
    quick: bool = False,
    dtypes: Sequence[str] = ("float32",),
    compiled: str = "no",
    batch: int | None = None,
) -> list[Work]:
    """List the default measurements of a device.

    These are a training step and inference (with twice the batch) of every network in NETWORKS at
    128 and 256 px; of the first network also the data path and the whole search step.

    Args:
        device: cpu or cuda, with or without a number.
        quick: Whether only the first network at 128 px is timed.
        dtypes: Precisions of the fast implementation.
        compiled: A mode of torch.compile, or "no".
        batch: Images of a training step; None: as in BATCHES.

    Raises:
        ValueError: The device is of another kind.
    """
    device_type = torch.device(device).type
    if device_type not in BATCHES:
        raise ValueError(
            f"a {device_type} device cannot be timed; supported devices: {', '.join(BATCHES)}"
        )
    works: list[Work] = []
    for size, default_batch in BATCHES[device_type].items():
        images = batch or default_batch
        for name, network in NETWORKS.items():
            is_first = name == "table_2"
            if quick and (size > 128 or not is_first):
                continue
            experiment = replace(network, training=replace(network.training, compile=compiled))
            for dtype in dtypes:
                works.append(Work("training step", experiment, size, images, dtype))
                works.append(Work("inference", experiment, size, 2 * images, dtype))
                if is_first and dtype == dtypes[0]:
                    works.append(Work("data", experiment, size, images))
                if is_first:
                    works.append(Work("search step", experiment, size, images, dtype))
    return works

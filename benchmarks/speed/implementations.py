"""Each kind of work in two implementations: the plain reference, and as a search does it."""

import copy
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.speed.works import Work
from posenfs.data.datasets.catalogue import DataSpec, open_data, parts_of
from posenfs.data.loader import Crops, Loader
from posenfs.data.sample import normalise
from posenfs.model.folded import fold
from posenfs.model.network import PoseNetwork, PoseNFS
from posenfs.model.reference import ReferenceNFS
from posenfs.model.vectors import heatmap_loss
from posenfs.search.batches import BatchSource, LoadingOptions
from posenfs.search.build import build_model
from posenfs.search.context import SearchContext
from posenfs.search.distributed import ProcessGroup
from posenfs.search.experiment import Experiment
from posenfs.search.forward import Forward
from posenfs.search.session import Search
from posenfs.search.strategies import STRATEGIES
from posenfs.study.gradient_checks import TargetBatch


@dataclass
class PreparedWork:
    """Work that a process repeats.

    Attributes:
        run: Runs the work once.
        device: The device it runs on.
        forward: Its forward pass, where torch.compile may run.
        batches: The source of its batches; None if there is none.
    """

    run: Callable[[], object]
    device: torch.device
    forward: Forward | None = None
    batches: BatchSource | None = None


def build_network(work: Work) -> PoseNetwork:
    """Build the network of a measurement."""
    return build_model(work.timed_experiment, parts_of(work.experiment.data, work.experiment.parts))


def reference_of(model: PoseNetwork) -> nn.Module:
    """Return the plain implementation of a network, with the same weights, alpha and beta.

    Args:
        model: A network. Only searched networks have a plain implementation; others are returned
            as they are.
    """
    if not isinstance(model, PoseNFS):
        return model
    head = model.heads[0]
    backbone = copy.deepcopy(model.backbone)
    reference = ReferenceNFS(backbone, model.parts, model.spec, head.vector_dim, head.fabric.rules)
    reference.to(head.vectors.weight).load_state_dict(model.state_dict())
    return reference


def _examples(work: Work, keypoints: int, device: torch.device) -> TargetBatch:
    map_size = work.size // 4
    return TargetBatch(
        torch.randn(work.batch, 3, work.size, work.size, device=device),
        torch.rand(work.batch, keypoints, map_size, map_size, device=device),
        torch.full((work.batch, keypoints), 2, device=device),
    )


def plain_step(model: nn.Module) -> Callable[[TargetBatch], Tensor]:
    """Return a training step as it is commonly written, with torch's default Adam.

    Args:
        model: The network to train.

    Returns:
        A function that trains on examples and returns the loss before the step.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step(examples: TargetBatch) -> Tensor:
        optimizer.zero_grad()
        loss = heatmap_loss(model(examples.images), examples.target, examples.visibility)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def _reference_training(work: Work, device: torch.device, folder: Path) -> PreparedWork:
    model = build_network(work)
    step = plain_step(reference_of(model).to(device).train())
    examples = _examples(work, model.keypoints, device)
    return PreparedWork(lambda: step(examples), device)


def _fast_training(work: Work, device: torch.device, folder: Path) -> PreparedWork:
    """Train as a search does, on one batch."""
    model = build_network(work).to(device, memory_format=torch.channels_last).train()
    examples = _examples(work, model.keypoints, device)
    experiment = work.timed_experiment
    forward = Forward(model, experiment.training, device)

    def compute_loss(batch: TargetBatch) -> Tensor:
        return heatmap_loss(forward(batch.images), batch.target, batch.visibility)

    context = SearchContext(model, experiment.training, experiment.search, compute_loss)
    context.set_epoch(0)
    strategy = STRATEGIES["synchronous"]
    return PreparedWork(lambda: strategy.step(context, examples, None, 0), device, forward)


def _reference_inference(work: Work, device: torch.device, folder: Path) -> PreparedWork:
    model = build_network(work)
    reference = reference_of(model).to(device).eval()
    images = _examples(work, model.keypoints, device).images
    return PreparedWork(torch.no_grad()(lambda: reference(images)), device)


def _fast_inference(work: Work, device: torch.device, folder: Path) -> PreparedWork:
    model = build_network(work).to(device, memory_format=torch.channels_last)
    images = _examples(work, model.keypoints, device).images
    images = images.to(memory_format=torch.channels_last)
    run = replace(work.timed_experiment.training, compile="no")  # prediction is never compiled
    forward = Forward(fold(model), run, device)
    return PreparedWork(torch.no_grad()(lambda: forward(images)), device)


def _synthetic(work: Work, folder: Path, name: str) -> Experiment:
    """Return the experiment on the synthetic images in the folder."""
    return replace(work.timed_experiment, name=name, data=DataSpec("mpii", str(folder)))


def _reference_examples(work: Work, device: torch.device, folder: Path) -> Iterator[TargetBatch]:
    """Yield batches from images that are decoded and cropped again in every epoch.

    Beside a GPU other processes read ahead. On a CPU, where training uses all cores, the training
    process reads.
    """
    experiment = _synthetic(work, folder, "reference")
    train, _ = open_data(experiment.data, progress=False)
    workers = (os.cpu_count() or 1) - 1 if device.type == "cuda" else 0
    crops = Crops(train, experiment.image_size, experiment.augmentation)
    loader = Loader(crops, work.batch, workers)
    for epoch in count():
        for batch in loader.epoch(epoch):
            batch = batch.to(device)
            target = batch.targets(experiment.fabric.strides[0])
            # A search uses channels-last images; the reference uses PyTorch's default format.
            images = normalise(batch.images, batch.gains).contiguous()
            yield TargetBatch(images, target, batch.visibility)


def _reference_data(work: Work, device: torch.device, folder: Path) -> PreparedWork:
    examples = _reference_examples(work, device, folder)
    return PreparedWork(lambda: next(examples), device)


def _fast_data(work: Work, device: torch.device, folder: Path) -> PreparedWork:
    """Read cached crops, as a search does."""
    experiment = _synthetic(work, folder, "fast")
    train, valid = open_data(experiment.data, progress=False)
    options = LoadingOptions(progress=False)
    batches = BatchSource(experiment, train, valid, ProcessGroup(device), device, options)
    return PreparedWork(batches.next, device)


def _reference_search(work: Work, device: torch.device, folder: Path) -> PreparedWork:
    step = plain_step(reference_of(build_network(work)).to(device).train())
    examples = _reference_examples(work, device, folder)
    return PreparedWork(lambda: step(next(examples)), device)


def _fast_search(work: Work, device: torch.device, folder: Path) -> PreparedWork:
    run_folder = Path(tempfile.mkdtemp(dir=folder)) / "run"
    search = Search(_synthetic(work, folder, "fast"), run_folder, str(device), progress=False)
    trainer = search.trainer
    trainer.batches.steps_per_epoch = sys.maxsize  # evaluation and checkpoints are not timed
    return PreparedWork(search.step, device, trainer.forward, trainer.batches)


_Factory = Callable[[Work, torch.device, Path], PreparedWork]
# Kinds of work by name: the reference and the fast implementation.
KINDS: Mapping[str, tuple[_Factory, _Factory]] = {
    "training step": (_reference_training, _fast_training),
    "inference": (_reference_inference, _fast_inference),
    "data": (_reference_data, _fast_data),
    "search step": (_reference_search, _fast_search),
}
KINDS_WITH_DATA = ("data", "search step")

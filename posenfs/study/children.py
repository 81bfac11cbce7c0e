"""Parent and child: the searched network and the discrete network that its genotype describes.

The paper keeps the soft architecture of the parent, which avoids the gap between the two. This
module measures the gap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain, count, islice
from pathlib import Path
from typing import Literal

import pandas
import torch

from posenfs.data.datasets.catalogue import open_data
from posenfs.data.loader import Crops, Loader
from posenfs.data.sample import Annotations, normalise
from posenfs.evaluation.metrics import evaluate, metric_title, primary_metric
from posenfs.evaluation.prediction import predict
from posenfs.messages import note
from posenfs.model.architecture import Genotype
from posenfs.model.cost import measured_cost
from posenfs.model.network import PoseNetwork
from posenfs.search.build import derive
from posenfs.search.experiment import Experiment
from posenfs.search.provenance import find_device
from posenfs.search.run_dir import RunDir, find_run
from posenfs.search.saved_models import load_model
from posenfs.search.session import Search

Start = Literal["weights", "scratch"]
_NAMES = {
    "weights": "child, retrained from the parent's weights",
    "scratch": "child, trained from scratch",
}
_BATCHES = 50  # running means of momentum 0.1 then hold 0.5 % of their old values


def child_experiment(
    parent: RunDir, genotypes: Mapping[str, Genotype], start: Start, epochs: int | None = None
) -> Experiment:
    """Return the experiment that trains the discrete child of a run.

    Args:
        parent: The run of the parent.
        genotypes: Genotypes of the child by fabric.
        start: weights (initialised with the parent's weights) or scratch.
        epochs: Epochs of training; None: as many as the parent had.
    """
    experiment, folder = parent.experiment(), parent.folder.resolve()
    return replace(
        experiment,
        name=f"{folder.name}_child_{start}",
        genotype=genotypes,
        init_from=str(folder) if start == "weights" else None,
        training=experiment.training
        if epochs is None
        else replace(experiment.training, epochs=epochs),
    )


def _soft(parent: RunDir) -> PoseNetwork:
    status = parent.status()
    if status.get("state") != "finished":
        raise ValueError(
            f"{parent.name} is not finished (step {status.get('step')} of {status.get('steps')})"
        )
    model = load_model(parent).model
    if not model.fabrics():
        raise ValueError(f"nothing was searched in {parent.name}: there is no child to derive")
    return model


def parent_and_child(
    parent: str | Path | RunDir,
    starts: Sequence[Start] = ("weights", "scratch"),
    epochs: int | None = None,
    device: str = "auto",
    workers: int = 0,
    progress: bool = True,
    zero: bool = False,
) -> pandas.DataFrame:
    """Compare a searched network with its discrete children.

    The children are the derived network, the same with recomputed running means of its batch
    normalisation, and the children that are trained further or from scratch, each in a run that
    resumes if it was interrupted.

    Args:
        parent: The run of the parent.
        starts: How the trained children are initialised.
        epochs: Epochs of training; None: as many as the parent had.
        device: auto, cpu, cuda or cuda:N.
        workers: Processes that read and crop images.
        progress: Whether to show progress.
        zero: Whether the operation zero may be chosen (`Architecture.genotype`). If not, and it has
            the greatest weight somewhere, a further row holds the child with zero.

    Returns:
        A row for each network: network, run, params, GMAC, and the primary metric in percent.

    Raises:
        RunError: There is no such run.
        ValueError: The run has no child.
    """
    parent = parent if isinstance(parent, RunDir) else find_run(parent)
    soft, experiment = _soft(parent), parent.experiment()
    torch_device = find_device(device)
    genotypes, with_zero = soft.genotypes(zero), soft.genotypes()
    experiments = {start: child_experiment(parent, genotypes, start, epochs) for start in starts}
    train, valid = open_data(experiment.data, progress)
    derived = derive(soft, genotypes)
    rows: list[dict[str, object]] = []

    def add(network: str, run: str, model: PoseNetwork) -> None:
        model = model.to(torch_device, memory_format=torch.channels_last)
        size = experiment.image_size
        predictions = predict(model, valid, size, workers=workers, progress=progress)
        score, cost = evaluate(predictions, valid)[0][name], measured_cost(model, *size)
        rows.append(
            {
                "network": network,
                "run": run,
                "params": cost.params,
                "GMAC": cost.gmac,
                metric_title(name): score,
            }
        )

    name = primary_metric(valid)
    add("parent, soft", parent.name, soft)
    if with_zero != genotypes:
        add("child with zero, as derived", "", derive(soft, with_zero))
    add("child, as derived", "", derived)
    _renew_running_means(derived, train, experiment, workers)
    add("child, running means recomputed", "", derived)
    for start, child in experiments.items():
        if progress:
            note(f"{_NAMES[start]}: {child.training.epochs} epochs, run {child.name}")
        folder = parent.folder.resolve().with_name(child.name)
        search = Search(child, folder, device, workers, progress)
        search.finish()
        add(_NAMES[start], child.name, search.model)
        search.close()
    return pandas.DataFrame(rows)


@torch.no_grad()
def _renew_running_means(
    model: PoseNetwork, train: Annotations, experiment: Experiment, workers: int
) -> None:
    """Recompute the running means on training crops; the parent's belong to other feature maps."""
    crops = Crops(train, experiment.image_size, experiment.augmentation, experiment.training.seed)
    device = next(model.parameters()).device
    model.train()
    loader = Loader(crops, experiment.training.batch_size, workers)
    for batch in islice(chain.from_iterable(map(loader.epoch, count())), _BATCHES):
        batch = batch.to(device)
        model(normalise(batch.images, batch.gains))
    model.eval()

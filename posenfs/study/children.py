"""Parent and child: the soft network that was searched beside the discrete one that its genotype names.

The paper keeps the soft architecture and so avoids the gap between the two; here it is measured.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Literal

import pandas
import torch
from tqdm import tqdm

from posenfs.data.datasets.catalogue import open_data
from posenfs.data.loader import Crops, Loader
from posenfs.data.sample import People, normalise
from posenfs.evaluation.metrics import headline, metric_name, metric_title
from posenfs.evaluation.predict import evaluate, predict
from posenfs.model.cost import Cost, honest_cost
from posenfs.model.network import PoseNetwork
from posenfs.search.engine import Search
from posenfs.search.experiment import Experiment, child
from posenfs.search.provenance import find_device
from posenfs.search.run import Run, find_run
from posenfs.search.saved import load_model

Start = Literal["weights", "scratch"]
_NAMES = {"weights": "child, retrained from the parent's weights", "scratch": "child, trained from scratch"}
_BATCHES = 50  # after which running means of momentum 0.1 have forgotten 99.5 % of what they were


def child_experiment(parent: Run, start: Start, epochs: int | None = None) -> Experiment:
    """The experiment that trains a run's discrete child, from the parent's weights or from scratch; by default for as
    many epochs as the parent had. Raises ValueError where the run is not finished, or nothing was searched in it."""
    experiment, status = parent.experiment(), parent.status()
    if status.get("state") != "finished":
        raise ValueError(f"{parent.name} is not finished (step {status.get('step')} of {status.get('steps')})")
    fabrics = load_model(parent).model.fabrics()
    if not fabrics:
        raise ValueError(f"nothing was searched in {parent.name}: there is no child to derive")
    return replace(
        experiment,
        name=f"{parent.name}_child_{start}",
        genotype={name: fabric.architecture.genotype(fabric.spec) for name, fabric in fabrics.items()},
        start=str(parent.folder) if start == "weights" else None,
        run=experiment.run if epochs is None else replace(experiment.run, epochs=epochs),
    )


def parent_and_child(
    parent: str | Path | Run,
    starts: Sequence[Start] = ("weights", "scratch"),
    epochs: int | None = None,
    device: str = "auto",
    workers: int = 0,
    progress: bool = True,
) -> pandas.DataFrame:
    """A row for the parent, for its child as derived (also with the running means of its batch-norms taken anew), and
    for the child trained further or from scratch, in runs of their own that go on where they were: network, run,
    params, GMAC, and the headline metric in percent.

    Raises RunError where there is no such run, ValueError where it has no child.
    """
    parent = parent if isinstance(parent, Run) else find_run(parent)
    experiments = {start: child_experiment(parent, start, epochs) for start in starts}
    saved, found = load_model(parent), parent.metrics()
    name, size = found["headline"], saved.experiment.image_size
    rows = [_row("parent, soft", parent.name, Cost(found["params"], found["multiply_adds"]), found["metrics"][name])]

    train, valid = open_data(saved.experiment.data, progress)
    genotypes = {n: f.architecture.genotype(f.spec) for n, f in saved.model.fabrics().items()}
    derived = child(saved.model, genotypes).to(find_device(device), memory_format=torch.channels_last)
    cost = honest_cost(derived, *size)
    rows.append(_row("child, as derived", "", cost, _score(derived, valid, size, workers, progress)))
    _renew_running_means(derived, train, saved.experiment, workers)
    rows.append(_row("child, running means anew", "", cost, _score(derived, valid, size, workers, progress)))

    for start, experiment in experiments.items():
        if progress:
            tqdm.write(f"{_NAMES[start]}: {experiment.run.epochs} epochs, run {experiment.name}")
        search = Search(experiment, parent.folder.with_name(experiment.name), device, workers, progress)
        rows.append(_row(_NAMES[start], experiment.name, cost, search.finish()[name]))
        search.close()
    return pandas.DataFrame(rows).rename(columns={"score": metric_title(name)})


def _row(network: str, run: str, cost: Cost, score: float | None) -> dict:
    return {"network": network, "run": run, "params": cost.params, "GMAC": cost.gmac, "score": score}


def _score(model: PoseNetwork, valid: People, size: tuple[int, int], workers: int, progress: bool) -> float:
    predictions = predict(model, valid, (size[1], size[0]), workers=workers, progress=progress)
    return evaluate(predictions, valid)[0][metric_name(*headline(valid))]


@torch.no_grad()
def _renew_running_means(model: PoseNetwork, train: People, experiment: Experiment, workers: int) -> None:
    """Let training crops through, changing no weight: the child's maps are not those its parent's means are of."""
    height, width = experiment.image_size
    crops = Crops(train, (width, height), experiment.augmentation, experiment.run.seed)
    device = next(model.parameters()).device
    model.train()
    for batch in islice(Loader(crops, experiment.run.batch_size, workers).epoch(0), _BATCHES):
        model(normalise(batch.images.to(device)))
    model.eval()

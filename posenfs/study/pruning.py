"""Pruning a model on disk with its proof, and what each threshold saves and costs."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas
import torch

from posenfs.body.words import note
from posenfs.data.datasets.catalogue import open_data
from posenfs.data.files import write_whole
from posenfs.data.loader import crop_people
from posenfs.data.sample import DataError, People, normalise
from posenfs.evaluation.metrics import headline, metric_title
from posenfs.evaluation.predict import evaluate, predict
from posenfs.model.cost import honest_cost
from posenfs.model.network import PoseNFS
from posenfs.model.prune import Mode, Proof, greatest_difference, prove, prune
from posenfs.search.run import find_run
from posenfs.search.saved import load_model, save_model

_IMAGES = 8  # random ones that a proof compares, and as many crops


def prune_saved(
    source: str | Path, output: str | Path, mode: Mode = "exact", threshold: float = 0.0, progress: bool = True
) -> Proof:
    """Prune a run's or a saved model into a folder of its own: config.json, model.safetensors and proof.json.

    The proof compares random images and, where the model's data are there, crops of people it was not trained on.
    Raises ValueError for a model without fabrics, and for a folder that holds another experiment.
    """
    if Path(output).resolve() == find_run(source).folder.resolve() or (Path(output) / "status.json").is_file():
        raise ValueError(f"{output} is the model itself, or a run: choose another folder")
    saved = load_model(source)
    if not isinstance(saved.model, PoseNFS):
        raise ValueError(f"{source} is a {type(saved.model).__name__}: there is nothing to prune in it")
    pruned = prune(saved.model, mode, threshold)
    height, width = saved.experiment.image_size
    images = {"random": torch.randn(_IMAGES, 3, height, width, generator=torch.Generator().manual_seed(0))}
    try:
        _, valid = open_data(saved.experiment.data, progress)
        images["crops"] = normalise(crop_people(valid.select(slice(_IMAGES)), (width, height)).images)
    except (DataError, OSError) as error:
        note(f"note: compared on random images alone ({error})")
    dtype = next(saved.model.parameters()).dtype
    proof = prove(saved.model, pruned, {name: batch.to(dtype) for name, batch in images.items()})
    if mode == "one-hot" and (zero := _zero_wins(saved.model)):
        note(f"note: {zero}; `posenfs child` derives without zero")
    save_model(output, pruned, saved.experiment)
    write_whole(
        Path(output) / "proof.json", json.dumps(proof.json() | {"mode": mode, "threshold": threshold}, indent=2)
    )
    return proof


def _zero_wins(model: PoseNFS) -> str:
    """On how many edges the operation zero has the greatest weight, which keeps nothing there; empty: on none."""
    fabrics = [fabric for fabric in model.fabrics().values() if "zero" in fabric.spec.operations]
    won = [fabric.alpha.argmax(-1) == fabric.spec.operations.index("zero") for fabric in fabrics]
    count = sum(int(own.sum()) for own in won)
    return f"operation zero won on {count} of {sum(own.numel() for own in won)} edges" if count else ""


def pruning_table(
    model: PoseNFS, people: People, size: tuple[int, int], thresholds: Sequence[float] = (0.05, 0.1, 0.2, 0.3)
) -> pandas.DataFrame:
    """A row for the model as it is (exact), for each threshold of softmax weights, and for the one-hot child: params,
    GMAC, the greatest difference of score maps on these people, and their headline metric in percent; `size`: (width,
    height) of a crop, px."""
    crops = normalise(crop_people(people.select(slice(_IMAGES)), size).images)
    name = headline(people)
    rows = []
    for mode, threshold in [("exact", 0.0), *(("threshold", t) for t in thresholds), ("one-hot", 0.0)]:
        pruned = prune(model, mode, threshold)
        cost = honest_cost(pruned, *crops.shape[-2:])
        score = evaluate(predict(pruned, people, size), people)[0][name]
        words = f"weights below {threshold:g} gone" if mode == "threshold" else mode
        rows.append(
            {
                "pruned": words,
                "params": cost.params,
                "GMAC": cost.gmac,
                "greatest difference": greatest_difference(model, pruned, crops),
                metric_title(name): score,
            }
        )
    return pandas.DataFrame(rows)

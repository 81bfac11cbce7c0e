"""Pruning of a saved model with a proof, and a table of thresholds, costs and scores."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas
import torch
from tqdm import tqdm

from posenfs.data.datasets.catalogue import DataSpec, data_root, is_present, read_split
from posenfs.data.files import check_output_folder, write_atomic
from posenfs.data.geometry import ImageSize
from posenfs.data.images import exclude_broken_images
from posenfs.data.loader import crop_people
from posenfs.data.sample import Annotations, DataError, normalise
from posenfs.evaluation.metrics import evaluate, metric_title, nan_to_none, primary_metric
from posenfs.evaluation.prediction import predict
from posenfs.messages import note
from posenfs.model.cost import measured_cost
from posenfs.model.network import PoseNFS
from posenfs.model.pruning import (
    Mode,
    PruningCheck,
    check_pruning,
    greatest_difference,
    prune,
)
from posenfs.search.provenance import find_device
from posenfs.search.run_dir import find_run
from posenfs.search.saved_models import Saved, load_model, save_model
from posenfs.study.model_evaluation import predict_as_run

_IMAGES = 8  # random images that a proof compares, and as many crops
_NAMED = 10  # warnings that are printed; the rest is counted


@dataclass(frozen=True)
class Accuracy:
    """A model's primary metric on its validation split, in percent, before and after pruning."""

    metric: str
    people: int
    before: float | None
    after: float | None

    def __str__(self) -> str:
        before, after = _percent(self.before), _percent(self.after)
        title = metric_title(self.metric)
        return f"{title} before {before}, after {after}, on {self.people} validation people"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


@dataclass(frozen=True)
class Emptied:
    """A part, cell or edge in which pruning left no operation or source.

    Attributes:
        part: The part, or `backbone`. Where `cell` is None its heatmaps do not depend on the image.
        cell: The cell: its layer, and its stride as in 1/8. Where `edge` is None it is constant.
        edge: The edge between two nodes of the cell, on which no operation is left.
    """

    part: str
    cell: str | None = None
    edge: tuple[int, int] | None = None

    def __str__(self) -> str:
        if self.cell is None:
            return f"nothing is left of {self.part}: it gives the same for every image"
        if self.edge is None:
            return f"nothing is left of the cell at {self.cell} of {self.part}: it gives a constant"
        start, end = self.edge
        return f"nothing is left of edge {start} -> {end} in the cell at {self.cell} of {self.part}"


@dataclass(frozen=True)
class Pruning:
    """The proof of a pruning, what was left empty, and the accuracy; None if not measured."""

    proof: PruningCheck
    emptied: tuple[Emptied, ...]
    accuracy: Accuracy | None

    def json(self) -> dict:
        """Return the content of proof.json, without mode and threshold."""
        accuracy = None if self.accuracy is None else asdict(self.accuracy)
        return self.proof.json() | {
            "accuracy": accuracy,
            "emptied": [asdict(empty) for empty in self.emptied],
        }

    def __str__(self) -> str:
        return str(self.proof) if self.accuracy is None else f"{self.proof}\n{self.accuracy}"


def prune_saved(
    source: str | Path,
    output: str | Path,
    mode: Mode = "exact",
    threshold: float = 0.0,
    accuracy: bool = True,
    device: str = "auto",
    progress: bool = True,
) -> Pruning:
    """Prune a saved model into a new folder: config.json, model.safetensors and proof.json.

    The proof compares predictions on random images and, if the model's validation data are on disk,
    on crops of their people. Parts, cells and edges that are left empty are listed on stderr.

    Args:
        source: A run (its name or folder), or a model's folder.
        output: The folder to write.
        mode: exact, threshold or one-hot (see `prune`).
        threshold: Of softmax weights, in mode threshold.
        accuracy: Whether to evaluate the model before and after pruning on its validation data, if
            they are on disk.
        device: The device of the evaluation: auto, cpu, cuda or cuda:N.
        progress: Whether to show progress bars.

    Raises:
        ValueError: The model has no fabrics, or the folder holds another experiment or cannot be
            written.
    """
    output = Path(output)
    if output.resolve() == find_run(source).folder.resolve() or (output / "status.json").is_file():
        raise ValueError(f"{output} is the model itself, or a run: choose another folder")
    check_output_folder(output)
    saved = load_model(source)
    if not isinstance(saved.model, PoseNFS) or not saved.model.fabrics():
        raise ValueError(
            f"{source} is a {type(saved.model).__name__}: there is nothing to prune in it"
        )
    pruned = prune(saved.model, mode, threshold)
    people = _validation_people(saved.experiment.data, progress)
    proof = check_pruning(saved.model, pruned, _compared_images(saved, people))
    emptied = find_emptied(pruned)
    _warn_of_emptied(emptied, output / "proof.json")
    if mode == "one-hot" and (zero := _zero_wins(saved.model)):
        note(f"note: {zero}; `posenfs child` derives without zero")
    measured = None
    if accuracy and people is not None:
        measured = _accuracy(saved, pruned, people, find_device(device), progress)
    pruning = Pruning(proof, emptied, measured)
    save_model(output, pruned, saved.experiment)
    write_atomic(
        output / "proof.json",
        json.dumps(pruning.json() | {"mode": mode, "threshold": threshold}, indent=2),
    )
    return pruning


def _compared_images(saved: Saved, people: Annotations | None) -> dict[str, torch.Tensor]:
    """Return the images of a proof [8, 3, H, W]: random ones, and crops if there are people."""
    size = saved.experiment.image_size
    generator = torch.Generator().manual_seed(0)
    images = {"random": torch.randn(_IMAGES, 3, *size, generator=generator)}
    if people is not None:
        crops = crop_people(people.select(slice(_IMAGES)), size)
        images["crops"] = normalise(crops.images)
    dtype = next(saved.model.parameters()).dtype
    return {name: batch.to(dtype) for name, batch in images.items()}


def _warn_of_emptied(emptied: Sequence[Emptied], proof_file: Path) -> None:
    for empty in emptied[:_NAMED]:
        tqdm.write(f"warning: {empty}", file=sys.stderr)
    if len(emptied) > _NAMED:
        more = len(emptied) - _NAMED
        tqdm.write(f"warning: {more} more are in {proof_file}", file=sys.stderr)


def _validation_people(data: DataSpec, progress: bool) -> Annotations | None:
    """Return the validation people, or None with a note if they are not on disk.

    Synthetic data are not created.
    """
    try:
        if is_present(data, "valid"):
            return exclude_broken_images(read_split(data, "valid", progress), progress=progress)
        reason = f"no validation data {data.name!r} in {data_root(data)}"
    except (DataError, OSError) as error:
        reason = str(error)
    note(f"note: compared on random images alone, and no accuracy measured: {reason}")
    return None


def _accuracy(
    saved: Saved, pruned: PoseNFS, people: Annotations, device: torch.device, progress: bool
) -> Accuracy:
    metric, values = primary_metric(people), []
    for model in (saved.model, pruned):
        predictions = predict_as_run(model, saved.experiment, people, device, progress=progress)
        values.append(nan_to_none(evaluate(predictions, people)[0])[metric])
    return Accuracy(metric, len(people), *values)


def find_emptied(pruned: PoseNFS) -> tuple[Emptied, ...]:
    """Find what pruning left empty.

    Args:
        pruned: The pruned network.

    Returns:
        Parts that read nothing of an image; in other parts, cells without a source; in other cells,
        edges without an operation.
    """
    emptied = []
    for part, fabric in pruned.pruned_fabrics.items():
        mask = fabric.mask
        if mask is None or not mask.inputs:
            emptied.append(Emptied(part))
            continue
        for index, kept in sorted(mask.cells.items()):
            cell = f"layer {index.layer}, 1/{fabric.spec.strides[index.row]}"
            if not kept.slots:
                emptied.append(Emptied(part, cell))
                continue
            edges = zip(fabric.spec.edges, kept.operations, strict=True)
            emptied += [Emptied(part, cell, edge) for edge, operations in edges if not operations]
    return tuple(emptied)


def _zero_wins(model: PoseNFS) -> str:
    """Describe on how many edges the operation zero has the greatest weight; empty: on none."""
    fabrics = [fabric for fabric in model.fabrics().values() if "zero" in fabric.spec.operations]
    masks = [fabric.alpha.argmax(-1) == fabric.spec.operations.index("zero") for fabric in fabrics]
    count, edges = sum(int(mask.sum()) for mask in masks), sum(mask.numel() for mask in masks)
    return f"operation zero won on {count} of {edges} edges" if count else ""


def pruning_table(
    model: PoseNFS,
    people: Annotations,
    size: ImageSize,
    thresholds: Sequence[float] = (0.05, 0.1, 0.2, 0.3),
) -> pandas.DataFrame:
    """Compare exact pruning, thresholds, and the one-hot child.

    Args:
        model: The searched network.
        people: The evaluated annotations.
        size: Size of a crop, px.
        thresholds: Of softmax weights.

    Returns:
        A row for each: params, GMAC, greatest difference of heatmaps, and the primary metric in
        percent.
    """
    crops = normalise(crop_people(people.select(slice(_IMAGES)), size).images)
    name = primary_metric(people)
    rows = []
    modes = [("exact", 0.0), *(("threshold", value) for value in thresholds), ("one-hot", 0.0)]
    for mode, threshold in modes:
        pruned = prune(model, mode, threshold)
        cost = measured_cost(pruned, *crops.shape[-2:])
        score = evaluate(predict(pruned, people, size), people)[0][name]
        title = f"weights below {threshold:g} removed" if mode == "threshold" else mode
        rows.append(
            {
                "pruned": title,
                "params": cost.params,
                "GMAC": cost.gmac,
                "greatest difference": greatest_difference(model, pruned, crops),
                metric_title(name): score,
            }
        )
    return pandas.DataFrame(rows)

"""The bundled pretrained model: a finished run in half precision, with a model card."""

from dataclasses import replace
from pathlib import Path

import pandas
import torch

from posenfs.data.files import atomic_path, write_atomic
from posenfs.evaluation.metrics import metric_title
from posenfs.model.tensors import write_tensors
from posenfs.search.build import TENSORS
from posenfs.search.experiment import Experiment
from posenfs.search.run_dir import RunDir
from posenfs.search.saved_models import load_model

# The folder of the bundled model, which `load_model` reads.
BUNDLED_MODEL = Path(__file__).parents[1] / "assets" / "starter"


def bundle(run: RunDir, target: Path = BUNDLED_MODEL, pretraining: str = "") -> Path:
    """Write config.json, model.safetensors (float16) and CARD.md of a finished run.

    Args:
        run: The run, the source of all numbers on the card.
        target: The folder to write.
        pretraining: A description of how the initial weights were trained, for the card.

    Returns:
        The card.

    Raises:
        ValueError: The run is not finished.
    """
    metrics, provenance = run.metrics(), run.provenance()
    if not metrics:
        raise ValueError(f"{run.name} is not finished: there are no numbers for its card")
    saved = load_model(run)
    # Paths of this machine are not valid elsewhere.
    experiment = replace(
        saved.experiment,
        name=target.name,
        data=replace(saved.experiment.data, root=None),
        backbone_weights=None,
        init_from=None,
    )
    target.mkdir(parents=True, exist_ok=True)
    with atomic_path(target / TENSORS) as path:
        write_tensors(path, saved.model, torch.float16)
    write_atomic(target / "config.json", experiment.to_json())
    write_atomic(target / "CARD.md", _card(saved.experiment, metrics, provenance, pretraining))
    return target / "CARD.md"


def _card(experiment: Experiment, metrics: dict, provenance: dict, pretraining: str) -> str:
    paragraphs = [
        "# The bundled model",
        _architecture(experiment, metrics, provenance),
        _data(experiment, provenance),
        _training(experiment, provenance, pretraining),
        *_numbers(metrics),
        f"**Limits**: {_DATA_LIMITS.get(experiment.data.name, '')}{_LIMITS}",
        _USE,
    ]
    return "\n\n".join(paragraphs) + "\n"


def _architecture(experiment: Experiment, metrics: dict, provenance: dict) -> str:
    height, width = experiment.image_size
    weights = provenance["initial_weights"]
    if experiment.init_from:
        weights = f"those of {Path(experiment.init_from).name}"
    return (
        f"A searched network of {metrics['params'] / 1e6:.2f}M parameters and "
        f"{metrics['multiply_adds'] / 1e9:.3f} GMAC for a crop of {height} x {width} px, in "
        f"float16: P = {experiment.parts}, C = {experiment.fabric.width}, H = "
        f"{experiment.fabric.hidden_nodes}, d = {experiment.vector_dim}; backbone "
        f"{experiment.backbone}; initial weights: {weights}."
    )


def _data(experiment: Experiment, provenance: dict) -> str:
    splits = ", ".join(f"{name} {data['people']}" for name, data in provenance["data"].items())
    title = _DATA_TITLES.get(experiment.data.name, "")
    return f"**Data**: {title}people: {splits}; none of the images is included."


def _training(experiment: Experiment, provenance: dict, pretraining: str) -> str:
    training, augmentation = experiment.training, experiment.augmentation
    drops = ", ".join(f"{share:.0%}" for share in training.lr_drops)
    schedule = f", times {training.lr_factor:g} after {drops} of them" if drops else ""
    return (
        f"**Training**: {pretraining}{experiment.search.strategy}, {training.epochs} epoch(s) of "
        f"batches of {training.batch_size}, Adam {training.lr:g}{schedule}, seed {training.seed}; "
        f"rotated by up to {augmentation.rotation:g}°, scaled by up to {augmentation.scale:.0%}, "
        f"mirrored; torch {provenance['versions']['torch']}, {provenance['device']}."
    )


def _numbers(metrics: dict) -> list[str]:
    """Return the paragraphs of the evaluation: how it was made, the table, and the keypoints."""
    primary, values = metrics["primary_metric"], metrics["metrics"]
    rows = []
    for name, interval in metrics["intervals"].items():
        score = f"{values[name]:.1f} [{interval['low']:.1f}, {interval['high']:.1f}]"
        mean_pose = metrics["mean_pose"].get(name, float("nan"))
        rows.append((metric_title(name), score, f"{mean_pose:.1f}"))
    table = pandas.DataFrame(rows, columns=["metric", "this model", "mean pose"])
    keypoints = [
        f"{name.partition('/')[2]} {value:.1f}"
        for name, value in values.items()
        if name.startswith(f"{primary}/") and value is not None
    ]
    return [
        f"**Numbers** on {metrics['people']} validation people (boxes: {metrics['boxes']}; head "
        f"size: {metrics['head_size']}; flip test, {metrics['decoding']}; bootstrap over people, "
        "95 %; before rounding to float16):",
        table.to_markdown(index=False, disable_numparse=True),
        f"{metric_title(primary)} by keypoint: {', '.join(keypoints)}.",
    ]


_DATA_TITLES = {
    "lsp": "Leeds Sports Pose Extended (Johnson and Everingham, CVPR 2011), its first 5000 images "
    "for training, the others for validation; "
}
_DATA_LIMITS = {
    "lsp": "one person who fills the crop, as in a sports photograph; 14 keypoints, without a "
    "face. The people of the data are athletes, gymnasts and climbers; nothing was measured on "
    "others. "
}
_LIMITS = (
    "Left and right are exchanged in unusual poses and from behind. The training was short and at "
    "low resolution: the model is a demonstration, not a baseline."
)
_USE = (
    "**Use**: research and teaching, like the data. Not for judging, watching or identifying "
    "people."
)

"""The model that comes with posenfs: a finished run in half precision, and a card that says how it came about."""

from dataclasses import replace
from pathlib import Path

import torch

from posenfs.data.files import atomic_path, write_atomic
from posenfs.evaluation.metrics import metric_title
from posenfs.model.tensors import write_tensors
from posenfs.search.build import TENSORS
from posenfs.search.experiment import Experiment
from posenfs.search.run_dir import RunDir
from posenfs.search.saved_models import load_model

BUNDLED_MODEL = Path(__file__).parents[1] / "assets" / "starter"  # a folder that `load_model` reads


def bundle(run: RunDir, target: Path = BUNDLED_MODEL, before: str = "") -> Path:
    """Write config.json, model.safetensors (float16) and CARD.md of a run into a folder; returns the card. `before`:
    what its network had learned before the run, in words.

    The numbers on the card are the run's own. Raises ValueError where it has none yet."""
    found, how = run.metrics(), run.provenance()
    if not found:
        raise ValueError(f"{run.name} is not finished: there are no numbers for its card")
    saved = load_model(run)
    asked = saved.experiment
    bare = replace(
        asked,
        name=target.name,
        data=replace(asked.data, root=None),
        backbone_weights=None,
        init_from=None,
    )
    target.mkdir(parents=True, exist_ok=True)
    with atomic_path(target / TENSORS) as path:
        write_tensors(path, saved.model, torch.float16)
    write_atomic(target / "config.json", bare.to_json())
    write_atomic(target / "CARD.md", _card(asked, found, how, before))
    return target / "CARD.md"


def _card(asked: Experiment, found: dict, how: dict, before: str) -> str:
    metric, metrics, run = found["primary_metric"], found["metrics"], asked.training
    height, width = asked.image_size
    keypoints = [
        f"{name.partition('/')[2]} {value:.1f}"
        for name, value in metrics.items()
        if name.startswith(f"{metric}/") and value is not None
    ]
    rows = [
        f"| {metric_title(name)} | {metrics[name]:.1f} [{own['low']:.1f}, {own['high']:.1f}] "
        f"| {found['mean_pose'].get(name, float('nan')):.1f} |"
        for name, own in found["intervals"].items()
    ]
    drops = ", ".join(f"{share:.0%}" for share in run.lr_drops)
    drops = f", times {run.lr_factor:g} after {drops} of them" if drops else ""
    weights = (
        f"those of {Path(asked.init_from).name}" if asked.init_from else how["initial_weights"]
    )
    people = ", ".join(f"{name} {data['people']}" for name, data in how["data"].items())
    words, limits = _DATA.get(asked.data.name, ("", ""))
    size = f"{found['params'] / 1e6:.2f}M parameters, {found['multiply_adds'] / 1e9:.3f} GMAC"
    paragraphs = [
        "# The model to begin with",
        f"A searched network of {size} for a crop "
        f"of {height} x {width} px, in float16: P = {asked.parts}, C = {asked.fabric.width}, H = "
        f"{asked.fabric.hidden_nodes}, d = {asked.vector_dim}; backbone {asked.backbone}; first weights: {weights}.",
        f"**Data**: {words}people: {people}; none of the images is here.",
        f"**Training**: {before}{asked.search.strategy}, {run.epochs} epoch(s) of batches of {run.batch_size}, Adam {run.lr:g}"
        f"{drops}, seed {run.seed} alone; turned by up to "
        f"{asked.augmentation.rotation:g}°, scaled by up to {asked.augmentation.scale:.0%}, mirrored; "
        f"torch {how['versions']['torch']}, {how['device']}.",
        f"**Numbers** on {found['people']} people it has not seen (boxes: {found['boxes']}; head size: "
        f"{found['head_size']}; mirror image averaged, {found['decoding']}; bootstrap over people, 95 %; before "
        "rounding to float16):",
        "\n".join(["| metric | this model | mean pose |", "|---|---|---|", *rows]),
        f"{metric_title(metric)} by keypoint: {', '.join(keypoints)}.",
        f"**Limits**: {limits}{_LIMITS}",
    ]
    return "\n\n".join(paragraphs) + "\n"


# Of data by name: what they are, and what follows from that.
_DATA = {
    "lsp": (
        "Leeds Sports Pose Extended (Johnson and Everingham, CVPR 2011), its first 5000 images to train, the others to "
        "validate; ",
        "one person who fills the crop, as a sports photograph shows them; 14 keypoints, without a face. The people of "
        "its data are athletes, gymnasts and climbers: for others nothing was measured. ",
    )
}
_LIMITS = """Left and right are exchanged in unusual poses and from behind. A short training at few pixels: it is here
to look at, not to build on.

**Use**: research and teaching, as its data. Not for judging, watching or identifying people."""

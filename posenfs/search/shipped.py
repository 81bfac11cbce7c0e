"""The model that comes with posenfs: a finished run in half precision, and a card that says how its numbers came about."""

from dataclasses import replace
from pathlib import Path

import torch

from posenfs.data.files import beside, write_whole
from posenfs.evaluation.metrics import metric_title
from posenfs.model.tensors import write_tensors
from posenfs.search.experiment import TENSORS, Experiment
from posenfs.search.run import Run
from posenfs.search.saved import load_model

SHIPPED = Path(__file__).parents[1] / "assets" / "starter"  # a folder that `load_model` reads


def ship(run: Run, target: Path = SHIPPED) -> Path:
    """Write config.json, model.safetensors (float16) and CARD.md of a run into a folder; returns the card.

    The numbers on the card are the run's own. Raises ValueError where it has none yet."""
    found, how = run.metrics(), run.provenance()
    if not found:
        raise ValueError(f"{run.name} is not finished: there are no numbers for its card")
    saved = load_model(run)
    asked = saved.experiment
    bare = replace(asked, name=target.name, data=replace(asked.data, root=None), backbone_weights=None)
    target.mkdir(parents=True, exist_ok=True)
    with beside(target / TENSORS) as path:
        write_tensors(path, saved.model, torch.float16)
    write_whole(target / "config.json", bare.to_json())
    write_whole(target / "CARD.md", _card(asked, found, how))
    return target / "CARD.md"


def _card(asked: Experiment, found: dict, how: dict) -> str:
    metric = found["headline"]
    height, width = asked.image_size
    intervals = [
        f"| {metric_title(name)} | {found['metrics'][name]:.1f} [{own['low']:.1f}, {own['high']:.1f}] | "
        f"{found['mean_pose'].get(name, float('nan')):.1f} |"
        for name, own in found["intervals"].items()
    ]
    columns = [
        name for name in found["metrics"] if name.startswith(f"{metric}/") and found["metrics"][name] is not None
    ]
    by_keypoint = ", ".join(f"{name.partition('/')[2]} {found['metrics'][name]:.1f}" for name in columns)
    return f"""# The model to begin with

A searched network of {found["params"] / 1e6:.2f}M parameters and {found["multiply_adds"] / 1e9:.3f} GMAC for a crop of
{height} x {width} px, in float16: P = {asked.parts}, C = {asked.fabric.width}, H = {asked.fabric.hidden_nodes}, d = {asked.vector_dim}, \
backbone {asked.backbone} that began with ImageNet weights (torchvision's).

**Data**: {_DATA}

**Training**: strategy {asked.run.strategy}, {asked.run.epochs} epochs, batches of {asked.run.batch_size}, Adam {asked.run.lr:g} times
{asked.run.lr_factor:g} at {", ".join(f"{share:.0%}" for share in asked.run.lr_drops)} of the epochs, seed {asked.run.seed}, one seed alone; rotation
±{asked.augmentation.rotation:g}°, scale ±{asked.augmentation.scale:.0%}, mirrored; torch {how["versions"]["torch"]}, {how["device"]}.

**Numbers** on {found["people"]} people it has not seen (images 5001-6000; boxes: {found["boxes"]}; head size: {found["head_size"]}; mirror image averaged,
quarter offset; interval: bootstrap over people, 95 %):

| metric | this model | mean pose |
|---|---|---|
{chr(10).join(intervals)}

{metric_title(metric)} by keypoint: {by_keypoint}. In float32, before rounding to float16.

**Limits**: one person filling the crop, as a sports photograph shows them; 14 keypoints, without a face. Left and right are exchanged in unusual
poses and from behind. A short training at few pixels: it is here to look at, not to build on. The people of its data are athletes, gymnasts and
climbers: for others nothing was measured.

**Use**: research and teaching, as its data. Not for judging, watching or identifying people.
"""


_DATA = """Leeds Sports Pose Extended (Johnson and Everingham, CVPR 2011), images 1-5000; no picture of it is here."""

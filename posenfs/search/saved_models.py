"""Models on disk: a folder with config.json (an Experiment) and model.safetensors. A finished run is one too."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from posenfs.body.parts import part_scheme
from posenfs.body.skeleton import COCO, Skeleton
from posenfs.data.datasets.catalogue import DataSpec, parts_of
from posenfs.data.files import atomic_path, write_atomic
from posenfs.data.geometry import ImageSize
from posenfs.model.backbones.fabric import FabricBackbone
from posenfs.model.backbones.hrnet import HRNet
from posenfs.model.backbones.torchvision_backbones import MobileNetV2, ResNet50
from posenfs.model.network import PoseNetwork, PoseNFS
from posenfs.model.tensors import fill, read_tensors, write_tensors
from posenfs.search.build import TENSORS, build_model
from posenfs.search.experiment import Experiment
from posenfs.search.run_dir import RunDir, find_run


@dataclass(frozen=True)
class Saved:
    """A model read from a folder, in eval mode on the CPU, and the experiment that builds its network."""

    experiment: Experiment
    model: PoseNetwork


def save_model(folder: str | Path, model: PoseNetwork, experiment: Experiment) -> None:
    """Write config.json and model.safetensors, whole or not at all; `load_model` gives back the same numbers exactly.

    `experiment` is the one that builds the model, or the model it was pruned from. Raises ValueError where the folder
    holds another experiment.
    """
    folder = Path(folder)
    config, text = folder / "config.json", experiment.to_json()
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; choose a folder")
    if config.is_file() and Experiment.from_json(config.read_text(), str(config)).to_json() != text:
        raise ValueError(f"{folder} holds another experiment ({config}); choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / TENSORS) as path:
        write_tensors(path, model)
    if not config.is_file():
        write_atomic(config, text)


def load_model(source: str | Path | RunDir) -> Saved:
    """The model of a folder that `save_model` wrote, or of a run (by name or folder): its last checkpoint's where it is
    not finished.

    Raises RunError where there is none, and ValueError where there are no weights, or of another network.
    """
    run = source if isinstance(source, RunDir) else find_run(source)
    experiment, path = run.experiment(), run.folder / TENSORS
    fresh = replace(experiment, backbone_weights=None, init_from=None)
    model = build_model(fresh, parts_of(experiment.data, experiment.parts))
    if path.is_file():
        state, _ = read_tensors(path)
        pruned = any(name.endswith(".fabric.operation_weights") for name in state)
        if pruned and isinstance(model, PoseNFS) and model.fabrics():
            model.prune({name: _weights(path, state, model, name) for name in model.fabrics()})
    elif checkpoints := run.checkpoints.steps():
        state, path = run.checkpoints.load(checkpoints[-1])["model"], run.folder
    else:
        raise ValueError(f"{run.folder} holds no weights yet: neither {TENSORS} nor a checkpoint")
    fill(model, state, path)
    model.initial_weights = f"saved in {run.folder}"
    return Saved(experiment, model.eval())


def _weights(
    path: Path, state: Mapping[str, Tensor], model: PoseNFS, name: str
) -> tuple[Tensor, Tensor]:
    """operation_weights [N, E, |O|] and scale_weights [N, 3] of a pruned fabric; zeros where nothing of it is left."""
    names, spec = [part.name for part in model.parts], model.fabrics()[name].spec
    place = "backbone.fabric" if name not in names else f"heads.{names.index(name)}.fabric"
    shapes = {
        "operation_weights": (len(spec.cells), len(spec.edges), len(spec.operations)),
        "scale_weights": spec.beta_shape,
    }
    alpha, beta = (
        state.get(f"{place}.{kind}", torch.zeros(shape)) for kind, shape in shapes.items()
    )
    if [tuple(weight.shape) for weight in (alpha, beta)] != list(shapes.values()):
        found = [list(weight.shape) for weight in (alpha, beta)]
        raise ValueError(f"{path} is of another network: {place} has weights of {found}")
    return alpha, beta


def describe(model: PoseNFS, name: str, skeleton: Skeleton) -> Experiment:
    """The experiment that builds a network like this one, made without one (a released checkpoint)."""
    known = {MobileNetV2: "mobilenet_v2", ResNet50: "resnet50", HRNet: "hrnet_w32"}
    backbone, head = model.backbone, model.heads[0]
    count = len(model.parts)
    standard = count in (1, 3, 5, 8) and part_scheme(skeleton, count) == model.parts
    own = {part.name: tuple(skeleton.keypoints[k] for k in part.keypoints) for part in model.parts}
    coco = skeleton == COCO
    return Experiment(
        name=name,
        data=DataSpec("coco" if coco else "mpii"),
        # the paper's: a checkpoint does not tell
        image_size=ImageSize(384, 288) if coco else ImageSize(256, 256),
        backbone=known.get(type(backbone), "mobilenet_v2"),
        backbone_fabric=backbone.fabric.spec if isinstance(backbone, FabricBackbone) else None,
        parts=count if standard else own,
        vector_dim=head.vector_dim,
        fabric=model.spec,
        rules=head.fabric.rules,
    )

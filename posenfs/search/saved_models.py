"""Saved models: folders with config.json and model.safetensors. A finished run is one as well."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from posenfs.body.parts import part_scheme
from posenfs.body.skeleton import COCO, Skeleton
from posenfs.data.datasets.catalogue import DataSpec, parts_of, with_definition
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
    """A loaded model, in eval mode on the CPU, and the experiment that builds its network."""

    experiment: Experiment
    model: PoseNetwork


def save_model(folder: str | Path, model: PoseNetwork, experiment: Experiment) -> None:
    """Write config.json and model.safetensors, each of them atomically.

    Args:
        folder: The folder.
        model: The network; `load_model` restores its tensors exactly.
        experiment: The experiment that builds the network, or the one it was pruned from.

    Raises:
        ValueError: The folder holds another experiment.
    """
    folder = Path(folder)
    experiment = replace(experiment, data=with_definition(experiment.data))
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
    """Load a saved model or the model of a run; for an unfinished run, its last checkpoint.

    Args:
        source: A folder that `save_model` wrote, or a run (its name or folder).

    Raises:
        RunError: There is no such folder or run.
        ValueError: There are no weights, or those of another network.
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
    """Return operation_weights [N, E, |O|] and scale_weights [N, 3] of a pruned fabric.

    They are zero if the fabric was removed as a whole.
    """
    names, spec = [part.name for part in model.parts], model.fabrics()[name].spec
    prefix = "backbone.fabric" if name not in names else f"heads.{names.index(name)}.fabric"
    shapes = {
        "operation_weights": (len(spec.cells), len(spec.edges), len(spec.operations)),
        "scale_weights": spec.beta_shape,
    }
    alpha, beta = [
        state.get(f"{prefix}.{kind}", torch.zeros(shape)) for kind, shape in shapes.items()
    ]
    if [tuple(weight.shape) for weight in (alpha, beta)] != list(shapes.values()):
        sizes = [list(weight.shape) for weight in (alpha, beta)]
        raise ValueError(f"{path} is of another network: {prefix} has weights of {sizes}")
    return alpha, beta


def experiment_of_model(model: PoseNFS, name: str, skeleton: Skeleton) -> Experiment:
    """Return an experiment that builds a network like this one, such as a released checkpoint.

    Args:
        model: The network.
        name: The name of the experiment.
        skeleton: The skeleton of the network's keypoints.
    """
    backbones: dict[type, str] = {
        MobileNetV2: "mobilenet_v2",
        ResNet50: "resnet50",
        HRNet: "hrnet_w32",
    }
    backbone, head = model.backbone, model.heads[0]
    parts: int | dict[str, tuple[str, ...]] = len(model.parts)
    if parts not in (1, 3, 5, 8) or part_scheme(skeleton, len(model.parts)) != model.parts:
        parts = {
            part.name: tuple(skeleton.keypoints[k] for k in part.keypoints) for part in model.parts
        }
    is_coco = skeleton == COCO
    return Experiment(
        name=name,
        data=DataSpec("coco" if is_coco else "mpii"),
        # The paper's sizes: weights do not depend on the size.
        image_size=ImageSize(384, 288) if is_coco else ImageSize(256, 256),
        backbone=backbones.get(type(backbone), "mobilenet_v2"),
        backbone_fabric=backbone.fabric.spec if isinstance(backbone, FabricBackbone) else None,
        parts=parts,
        vector_dim=head.vector_dim,
        fabric=model.spec,
        rules=head.fabric.rules,
    )

"""Build the network and the data of an experiment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch

from posenfs.body.parts import PartScheme
from posenfs.data.datasets.catalogue import open_data, parts_of
from posenfs.data.sample import Annotations
from posenfs.messages import unknown_entry
from posenfs.model.architecture import Genotype
from posenfs.model.backbones import BACKBONES, of_fabric
from posenfs.model.backbones.pretrained import Backbone
from posenfs.model.baselines import Branchnet, HRNetPose, SimpleBaseline
from posenfs.model.network import PoseNetwork, PoseNFS
from posenfs.model.pruning import prune
from posenfs.model.tensors import fill, read_tensors
from posenfs.search.experiment import Experiment

TENSORS = "model.safetensors"  # file of the weights, beside the config.json of their network


@dataclass(frozen=True)
class Built:
    """The network of an experiment, its parts, and the training and validation split."""

    model: PoseNetwork
    parts: PartScheme
    train: Annotations
    valid: Annotations


def build(experiment: Experiment, progress: bool = True, strict: bool = False) -> Built:
    """Build the network of an experiment and read its data.

    Args:
        experiment: The experiment. Its seed alone decides the initial weights.
        progress: Whether to show progress bars.
        strict: Whether a broken image is an error; otherwise its annotations are left out.

    Raises:
        ValueError: The experiment asks for something that does not exist or does not fit.
        DataError: The data files are missing or invalid.
    """
    parts = parts_of(experiment.data, experiment.parts)
    # The network comes first: its errors appear before synthetic data are drawn.
    model = build_model(experiment, parts)
    train, valid = open_data(experiment.data, progress, strict)
    return Built(model, parts, train, valid)


def build_model(experiment: Experiment, parts: PartScheme) -> PoseNetwork:
    """Build the network of an experiment, on the CPU.

    Torch's global random state stays as it is.

    Args:
        experiment: The experiment.
        parts: The parts of the network.

    Raises:
        ValueError: The model is unknown, or the initial weights or the genotype do not fit it.
    """
    if experiment.model not in MODELS:
        raise ValueError(unknown_entry("model", experiment.model, MODELS))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(experiment.training.seed)
        model = MODELS[experiment.model](experiment, parts)
    if experiment.init_from is not None:
        path = Path(experiment.init_from) / TENSORS
        fill(model, read_tensors(path)[0], path)
        model.initial_weights = f"saved in {experiment.init_from}"
    return model if experiment.genotype is None else derive(model, experiment.genotype)


def derive(model: PoseNetwork, genotypes: Mapping[str, Genotype]) -> PoseNFS:
    """Derive a discrete network (the paper's child) from a supernet, with the supernet's weights.

    Args:
        model: The supernet.
        genotypes: The genotype of each of its fabrics, by name.

    Raises:
        ValueError: The genotypes are for other fabrics than the model's.
    """
    fabrics = model.fabrics()
    if set(fabrics) != set(genotypes) or not isinstance(model, PoseNFS):
        raise ValueError(
            f"genotypes of {', '.join(genotypes)} for fabrics {', '.join(fabrics) or '(none)'}"
        )
    discrete = {name: genotypes[name].architecture(fabric.spec) for name, fabric in fabrics.items()}
    return prune(model.with_architectures(discrete), "one-hot")


def _backbone(experiment: Experiment) -> Backbone:
    spec = experiment.backbone_fabric
    make = BACKBONES[experiment.backbone] if spec is None else of_fabric(spec)
    return cast(Backbone, make(experiment.backbone_weights, experiment.rules))


def _pose_nfs(experiment: Experiment, parts: PartScheme) -> PoseNFS:
    backbone = _backbone(experiment)
    return PoseNFS(backbone, parts, experiment.fabric, experiment.vector_dim, experiment.rules)


def _simple_baseline(depth: int) -> Callable[[Experiment, PartScheme], PoseNetwork]:
    return lambda experiment, parts: SimpleBaseline(
        parts, depth, experiment.vector_dim, experiment.backbone_weights
    )


def _hrnet(width: int) -> Callable[[Experiment, PartScheme], PoseNetwork]:
    return lambda experiment, parts: HRNetPose(
        parts, width, experiment.vector_dim, experiment.backbone_weights
    )


def _branchnet(width: int) -> Callable[[Experiment, PartScheme], PoseNetwork]:
    return lambda experiment, parts: Branchnet(
        _backbone(experiment), parts, width, 8, experiment.vector_dim
    )


# Networks by name. To add one, add a function of the experiment and its parts.
MODELS: dict[str, Callable[[Experiment, PartScheme], PoseNetwork]] = {
    "pose_nfs": _pose_nfs,
    "simple_baseline_50": _simple_baseline(50),
    "simple_baseline_101": _simple_baseline(101),
    "simple_baseline_152": _simple_baseline(152),
    "hrnet_w32": _hrnet(32),
    "hrnet_w48": _hrnet(48),
    "branchnet_1": _branchnet(400),  # Table VI, with P = 3 and HRNet
    "branchnet_2": _branchnet(296),  # Table VI, with P = 5 and HRNet
}

"""Folded networks give the same score maps and run only the batch-norms of pools."""

import copy
import threading

import pytest
import torch
from torch import nn

from posenfs.body.parts import part_scheme
from posenfs.body.skeleton import MPII
from posenfs.model.backbones.fabric import FabricBackbone
from posenfs.model.backbones.hrnet import HRNet
from posenfs.model.backbones.torchvision_backbones import MobileNetV2
from posenfs.model.baselines import Branchnet, HRNetPose, SimpleBaseline
from posenfs.model.folded import fold
from posenfs.model.network import PoseNFS
from posenfs.model.operations import OPERATIONS, Skip
from posenfs.model.pruning import prune
from posenfs.model.space import PAPER, RELEASED, FabricSpec, Rules


def searched(parts=3, rules=PAPER, backbone=MobileNetV2, **spec):
    return PoseNFS(backbone(), part_scheme(MPII, parts), FabricSpec(width=2, **spec), 4, rules)


def fabric_backbone():
    return FabricBackbone(
        FabricSpec(layers=6, width=2, first=0, last=3, operations=tuple(OPERATIONS))
    )


NETWORKS = {
    "table II": searched,
    "released": lambda: searched(rules=RELEASED),
    "align_corners=False": lambda: searched(1, rules=Rules(align_corners=False)),
    "P = 8, H = 3, alpha per cell": lambda: searched(8, hidden_nodes=3, alpha_per_cell=True),
    "six operations": lambda: searched(1, operations=tuple(OPERATIONS)),
    "fabric backbone": lambda: searched(backbone=fabric_backbone),
    "fabric backbone, entries": lambda: searched(
        backbone=fabric_backbone, rules=Rules(always_entries=True)
    ),
    "fabric backbone, pruned": lambda: prune(searched(backbone=fabric_backbone), "one-hot"),
    "pruned": lambda: prune(searched(hidden_nodes=2), "threshold", 0.2),
    "child": lambda: prune(searched(), "one-hot"),
    "hrnet": lambda: HRNetPose(part_scheme(MPII, 1)),
    "simple baseline": lambda: SimpleBaseline(part_scheme(MPII, 1)),
    "branchnet": lambda: Branchnet(HRNet(), part_scheme(MPII, 3), 40, 2),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_score_maps_stay_the_same(name):
    torch.manual_seed(0)
    model = NETWORKS[name]().double()
    with torch.no_grad():
        for logits in model.architecture_parameters():
            logits.normal_()
        for key, buffer in model.named_buffers():
            if key.endswith("running_mean"):
                buffer.normal_()
            if key.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
    before, training = copy.deepcopy(model.state_dict()), model.training
    folded = fold(model)
    images = torch.randn(2, 3, 64, 96).double()
    with torch.no_grad():
        torch.testing.assert_close(
            folded(images), copy.deepcopy(model).eval()(images), rtol=1e-9, atol=1e-11
        )
    assert model.training == training and all(
        torch.equal(before[k], v) for k, v in model.state_dict().items()
    )
    batch_norms = sum(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    pools = [
        m
        for m in folded.modules()
        if isinstance(m, nn.Sequential) and isinstance(m[0], nn.AvgPool2d | nn.MaxPool2d)
    ]
    assert batch_norms == len(pools)  # a pool has no convolution to fold its batch-norm into


class Halved(Skip):
    """A custom operation, a subclass of a built-in one."""

    def forward(self, x, weight):
        return x * weight / 2


class DataDependent(MobileNetV2):
    """A backbone whose path depends on a value: torch.fx cannot trace it."""

    def forward(self, images):
        return super().forward(images if images.sum() > 0 else -images)


def test_custom_operations_and_backbones_are_called_unchanged(monkeypatch):
    monkeypatch.setitem(OPERATIONS, "halved", lambda channels: Halved())
    torch.manual_seed(0)
    model = searched(
        1, backbone=DataDependent, operations=("zero", "halved", "separable_3x3")
    ).double()
    images = torch.randn(2, 3, 64, 64).double()
    with torch.no_grad():
        torch.testing.assert_close(fold(model)(images), model.eval()(images), rtol=1e-9, atol=1e-11)


def test_folding_leaves_the_networks_of_other_threads_alone():
    """A search trains in one thread while other threads fold networks for predictions."""
    trained, folded = searched(1).train(), searched()
    images, done, errors = torch.randn(2, 3, 64, 64), threading.Event(), []
    original_call = nn.Module.__call__

    def train():
        try:
            while not done.is_set():
                trained(images).sum().backward()
        except Exception as error:
            errors.append(error)

    def predict():
        try:
            for _ in range(4):
                fold(folded)
        except Exception as error:
            errors.append(error)

    trainer, *folders = [threading.Thread(target=work) for work in (train, predict, predict)]
    for thread in (trainer, *folders):
        thread.start()
    for thread in folders:
        thread.join()
    done.set()
    trainer.join()
    assert errors == [] and nn.Module.__call__ is original_call

"""Backbones: image -> pyramid of four maps at strides 4, 8, 16, 32, finest first.

A backbone has the attributes `channels` and `strides` of its maps, and `initial_weights`, a text
about the origin of its weights.
"""

from collections.abc import Callable
from pathlib import Path

from torch import nn

from posenfs.model.backbones.fabric import FABRIC_1, FABRIC_2, FABRIC_3, FabricBackbone
from posenfs.model.backbones.hrnet import HRNet
from posenfs.model.backbones.mobilenet_v2 import MobileNetV2
from posenfs.model.backbones.resnet import ResNet50
from posenfs.model.space import FabricSpec, Rules


def of_fabric(spec: FabricSpec) -> Callable[[str | Path | None, Rules], nn.Module]:
    """Return an entry of BACKBONES for a fabric backbone with this spec."""

    def build(weights: str | Path | None, rules: Rules) -> FabricBackbone:
        if weights is not None:
            raise ValueError(
                "a fabric backbone starts from random weights; there are none to load from "
                f"{weights}"
            )
        return FabricBackbone(spec, rules)

    return build


# Backbones by name: functions of pretrained weights (None: random) and rules. To add a backbone,
# add a file and a line.
BACKBONES: dict[str, Callable[[str | Path | None, Rules], nn.Module]] = {
    "mobilenet_v2": lambda weights, rules: MobileNetV2(weights),
    "resnet50": lambda weights, rules: ResNet50(weights),
    "hrnet_w32": lambda weights, rules: HRNet(weights),
    "fabric_1": of_fabric(FABRIC_1),
    "fabric_2": of_fabric(FABRIC_2),
    "fabric_3": of_fabric(FABRIC_3),
}

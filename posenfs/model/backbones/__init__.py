"""Backbones: image -> pyramid of four maps at strides 4, 8, 16, 32, finest first, with `.channels`.

`.initial_weights` says in words where a backbone's weights come from.
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
    """A line of BACKBONES for a fabric."""

    def build(weights: str | Path | None, rules: Rules) -> FabricBackbone:
        if weights is not None:
            raise ValueError(
                f"a fabric backbone starts from random weights; there are none to load from {weights}"
            )
        return FabricBackbone(spec, rules)

    return build


# Backbones by name: a function of pretrained weights (None: random) and rules. To add one, add a file and a line.
BACKBONES: dict[str, Callable[[str | Path | None, Rules], nn.Module]] = {
    "mobilenet_v2": lambda weights, rules: MobileNetV2(weights),
    "resnet50": lambda weights, rules: ResNet50(weights),
    "hrnet_w32": lambda weights, rules: HRNet(weights),
    "fabric_1": of_fabric(FABRIC_1),
    "fabric_2": of_fabric(FABRIC_2),
    "fabric_3": of_fabric(FABRIC_3),
}

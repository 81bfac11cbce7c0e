"""Backbones: image -> pyramid of four maps at strides 4, 8, 16, 32, finest first.

A backbone has the attributes `channels` and `strides` of its maps, and `initial_weights`, a text
about the origin of its weights.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import cast

import torch
from torch import nn

from posenfs.model.backbones.fabric import FABRIC_1, FABRIC_2, FABRIC_3, of_fabric
from posenfs.model.backbones.hrnet import HRNet
from posenfs.model.backbones.pretrained import Backbone
from posenfs.model.backbones.torchvision_backbones import MobileNetV2, ResNet50
from posenfs.model.space import PAPER, Rules

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


def backbone_channels(name: str) -> tuple[int, ...]:
    """Return the channels of a backbone's maps, finest first.

    Args:
        name: A name in BACKBONES.
    """
    return _channels(BACKBONES[name])


@cache  # by function, because a notebook may replace an entry of BACKBONES
def _channels(build: Callable[[str | Path | None, Rules], nn.Module]) -> tuple[int, ...]:
    with torch.random.fork_rng(devices=[]):
        return cast(Backbone, build(None, PAPER)).channels

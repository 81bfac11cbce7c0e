"""A Cell-based Neural Fabric as backbone, after a stem of convolutions (Table VIII)."""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn

from posenfs.model.backbones.pretrained import Backbone
from posenfs.model.fabric import Fabric
from posenfs.model.space import PAPER, FabricSpec, Rules


class FabricBackbone(Backbone):
    """Images -> the four maps of the last kept layer with width * stride channels."""

    def __init__(self, spec: FabricSpec, rules: Rules = PAPER):
        super().__init__()
        if spec.first != 0 or spec.rows(spec.end - 1) != len(spec.strides):
            raise ValueError(
                "a fabric backbone keeps the layers from 0 to a layer with all "
                f"{len(spec.strides)} rows; got {spec}"
            )
        self.channels = tuple(spec.channels(row) for row in range(len(spec.strides)))
        self.strides = spec.strides
        self.initial_weights = "random"
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.Conv2d(64, 64, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.Conv2d(64, spec.channels(0), 1),
        )
        self.fabric = Fabric(spec, rules)

    def forward(self, images: Tensor) -> list[Tensor | None]:
        """[B, 3, H, W] -> four maps, finest first; None where a mask removed one."""
        return self.fabric([self.stem(images) if self.fabric.reads(0) else None], images)


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


_SIX = ("zero", "skip", "separable_3x3", "dilated_3x3", "avg_pool_3x3", "max_pool_3x3")

# Table VIII
FABRIC_1 = FabricSpec(layers=6, width=10, hidden_nodes=2, operations=_SIX, first=0, last=3)
FABRIC_2 = FabricSpec(layers=8, width=10, hidden_nodes=1, operations=_SIX, first=0, last=5)
FABRIC_3 = FabricSpec(layers=8, width=12, hidden_nodes=1, operations=_SIX, first=0, last=5)

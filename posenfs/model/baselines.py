"""Networks without a search: SimpleBaseline, HRNet, and Branchnet (Tables IV and VI).

Each can be used wherever a PoseNFS can.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet50, resnet101, resnet152

from posenfs.body.parts import PartScheme
from posenfs.model.backbones.hrnet import HRNet
from posenfs.model.backbones.pretrained import Backbone
from posenfs.model.backbones.torchvision_backbones import load_resnet
from posenfs.model.network import PoseNetwork
from posenfs.model.vectors import gather_parts, scores


class ScoreHead(nn.Module):
    """A 1x1 convolution to d numbers per keypoint, and their score.

    The score is Eq. 5, or the number itself for d = 1.
    """

    def __init__(self, channels: int, keypoints: int, vector_dim: int = 1):
        super().__init__()
        self.keypoints, self.vector_dim = keypoints, vector_dim
        self.conv = nn.Conv2d(channels, keypoints * vector_dim, 1)
        _init_small(self.conv)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] -> score maps [B, J, h, w]."""
        return scores(self.conv(x).unflatten(1, (self.keypoints, self.vector_dim)))


_RESNETS: dict[int, Callable[..., nn.Module]] = {50: resnet50, 101: resnet101, 152: resnet152}


class SimpleBaseline(PoseNetwork):
    """A ResNet and three transposed convolutions of 256 channels (Xiao et al. 2018)."""

    def __init__(
        self,
        parts: PartScheme,
        depth: int = 50,
        vector_dim: int = 1,
        weights: str | Path | None = None,
    ):
        """Create the network.

        Args:
            parts: The body parts.
            depth: The depth of the ResNet: 50, 101 or 152.
            vector_dim: d, the numbers per keypoint.
            weights: None, "imagenet" (torchvision downloads them), or a file with torchvision's
                state dict.

        Raises:
            ValueError: There is no ResNet of this depth.
        """
        super().__init__(parts)
        if depth not in _RESNETS:
            raise ValueError(
                f"no ResNet of depth {depth}; there are {', '.join(map(str, _RESNETS))}"
            )
        resnet, self.initial_weights = load_resnet(_RESNETS[depth], weights)
        layers = [module for name, module in resnet.named_children() if name != "avgpool"]
        self.backbone = nn.Sequential(*layers)
        self.upsample = nn.Sequential(*(_upsample(channels) for channels in (2048, 256, 256)))
        self.head = ScoreHead(256, self.keypoints, vector_dim)

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] -> score maps [B, K, H/4, W/4]; H and W are multiples of 32."""
        self.check(images)
        return self.head(self.upsample(self.backbone(images)))


def _init_small(conv: nn.Conv2d | nn.ConvTranspose2d) -> None:
    """Initialise a layer by N(0, 0.001), as the authors of SimpleBaseline and HRNet do.

    With torch's default the loss of the first score maps is fifty times that of empty ones, and a
    SimpleBaseline with random weights then learns slowly.
    """
    nn.init.normal_(conv.weight, std=0.001)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def _upsample(channels: int) -> nn.Sequential:
    conv = nn.ConvTranspose2d(channels, 256, 4, stride=2, padding=1, bias=False)
    _init_small(conv)
    return nn.Sequential(conv, nn.BatchNorm2d(256), nn.ReLU(inplace=True))


class HRNetPose(PoseNetwork):
    """HRNet with all four stages; the score maps come from its finest map (Sun et al. 2019)."""

    def __init__(
        self,
        parts: PartScheme,
        width: int = 32,
        vector_dim: int = 1,
        weights: str | Path | None = None,
    ):
        """Create the network.

        Args:
            parts: The body parts.
            width: The channels of the finest map.
            vector_dim: d, the numbers per keypoint.
            weights: None, or a file with the official state dict.
        """
        super().__init__(parts)
        self.backbone = HRNet(weights, width, whole=True, fuse_last=False)
        self.initial_weights = self.backbone.initial_weights
        self.head = ScoreHead(width, self.keypoints, vector_dim)

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] -> score maps [B, K, H/4, W/4]; H and W are multiples of 32."""
        self.check(images)
        return self.head(self.backbone(images)[0])


class Branchnet(PoseNetwork):
    """The hand-designed part-based baseline of Table VI.

    The four maps of a backbone are concatenated at stride 4; every part has a branch of `depth`
    bottlenecks of `width` channels.
    """

    def __init__(
        self,
        backbone: Backbone,
        parts: PartScheme,
        width: int = 400,
        depth: int = 8,
        vector_dim: int = 1,
    ):
        super().__init__(parts)
        self.backbone, self.initial_weights = backbone, backbone.initial_weights
        pyramid_channels = sum(backbone.channels)
        self.branches = nn.ModuleList(
            nn.Sequential(
                _conv(pyramid_channels, width, 1),
                *(_Bottleneck(width) for _ in range(depth)),
                ScoreHead(width, len(part.keypoints), vector_dim),
            )
            for part in parts
        )

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] -> score maps [B, K, H/4, W/4]; H and W are multiples of 32."""
        self.check(images)
        finest, *coarser = self.backbone(images)
        size = finest.shape[-2:]
        upsampled = [F.interpolate(x, size, mode="bilinear", align_corners=False) for x in coarser]
        x = torch.cat([finest, *upsampled], 1)
        return gather_parts((branch(x) for branch in self.branches), self.parts, self.keypoints)


class _Bottleneck(nn.Module):
    """1x1 to a quarter of the channels, 3x3, 1x1 back, and a residual connection."""

    def __init__(self, channels: int):
        super().__init__()
        inner = channels // 4
        last = nn.Sequential(nn.Conv2d(inner, channels, 1, bias=False), nn.BatchNorm2d(channels))
        self.body = nn.Sequential(_conv(channels, inner, 1), _conv(inner, inner, 3), last)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


def _conv(channels_in: int, channels: int, kernel: int) -> nn.Sequential:
    conv = nn.Conv2d(channels_in, channels, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))

"""HRNet: branches of several strides that exchange their maps again and again; named as in its official files."""

from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, Bottleneck

from posenfs.model.backbones.pretrained import load_weights


class HRNet(nn.Module):
    """Images -> four maps of width, 2, 4 and 8 times width channels at strides 4, 8, 16, 32.

    As a backbone it ends after stage 3 and transition 3 (HRNet-W32: 8.128M parameters); whole, after stage 4.
    """

    strides = (4, 8, 16, 32)

    def __init__(
        self,
        weights: str | Path | None = None,
        width: int = 32,
        whole: bool = False,
        fuse_last: bool = True,
    ):
        """`weights`: None or a file with the official state dict, of ImageNet or of a pose network.

        `fuse_last`: whether the last module of stage 4 fuses into all maps; pose networks fuse into the finest alone.
        """
        if weights == "imagenet":
            raise ValueError(
                "weights `imagenet` are torchvision's, which has none of HRNet; give the path of a file of its "
                "authors: hrnet_w32-36af842e.pth"
            )
        super().__init__()
        self.channels = tuple(width * 2**branch for branch in range(4))
        self.conv1, self.bn1 = (
            nn.Conv2d(3, 64, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(64),
        )
        self.conv2, self.bn2 = (
            nn.Conv2d(64, 64, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(64),
        )
        first = nn.Sequential(nn.Conv2d(64, 256, 1, bias=False), nn.BatchNorm2d(256))
        self.layer1 = nn.Sequential(
            Bottleneck(64, 64, downsample=first), *(Bottleneck(256, 64) for _ in range(3))
        )
        self.transition1 = _transition((256,), self.channels[:2])
        self.stage2 = nn.Sequential(Exchange(self.channels[:2]))
        self.transition2 = _transition(self.channels[:2], self.channels[:3])
        self.stage3 = nn.Sequential(*(Exchange(self.channels[:3]) for _ in range(4)))
        self.transition3 = _transition(self.channels[:3], self.channels)
        modules = [
            Exchange(self.channels),
            Exchange(self.channels),
            Exchange(self.channels, 4 if fuse_last else 1),
        ]
        self.stage4 = nn.Sequential(*modules) if whole else nn.Identity()
        self.initial_weights = "random" if weights is None else load_weights(self, Path(weights))

    def forward(self, images: Tensor) -> list[Tensor]:
        """[B, 3, H, W] -> four maps, finest first."""
        x = F.relu(self.bn1(self.conv1(images)))
        x = self.layer1(F.relu(self.bn2(self.conv2(x))))
        maps = self.stage2(_widen([x], self.transition1))
        maps = self.stage3(_widen(maps, self.transition2))
        return self.stage4(_widen(maps, self.transition3))


class Exchange(nn.Module):
    """An exchange unit: four residual blocks on every branch, then every output sums all branches, resized to it."""

    def __init__(self, channels: tuple[int, ...], outputs: int | None = None):
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(c, c) for _ in range(4))) for c in channels
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_resize(channels, source, target) for source in range(len(channels)))
            for target in range(len(channels) if outputs is None else outputs)
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps of all branches, finest first -> fused maps of the same shapes, or the first `outputs` of them."""
        maps = [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
        return [
            F.relu(sum(resize(x) for resize, x in zip(row, maps, strict=True)))
            for row in self.fuse_layers
        ]


def _resize(channels: tuple[int, ...], source: int, target: int) -> nn.Module:
    """From branch to branch: 3x3 convolutions of stride 2 down, the identity, or a 1x1 convolution and repeating up."""
    if source > target:
        return nn.Sequential(
            nn.Conv2d(channels[source], channels[target], 1, bias=False),
            nn.BatchNorm2d(channels[target]),
            nn.Upsample(scale_factor=2 ** (source - target), mode="nearest"),
        )
    if source == target:
        return nn.Identity()
    steps = [
        _down(channels[source], channels[source], relu=True) for _ in range(target - source - 1)
    ]
    return nn.Sequential(*steps, _down(channels[source], channels[target], relu=False))


def _down(channels_in: int, channels: int, relu: bool) -> nn.Sequential:
    conv = nn.Conv2d(channels_in, channels, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels), *([nn.ReLU(inplace=True)] if relu else []))


def _transition(before: tuple[int, ...], after: tuple[int, ...]) -> nn.ModuleList:
    """To the branches of the next stage: new channels where they differ, and one branch more, from the coarsest."""
    layers: list[nn.Module] = []
    for old, new in zip(before, after, strict=False):
        conv = nn.Conv2d(old, new, 3, padding=1, bias=False)
        layers.append(
            nn.Identity()
            if old == new
            else nn.Sequential(conv, nn.BatchNorm2d(new), nn.ReLU(inplace=True))
        )
    return nn.ModuleList([*layers, nn.Sequential(_down(before[-1], after[-1], relu=True))])


def _widen(maps: list[Tensor], transition: nn.ModuleList) -> list[Tensor]:
    sources = [*maps, maps[-1]]
    return [layer(x) for layer, x in zip(transition, sources, strict=True)]

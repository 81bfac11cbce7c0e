"""HRNet: parallel branches that repeatedly exchange their maps; names as in the official files."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, Bottleneck

from posenfs.model.backbones.pretrained import Backbone, load_weights
from posenfs.model.operations import module_list


class HRNet(Backbone):
    """Images -> four maps of width, 2, 4 and 8 times width channels at strides 4, 8, 16, 32.

    As a backbone it ends after stage 3 and transition 3 (HRNet-W32: 8.128M parameters); the whole
    network ends after stage 4.
    """

    strides = (4, 8, 16, 32)

    def __init__(
        self,
        weights: str | Path | None = None,
        width: int = 32,
        whole: bool = False,
        fuse_last: bool = True,
    ):
        """Create the network.

        Args:
            weights: None, or a file with the official state dict of ImageNet or a pose network.
            width: The channels of the finest map.
            whole: Whether the network has stage 4.
            fuse_last: Whether the last module of stage 4 gives all maps; pose networks use only
                the finest.
        """
        if weights == "imagenet":
            raise ValueError(
                "torchvision has no weights `imagenet` for HRNet; give the path of a file of its "
                "authors: hrnet_w32-36af842e.pth"
            )
        super().__init__()
        self.channels = tuple(width * 2**branch for branch in range(4))
        self.conv1 = nn.Conv2d(3, 64, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = nn.Conv2d(64, 64, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        shortcut = nn.Sequential(nn.Conv2d(64, 256, 1, bias=False), nn.BatchNorm2d(256))
        first_block = Bottleneck(64, 64, downsample=shortcut)
        self.layer1 = nn.Sequential(first_block, *(Bottleneck(256, 64) for _ in range(3)))
        self.transition1 = _transition((256,), self.channels[:2])
        self.stage2 = nn.Sequential(Exchange(self.channels[:2]))
        self.transition2 = _transition(self.channels[:2], self.channels[:3])
        self.stage3 = nn.Sequential(*(Exchange(self.channels[:3]) for _ in range(4)))
        self.transition3 = _transition(self.channels[:3], self.channels)
        # Created even where it is not used: the random initialisation of later layers needs it.
        stage4 = nn.Sequential(
            Exchange(self.channels),
            Exchange(self.channels),
            Exchange(self.channels, 4 if fuse_last else 1),
        )
        self.stage4 = stage4 if whole else nn.Identity()
        self.initial_weights = "random" if weights is None else load_weights(self, Path(weights))

    def forward(self, images: Tensor) -> list[Tensor]:
        """[B, 3, H, W] -> four maps, finest first."""
        x = F.relu(self.bn1(self.conv1(images)))
        x = self.layer1(F.relu(self.bn2(self.conv2(x))))
        maps = self.stage2(_apply_transition(self.transition1, [x]))
        maps = self.stage3(_apply_transition(self.transition2, maps))
        return self.stage4(_apply_transition(self.transition3, maps))


class Exchange(nn.Module):
    """An exchange unit: four residual blocks on every branch, and a fusion of all branches.

    Every output is the sum of all branches, resized to its size.
    """

    fuse_layers: Sequence[Sequence[nn.Module]]

    def __init__(self, channels: tuple[int, ...], outputs: int | None = None):
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(width, width) for _ in range(4))) for width in channels
        )
        branch_count = len(channels)
        self.fuse_layers = module_list(
            module_list(_resize(channels, source, target) for source in range(branch_count))
            for target in range(branch_count if outputs is None else outputs)
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Map the branches, finest first, to fused maps of the same shapes.

        Only the first `outputs` maps are given.
        """
        maps = [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
        fused = []
        for row in self.fuse_layers:
            fused.append(F.relu(sum(resize(x) for resize, x in zip(row, maps, strict=True))))
        return fused


def _resize(channels: tuple[int, ...], source: int, target: int) -> nn.Module:
    """Create the layers between two branches.

    A finer source passes 3x3 convolutions of stride 2, a coarser one a 1x1 convolution and
    nearest upsampling.
    """
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
    activation = [nn.ReLU(inplace=True)] if relu else []
    return nn.Sequential(conv, nn.BatchNorm2d(channels), *activation)


def _transition(before: tuple[int, ...], after: tuple[int, ...]) -> nn.ModuleList:
    """Create the layers to the branches of the next stage.

    Branches get new channels where these differ; the new branch starts from the coarsest one.
    """
    layers: list[nn.Module] = []
    for channels_in, channels in zip(before, after, strict=False):
        # Created even where it is not used: the random initialisation of later layers needs it.
        conv = nn.Conv2d(channels_in, channels, 3, padding=1, bias=False)
        if channels_in == channels:
            layers.append(nn.Identity())
        else:
            norm = nn.BatchNorm2d(channels)
            layers.append(nn.Sequential(conv, norm, nn.ReLU(inplace=True)))
    return nn.ModuleList([*layers, nn.Sequential(_down(before[-1], after[-1], relu=True))])


def _apply_transition(transition: nn.ModuleList, maps: list[Tensor]) -> list[Tensor]:
    sources = [*maps, maps[-1]]
    return [layer(x) for layer, x in zip(transition, sources, strict=True)]

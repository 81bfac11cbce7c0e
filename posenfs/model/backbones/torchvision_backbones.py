"""Pyramids of torchvision's networks: MobileNet-V2 and ResNet-50."""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn
from torchvision.models import (
    MobileNet_V2_Weights,
    ResNet,
    get_model_weights,
    mobilenet_v2,
    resnet50,
)

from posenfs.model.backbones.pretrained import BY_FILE, Backbone, download, load_weights


class MobileNetV2(Backbone):
    """Images -> maps of 24, 32, 96, 160 channels at strides 4, 8, 16, 32; 1.338M parameters."""

    channels, strides = (24, 32, 96, 160), (4, 8, 16, 32)

    def __init__(self, weights: str | Path | None = None):
        """Create the backbone.

        Args:
            weights: None, "imagenet" (torchvision downloads them), or a file with torchvision's
                state dict.
        """
        super().__init__()
        if weights == "imagenet":
            network = download(mobilenet_v2, MobileNet_V2_Weights.IMAGENET1K_V2, BY_FILE)
        else:
            network = mobilenet_v2()
        features = network.features[:17]  # the blocks of 320 and 1280 channels are not used
        self.initial_weights = "random" if weights is None else "torchvision's IMAGENET1K_V2"
        if weights not in (None, "imagenet"):
            self.initial_weights = load_weights(features, Path(weights))
        stages = [features[:4], features[4:7], features[7:14], features[14:17]]
        self.stages = nn.ModuleList(stages)

    def forward(self, images: Tensor) -> list[Tensor]:
        """[B, 3, H, W] -> four maps, finest first."""
        x, maps = images, []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


def load_resnet(build: Callable[..., ResNet], weights: str | Path | None) -> tuple[ResNet, str]:
    """Return a ResNet of torchvision without its classifier, and the origin of its weights.

    Args:
        build: torchvision's function that creates the network.
        weights: None, "imagenet" (torchvision downloads them), or a file with torchvision's state
            dict.
    """
    imagenet = get_model_weights(build)["IMAGENET1K_V2"]
    network = download(build, imagenet, BY_FILE) if weights == "imagenet" else build()
    del network.fc
    if weights is None:
        return network, "random"
    if weights == "imagenet":
        return network, "torchvision's IMAGENET1K_V2"
    return network, load_weights(network, Path(weights))


class ResNet50(Backbone):
    """Images -> C2 to C5: maps of 256, 512, 1024, 2048 channels at strides 4, 8, 16, 32.

    It has 23.508M parameters.
    """

    channels, strides = (256, 512, 1024, 2048), (4, 8, 16, 32)

    def __init__(self, weights: str | Path | None = None):
        """Create the backbone.

        Args:
            weights: None, "imagenet" (torchvision downloads them), or a file with torchvision's
                state dict.
        """
        super().__init__()
        network, self.initial_weights = load_resnet(resnet50, weights)
        self.stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
        stages = [network.layer1, network.layer2, network.layer3, network.layer4]
        self.stages = nn.ModuleList(stages)

    def forward(self, images: Tensor) -> list[Tensor]:
        """[B, 3, H, W] -> four maps, finest first."""
        x, maps = self.stem(images), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

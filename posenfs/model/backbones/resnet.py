"""ResNet as a pyramid (torchvision's models)."""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn
from torchvision.models import ResNet, get_model_weights, resnet50

from posenfs.model.backbones.pretrained import BY_FILE, download, load_weights


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


class ResNet50(nn.Module):
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

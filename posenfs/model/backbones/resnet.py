"""ResNet as a pyramid (torchvision's models)."""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn
from torchvision.models import ResNet, get_model_weights, resnet50

from posenfs.model.backbones.pretrained import BY_FILE, download, load_weights


def load_resnet(build: Callable[..., ResNet], weights: str | Path | None) -> tuple[ResNet, str]:
    """One of torchvision's without its classifier, and where its weights come from; `weights` as for ResNet50."""
    given = weights == "imagenet"
    net = download(build, get_model_weights(build)["IMAGENET1K_V2"], BY_FILE) if given else build()
    del net.fc
    if weights in (None, "imagenet"):
        return net, "random" if weights is None else "torchvision's IMAGENET1K_V2"
    return net, load_weights(net, Path(weights))


class ResNet50(nn.Module):
    """Images -> C2 to C5: maps of 256, 512, 1024, 2048 channels at strides 4, 8, 16, 32; 23.508M parameters."""

    channels, strides = (256, 512, 1024, 2048), (4, 8, 16, 32)

    def __init__(self, weights: str | Path | None = None):
        """`weights`: None, "imagenet" (torchvision downloads them), or a file with torchvision's state dict."""
        super().__init__()
        net, self.initial_weights = load_resnet(resnet50, weights)
        self.stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
        self.stages = nn.ModuleList([net.layer1, net.layer2, net.layer3, net.layer4])

    def forward(self, images: Tensor) -> list[Tensor]:
        """[B, 3, H, W] -> four maps, finest first."""
        x, maps = self.stem(images), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

"""MobileNet-V2 as a pyramid (torchvision's model)."""

from pathlib import Path

from torch import Tensor, nn
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

from posenfs.model.backbones.pretrained import BY_FILE, download, load_weights


class MobileNetV2(nn.Module):
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
            self.initial_weights = load_weights(features, Path(weights), "features.")
        stages = [features[:4], features[4:7], features[7:14], features[14:17]]
        self.stages = nn.ModuleList(stages)

    def forward(self, images: Tensor) -> list[Tensor]:
        """[B, 3, H, W] -> four maps, finest first."""
        x, maps = images, []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

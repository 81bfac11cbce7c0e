"""MobileNet-V2 as a pyramid (torchvision's model)."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2


class MobileNetV2(nn.Module):
    """Images -> maps of 24, 32, 96, 160 channels at strides 4, 8, 16, 32; 1.338M parameters."""

    channels, strides = (24, 32, 96, 160), (4, 8, 16, 32)

    def __init__(self, weights: str | Path | None = None):
        """`weights`: None, "imagenet" (torchvision downloads them), or a file with torchvision's state dict."""
        super().__init__()
        net = mobilenet_v2(weights=MobileNet_V2_Weights.IMAGENET1K_V2 if weights == "imagenet" else None)
        if weights not in (None, "imagenet"):
            load_features(net.features, Path(weights))
        features = net.features  # the blocks of 320 and 1280 channels are not used
        self.stages = nn.ModuleList([features[:4], features[4:7], features[7:14], features[14:17]])

    def forward(self, images: Tensor) -> list[Tensor]:
        """[B, 3, H, W] -> four maps, finest first."""
        maps = []
        for stage in self.stages:
            images = stage(images)
            maps.append(images)
        return maps


def load_features(features: nn.Module, path: Path) -> None:
    """Load a torchvision state dict of the whole model or of its features; raises ValueError if tensors lack."""
    if not path.is_file():
        raise FileNotFoundError(f"no backbone weights at {path}; give a file with torchvision's state dict, or none")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of a foreign file torch raises nearly anything
        raise ValueError(f"{path} is not a state dict that torch saved: {error}") from None
    if not isinstance(state, dict):
        raise ValueError(f"{path} holds a {type(state).__name__}, not a state dict")
    state = {key.removeprefix("features."): value for key, value in state.items()}
    own = features.state_dict()
    matched = {key: state[key] for key in own if key in state and state[key].shape == own[key].shape}
    if len(matched) < len(own):
        raise ValueError(f"{path}: only {len(matched)} of {len(own)} tensors match MobileNet-V2's features")
    features.load_state_dict(matched)

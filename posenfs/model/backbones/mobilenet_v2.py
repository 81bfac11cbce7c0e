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
        features = net.features[:17]  # the blocks of 320 and 1280 channels are not used
        self.initial_weights = "random" if weights is None else "torchvision's IMAGENET1K_V2"
        if weights not in (None, "imagenet"):
            self.initial_weights = load_features(features, Path(weights))
        self.stages = nn.ModuleList([features[:4], features[4:7], features[7:14], features[14:17]])

    def forward(self, images: Tensor) -> list[Tensor]:
        """[B, 3, H, W] -> four maps, finest first."""
        maps = []
        for stage in self.stages:
            images = stage(images)
            maps.append(images)
        return maps


def load_features(features: nn.Module, path: Path) -> str:
    """Load a torchvision state dict of the whole model or of its features; returns how many tensors matched.

    Raises FileNotFoundError, or ValueError where the file is none or lacks a tensor.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no backbone weights at {path}; give a file with torchvision's state dict, or none")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of a foreign file torch raises nearly anything
        raise ValueError(f"{path} is not a state dict that torch saved: {error}") from None
    if not isinstance(state, dict):
        raise ValueError(f"{path} holds a {type(state).__name__}, not a state dict")
    given = {str(key).removeprefix("features."): value for key, value in state.items()}
    own = features.state_dict()
    matched = {key: given[key] for key in own if getattr(given.get(key), "shape", None) == own[key].shape}
    # counts of batches are in no file older than 2018, and nothing reads them where momentum is set
    lacking = [key for key in own if key not in matched and not key.endswith("num_batches_tracked")]
    if lacking:
        raise ValueError(
            f"{path}: {len(matched)} of the {len(own)} tensors of MobileNet-V2's features match; lacking or of another "
            f"shape: {', '.join(lacking[:3])}{', …' if len(lacking) > 3 else ''}"
        )
    features.load_state_dict(matched, strict=False)
    return f"{len(matched)} of {len(own)} tensors matched, of {len(state)} in {path.name}"

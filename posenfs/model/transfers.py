"""Transfers of maps between cells (Fig. 4); called as transfer(x, weight) -> weight * T(x)."""

from torch import Tensor, nn
from torch.nn import functional as F

from posenfs.model.operations import ScaledBatchNorm
from posenfs.model.space import FabricSpec, Rules


class Same(nn.Module):
    """Transfer between cells of one scale: the identity."""

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return weight * x."""
        return x * weight


class Down(nn.Module):
    """Transfer from the finer scale: 3x3 convolution of stride 2, batch-norm, ReLU."""

    def __init__(self, channels_in: int, channels: int, relu: bool):
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, 3, stride=2, padding=1)
        self.norm = ScaledBatchNorm(channels, affine=True)
        self.relu = relu

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        """[B, C_in, 2h, 2w], scalar -> weight * T(x) [B, C, h, w]."""
        x = self.norm(self.conv(x), weight)
        return F.relu(x, inplace=True) if self.relu else x


class Up(nn.Module):
    """Transfer from the coarser scale: 1x1 convolution, batch-norm, bilinear upsampling by 2.

    The convolution and the batch-norm run at the low resolution.
    """

    def __init__(self, channels_in: int, channels: int, align_corners: bool):
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, 1)
        self.norm = ScaledBatchNorm(channels, affine=True)
        self.align_corners = align_corners

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        """[B, C_in, h, w], scalar -> weight * T(x) [B, C, 2h, 2w]."""
        x = self.norm(self.conv(x), weight)
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=self.align_corners)


def transfer(spec: FabricSpec, source: int, row: int, rules: Rules) -> nn.Module:
    """Create the transfer T of Eq. 2 from a row of the previous layer to a cell (Fig. 4).

    Args:
        spec: The fabric.
        source: The row of the source map.
        row: The row of the cell.
        rules: The rules of the network.
    """
    channels_in, channels = spec.channels(source), spec.channels(row)
    if source < row:
        return Down(channels_in, channels, rules.relu_after_down)
    if source > row:
        return Up(channels_in, channels, rules.align_corners)
    return Same()

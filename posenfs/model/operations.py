"""Candidate operations. Each is a module called as operation(x, weight) that returns weight * o(x)."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F


class ScaledBatchNorm(nn.BatchNorm2d):
    """Batch-norm whose output is scaled by a given weight: the mixing weight costs nothing extra."""

    def __init__(self, channels: int, affine: bool = False):
        super().__init__(channels, affine=affine)
        self.ones: Tensor
        self.register_buffer("ones", self.running_mean.new_ones(channels), persistent=False)

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        """[B, C, h, w], scalar -> weight * BN(x), same shape."""
        gamma = weight * (self.ones if self.weight is None else self.weight)
        bias = None if self.bias is None else weight * self.bias
        # None for the count of batches: the momentum is fixed, so nothing reads it.
        return F.batch_norm(x, self.running_mean, self.running_var, gamma, bias, self.training, self.momentum, self.eps)


class Zero(nn.Module):
    """No connection. Never run: a mixed operation leaves it out, and its softmax weight is what the others lose."""

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        return x * 0.0


class Skip(nn.Module):
    """The identity."""

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        return x * weight


class DepthwiseSeparable(nn.Module):
    """Depthwise 3x3, pointwise 1x1, batch-norm, ReLU; scaled. weight >= 0, so weight * ReLU(y) = ReLU(weight * y)."""

    def __init__(self, channels: int, dilation: int = 1):
        super().__init__()
        self.depthwise = nn.Conv2d(
            channels, channels, 3, padding=dilation, dilation=dilation, groups=channels, bias=False
        )
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = ScaledBatchNorm(channels)

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.relu(self.norm(self.pointwise(self.depthwise(x)), weight), inplace=True)


class Separable(nn.Module):
    """Two depthwise separable blocks, one after the other (the paper's costs show that there are two)."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = DepthwiseSeparable(channels)
        self.second = DepthwiseSeparable(channels)

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        return self.second(self.first(x, weight.new_ones(())), weight)


class Pool(nn.Module):
    """A 3x3 pool of stride 1, then batch-norm; the average leaves out the padding."""

    def __init__(self, channels: int, pool: nn.Module):
        super().__init__()
        self.pool = pool
        self.norm = ScaledBatchNorm(channels)

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        return self.norm(self.pool(x), weight)


# Candidate operations by name: a function from the number of channels to a module. To add one, add a line.
OPERATIONS: dict[str, Callable[[int], nn.Module]] = {
    "zero": lambda channels: Zero(),
    "skip": lambda channels: Skip(),
    "separable_3x3": Separable,
    "dilated_3x3": lambda channels: DepthwiseSeparable(channels, dilation=2),
    "avg_pool_3x3": lambda channels: Pool(channels, nn.AvgPool2d(3, 1, 1, count_include_pad=False)),
    "max_pool_3x3": lambda channels: Pool(channels, nn.MaxPool2d(3, 1, 1)),
}

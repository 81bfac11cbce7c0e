"""Candidate operations; each is a module called as operation(x, weight) -> weight * o(x)."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ScaledBatchNorm(nn.BatchNorm2d):
    """Batch-norm whose output is scaled by a weight, so that mixing costs no extra operation."""

    momentum: float
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, affine: bool = False):
        super().__init__(channels, affine=affine)
        self.ones: Tensor
        self.register_buffer("ones", self.running_mean.new_ones(channels), persistent=False)

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:  # type: ignore[override]  # has a weight
        """[B, C, h, w], scalar -> weight * BN(x), same shape."""
        gamma = weight * (self.ones if self.weight is None else self.weight)
        bias = None if self.bias is None else weight * self.bias
        # The count of batches is not updated: the momentum is fixed, so nothing reads it.
        return F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            gamma,
            bias,
            self.training,
            self.momentum,
            self.eps,
        )


class DilatedDepthwise(torch.autograd.Function):
    """A depthwise 3x3 convolution of dilation 2 with a fast backward pass on a CPU.

    The input is [B, C, h, w] with even h and w, the weights are [C, 1, 3, 3].

    oneDNN's backward pass takes five to ten times as long with a dilation as without. Therefore
    the gradient of the input is computed by a forward pass with flipped weights. The gradient of
    the weights is computed without dilation, on the four sub-maps of even and odd rows and columns.
    """

    @staticmethod
    def forward(context: Any, x: Tensor, weight: Tensor) -> Tensor:
        """[B, C, h, w], [C, 1, 3, 3] -> [B, C, h, w]."""
        context.save_for_backward(x, weight)
        return F.conv2d(x, weight, padding=2, dilation=2, groups=x.shape[1])

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradients of the input and of the weights."""
        x, weight = context.saved_tensors
        groups = x.shape[1]
        input_gradient: Tensor | None = None
        weight_gradient: Tensor | None = None
        if context.needs_input_grad[0]:
            flipped = weight.flip(2, 3)
            input_gradient = F.conv2d(gradient, flipped, padding=2, dilation=2, groups=groups)
        if context.needs_input_grad[1]:
            arguments = [1, 1], [1, 1], [1, 1], False, [0, 0], groups, [False, True, False]
            weight_gradient = torch.ops.aten.convolution_backward(
                _every_other(gradient), _every_other(x), weight, None, *arguments
            )[1]
        return input_gradient, weight_gradient


def _every_other(x: Tensor) -> Tensor:
    """[B, C, h, w] -> [4 B, C, h / 2, w / 2] in channels-last: even and odd rows and columns."""
    batch, channels, height, width = x.shape
    split = x.permute(0, 2, 3, 1).reshape(batch, height // 2, 2, width // 2, 2, channels)
    quarters = split.permute(0, 2, 4, 1, 3, 5)
    return quarters.reshape(4 * batch, height // 2, width // 2, channels).permute(0, 3, 1, 2)


class Zero(nn.Module):
    """No connection. Mixed operations skip it; its softmax weight reduces the other weights."""

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return zeros like x."""
        return x * 0.0


class Skip(nn.Module):
    """The identity."""

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return weight * x."""
        return x * weight


class DepthwiseSeparable(nn.Module):
    """Depthwise 3x3, pointwise 1x1, batch-norm, ReLU; the weight scales the batch-norm.

    The weight is at least 0, so weight * ReLU(y) = ReLU(weight * y).
    """

    def __init__(self, channels: int, dilation: int = 1):
        super().__init__()
        self.depthwise = nn.Conv2d(
            channels,
            channels,
            3,
            padding=dilation,
            dilation=dilation,
            groups=channels,
            bias=False,
        )
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = ScaledBatchNorm(channels)

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        """[B, C, h, w], scalar -> weight * o(x), same shape."""
        x = self.pointwise(self._filter(x))
        return F.relu(self.norm(x, weight), inplace=True)

    def _filter(self, x: Tensor) -> Tensor:
        """Run the depthwise convolution, on a CPU by DilatedDepthwise where it applies."""
        even_size = x.shape[-2] % 2 == 0 and x.shape[-1] % 2 == 0
        plain_cpu = x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
        dilated = self.depthwise.dilation == (2, 2)
        if dilated and plain_cpu and even_size and torch.is_grad_enabled():
            return DilatedDepthwise.apply(x, self.depthwise.weight)
        return self.depthwise(x)


class Separable(nn.Module):
    """Two depthwise separable blocks in sequence (the paper's costs show that there are two)."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = DepthwiseSeparable(channels)
        self.second = DepthwiseSeparable(channels)

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        """[B, C, h, w], scalar -> weight * o(x), same shape."""
        return self.second(self.first(x, weight.new_ones(())), weight)


class Pool(nn.Module):
    """A 3x3 pool of stride 1 and a batch-norm; the average excludes the padding."""

    def __init__(self, channels: int, pool: nn.Module):
        super().__init__()
        self.pool = pool
        self.norm = ScaledBatchNorm(channels)

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        """[B, C, h, w], scalar -> weight * o(x), same shape."""
        return self.norm(self.pool(x), weight)


_Module = TypeVar("_Module")  # a module, None, or a list of them


def module_list(modules: Iterable[_Module]) -> Sequence[_Module]:
    """Return a ModuleList whose type says what it holds; to torch's stubs it holds any module."""
    return cast(Sequence[_Module], nn.ModuleList(cast(Iterable[nn.Module], modules)))


# Candidate operations by name: functions from the number of channels to a module. To add an
# operation, add a line.
OPERATIONS: dict[str, Callable[[int], nn.Module]] = {
    "zero": lambda channels: Zero(),
    "skip": lambda channels: Skip(),
    "separable_3x3": Separable,
    "dilated_3x3": lambda channels: DepthwiseSeparable(channels, dilation=2),
    "avg_pool_3x3": lambda channels: Pool(channels, nn.AvgPool2d(3, 1, 1, count_include_pad=False)),
    "max_pool_3x3": lambda channels: Pool(channels, nn.MaxPool2d(3, 1, 1)),
}

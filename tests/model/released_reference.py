"""The authors' network in plain functions on a state dict in the layout of their checkpoints.

Written from the description of that layout alone: nothing of posenfs is used. `Released.random`
makes a checkpoint with random weights, `Released.score_maps` computes its output.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

STRIDES = (4, 8, 16, 32)
BLOCKS = {"separable_3x3": (0, 4), "dilated_3x3": (0,)}  # place of each depthwise convolution

# The parts of Table I on MPII's 16 keypoints: 0 head top, 1 upper neck, 2 thorax, 3 and 4
# shoulders, 5 and 6 elbows, 7 and 8 wrists, 9 and 10 hips, 11 and 12 knees, 13 and 14 ankles,
# 15 pelvis.
PARTS = {
    1: {"whole_body": list(range(16))},
    3: {
        "upper_limb_part": [3, 4, 5, 6, 7, 8],
        "head_part": [0, 1, 2],
        "lower_limb_part": [9, 10, 11, 12, 13, 14, 15],
    },
    8: {
        "left_upper_arm_part": [3, 5],
        "right_upper_arm_part": [4, 6],
        "left_lower_arm_part": [5, 7],
        "right_lower_arm_part": [6, 8],
        "left_lower_leg_part": [11, 13],
        "right_lower_leg_part": [12, 14],
        "head_shoulder_part": [0, 1, 2, 3, 4],
        "upper_legs_part": [9, 15, 10, 11, 12],
    },
}


@dataclass(frozen=True)
class Grid:
    """The configuration of a fabric: layers first to last - 1 of `layers`, C, H and operations."""

    layers: int = 6
    first: int = 3
    last: int = 6
    width: int = 2
    hidden: int = 1
    operations: tuple[str, ...] = ("zero", "skip", "dilated_3x3", "separable_3x3")

    def rows(self, layer: int) -> int:
        return min(layer + 2, 4, self.layers - layer)

    def cells(self) -> list[tuple[int, int]]:
        layers = range(self.first, self.last)
        return [(layer, row) for layer in layers for row in range(self.rows(layer))]

    def channels(self, row: int) -> int:
        return self.width * STRIDES[row]

    def sources(self, layer: int, row: int) -> tuple[int, int, int]:
        """Rows of the same, the finer and the coarser source; a missing neighbour is a copy."""
        before = self.rows(layer - 1) if layer else 1
        if row >= before:  # the cell opens a new scale
            return row - 1, row - 1, row - 1
        finer = row - 1 if row > 0 else row
        coarser = row + 1 if row + 1 < before else row
        return row, finer, coarser


@dataclass(frozen=True)
class Released:
    """The configuration of a network whose backbone is a fabric.

    Attributes:
        head: The fabric of every part.
        backbone: The fabric of the backbone.
        parts: P.
        vector_dim: d.
        alphas_of_two_inputs: Whether alpha has rows for the second input node, which is unused.
        stem_bias: Whether the last convolution of the stem has a bias.
        pool: What comes before the number of a pool's batch-norm in its key.
        reduced: Whether there are 1x1 convolutions; None: where 4 C differs.
    """

    head: Grid = Grid()
    backbone: Grid = Grid(first=0, last=3)
    parts: int = 3
    vector_dim: int = 8
    alphas_of_two_inputs: bool = False
    stem_bias: bool = False
    pool: str = ""
    reduced: bool | None = None

    def random(self, seed: int = 0) -> dict[str, Tensor]:
        """Return a state dict with random weights, alpha and beta."""
        generator = torch.Generator().manual_seed(seed)
        state: dict[str, Tensor] = {}
        self._add_fabric(state, "backbone", self.backbone, generator)
        add_conv(state, "backbone.stem.0", (64, 3, 3, 3), generator, bias=False)
        add_norm(state, "backbone.stem.1", 64, generator)
        add_conv(state, "backbone.stem.2", (64, 64, 3, 3), generator, bias=False)
        add_norm(state, "backbone.stem.3", 64, generator)
        shape = (self.backbone.channels(0), 64, 1, 1)
        add_conv(state, "backbone.stem.5", shape, generator, bias=self.stem_bias)
        self.add_parts(state, generator)
        if self.has_entries():
            for part in range(len(PARTS[self.parts])):
                for level in range(4):
                    shape = (self.head.channels(level), self.backbone.channels(level), 1, 1)
                    add_conv(state, f"reduce.{part}.{level}", shape, generator)
        return state

    def has_entries(self) -> bool:
        different = self.head.channels(0) != self.backbone.channels(0)
        return different if self.reduced is None else self.reduced

    def add_parts(self, state: dict[str, Tensor], generator: torch.Generator) -> None:
        for name, keypoints in PARTS[self.parts].items():
            self._add_fabric(state, name, self.head, generator)
            shape = (len(keypoints) * self.vector_dim, self.head.channels(0), 1, 1)
            add_conv(state, f"{name}.final_layer.1", shape, generator)

    def _add_fabric(self, state, name, grid: Grid, generator) -> None:
        inputs = 2 if self.alphas_of_two_inputs else 1
        edges = sum(inputs + node for node in range(grid.hidden))
        state[f"{name}.alphas"] = torch.randn(edges, len(grid.operations), generator=generator)
        state[f"{name}.betas"] = torch.randn(len(grid.cells()), 3, generator=generator)
        for layer, row in grid.cells():
            key, channels = f"{name}.cell_{layer}_{row}", grid.channels(row)
            for slot, source in enumerate(grid.sources(layer, row)):
                transfer, from_channels = f"{key}.propress_list.{slot}", grid.channels(source)
                if source < row:
                    shape = (channels, from_channels, 3, 3)
                    add_conv(state, f"{transfer}.operation.0", shape, generator)
                    add_norm(state, f"{transfer}.operation.1", channels, generator)
                if source > row:
                    shape = (channels, from_channels, 1, 1)
                    add_conv(state, f"{transfer}.conv_1x1", shape, generator)
                    add_norm(state, f"{transfer}.bn", channels, generator)
            # The cells have two input nodes, of which the second is never used.
            for edge in range(sum(2 + node for node in range(grid.hidden))):
                for number, operation in enumerate(grid.operations):
                    place = f"{key}.cell_arch.{edge}.ops.{number}"
                    if "pool" in operation:
                        add_norm(state, f"{place}{self.pool}.1", channels, generator, affine=False)
                    for first in BLOCKS.get(operation, ()):
                        block = f"{place}.operation"
                        depthwise, pointwise = (channels, 1, 3, 3), (channels, channels, 1, 1)
                        add_conv(state, f"{block}.{first}", depthwise, generator, bias=False)
                        add_conv(state, f"{block}.{first + 1}", pointwise, generator, bias=False)
                        add_norm(state, f"{block}.{first + 2}", channels, generator, affine=False)
            shape = (channels, grid.hidden * channels, 1, 1)
            add_conv(state, f"{key}.channel_keep", shape, generator)
            # so that maps neither grow nor vanish from layer to layer
            state[f"{key}.channel_keep.weight"] *= 0.5 / len(grid.operations)

    def score_maps(self, state: dict[str, Tensor], images: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, 16, H/4, W/4]."""
        x = F.conv2d(images, state["backbone.stem.0.weight"], stride=2, padding=1)
        x = norm(state, "backbone.stem.1", x)
        x = F.conv2d(x, state["backbone.stem.2.weight"], stride=2, padding=1)
        x = norm(state, "backbone.stem.3", x).relu()
        x = conv(state, "backbone.stem.5", x)
        return self.gathered(state, self._fabric(state, "backbone", self.backbone, [x]))

    def gathered(self, state: dict[str, Tensor], pyramid: list[Tensor]) -> Tensor:
        """Return the sum of the parts' score maps, from the maps of the backbone."""
        batch, _, height, width = pyramid[0].shape
        total = torch.zeros(batch, 16, height, width)
        for number, (name, keypoints) in enumerate(PARTS[self.parts].items()):
            maps = pyramid
            if f"reduce.{number}.0.weight" in state:
                maps = [conv(state, f"reduce.{number}.{i}", x) for i, x in enumerate(pyramid)]
            finest = self._fabric(state, name, self.head, maps)[0]
            numbers = conv(state, f"{name}.final_layer.1", finest.relu())
            vectors = numbers.view(batch, len(keypoints), self.vector_dim, height, width)
            scores = vectors[:, :, 0]
            if self.vector_dim > 1:
                length = vectors.norm(dim=2)
                scores = length**2 / (length**2 + 1)
            for channel, keypoint in enumerate(keypoints):
                total[:, keypoint] += scores[:, channel]
        return total

    def _fabric(self, state, name, grid: Grid, maps: list[Tensor]) -> list[Tensor]:
        alpha = state[f"{name}.alphas"].softmax(-1)
        beta = state[f"{name}.betas"].softmax(-1)
        weights = dict(zip(grid.cells(), beta, strict=True))
        for layer in range(grid.first, grid.last):
            maps = [
                self._cell(state, name, grid, (layer, row), maps, alpha, weights[layer, row])
                for row in range(grid.rows(layer))
            ]
        return maps

    def _cell(self, state, name, grid: Grid, place, maps, alpha, beta) -> Tensor:
        layer, row = place
        key, mixed = f"{name}.cell_{layer}_{row}", 0
        for slot, source in enumerate(grid.sources(layer, row)):
            x, transfer = maps[source], f"{key}.propress_list.{slot}"
            if source < row:
                x = conv(state, f"{transfer}.operation.0", x, stride=2, padding=1)
                x = norm(state, f"{transfer}.operation.1", x)
            if source > row:
                x = norm(state, f"{transfer}.bn", conv(state, f"{transfer}.conv_1x1", x))
                x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
            mixed = mixed + 3 * beta[slot] * x
        nodes, edge = [mixed.relu()], 0
        for _ in range(grid.hidden):
            node = 0
            for x in list(nodes):
                for number, operation in enumerate(grid.operations):
                    at = f"{key}.cell_arch.{edge}.ops.{number}"
                    factor = len(grid.operations) * alpha[edge, number]
                    node = node + factor * self._operation(state, at, operation, x)
                edge += 1
            nodes.append(node)
        return conv(state, f"{key}.channel_keep", torch.cat(nodes[1:], 1))

    def _operation(self, state, key: str, operation: str, x: Tensor) -> Tensor:
        if operation == "zero":
            return x * 0
        if operation == "skip":
            return x
        if operation == "avg_pool_3x3":
            pooled = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
            return norm(state, f"{key}{self.pool}.1", pooled)
        if operation == "max_pool_3x3":
            return norm(state, f"{key}{self.pool}.1", F.max_pool2d(x, 3, 1, 1))
        dilation = 2 if operation == "dilated_3x3" else 1
        for first in BLOCKS[operation]:
            weight = state[f"{key}.operation.{first}.weight"]
            x = F.conv2d(x, weight, padding=dilation, dilation=dilation, groups=len(weight))
            x = F.conv2d(x, state[f"{key}.operation.{first + 1}.weight"])
            x = norm(state, f"{key}.operation.{first + 2}", x).relu()
        return x


def add_conv(state, key: str, shape, generator, bias: bool = True) -> None:
    fan_in = shape[1] * shape[2] * shape[3]
    state[f"{key}.weight"] = torch.randn(shape, generator=generator) / fan_in**0.5
    if bias:
        state[f"{key}.bias"] = torch.randn(shape[0], generator=generator) / 10


def add_norm(state, key: str, channels: int, generator, affine: bool = True) -> None:
    if affine:
        state[f"{key}.weight"] = torch.rand(channels, generator=generator) + 0.5
        state[f"{key}.bias"] = torch.randn(channels, generator=generator) / 10
    state[f"{key}.running_mean"] = torch.randn(channels, generator=generator) / 10
    state[f"{key}.running_var"] = torch.rand(channels, generator=generator) + 0.5
    state[f"{key}.num_batches_tracked"] = torch.tensor(7)


def conv(state, key: str, x: Tensor, **options: int) -> Tensor:
    return F.conv2d(x, state[f"{key}.weight"], state.get(f"{key}.bias"), **options)


def norm(state, key: str, x: Tensor) -> Tensor:
    mean, variance = state[f"{key}.running_mean"], state[f"{key}.running_var"]
    return F.batch_norm(x, mean, variance, state.get(f"{key}.weight"), state.get(f"{key}.bias"))


SIX = ("zero", "skip", "separable_3x3", "dilated_3x3", "avg_pool_3x3", "max_pool_3x3")
FABRIC_1 = Grid(first=0, last=3, hidden=2, operations=SIX)
FABRIC_2 = Grid(layers=8, first=0, last=5, operations=SIX)

NETWORKS = {
    "Fabric-1": Released(backbone=FABRIC_1),
    "Fabric-1, alphas of two inputs, pools by the name operation": Released(
        backbone=FABRIC_1, alphas_of_two_inputs=True, pool=".operation", stem_bias=True
    ),
    "Fabric-2, heads of seven layers": Released(Grid(layers=7, last=7), FABRIC_2),
    "Fabric-2, heads of eight layers, six operations": Released(
        Grid(layers=8, last=8, operations=SIX, hidden=2), FABRIC_2, parts=8, vector_dim=4
    ),
    "heads of another width": Released(
        Grid(layers=7, last=7, width=3), FABRIC_1, parts=1, vector_dim=1
    ),
    "heads of seven layers, of which four are cut": Released(
        Grid(layers=7, first=4, last=7, hidden=3), replace(FABRIC_1, layers=7)
    ),
    "entries although the width is the same": Released(backbone=FABRIC_1, reduced=True),
}

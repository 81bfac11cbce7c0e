"""The network written directly from the equations: test oracle and baseline of speed ratios.

Nothing here is optimised on purpose: every operation of every edge runs and is multiplied by its
weight, as in Eq. 1 to 3. The parameters have the names of those of PoseNFS, so that state dicts fit
both.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posenfs.body.parts import PartScheme
from posenfs.model.backbones.pretrained import Backbone
from posenfs.model.operations import module_list
from posenfs.model.space import PAPER, CellIndex, FabricSpec, Rules


class ReferenceNFS(nn.Module):
    """The reference of PoseNFS: images [B, 3, H, W] -> score maps [B, K, H/4, W/4]."""

    def __init__(
        self,
        backbone: Backbone,
        parts: PartScheme,
        spec: FabricSpec,
        vector_dim: int = 8,
        rules: Rules = PAPER,
    ):
        super().__init__()
        self.backbone, self.parts, self.vector_dim = backbone, parts, vector_dim
        self.keypoints = 1 + max(k for part in parts for k in part.keypoints)
        self.heads = nn.ModuleList(
            _Head(len(part.keypoints), backbone.channels, spec, vector_dim, rules) for part in parts
        )

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] -> score maps [B, K, H/4, W/4]."""
        pyramid = self.backbone(images)
        maps: Tensor | None = None
        for part, head in zip(self.parts, self.heads, strict=True):
            vectors = head(pyramid)  # [B, J, d, h, w]
            if self.vector_dim == 1:
                scores = vectors[:, :, 0]
            else:
                square = vectors.square().sum(2)
                scores = square / (1 + square)  # Eq. 5
            if maps is None:
                maps = scores.new_zeros(len(scores), self.keypoints, *scores.shape[-2:])
            for j, k in enumerate(part.keypoints):  # Eq. 7
                maps[:, k] = maps[:, k] + scores[:, j]
        assert maps is not None  # a scheme has at least one part
        return maps


class _Head(nn.Module):
    def __init__(
        self,
        keypoints: int,
        channels: tuple[int, ...],
        spec: FabricSpec,
        vector_dim: int,
        rules: Rules,
    ):
        super().__init__()
        self.keypoints, self.vector_dim = keypoints, vector_dim
        fabric_channels = tuple(spec.width * stride for stride in spec.strides)
        if channels == fabric_channels and not rules.always_entries:
            self.entries = nn.ModuleList(nn.Identity() for _ in channels)
        else:
            pairs = zip(channels, fabric_channels, strict=True)
            self.entries = nn.ModuleList(nn.Conv2d(*pair, 1) for pair in pairs)
        self.fabric = ReferenceFabric(spec, rules)
        self.vectors = nn.Conv2d(spec.channels(0), keypoints * vector_dim, 1)

    def forward(self, pyramid: list[Tensor]) -> Tensor:
        maps = self.fabric([entry(x) for entry, x in zip(self.entries, pyramid, strict=True)])
        vectors = self.vectors(F.relu(maps[0]))
        return vectors.view(len(vectors), self.keypoints, self.vector_dim, *vectors.shape[-2:])


class ReferenceFabric(nn.Module):
    """The reference of Fabric."""

    layers: "Sequence[Sequence[_Cell]]"

    def __init__(self, spec: FabricSpec, rules: Rules = PAPER):
        super().__init__()
        self.spec = spec
        self.alpha = nn.Parameter(torch.zeros(spec.alpha_shape))
        self.beta = nn.Parameter(torch.zeros(spec.beta_shape))
        self.layers = module_list(
            module_list(_Cell(spec, index, rules) for index in layer) for layer in spec.grid()
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Map the inputs of the first kept layer to the outputs of the last one, finest first."""
        alpha, beta = self.alpha.softmax(-1), self.beta.softmax(-1)
        number = 0
        for layer in self.layers:
            layer_maps = []
            for cell in layer:
                cell_alpha = alpha[number] if self.spec.alpha_per_cell else alpha
                layer_maps.append(cell(maps, cell_alpha, beta[number]))
                number += 1
            maps = layer_maps
        return maps


class _Cell(nn.Module):
    edges: Sequence[Sequence[nn.Module]]

    def __init__(self, spec: FabricSpec, index: CellIndex, rules: Rules):
        super().__init__()
        channels = spec.channels(index.row)
        self.rules, self.hidden_nodes = rules, spec.hidden_nodes
        self.sources = spec.sources(index.row, spec.rows(index.layer - 1))
        self.transfers = nn.ModuleList(
            _transfer(spec, source, index.row, rules) for source in self.sources
        )
        self.edges = module_list(
            module_list(_operation(name, channels) for name in spec.operations) for _ in spec.edges
        )
        self.project = nn.Conv2d(spec.hidden_nodes * channels, channels, 1)

    def forward(self, maps: list[Tensor], alpha: Tensor, beta: Tensor) -> Tensor:
        x: Any = 0.0
        for source, transfer, weight in zip(self.sources, self.transfers, beta, strict=True):
            x = x + weight * transfer(maps[source])  # Eq. 2
        if self.rules.source_factor:
            x = 3 * x
        nodes = [F.relu(x) if self.rules.relu_after_fusion else x]
        edge = 0
        for _ in range(self.hidden_nodes):  # Eq. 3
            total: Any = 0.0
            for node in nodes:
                mixed: Any = 0.0
                for operation, weight in zip(self.edges[edge], alpha[edge], strict=True):
                    mixed = mixed + weight * operation(node)  # Eq. 1
                if self.rules.edge_factor:
                    mixed = len(self.edges[edge]) * mixed
                total = total + mixed
                edge += 1
            nodes.append(total)
        return self.project(torch.cat(nodes[1:], 1))


def _transfer(spec: FabricSpec, source: int, row: int, rules: Rules) -> nn.Module:
    if source == row:
        return nn.Identity()
    return _Transfer(spec.channels(source), spec.channels(row), source < row, rules)


class _Transfer(nn.Module):
    def __init__(self, channels_in: int, channels: int, down: bool, rules: Rules):
        super().__init__()
        self.down, self.rules = down, rules
        if down:
            self.conv = nn.Conv2d(channels_in, channels, 3, stride=2, padding=1)
        else:
            self.conv = nn.Conv2d(channels_in, channels, 1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        if self.down:
            return F.relu(x) if self.rules.relu_after_down else x
        return F.interpolate(
            x, scale_factor=2, mode="bilinear", align_corners=self.rules.align_corners
        )


def _operation(name: str, channels: int) -> nn.Module:
    match name:
        case "zero":
            return _Zero()
        case "skip":
            return nn.Identity()
        case "separable_3x3":
            return _Separable(channels)
        case "dilated_3x3":
            return _Depthwise(channels, dilation=2)
        case "avg_pool_3x3":
            return _Pool(channels, nn.AvgPool2d(3, 1, 1, count_include_pad=False))
        case "max_pool_3x3":
            return _Pool(channels, nn.MaxPool2d(3, 1, 1))
    raise ValueError(f"the reference has no operation {name!r}")


class _Zero(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


class _Depthwise(nn.Module):
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
        self.norm = nn.BatchNorm2d(channels, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.pointwise(self.depthwise(x))))


class _Separable(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.first, self.second = _Depthwise(channels), _Depthwise(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


class _Pool(nn.Module):
    def __init__(self, channels: int, pool: nn.Module):
        super().__init__()
        self.pool, self.norm = pool, nn.BatchNorm2d(channels, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.pool(x))

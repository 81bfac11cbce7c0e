"""The network written plainly from the equations, under any rules: oracle of tests, denominator of speed ratios.

Nothing here is fast, and nothing here is to be made fast: every operation of every edge is run and multiplied by its
weight, as Eq. 1 to 3 stand. Parameters are named as PoseNFS names them, so that state dicts fit both.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posenfs.body.parts import PartScheme
from posenfs.model.space import PAPER, CellIndex, FabricSpec, Rules


class ReferenceNFS(nn.Module):
    """PoseNFS, plainly: images [B, 3, H, W] -> score maps [B, K, H/4, W/4]."""

    def __init__(
        self,
        backbone: nn.Module,
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
        pyramid = self.backbone(images)
        maps: Tensor | None = None
        for part, head in zip(self.parts, self.heads, strict=True):
            vectors = head(pyramid)  # [B, J, d, h, w]
            if self.vector_dim == 1:
                scores = vectors[:, :, 0]
            else:
                length = vectors.square().sum(2)
                scores = length / (1 + length)  # Eq. 5
            if maps is None:
                maps = scores.new_zeros(len(scores), self.keypoints, *scores.shape[-2:])
            for j, k in enumerate(part.keypoints):  # Eq. 7
                maps[:, k] = maps[:, k] + scores[:, j]
        assert maps is not None  # there is a part
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
        self.entries = nn.ModuleList(
            nn.Conv2d(c, spec.channels(row), 1) for row, c in enumerate(channels)
        )
        self.fabric = ReferenceFabric(spec, rules)
        self.vectors = nn.Conv2d(spec.channels(0), keypoints * vector_dim, 1)

    def forward(self, pyramid: list[Tensor]) -> Tensor:
        maps = self.fabric([entry(x) for entry, x in zip(self.entries, pyramid, strict=True)])
        vectors = self.vectors(F.relu(maps[0]))
        return vectors.view(len(vectors), self.keypoints, self.vector_dim, *vectors.shape[-2:])


class ReferenceFabric(nn.Module):
    """A fabric, plainly: maps before its first kept layer -> maps of its last, finest first."""

    layers: Sequence[Sequence[nn.Module]]  # ModuleLists of _Cell

    def __init__(self, spec: FabricSpec, rules: Rules = PAPER):
        super().__init__()
        self.spec = spec
        self.alpha = nn.Parameter(torch.zeros(spec.alpha_shape))
        self.beta = nn.Parameter(torch.zeros(spec.beta_shape))
        self.layers = nn.ModuleList(
            nn.ModuleList(_Cell(spec, index, rules) for index in layer) for layer in spec.grid()
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        alpha, beta, number = self.alpha.softmax(-1), self.beta.softmax(-1), 0
        for layer in self.layers:
            before, maps = maps, []
            for cell in layer:
                own = alpha[number] if self.spec.alpha_per_cell else alpha
                maps.append(cell(before, own, beta[number]))
                number += 1
        return maps


class _Cell(nn.Module):
    def __init__(self, spec: FabricSpec, index: CellIndex, rules: Rules):
        super().__init__()
        channels = spec.channels(index.row)
        self.rules, self.hidden_nodes = rules, spec.hidden_nodes
        self.sources = spec.sources(index.row, spec.rows(index.layer - 1))
        self.transfers = nn.ModuleList(
            _transfer(spec, source, index.row, rules) for source in self.sources
        )
        self.edges = nn.ModuleList(
            nn.ModuleList(_operation(o, channels) for o in spec.operations) for _ in spec.edges
        )
        self.project = nn.Conv2d(spec.hidden_nodes * channels, channels, 1)

    def forward(self, maps: list[Tensor], alpha: Tensor, beta: Tensor) -> Tensor:
        x = 0.0
        for source, transfer, weight in zip(
            self.sources, self.transfers, beta, strict=True
        ):  # Eq. 2
            x = x + weight * transfer(maps[source])
        if self.rules.source_factor:
            x = 3 * x
        nodes, edge = [F.relu(x) if self.rules.relu_after_fusion else x], 0
        for _ in range(self.hidden_nodes):  # Eq. 3
            total = 0.0
            for node in nodes:
                mixed = 0.0
                for operation, weight in zip(self.edges[edge], alpha[edge], strict=True):  # Eq. 1
                    mixed = mixed + weight * operation(node)
                if self.rules.edge_factor:
                    mixed = len(self.edges[edge]) * mixed
                total, edge = total + mixed, edge + 1
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
        self.conv = (
            nn.Conv2d(channels_in, channels, 3, 2, 1)
            if down
            else nn.Conv2d(channels_in, channels, 1)
        )
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
            channels, channels, 3, 1, dilation, dilation, channels, bias=False
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

"""The Cell-based Neural Fabric: mixed operations (Eq. 1), fusion of scales (Eq. 2), cells (Eq. 3) and their grid."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posenfs.body.words import unknown_entry
from posenfs.model.architecture import Architecture
from posenfs.model.operations import OPERATIONS, ScaledBatchNorm, Zero
from posenfs.model.space import PAPER, CellIndex, FabricSpec, Rules


def mix_operations(x: Tensor, operations: Iterable[nn.Module], weights: Iterable[Tensor]) -> Tensor:
    """Eq. 1: the sum of weight * o(x) over the candidate operations of one edge."""
    terms = [o(x, w) for o, w in zip(operations, weights, strict=True) if not isinstance(o, Zero)]
    return sum(terms[1:], start=terms[0]) if terms else torch.zeros_like(x)


def fuse_scales(maps: Iterable[Tensor], transfers: Iterable[nn.Module], weights: Iterable[Tensor]) -> Tensor:
    """Eq. 2: the sum of weight * T(map) over the sources finer, same, coarser, or those that stay of them; all
    [B, C, h, w] once transferred.

    A source that is a copy of `same` (footnote 2) is added to its weight: the map is multiplied once.
    """
    terms, own, total = [], None, None
    for x, t, w in zip(maps, transfers, weights, strict=True):
        if isinstance(t, Same):
            own, total = x, w if total is None else total + w
        else:
            terms.append(t(x, w))
    if own is not None:
        terms.append(own * total)
    return sum(terms[1:], start=terms[0])


class Same(nn.Module):
    """Transfer between cells of one scale: the identity."""

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        return x * weight


class Down(nn.Module):
    """Transfer from the finer scale: 3x3 convolution of stride 2, batch-norm, ReLU."""

    def __init__(self, channels_in: int, channels: int, relu: bool):
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, 3, stride=2, padding=1)
        self.norm = ScaledBatchNorm(channels, affine=True)
        self.relu = relu

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        x = self.norm(self.conv(x), weight)
        return F.relu(x, inplace=True) if self.relu else x


class Up(nn.Module):
    """Transfer from the coarser scale: 1x1 convolution and batch-norm at the low resolution, then bilinear to twice."""

    def __init__(self, channels_in: int, channels: int, align_corners: bool):
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, 1)
        self.norm = ScaledBatchNorm(channels, affine=True)
        self.align_corners = align_corners

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        x = self.norm(self.conv(x), weight)
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=self.align_corners)


def transfer(spec: FabricSpec, source: int, row: int, rules: Rules) -> nn.Module:
    """The transfer T of Eq. 2 from a row of the layer before to a cell's row (Fig. 4)."""
    channels_in, channels = spec.channels(source), spec.channels(row)
    if source < row:
        return Down(channels_in, channels, rules.relu_after_down)
    if source > row:
        return Up(channels_in, channels, rules.align_corners)
    return Same()


class Cell(nn.Module):
    """Eq. 3: input by Eq. 2; every hidden node sums the mixed edges from all nodes before it; hidden nodes are
    concatenated and projected by a 1x1 convolution to the cell's channels."""

    edges: Sequence[Sequence[nn.Module]]  # ModuleLists

    def __init__(self, spec: FabricSpec, index: CellIndex, rules: Rules):
        super().__init__()
        channels = spec.channels(index.row)
        self.rules = rules
        self.sources = spec.sources(index.row, spec.rows(index.layer - 1))
        self.transfers = nn.ModuleList(transfer(spec, source, index.row, rules) for source in self.sources)
        self.edges = nn.ModuleList(nn.ModuleList(OPERATIONS[o](channels) for o in spec.operations) for _ in spec.edges)
        self.hidden_nodes = spec.hidden_nodes
        self.project = nn.Conv2d(spec.hidden_nodes * channels, channels, 1)

    def forward(self, maps: Sequence[Tensor], alpha: Sequence[Sequence[Tensor]], beta: Sequence[Tensor]) -> Tensor:
        """Maps of the layer before, finest first; softmax weights [E][|O|] and [3] -> [B, C, h, w]."""
        x = fuse_scales([maps[source] for source in self.sources], self.transfers, beta)
        nodes = [F.relu(x) if self.rules.relu_after_fusion else x]
        edges = iter(zip(self.edges, alpha, strict=True))
        for _ in range(self.hidden_nodes):
            mixed = [mix_operations(node, *next(edges)) for node in nodes]
            nodes.append(sum(mixed[1:], start=mixed[0]))
        return self.project(torch.cat(nodes[1:], 1) if self.hidden_nodes > 1 else nodes[1])


class Fabric(nn.Module):
    """A grid of cells with its own alpha and beta: a part's head, or a backbone, by the layers its spec keeps."""

    layers: Sequence[Sequence[Cell]]  # ModuleLists

    def __init__(self, spec: FabricSpec, rules: Rules = PAPER):
        super().__init__()
        if unknown := [o for o in spec.operations if o not in OPERATIONS]:
            raise ValueError(unknown_entry("candidate operation", unknown[0], OPERATIONS))
        self.spec, self.rules = spec, rules
        self._drawn: Architecture | None = None
        start = Architecture.zeros(spec)
        self.alpha, self.beta = nn.Parameter(start.alpha), nn.Parameter(start.beta)
        self.layers = nn.ModuleList(nn.ModuleList(Cell(spec, index, rules) for index in layer) for layer in spec.grid())

    @property
    def architecture(self) -> Architecture:
        """The live alpha and beta."""
        return Architecture(self.alpha, self.beta)

    @property
    def factors(self) -> tuple[int, int]:
        """What the rules multiply the weights of edges and of sources by."""
        return len(self.spec.operations) if self.rules.edge_factor else 1, 3 if self.rules.source_factor else 1

    @contextlib.contextmanager
    def mixed_by(self, architecture: Architecture) -> Iterator[None]:
        """Meanwhile the cells mix by this one's weights, and gradients go where they came from."""
        self._drawn = architecture
        try:
            yield
        finally:
            self._drawn = None

    def mixing_weights(self) -> tuple[Tensor, Tensor]:
        """alpha [N, E, |O|] and beta [N, 3] as the cells use them: softmax, then the rules' factors."""
        architecture = self._drawn or self.architecture
        alpha, beta = architecture.operation_weights, architecture.scale_weights
        edge, source = self.factors
        return (alpha * edge).expand(len(self.spec.cells), -1, -1), beta * source

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The maps before the first kept layer, finest first -> the maps of the last kept layer, finest first."""
        alpha, beta = self.mixing_weights()
        alphas = iter([[edge.unbind() for edge in cell.unbind()] for cell in alpha.unbind()])
        betas = iter([cell.unbind() for cell in beta.unbind()])
        for layer in self.layers:
            maps = [cell(maps, next(alphas), next(betas)) for cell in layer]
        return list(maps)

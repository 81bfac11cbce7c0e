"""The Cell-based Neural Fabric: mixed operations (Eq. 1), fusion (Eq. 2), cells (Eq. 3), grid."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posenfs.messages import unknown_entry
from posenfs.model.architecture import Architecture
from posenfs.model.operations import OPERATIONS, ScaledBatchNorm, Zero
from posenfs.model.space import PAPER, CellIndex, FabricSpec, Rules


def mix_operations(x: Tensor, operations: Iterable[nn.Module], weights: Iterable[Tensor]) -> Tensor:
    """Return the sum of weight * o(x) over the candidate operations of one edge (Eq. 1)."""
    terms = [
        operation(x, weight)
        for operation, weight in zip(operations, weights, strict=True)
        if not isinstance(operation, Zero)
    ]
    return sum(terms[1:], start=terms[0]) if terms else torch.zeros_like(x)


def fuse_scales(
    maps: Iterable[Tensor], transfers: Iterable[nn.Module], weights: Iterable[Tensor]
) -> Tensor:
    """Return the sum of weight * T(map) over the sources of a cell (Eq. 2).

    A source that copies `same` (footnote 2) adds its weight to that of `same`, so that the map is
    multiplied once.

    Args:
        maps: The source maps: finer, same, coarser, or those of them that pruning keeps.
        transfers: The transfer T of each source; it gives a map [B, C, h, w].
        weights: The scalar weight of each source.
    """
    terms: list[Tensor] = []
    same_map: Tensor | None = None
    same_weight: Tensor | None = None
    for x, transfer_module, weight in zip(maps, transfers, weights, strict=True):
        if isinstance(transfer_module, Same):
            same_map = x
            same_weight = weight if same_weight is None else same_weight + weight
        else:
            terms.append(transfer_module(x, weight))
    if same_map is not None and same_weight is not None:
        terms.append(same_map * same_weight)
    return sum(terms[1:], start=terms[0])


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


class Cell(nn.Module):
    """A cell (Eq. 3).

    Its input is given by Eq. 2. Every hidden node sums the mixed edges from all nodes before it.
    The hidden nodes are concatenated and projected to the cell's channels by a 1x1 convolution.
    """

    edges: Sequence[Sequence[nn.Module]]  # ModuleLists

    def __init__(self, spec: FabricSpec, index: CellIndex, rules: Rules):
        super().__init__()
        channels = spec.channels(index.row)
        self.rules = rules
        self.sources = spec.sources(index.row, spec.rows(index.layer - 1))
        self.transfers = nn.ModuleList(
            transfer(spec, source, index.row, rules) for source in self.sources
        )
        self.edges = nn.ModuleList(
            nn.ModuleList(OPERATIONS[name](channels) for name in spec.operations)
            for _ in spec.edges
        )
        self.hidden_nodes = spec.hidden_nodes
        self.project = nn.Conv2d(spec.hidden_nodes * channels, channels, 1)

    def forward(
        self, maps: Sequence[Tensor], alpha: Sequence[Sequence[Tensor]], beta: Sequence[Tensor]
    ) -> Tensor:
        """Compute the map of the cell.

        Args:
            maps: The maps of the previous layer, finest first.
            alpha: The weights of the operations, `[E][|O|]` scalars.
            beta: The weights of the sources, [3] scalars.

        Returns:
            The map [B, C, h, w].
        """
        x = fuse_scales([maps[source] for source in self.sources], self.transfers, beta)
        nodes = [F.relu(x) if self.rules.relu_after_fusion else x]
        edges = iter(zip(self.edges, alpha, strict=True))
        for _ in range(self.hidden_nodes):
            mixed = [mix_operations(node, *next(edges)) for node in nodes]
            nodes.append(sum(mixed[1:], start=mixed[0]))
        return self.project(torch.cat(nodes[1:], 1) if self.hidden_nodes > 1 else nodes[1])


class Fabric(nn.Module):
    """A grid of cells with its alpha and beta: the head of a part, or a backbone.

    The layers that the spec keeps decide which of the two it is.
    """

    layers: Sequence[Sequence[Cell]]  # ModuleLists

    def __init__(self, spec: FabricSpec, rules: Rules = PAPER):
        super().__init__()
        for name in spec.operations:
            if name not in OPERATIONS:
                raise ValueError(unknown_entry("candidate operation", name, OPERATIONS))
        self.spec, self.rules = spec, rules
        self._override: Architecture | None = None
        initial = Architecture.zeros(spec)
        self.alpha, self.beta = nn.Parameter(initial.alpha), nn.Parameter(initial.beta)
        self.layers = nn.ModuleList(
            nn.ModuleList(Cell(spec, index, rules) for index in layer) for layer in spec.grid()
        )

    @property
    def architecture(self) -> Architecture:
        """The live alpha and beta."""
        return Architecture(self.alpha, self.beta)

    @property
    def factors(self) -> tuple[int, int]:
        """The factors by which the rules multiply the weights of edges and of sources."""
        edge_factor = len(self.spec.operations) if self.rules.edge_factor else 1
        source_factor = 3 if self.rules.source_factor else 1
        return edge_factor, source_factor

    @contextlib.contextmanager
    def mixed_by(self, architecture: Architecture) -> Iterator[None]:
        """Mix the cells by another architecture within the context.

        Gradients flow to the tensors of that architecture.
        """
        self._override = architecture
        try:
            yield
        finally:
            self._override = None

    def mixing_weights(self) -> tuple[Tensor, Tensor]:
        """Return alpha [N, E, |O|] and beta [N, 3] after softmax and the factors of the rules."""
        architecture = self._override or self.architecture
        alpha, beta = architecture.operation_weights, architecture.scale_weights
        edge_factor, source_factor = self.factors
        return (alpha * edge_factor).expand(len(self.spec.cells), -1, -1), beta * source_factor

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Map the inputs of the first kept layer to the outputs of the last one, finest first."""
        alpha, beta = self.mixing_weights()
        alphas = iter([[edge.unbind() for edge in cell.unbind()] for cell in alpha.unbind()])
        betas = iter([cell.unbind() for cell in beta.unbind()])
        for layer in self.layers:
            maps = [cell(maps, next(alphas), next(betas)) for cell in layer]
        return list(maps)

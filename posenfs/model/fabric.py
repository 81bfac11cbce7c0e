"""The Cell-based Neural Fabric: mixed operations (Eq. 1), fusion (Eq. 2), cells (Eq. 3), grid."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posenfs.messages import unknown_entry
from posenfs.model.architecture import Architecture
from posenfs.model.mask import CellMask, FabricMask
from posenfs.model.operations import OPERATIONS, Zero, module_list
from posenfs.model.space import PAPER, CellIndex, FabricSpec, Rules
from posenfs.model.transfers import Same, transfer


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


class Cell(nn.Module):
    """A cell (Eq. 3), whole or with the sources and operations that a mask keeps.

    Its input is given by Eq. 2. Every hidden node sums the mixed edges from all nodes before it.
    The hidden nodes are concatenated and projected to the cell's channels by a 1x1 convolution.
    """

    transfers: Sequence[nn.Module]
    edges: Sequence[Sequence[nn.Module]]  # the candidate operations of a whole cell
    operations: Sequence[Sequence[nn.Module]]  # those that a mask keeps
    project: nn.Conv2d  # missing where no hidden node is left to project
    bias: Tensor  # of the projection, where it is missing

    def __init__(self, spec: FabricSpec, index: CellIndex, rules: Rules):
        super().__init__()
        channels = spec.channels(index.row)
        self.spec, self.rules = spec, rules
        self.channels, self.stride = channels, spec.strides[index.row]
        self.mask, self.pruned = CellMask.full(spec), False
        self.sources: tuple[int, ...] = spec.sources(index.row, spec.rows(index.layer - 1))
        self.transfers = module_list(
            transfer(spec, source, index.row, rules) for source in self.sources
        )
        self.edges = module_list(
            module_list(OPERATIONS[name](channels) for name in spec.operations) for _ in spec.edges
        )
        self.project = nn.Conv2d(spec.hidden_nodes * channels, channels, 1)

    def prune(self, mask: CellMask) -> None:
        """Remove all sources and operations that the mask does not keep.

        A hidden node that no operation reaches is 0, so the projection loses its columns. Where no
        node is reached, the cell gives the bias of its projection.
        """
        edges, project, reached = self.edges, self.project, mask.reached_nodes(self.spec)
        self.mask, self.pruned = mask, True
        self.sources = tuple(self.sources[slot] for slot in mask.slots)
        self.transfers = module_list(self.transfers[slot] for slot in mask.slots)
        # Saved networks have these names, and saved optimizer states this order of parameters.
        del self.edges, self.project
        self.operations = module_list(
            module_list(edge[position] for position in positions)
            for edge, positions in zip(edges, mask.operations, strict=True)
        )
        if reached:
            self.project = _columns(project, [node - 1 for node in reached])
        elif project.bias is not None:
            self.bias = project.bias

    @property
    def narrowed(self) -> bool:
        """Whether the projection sums over fewer channels, which may change the rounding."""
        return 0 < len(self.mask.reached_nodes(self.spec)) < self.spec.hidden_nodes

    def forward(
        self,
        maps: Sequence[Tensor | None],
        alpha: Sequence[Sequence[Tensor]],
        beta: Sequence[Tensor],
        images: Tensor | None = None,
    ) -> Tensor:
        """Compute the map of the cell.

        Args:
            maps: The maps of the previous layer, finest first; None where a mask removed one.
            alpha: The weights of the operations, `[E][|O|]` scalars.
            beta: The weights of the sources, [3] scalars.
            images: The images, [B, 3, H, W]; only a pruned cell needs them, for the shape of maps
                that pruning removed.

        Returns:
            The map [B, C, h, w].
        """
        nodes: list[Tensor | None] = [self._fuse(maps, beta)]
        operations = self.operations if self.pruned else self.edges
        edges = iter(zip(operations, self.mask.operations, alpha, strict=True))
        for _ in range(self.spec.hidden_nodes):
            mixed = []
            for node in nodes:
                edge_operations, positions, weights = next(edges)
                if positions:
                    x = self.zeros(images) if node is None else node
                    edge_weights = [weights[position] for position in positions]
                    mixed.append(mix_operations(x, edge_operations, edge_weights))
            nodes.append(sum(mixed[1:], start=mixed[0]) if mixed else None)
        reached = [node for node in nodes[1:] if node is not None]
        if not reached:
            return self.zeros(images) + self.bias[:, None, None]
        return self.project(torch.cat(reached, 1) if len(reached) > 1 else reached[0])

    def _fuse(self, maps: Sequence[Tensor | None], beta: Sequence[Tensor]) -> Tensor | None:
        """Return the input of the cell (Eq. 2); None where it reads nothing."""
        read = [maps[source] for source in self.sources]
        kept = [x for x in read if x is not None]
        if not kept:
            return None
        x = fuse_scales(kept, self.transfers, [beta[slot] for slot in self.mask.slots])
        return F.relu(x) if self.rules.relu_after_fusion else x

    def zeros(self, images: Tensor | None) -> Tensor:
        """Return a node that nothing reaches; batch-norms after it may still change the zeros."""
        if images is None:
            raise ValueError("a pruned fabric needs the images, for the shape of its maps")
        height, width = images.shape[-2:]
        shape = len(images), self.channels, height // self.stride, width // self.stride
        return images.new_zeros(shape)


def _columns(project: nn.Conv2d, nodes: list[int]) -> nn.Conv2d:
    """Return a 1x1 projection that reads some of the hidden nodes."""
    channels = project.out_channels
    if len(nodes) * channels == project.in_channels:
        return project
    narrow = nn.Conv2d(len(nodes) * channels, channels, 1).to(project.weight)
    columns = project.weight.unflatten(1, (-1, channels))[:, nodes].flatten(1, 2)
    narrow.load_state_dict({"weight": columns, "bias": project.bias})
    return narrow


class Fabric(nn.Module):
    """A grid of cells with its alpha and beta: the head of a part, or a backbone.

    The layers that the spec keeps decide which of the two it is.

    Attributes:
        mask: What a pruned fabric, whose weights are fixed, keeps; None: everything.
    """

    layers: Sequence[Sequence[nn.Module | None]]  # of cells, None where a mask removed one
    operation_weights: Tensor  # [N, E, |O|] of a pruned fabric
    scale_weights: Tensor  # [N, 3] of a pruned fabric

    def __init__(self, spec: FabricSpec, rules: Rules = PAPER):
        super().__init__()
        for name in spec.operations:
            if name not in OPERATIONS:
                raise ValueError(unknown_entry("candidate operation", name, OPERATIONS))
        self.spec, self.rules = spec, rules
        self.mask: FabricMask | None = None
        self._override: Architecture | None = None
        initial = Architecture.zeros(spec)
        self.alpha, self.beta = nn.Parameter(initial.alpha), nn.Parameter(initial.beta)
        self.layers = module_list(
            module_list(Cell(spec, index, rules) for index in layer) for layer in spec.grid()
        )

    def prune(self, mask: FabricMask, operation_weights: Tensor, scale_weights: Tensor) -> None:
        """Remove all that a mask does not keep, and fix the weights of the rest.

        Args:
            mask: What to keep.
            operation_weights: The weights of the operations that replace alpha, [N, E, |O|].
            scale_weights: The weights of the sources that replace beta, [N, 3].
        """
        kept = {index: cell for index, cell in self.cells.items() if index in mask.cells}
        for index, cell in kept.items():
            cell.prune(mask.cells[index])
        self.layers = module_list(
            module_list(kept.get(index) for index in layer) for layer in self.spec.grid()
        )
        self.mask = mask
        del self.alpha, self.beta
        self.register_buffer("operation_weights", operation_weights.detach().contiguous())
        self.register_buffer("scale_weights", scale_weights.detach().contiguous())

    @property
    def cells(self) -> dict[CellIndex, Cell]:
        """The cells that are computed."""
        cells = [cell for layer in self.layers for cell in layer]
        pairs = zip(self.spec.cells, cells, strict=True)
        return {index: cell for index, cell in pairs if isinstance(cell, Cell)}

    def reads(self, row: int) -> bool:
        """Return whether the fabric reads a row of its input maps."""
        return self.mask is None or row in self.mask.inputs

    @property
    def narrowed(self) -> bool:
        """Whether a projection sums over fewer channels than before pruning."""
        return any(cell.narrowed for cell in self.cells.values())

    @property
    def architecture(self) -> Architecture:
        """The current alpha and beta, as parameters."""
        return Architecture(self.alpha, self.beta)

    @property
    def factors(self) -> tuple[int, int]:
        """The factors by which the rules multiply the weights of edges and of sources."""
        edge_factor = len(self.spec.operations) if self.rules.edge_factor else 1
        source_factor = 3 if self.rules.source_factor else 1
        return edge_factor, source_factor

    @contextlib.contextmanager
    def mixed_by(self, architecture: Architecture) -> Iterator[None]:
        """Mix with another architecture within the context.

        Gradients flow to the tensors of that architecture.
        """
        self._override = architecture
        try:
            yield
        finally:
            self._override = None

    def mixing_weights(self) -> tuple[Tensor, Tensor]:
        """Return alpha [N, E, |O|] and beta [N, 3] after softmax and the factors of the rules."""
        if self.mask is not None:
            return self.operation_weights, self.scale_weights
        architecture = self._override or self.architecture
        alpha, beta = architecture.operation_weights, architecture.scale_weights
        edge_factor, source_factor = self.factors
        return (alpha * edge_factor).expand(len(self.spec.cells), -1, -1), beta * source_factor

    def forward(
        self, maps: Sequence[Tensor | None], images: Tensor | None = None
    ) -> list[Tensor | None]:
        """Map the inputs of the first kept layer to the outputs of the last one, finest first.

        Args:
            maps: The input maps; None where a mask removed one.
            images: The images, [B, 3, H, W]; only a pruned fabric needs them (see `Cell`).

        Returns:
            The maps of the last layer; None where a mask removed one.
        """
        alpha, beta = self.mixing_weights()
        alphas = iter([[edge.unbind() for edge in cell.unbind()] for cell in alpha.unbind()])
        betas = iter([cell.unbind() for cell in beta.unbind()])
        for layer in self.layers:
            cells = [(cell, next(alphas), next(betas)) for cell in layer]
            maps = [
                None if cell is None else cell(maps, cell_alpha, cell_beta, images)
                for cell, cell_alpha, cell_beta in cells
            ]
        return list(maps)

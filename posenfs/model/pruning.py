"""Pruning of a PoseNFS by alpha and beta, and the proof that its score maps stay the same."""

import copy
import hashlib
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posenfs.model.backbones.fabric import FabricBackbone
from posenfs.model.cost import Cost, measured_cost
from posenfs.model.fabric import Cell, Fabric, fuse_scales
from posenfs.model.network import PartHead, PoseNetwork, PoseNFS, evaluating
from posenfs.model.space import CellIndex, FabricSpec
from posenfs.model.vectors import gather_parts, scores

Mode = Literal["exact", "threshold", "one-hot"]


@dataclass(frozen=True)
class Kept:
    """The parts of a cell that remain.

    Attributes:
        slots: The sources: 0 finer, 1 same, 2 coarser.
        operations: The candidate operations of every edge inside the cell.
    """

    slots: tuple[int, ...]
    operations: tuple[tuple[int, ...], ...]


def mixing_weights(fabric: Fabric, mode: Mode, threshold: float = 0.0) -> tuple[Tensor, Tensor]:
    """Return alpha [N, E, |O|] and beta [N, 3] of the pruned cells; what weighs 0 is removed.

    Args:
        fabric: The fabric to prune.
        mode: exact: the weights as they are. threshold: softmax weights below the threshold become
            0. one-hot: the greatest weight of each choice becomes 1, the others become 0.
        threshold: The threshold of the mode threshold.
    """
    weights = []
    for logits, factor in zip((fabric.alpha, fabric.beta), fabric.factors, strict=True):
        weight = logits.detach().softmax(-1)
        if mode == "one-hot":
            weight = F.one_hot(weight.argmax(-1), weight.shape[-1]).to(weight.dtype)
        elif mode == "threshold":
            weight = torch.where(weight < threshold, 0.0, weight)
        weights.append(weight * factor)
    return weights[0].expand(len(fabric.spec.cells), -1, -1), weights[1]


def reachable(
    spec: FabricSpec, alpha: Tensor, beta: Tensor, outputs: set[int]
) -> tuple[dict[CellIndex, Kept], set[int]]:
    """Return the cells that the outputs depend on, and the input rows that these cells read.

    The traversal goes backward from the outputs over all three slots, copies (footnote 2)
    included. A cell without operations from its input needs no source but remains: it gives the
    bias of its projection.

    Args:
        spec: The fabric.
        alpha: The weights of the operations, [N, E, |O|].
        beta: The weights of the sources, [N, 3].
        outputs: The rows of the last layer that are read.

    Returns:
        The remaining parts of each cell, and the input rows.
    """
    needed = {CellIndex(spec.end - 1, row) for row in outputs}
    kept: dict[CellIndex, Kept] = {}
    for number, index in reversed(list(enumerate(spec.cells))):
        if index not in needed:
            continue
        operations = tuple(
            tuple(
                position
                for position, (name, weight) in enumerate(zip(spec.operations, edge, strict=True))
                if weight != 0 and name != "zero"
            )
            for edge in alpha[number].tolist()
        )
        slots: tuple[int, ...] = ()
        edges = zip(spec.edges, operations, strict=True)
        if any(edge_operations for (start, _), edge_operations in edges if start == 0):
            slots = tuple(slot for slot, weight in enumerate(beta[number].tolist()) if weight != 0)
        kept[index] = Kept(slots, operations)
        sources = spec.sources(index.row, spec.rows(index.layer - 1))
        needed |= {CellIndex(index.layer - 1, sources[slot]) for slot in slots}
    return kept, {index.row for index in needed if index.layer == spec.first - 1}


class PrunedCell(nn.Module):
    """A cell with the sources and operations that remain.

    A hidden node that no operation reaches is 0, so the projection has no columns for it. Where no
    node is reached, the cell gives the bias of its projection.
    """

    def __init__(self, cell: Cell, kept: Kept, edges: list[tuple[int, int]], stride: int):
        super().__init__()
        self.relu_after_fusion = cell.rules.relu_after_fusion
        self.hidden_nodes, self.stride = cell.hidden_nodes, stride
        self.kept, self.edges = kept, edges
        self.sources = [cell.sources[slot] for slot in kept.slots]
        self.transfers = nn.ModuleList(copy.deepcopy(cell.transfers[slot]) for slot in kept.slots)
        self.operations = nn.ModuleList(
            nn.ModuleList(copy.deepcopy(cell.edges[edge][position]) for position in positions)
            for edge, positions in enumerate(kept.operations)
        )
        self.channels = cell.project.out_channels
        ends = zip(edges, kept.operations, strict=True)
        self.reached = sorted({end for (_, end), positions in ends if positions})
        self.project = _columns(cell.project, [node - 1 for node in self.reached])
        self.bias = None if self.reached else copy.deepcopy(cell.project.bias)

    @property
    def narrowed(self) -> bool:
        """Whether the projection sums over fewer channels, which may change the rounding."""
        return 0 < len(self.reached) < self.hidden_nodes

    def forward(
        self, maps: Mapping[int, Tensor], like: Tensor, alpha: Tensor, beta: Tensor
    ) -> Tensor:
        """Compute the map of the cell.

        Args:
            maps: The maps of the previous layer by row.
            like: A tensor [B, _, H, W] at stride 1; it gives the shape of maps without a source.
            alpha: The weights of all operations, [E, |O|].
            beta: The weights of all sources, [3].
        """
        if self.project is None:
            return self.zeros(like) + self.bias[:, None, None]
        nodes = {0: self._fuse(maps, beta)}
        for end in range(1, self.hidden_nodes + 1):
            nodes[end] = self._mix(nodes, end, like, alpha)
        reached = [nodes[node] for node in self.reached]
        return self.project(torch.cat(reached, 1) if len(reached) > 1 else reached[0])

    def _fuse(self, maps: Mapping[int, Tensor], beta: Tensor) -> Tensor | None:
        """Return the input of the cell (Eq. 2); None where it reads nothing."""
        if not self.sources:
            return None
        source_maps = [maps[source] for source in self.sources]
        x = fuse_scales(source_maps, self.transfers, [beta[slot] for slot in self.kept.slots])
        return F.relu(x) if self.relu_after_fusion else x

    def _mix(
        self, nodes: Mapping[int, Tensor | None], end: int, like: Tensor, alpha: Tensor
    ) -> Tensor | None:
        """Return a hidden node, the sum of its mixed edges; None where nothing reaches it."""
        total = None
        for edge, (start, stop) in enumerate(self.edges):
            positions = self.kept.operations[edge]
            if stop != end or not positions:
                continue
            node = nodes[start]
            node = self.zeros(like) if node is None else node
            operations = zip(self.operations[edge], positions, strict=True)
            terms = [operation(node, alpha[edge, position]) for operation, position in operations]
            mixed = sum(terms[1:], start=terms[0])
            total = mixed if total is None else total + mixed
        return total

    def zeros(self, like: Tensor) -> Tensor:
        """Return a node that nothing reaches; batch-norms after it may still change the zeros."""
        height, width = like.shape[-2:]
        shape = len(like), self.channels, height // self.stride, width // self.stride
        return like.new_zeros(shape)


def _columns(project: nn.Conv2d, nodes: list[int]) -> nn.Conv2d | None:
    """Return a 1x1 projection that reads some of the hidden nodes; None where it reads none."""
    channels = project.out_channels
    if len(nodes) * channels == project.in_channels:
        return copy.deepcopy(project)
    if not nodes:
        return None
    narrow = nn.Conv2d(len(nodes) * channels, channels, 1).to(project.weight)
    with torch.no_grad():
        columns = project.weight.unflatten(1, (-1, channels))[:, nodes]
        narrow.weight.copy_(columns.flatten(1, 2))
        narrow.bias.copy_(project.bias)
    return narrow


class PrunedFabric(nn.Module):
    """The cells of a fabric that remain, with fixed weights.

    Attributes:
        inputs: The input rows that are read.
        outputs: The rows of the last layer that are given.
        kept: The remaining parts of each cell.
        numbers: The position of each cell in the spec.
    """

    layers: Sequence[MutableMapping[str, PrunedCell]]  # a ModuleList of ModuleDicts
    operation_weights: Tensor
    scale_weights: Tensor

    def __init__(self, fabric: Fabric, weights: tuple[Tensor, Tensor], outputs: set[int]):
        super().__init__()
        self.spec, self.outputs = fabric.spec, sorted(outputs)
        operation_weights, scale_weights = weights
        self.register_buffer("operation_weights", operation_weights.detach().contiguous())
        self.register_buffer("scale_weights", scale_weights.detach().contiguous())
        self.kept, self.inputs = reachable(fabric.spec, *weights, outputs)
        self.numbers = {index: number for number, index in enumerate(fabric.spec.cells)}
        all_cells = (cell for layer in fabric.layers for cell in layer)
        cells = dict(zip(fabric.spec.cells, all_cells, strict=True))
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    str(index.row): self._prune_cell(cells[index], index)
                    for index in layer
                    if index in self.kept
                }
            )
            for layer in fabric.spec.grid()
        )

    def _prune_cell(self, cell: Cell, index: CellIndex) -> PrunedCell:
        return PrunedCell(cell, self.kept[index], self.spec.edges, self.spec.strides[index.row])

    @property
    def narrowed(self) -> bool:
        """Whether a convolution sums over fewer channels than before."""
        return any(cell.narrowed for layer in self.layers for cell in layer.values())

    def forward(self, maps: Mapping[int, Tensor], like: Tensor) -> dict[int, Tensor]:
        """{row: map} before the first kept layer -> {row: map} of the outputs."""
        for layer_number, layer in enumerate(self.layers, start=self.spec.first):
            layer_maps = {}
            for key, cell in layer.items():
                row = int(key)
                number = self.numbers[CellIndex(layer_number, row)]
                alpha, beta = self.operation_weights[number], self.scale_weights[number]
                layer_maps[row] = cell(maps, like, alpha, beta)
            maps = layer_maps
        return dict(maps)


class PrunedHead(nn.Module):
    """The head of a part with the entries that are read and the pruned fabric."""

    def __init__(self, head: PartHead, weights: tuple[Tensor, Tensor]):
        super().__init__()
        self.keypoints, self.vector_dim = head.keypoints, head.vector_dim
        self.fabric = PrunedFabric(head.fabric, weights, {0})
        self.entries = nn.ModuleDict(
            {str(row): copy.deepcopy(head.entries[row]) for row in sorted(self.fabric.inputs)}
        )
        self.vectors = copy.deepcopy(head.vectors)

    def forward(self, pyramid: Mapping[int, Tensor], like: Tensor) -> Tensor:
        """{row: map} of the backbone -> vectors [B, J, d, h, w] at the finest stride."""
        maps = {int(row): entry(pyramid[int(row)]) for row, entry in self.entries.items()}
        vectors = self.vectors(F.relu(self.fabric(maps, like)[0]))
        return vectors.unflatten(1, (self.keypoints, self.vector_dim))


class PrunedNFS(PoseNetwork):
    """A pruned PoseNFS; its architecture is fixed."""

    heads: Sequence[PrunedHead]  # a ModuleList

    def __init__(self, model: PoseNFS, weights: Mapping[str, tuple[Tensor, Tensor]]):
        """Prune a copy of a model.

        Args:
            model: The model; it is left unchanged.
            weights: For each fabric by name the weights alpha [N, E, |O|] and beta [N, 3] of its
                cells; what weighs 0 is removed.
        """
        super().__init__(model.parts)
        self.stride, self.initial_weights = model.stride, model.initial_weights
        named_heads = zip(model.parts, model.heads, strict=True)
        self.heads = nn.ModuleList(
            PrunedHead(head, weights[part.name]) for part, head in named_heads
        )
        rows = set().union(*(head.fabric.inputs for head in self.heads))
        # Where no row is read, the backbone is an identity that is never run.
        self.backbone = copy.deepcopy(model.backbone) if rows else nn.Identity()
        if isinstance(model.backbone, FabricBackbone) and rows:
            self.backbone.fabric = PrunedFabric(model.backbone.fabric, weights["backbone"], rows)

    @property
    def pruned_fabrics(self) -> dict[str, PrunedFabric]:
        """The pruned fabrics by name; "backbone" is missing where no row of it is read."""
        fabrics = {
            part.name: head.fabric for part, head in zip(self.parts, self.heads, strict=True)
        }
        backbone_fabric = getattr(self.backbone, "fabric", None)
        return fabrics if backbone_fabric is None else {"backbone": backbone_fabric, **fabrics}

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] -> score maps [B, K, H/4, W/4]; H and W are multiples of the stride."""
        self.check(images)
        pyramid = self._pyramid(images)
        part_scores = (scores(head(pyramid, images)) for head in self.heads)
        return gather_parts(part_scores, self.parts, self.keypoints)

    def _pyramid(self, images: Tensor) -> dict[int, Tensor]:
        """Return the maps of the backbone by row."""
        if isinstance(self.backbone, nn.Identity):
            return {}
        fabric = getattr(self.backbone, "fabric", None)
        if not isinstance(fabric, PrunedFabric):
            return dict(enumerate(self.backbone(images)))
        stem_maps = {0: self.backbone.stem(images)} if 0 in fabric.inputs else {}
        return fabric(stem_maps, images)


def prune(model: PoseNFS, mode: Mode = "exact", threshold: float = 0.0) -> PrunedNFS:
    """Return a pruned copy of a model in eval mode; the model is left unchanged.

    Args:
        model: The model to prune.
        mode: exact removes what has weight 0.0 and changes nothing. threshold removes what weighs
            less than the threshold. one-hot keeps only the greatest weight of every edge and of
            the sources of every cell. `check_pruning` measures what the last two change.
        threshold: The threshold, in (0, 1); only for the mode threshold.

    Raises:
        ValueError: The mode is unknown, or the threshold does not fit.
    """
    if mode not in get_args(Mode):
        raise ValueError(f"unknown pruning mode {mode!r}; known: {', '.join(get_args(Mode))}")
    if (mode == "threshold") != (threshold > 0):
        raise ValueError(
            "the mode threshold needs a threshold above 0, and the other modes take none; "
            f"got {threshold} in mode {mode}"
        )
    if not 0 <= threshold < 1:
        raise ValueError(f"a threshold of weights lies in [0, 1); got {threshold}")
    weights = {
        name: mixing_weights(fabric, mode, threshold) for name, fabric in model.fabrics().items()
    }
    return PrunedNFS(model, weights).eval()


@dataclass(frozen=True)
class PruningCheck:
    """The effect of pruning in eval mode.

    In mode exact the difference is 0.0, unless a convolution is narrowed: then it is at most 1e-6
    in float32 and 1e-14 in float64.

    Attributes:
        differences: The greatest difference of score maps for each kind of images.
        narrowed: Whether a convolution sums over fewer channels than before.
        before: The measured cost before pruning.
        after: The measured cost after pruning.
        hash_before: A hash of the weights before pruning.
        hash_after: A hash of the weights after pruning.
    """

    differences: dict[str, float]
    narrowed: bool
    before: Cost
    after: Cost
    hash_before: str
    hash_after: str

    @property
    def difference(self) -> float:
        """The greatest of all differences."""
        return max(self.differences.values())

    def json(self) -> dict:
        """Return the fields as plain data for a JSON file."""
        return asdict(self)

    def __str__(self) -> str:
        differences = ", ".join(
            f"{difference:.2g} ({name})" for name, difference in self.differences.items()
        )
        return (
            f"before {self.before} (weights {self.hash_before})\n"
            f"after  {self.after} (weights {self.hash_after})\n"
            f"greatest difference of score maps: {differences}"
        )


@torch.no_grad()
def greatest_difference(model: PoseNFS, pruned: PrunedNFS, images: Tensor) -> float:
    """Return the greatest difference of the score maps of both models in eval mode.

    Args:
        model: The model before pruning.
        pruned: The pruned model. Both keep their modes.
        images: The images, [B, 3, H, W].
    """
    with evaluating(model), evaluating(pruned):
        return (model(images) - pruned(images)).abs().max().item()


def check_pruning(
    model: PoseNFS, pruned: PrunedNFS, images: Tensor | Mapping[str, Tensor]
) -> PruningCheck:
    """Compare the score maps and the cost of both models in eval mode.

    Args:
        model: The model before pruning.
        pruned: The pruned model. Both keep their modes.
        images: Images [B, 3, H, W] of one size, or several kinds of such images by name.
    """
    kinds = images if isinstance(images, Mapping) else {"the given": images}
    differences = {name: greatest_difference(model, pruned, batch) for name, batch in kinds.items()}
    height, width = next(iter(kinds.values())).shape[-2:]
    return PruningCheck(
        differences,
        any(fabric.narrowed for fabric in pruned.pruned_fabrics.values()),
        measured_cost(model, height, width),
        measured_cost(pruned, height, width),
        weights_hash(model),
        weights_hash(pruned),
    )


def weights_hash(model: nn.Module) -> str:
    """Return 12 hexadecimal digits over the names, types, shapes and values of all tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(
            tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()[:12]

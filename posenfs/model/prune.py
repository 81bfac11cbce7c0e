"""A PoseNFS without what alpha and beta make useless, and the proof that its score maps are the same."""

import copy
import hashlib
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posenfs.model.backbones.fabric import FabricBackbone
from posenfs.model.cost import Cost, honest_cost
from posenfs.model.fabric import Cell, Fabric, fuse_scales
from posenfs.model.network import PartHead, PoseNetwork, PoseNFS, evaluating
from posenfs.model.space import CellIndex, FabricSpec
from posenfs.model.vectors import gather_parts, scores

Mode = Literal["exact", "threshold", "one-hot"]


@dataclass(frozen=True)
class Kept:
    """What stays of a cell: slots (0 finer, 1 same, 2 coarser) and, for every edge inside it, candidate operations."""

    slots: tuple[int, ...]
    operations: tuple[tuple[int, ...], ...]


def mixing_weights(fabric: Fabric, mode: Mode, threshold: float = 0.0) -> tuple[Tensor, Tensor]:
    """alpha [N, E, |O|] and beta [N, 3] as the pruned cells use them: 0 is what goes.

    exact: as they are. threshold: weights of softmax below it become 0, the others stay. one-hot: the greatest of each
    becomes 1.
    """
    found = []
    for logits, factor in zip((fabric.alpha, fabric.beta), fabric.factors, strict=True):
        weight = logits.detach().softmax(-1)
        if mode == "one-hot":
            weight = F.one_hot(weight.argmax(-1), weight.shape[-1]).to(weight.dtype)
        elif mode == "threshold":
            weight = torch.where(weight < threshold, 0.0, weight)
        found.append(weight * factor)
    return found[0].expand(len(fabric.spec.cells), -1, -1), found[1]


def reachable(
    spec: FabricSpec, alpha: Tensor, beta: Tensor, outputs: set[int]
) -> tuple[dict[CellIndex, Kept], set[int]]:
    """The cells that reach the outputs (rows of the last layer), what stays of each, and the input rows they read.

    Goes backward from the outputs, over all three slots, copies among them (footnote 2). A cell whose operations from
    its input are all gone needs no source, but still stands: it emits the bias of its projection.
    """
    needed = {CellIndex(spec.end - 1, row) for row in outputs}
    zeros = [o for o, name in enumerate(spec.operations) if name == "zero"]
    kept: dict[CellIndex, Kept] = {}
    for number, index in reversed(list(enumerate(spec.cells))):
        if index not in needed:
            continue
        operations = tuple(
            tuple(o for o, weight in enumerate(edge) if weight != 0 and o not in zeros)
            for edge in alpha[number].tolist()
        )
        reads = any(own for (start, _), own in zip(spec.edges, operations, strict=True) if start == 0)
        slots = tuple(slot for slot, weight in enumerate(beta[number].tolist()) if weight != 0) if reads else ()
        kept[index] = Kept(slots, operations)
        sources = spec.sources(index.row, spec.rows(index.layer - 1))
        needed |= {CellIndex(index.layer - 1, sources[slot]) for slot in slots}
    return kept, {index.row for index in needed if index.layer == spec.first - 1}


class PrunedCell(nn.Module):
    """A cell with the sources and operations that stay.

    Hidden nodes that no operation reaches are 0, and so the projection has no columns for them; where none is reached
    the cell gives the bias of its projection alone.
    """

    def __init__(self, cell: Cell, kept: Kept, edges: list[tuple[int, int]], stride: int):
        super().__init__()
        self.relu_after_fusion, self.hidden_nodes, self.stride = cell.rules.relu_after_fusion, cell.hidden_nodes, stride
        self.kept, self.edges = kept, edges
        self.sources = [cell.sources[slot] for slot in kept.slots]
        self.transfers = nn.ModuleList(copy.deepcopy(cell.transfers[slot]) for slot in kept.slots)
        self.operations = nn.ModuleList(
            nn.ModuleList(copy.deepcopy(cell.edges[e][o]) for o in own) for e, own in enumerate(kept.operations)
        )
        self.channels = cell.project.out_channels
        self.reached = sorted({end for (_, end), own in zip(edges, kept.operations, strict=True) if own})
        self.project = _columns(cell.project, [node - 1 for node in self.reached])
        self.bias = None if self.reached else copy.deepcopy(cell.project.bias)

    @property
    def narrowed(self) -> bool:
        """Whether the projection sums over fewer channels than before, which may round differently."""
        return 0 < len(self.reached) < self.hidden_nodes

    def forward(self, maps: Mapping[int, Tensor], like: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
        """Maps of the layer before by row; weights [E, |O|] and [3], of which those that stay are read. `like`
        [B, _, H, W] at stride 1 gives the shape of what has no source."""
        x = None
        if self.sources:
            x = fuse_scales([maps[s] for s in self.sources], self.transfers, [beta[slot] for slot in self.kept.slots])
            x = F.relu(x) if self.relu_after_fusion else x
        nodes: list[Tensor | None] = [x]
        for end in range(1, self.hidden_nodes + 1):
            total = None
            for e, (start, stop) in enumerate(self.edges):
                if stop != end or not self.kept.operations[e]:
                    continue
                node = self.zeros(like) if nodes[start] is None else nodes[start]
                own = zip(self.operations[e], self.kept.operations[e], strict=True)
                terms = [operation(node, alpha[e, o]) for operation, o in own]
                mixed = sum(terms[1:], start=terms[0])
                total = mixed if total is None else total + mixed
            nodes.append(total)
        if self.project is None:
            return self.zeros(like) + self.bias[:, None, None]
        reached = [nodes[n] for n in self.reached]
        return self.project(torch.cat(reached, 1) if len(reached) > 1 else reached[0])

    def zeros(self, like: Tensor) -> Tensor:
        """A node that nothing reaches: its operations still give what their batch-norms make of 0."""
        return like.new_zeros(len(like), self.channels, like.shape[-2] // self.stride, like.shape[-1] // self.stride)


def _columns(project: nn.Conv2d, nodes: list[int]) -> nn.Conv2d | None:
    """A 1x1 projection that reads some of its hidden nodes; None where it reads none."""
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
    """The cells that stay; `inputs` are the rows read, `outputs` the rows given. Its weights are fixed: 0 is gone."""

    layers: Sequence[MutableMapping[str, PrunedCell]]  # a ModuleList of ModuleDicts
    operation_weights: Tensor
    scale_weights: Tensor

    def __init__(self, fabric: Fabric, weights: tuple[Tensor, Tensor], outputs: set[int]):
        super().__init__()
        self.spec, self.outputs = fabric.spec, sorted(outputs)
        for name, weight in zip(("operation_weights", "scale_weights"), weights, strict=True):
            self.register_buffer(name, weight.detach().contiguous())
        self.kept, self.inputs = reachable(fabric.spec, *weights, outputs)
        self.numbers = {index: number for number, index in enumerate(fabric.spec.cells)}
        cells = dict(zip(fabric.spec.cells, (cell for layer in fabric.layers for cell in layer), strict=True))
        self.layers = nn.ModuleList(
            nn.ModuleDict({str(index.row): self._cell(cells[index], index) for index in layer if index in self.kept})
            for layer in fabric.spec.grid()
        )

    def _cell(self, cell: Cell, index: CellIndex) -> PrunedCell:
        return PrunedCell(cell, self.kept[index], self.spec.edges, self.spec.strides[index.row])

    @property
    def narrowed(self) -> bool:
        """Whether a convolution sums over fewer channels than before."""
        return any(cell.narrowed for layer in self.layers for cell in layer.values())

    def forward(self, maps: Mapping[int, Tensor], like: Tensor) -> dict[int, Tensor]:
        """{row: map} before the first kept layer -> {row: map} of the outputs."""
        for number, layer in enumerate(self.layers, start=self.spec.first):
            places = {int(row): self.numbers[CellIndex(number, int(row))] for row in layer}
            maps = {
                row: layer[str(row)](maps, like, self.operation_weights[n], self.scale_weights[n])
                for row, n in places.items()
            }
        return dict(maps)


class PrunedHead(nn.Module):
    """Entries that are read, the pruned fabric, the vectors."""

    def __init__(self, head: PartHead, weights: tuple[Tensor, Tensor]):
        super().__init__()
        self.keypoints, self.vector_dim = head.keypoints, head.vector_dim
        self.fabric = PrunedFabric(head.fabric, weights, {0})
        self.entries = nn.ModuleDict({str(row): copy.deepcopy(head.entries[row]) for row in sorted(self.fabric.inputs)})
        self.vectors = copy.deepcopy(head.vectors)

    def forward(self, pyramid: Mapping[int, Tensor], like: Tensor) -> Tensor:
        maps = {int(row): entry(pyramid[int(row)]) for row, entry in self.entries.items()}
        vectors = self.vectors(F.relu(self.fabric(maps, like)[0]))
        return vectors.unflatten(1, (self.keypoints, self.vector_dim))


class PrunedNFS(PoseNetwork):
    """What is left of a PoseNFS; nothing in it is searched any more."""

    heads: Sequence[PrunedHead]  # a ModuleList

    def __init__(self, model: PoseNFS, weights: Mapping[str, tuple[Tensor, Tensor]]):
        """`weights`: by fabric the alpha [N, E, |O|] and beta [N, 3] its cells use; what is 0 there goes."""
        super().__init__(model.parts)
        self.stride, self.initial_weights = model.stride, model.initial_weights
        named = zip(model.parts, model.heads, strict=True)
        self.heads = nn.ModuleList(PrunedHead(head, weights[part.name]) for part, head in named)
        read = set().union(*(head.fabric.inputs for head in self.heads))
        self.backbone = copy.deepcopy(model.backbone) if read else nn.Identity()  # which nothing runs
        if isinstance(model.backbone, FabricBackbone) and read:
            self.backbone.fabric = PrunedFabric(model.backbone.fabric, weights["backbone"], read)

    @property
    def pruned_fabrics(self) -> dict[str, PrunedFabric]:
        """What is left of every fabric by name; the backbone's own is missing where nothing of it is read."""
        named = {part.name: head.fabric for part, head in zip(self.parts, self.heads, strict=True)}
        own = getattr(self.backbone, "fabric", None)
        return named if own is None else {"backbone": own, **named}

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, H, W] -> score maps [B, K, H/4, W/4]; raises ValueError where the largest stride does not divide."""
        self.check(images)
        pyramid = self._pyramid(images)
        return gather_parts((scores(head(pyramid, images)) for head in self.heads), self.parts, self.keypoints)

    def _pyramid(self, images: Tensor) -> dict[int, Tensor]:
        fabric = getattr(self.backbone, "fabric", None)
        if isinstance(self.backbone, nn.Identity):
            return {}
        if not isinstance(fabric, PrunedFabric):
            return dict(enumerate(self.backbone(images)))
        return fabric({0: self.backbone.stem(images)} if 0 in fabric.inputs else {}, images)


def prune(model: PoseNFS, mode: Mode = "exact", threshold: float = 0.0) -> PrunedNFS:
    """A model without what alpha and beta make useless; the given one is left as it is, the new one in eval mode.

    exact removes what has weight 0.0, and changes nothing; threshold what lies below it, and one-hot all but the
    greatest weight on every edge and of every cell's sources: `prove` says what that changes. Raises ValueError for
    another mode, and for a threshold outside [0, 1).
    """
    if mode not in get_args(Mode):
        raise ValueError(f"unknown pruning mode {mode!r}; known: {', '.join(get_args(Mode))}")
    if (mode == "threshold") != (threshold > 0):
        raise ValueError(
            f"a threshold above 0 belongs to mode threshold, and to it alone; got {threshold} in mode {mode}"
        )
    if not 0 <= threshold < 1:
        raise ValueError(f"a threshold of weights lies in [0, 1); got {threshold}")
    weights = {name: mixing_weights(fabric, mode, threshold) for name, fabric in model.fabrics().items()}
    return PrunedNFS(model, weights).eval()


@dataclass(frozen=True)
class Proof:
    """What pruning changed: the greatest difference of score maps in eval mode, for each kind of images compared, and
    the honest cost. The hashes name the two sets of weights that were compared.

    In mode exact the difference is 0.0, unless a convolution `narrowed`: then at most 1e-6 in float32, 1e-14 in
    float64.
    """

    differences: dict[str, float]
    narrowed: bool
    before: Cost
    after: Cost
    hash_before: str
    hash_after: str

    @property
    def difference(self) -> float:
        return max(self.differences.values())

    def json(self) -> dict:
        return asdict(self)

    def __str__(self) -> str:
        found = ", ".join(f"{difference:.2g} ({name})" for name, difference in self.differences.items())
        return (
            f"before {self.before} (weights {self.hash_before})\nafter  {self.after} (weights {self.hash_after})\n"
            f"greatest difference of score maps: {found}"
        )


@torch.no_grad()
def greatest_difference(model: PoseNFS, pruned: PrunedNFS, images: Tensor) -> float:
    """Of the score maps of both in eval mode, on images [B, 3, H, W]; both are left in their modes."""
    with evaluating(model), evaluating(pruned):
        return (model(images) - pruned(images)).abs().max().item()


def prove(model: PoseNFS, pruned: PrunedNFS, images: Tensor | Mapping[str, Tensor]) -> Proof:
    """Compare both in eval mode on images [B, 3, H, W] of one size, or on several kinds of them by name; both are left
    in their modes."""
    kinds = images if isinstance(images, Mapping) else {"the given": images}
    differences = {name: greatest_difference(model, pruned, batch) for name, batch in kinds.items()}
    size = next(iter(kinds.values())).shape[-2:]
    before, after = (honest_cost(network, *size) for network in (model, pruned))
    narrowed = any(fabric.narrowed for fabric in pruned.pruned_fabrics.values())
    return Proof(differences, narrowed, before, after, weights_hash(model), weights_hash(pruned))


def weights_hash(model: nn.Module) -> str:
    """Twelve hexadecimal digits that change with any name, type, shape or number of the model's tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]

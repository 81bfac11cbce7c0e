"""A PoseNFS without what alpha and beta make useless, and the proof that its score maps are the same."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posenfs.model.backbones.fabric import FabricBackbone
from posenfs.model.cost import Cost, honest_cost
from posenfs.model.fabric import Cell, Fabric
from posenfs.model.network import PartHead, PoseNetwork, PoseNFS
from posenfs.model.space import CellIndex
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


def reachable(fabric: Fabric, alpha: Tensor, beta: Tensor, outputs: set[int]) -> tuple[dict[CellIndex, Kept], set[int]]:
    """The cells that reach the outputs (rows of the last layer), what stays of each, and the input rows they read.

    Goes backward from the outputs, over all three slots, copies among them (footnote 2). A cell whose operations from
    its input are all gone needs no source, but still stands: it emits the bias of its projection.
    """
    spec = fabric.spec
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
    """A cell with the sources and operations that stay, its weights fixed."""

    def __init__(self, cell: Cell, kept: Kept, alpha: Tensor, beta: Tensor, edges: list[tuple[int, int]], stride: int):
        super().__init__()
        self.relu_after_fusion, self.hidden_nodes, self.stride = cell.rules.relu_after_fusion, cell.hidden_nodes, stride
        self.sources = [cell.sources[slot] for slot in kept.slots]
        self.transfers = nn.ModuleList(copy.deepcopy(cell.transfers[slot]) for slot in kept.slots)
        self.edges = edges
        self.operations = nn.ModuleList(
            nn.ModuleList(copy.deepcopy(cell.edges[e][o]) for o in own) for e, own in enumerate(kept.operations)
        )
        self.project = copy.deepcopy(cell.project)
        self.register_buffer("beta", beta[list(kept.slots)].clone())
        weights = [alpha[e, o] for e, own in enumerate(kept.operations) for o in own]
        self.register_buffer("alpha", torch.stack(weights) if weights else alpha.new_zeros(0))

    def forward(self, maps: Mapping[int, Tensor], like: Tensor) -> Tensor:
        """Maps of the layer before by row; `like` [B, _, H, W] at stride 1 gives the shape of what has no source."""
        x = None
        for source, transfer, weight in zip(self.sources, self.transfers, self.beta, strict=True):
            term = transfer(maps[source], weight)
            x = term if x is None else x + term
        if x is not None and self.relu_after_fusion:
            x = F.relu(x)
        nodes: list[Tensor | None] = [x]
        weights = iter(self.alpha)
        for end in range(1, self.hidden_nodes + 1):
            total = None
            for (start, stop), operations in zip(self.edges, self.operations, strict=True):
                if stop != end or not len(operations):
                    continue
                node = self._whole(nodes[start], like)
                terms = [operation(node, next(weights)) for operation in operations]
                mixed = sum(terms[1:], start=terms[0])
                total = mixed if total is None else total + mixed
            nodes.append(total)
        return self.project(torch.cat([self._whole(node, like) for node in nodes[1:]], 1))

    def _whole(self, node: Tensor | None, like: Tensor) -> Tensor:
        """A node that nothing reaches is 0."""
        if node is not None:
            return node
        channels = self.project.in_channels // self.hidden_nodes
        return like.new_zeros(len(like), channels, like.shape[-2] // self.stride, like.shape[-1] // self.stride)


class PrunedFabric(nn.Module):
    """The cells that stay; `inputs` are the rows read, `outputs` the rows given."""

    def __init__(self, fabric: Fabric, alpha: Tensor, beta: Tensor, outputs: set[int]):
        super().__init__()
        spec = fabric.spec
        self.spec, self.outputs = spec, sorted(outputs)
        self.kept, self.inputs = reachable(fabric, alpha, beta, outputs)
        self.layers = nn.ModuleList()
        own = [cell for layer in fabric.layers for cell in layer]
        numbers = {index: number for number, index in enumerate(spec.cells)}
        for layer in spec.grid():
            self.layers.append(
                nn.ModuleDict(
                    {
                        str(index.row): PrunedCell(
                            own[numbers[index]], self.kept[index], alpha[numbers[index]], beta[numbers[index]],
                            spec.edges, spec.strides[index.row],
                        )
                        for index in layer
                        if index in self.kept
                    }
                )
            )  # fmt: skip

    def forward(self, maps: Mapping[int, Tensor], like: Tensor) -> dict[int, Tensor]:
        """{row: map} before the first kept layer -> {row: map} of the outputs."""
        for layer in self.layers:
            maps = {int(row): cell(maps, like) for row, cell in layer.items()}
        return maps


class PrunedHead(nn.Module):
    """Entries that are read, the pruned fabric, the vectors."""

    def __init__(self, head: PartHead, alpha: Tensor, beta: Tensor):
        super().__init__()
        self.keypoints, self.vector_dim = head.keypoints, head.vector_dim
        self.fabric = PrunedFabric(head.fabric, alpha, beta, {0})
        self.entries = nn.ModuleDict({str(row): copy.deepcopy(head.entries[row]) for row in sorted(self.fabric.inputs)})
        self.vectors = copy.deepcopy(head.vectors)

    def forward(self, pyramid: Mapping[int, Tensor], like: Tensor) -> Tensor:
        maps = {int(row): entry(pyramid[int(row)]) for row, entry in self.entries.items()}
        vectors = self.vectors(F.relu(self.fabric(maps, like)[0]))
        return vectors.unflatten(1, (self.keypoints, self.vector_dim))


class PrunedNFS(PoseNetwork):
    """What is left of a PoseNFS; nothing in it is searched any more."""

    def __init__(self, model: PoseNFS, mode: Mode = "exact", threshold: float = 0.0):
        super().__init__(model.parts)
        self.stride, self.initial_weights = model.stride, model.initial_weights
        self.heads = nn.ModuleList(PrunedHead(h, *mixing_weights(h.fabric, mode, threshold)) for h in model.heads)
        read = set().union(*(head.fabric.inputs for head in self.heads))
        self.backbone = copy.deepcopy(model.backbone) if read else nn.Identity()  # which nothing runs
        if isinstance(model.backbone, FabricBackbone) and read:
            weights = mixing_weights(model.backbone.fabric, mode, threshold)
            self.backbone.fabric = PrunedFabric(model.backbone.fabric, *weights, read)

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


@dataclass(frozen=True)
class Proof:
    """The greatest difference of score maps in eval mode, and the honest cost before and after."""

    difference: float
    before: Cost
    after: Cost


def prune(model: PoseNFS, mode: Mode = "exact", threshold: float = 0.0) -> PrunedNFS:
    """A model without what alpha and beta make useless; the given one is left as it is, the new one in eval mode.

    exact removes what has weight 0.0, and changes nothing; threshold what lies below it, and one-hot all but the
    greatest weight on every edge and of every cell's sources: `prove` says what that changes.
    """
    return PrunedNFS(model, mode, threshold).eval()


@torch.no_grad()
def prove(model: PoseNFS, pruned: PrunedNFS, images: Tensor) -> Proof:
    """Compare both in eval mode on images [B, 3, H, W]; the model is left in its mode."""
    training = model.training
    difference = (model.eval()(images) - pruned.eval()(images)).abs().max().item()
    model.train(training)
    with torch.enable_grad():
        costs = [honest_cost(network, *images.shape[-2:]) for network in (model, pruned)]
    return Proof(difference, *costs)

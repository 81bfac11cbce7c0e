"""Architecture: the alpha and beta of one fabric, and what can be read off them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from posenfs.model.space import CellIndex, FabricSpec, Sources

_NEVER = -1000.0  # a score whose softmax weight beside 0 is exactly 0, in every precision


@dataclass(frozen=True)
class Genotype:
    """A discrete reading of an architecture: one operation on every edge, one source for every cell.

    `operations`: [E] names, or a row [E] for each cell where each has its own; written [1][E] or [N][E].
    `sources`: [N] of finer, same, coarser; cells layer by layer, finest first.
    """

    operations: tuple[tuple[str, ...], ...]
    sources: tuple[str, ...]

    def architecture(self, spec: FabricSpec) -> "Architecture":
        """Alpha and beta whose softmax weights are 1 for what is chosen and exactly 0 for all else.

        Raises ValueError where the genotype is not one of such a fabric.
        """
        rows = len(spec.cells) if spec.alpha_per_cell else 1
        if len(self.operations) != rows or any(len(row) != len(spec.edges) for row in self.operations):
            raise ValueError(
                f"a genotype of this fabric names {rows} x {len(spec.edges)} operations: {self.operations}"
            )
        if len(self.sources) != len(spec.cells):
            raise ValueError(f"a genotype of this fabric names {len(spec.cells)} sources; got {len(self.sources)}")
        alpha = [[_one_hot(o, spec.operations, "operation") for o in row] for row in self.operations]
        beta = torch.stack([_one_hot(source, Sources._fields, "source") for source in self.sources])
        return Architecture(torch.stack([torch.stack(row) for row in alpha]).reshape(spec.alpha_shape), beta)


@dataclass(frozen=True)
class Architecture:
    """Raw scores before softmax: alpha [E, |O|] (or [N, E, |O|], one per cell) and beta [N, 3].

    Rows of beta are cells layer by layer, finest first; its columns are finer, same, coarser.
    """

    alpha: Tensor
    beta: Tensor

    @staticmethod
    def zeros(spec: FabricSpec) -> "Architecture":
        """Equal weights everywhere: where a gradient search begins."""
        return Architecture(torch.zeros(spec.alpha_shape), torch.zeros(spec.beta_shape))

    @staticmethod
    def random(spec: FabricSpec, seed: int = 0, deviation: float = 1.0) -> "Architecture":
        """Scores from N(0, deviation^2): the paper's random strategy for a deviation of 1."""
        generator = torch.Generator().manual_seed(seed)
        shapes = spec.alpha_shape, spec.beta_shape
        return Architecture(*(deviation * torch.randn(shape, generator=generator) for shape in shapes))

    @staticmethod
    def mean(architectures: "Iterable[Architecture]") -> "Architecture":
        """The architecture whose weights are the mean of theirs (weights, not scores)."""
        found = [a.detach() for a in architectures]
        if not found:
            raise ValueError("the mean of no architecture")
        operations = torch.stack([a.operation_weights for a in found]).mean(0)
        scales = torch.stack([a.scale_weights for a in found]).mean(0)
        return Architecture(*(weights.log().clamp(min=_NEVER) for weights in (operations, scales)))

    @property
    def operation_weights(self) -> Tensor:
        """softmax(alpha), shape of alpha: the weights of Eq. 1."""
        return self.alpha.softmax(-1)

    @property
    def scale_weights(self) -> Tensor:
        """softmax(beta) [N, 3]: the weights of Eq. 2."""
        return self.beta.softmax(-1)

    def entropy(self) -> tuple[float, float]:
        """Mean entropy of the alpha and the beta weights in [0, 1]: 1 for equal weights, 0 for a discrete choice."""
        return _entropy(self.alpha), _entropy(self.beta)

    def source_weights(self, spec: FabricSpec) -> Tensor:
        """[N, R]: the weight with which each cell reads each row of the layer before; copies (footnote 2) summed."""
        weights, rows = self.scale_weights, max(spec.rows(layer) for layer in range(spec.first - 1, spec.end))
        sources = torch.tensor([spec.sources(c.row, spec.rows(c.layer - 1)) for c in spec.cells], device=weights.device)
        return weights.new_zeros(len(weights), rows).scatter_add(1, sources, weights)

    def distance(self, other: "Architecture", spec: FabricSpec) -> tuple[float, float]:
        """How far two architectures of a fabric are apart, of operations and of sources: the share of weight that would
        have to move (total variation), mean over edges and over cells; 0 where they are the same, at most 1."""
        if self.alpha.shape != other.alpha.shape or self.beta.shape != other.beta.shape:
            raise ValueError(f"architectures of different fabrics: alpha {self.alpha.shape} and {other.alpha.shape}")
        pairs = (
            (self.operation_weights, other.operation_weights),
            (self.source_weights(spec), other.source_weights(spec)),
        )
        operations, sources = ((a - b).detach().abs().sum(-1).mean().item() / 2 for a, b in pairs)
        return operations, sources

    def with_operation(
        self,
        spec: FabricSpec,
        operation: str,
        weight: float,
        edge: tuple[int, int] = (0, 1),
        cell: CellIndex | tuple[int, int] | None = None,
    ) -> "Architecture":
        """The same but for one edge inside the cells (inside one, where each has its own alpha: `cell` (layer, row)):
        an operation has this weight in [0, 1] there, and the others share the rest as they did."""
        row = (_place("edge", edge, spec.edges),)
        if spec.alpha_per_cell != (cell is not None):
            raise ValueError("name a cell where, and only where, each cell has its own alpha")
        place = row if cell is None else (_place("cell", cell, spec.cells), *row)
        column = _place("operation", operation, spec.operations)
        return Architecture(_with_weight(self.alpha, place, column, weight), self.beta)

    def with_source(
        self, spec: FabricSpec, source: str, weight: float, cell: CellIndex | tuple[int, int]
    ) -> "Architecture":
        """The same but for one cell (layer, row): a source (finer, same, coarser) has this weight in [0, 1] there, and
        the others share the rest as they did."""
        place, column = (_place("cell", cell, spec.cells),), _place("source", source, Sources._fields)
        return Architecture(self.alpha, _with_weight(self.beta, place, column, weight))

    def genotype(self, spec: FabricSpec, zero: bool = True) -> Genotype:
        """What has the greatest weight on every edge and of every cell's sources; of equal ones the first.

        Without `zero` the operation zero is never chosen, as DARTS derives networks: in a mixture it costs others
        nothing but their scale, and a batch-norm that follows undoes that, so that its weight says little.
        """
        alpha = self.alpha.detach().clone()
        if not zero and len(spec.operations) > 1 and "zero" in spec.operations:
            alpha[..., spec.operations.index("zero")] = -torch.inf
        return _genotype(alpha.argmax(-1), self.beta.argmax(-1), spec)

    def sample(self, spec: FabricSpec, generator: torch.Generator) -> Genotype:
        """A discrete architecture, drawn with the probabilities softmax(alpha) and softmax(beta)."""
        drawn = []
        for weights in (self.detach().operation_weights, self.detach().scale_weights):
            flat = torch.multinomial(weights.flatten(0, -2), 1, generator=generator)
            drawn.append(flat.reshape(weights.shape[:-1]))
        return _genotype(drawn[0], drawn[1], spec)

    def detach(self) -> "Architecture":
        """A copy on the CPU, without gradient: what histories and pictures keep."""
        return Architecture(*(t.detach().to("cpu", torch.float32, copy=True) for t in (self.alpha, self.beta)))


def _entropy(scores: Tensor) -> float:
    choices = scores.shape[-1]
    if choices == 1:
        return 0.0
    log = scores.detach().double().log_softmax(-1)
    return float(-(log.exp() * log).sum(-1).mean() / torch.tensor(float(choices)).log())


def _place(kind: str, name: object, known: Sequence) -> int:
    if name not in known:
        raise ValueError(
            f"no {kind} {name!r}; there are {', '.join(str(tuple(k) if kind == 'cell' else k) for k in known)}"
        )
    return known.index(name)


def _with_weight(scores: Tensor, place: tuple[int, ...], choice: int, weight: float) -> Tensor:
    """Scores where the choice at a place has another softmax weight."""
    if not 0 <= weight <= 1:
        raise ValueError(f"a weight lies in [0, 1]; got {weight}")
    weights = scores.detach()[place].double().softmax(-1)
    others = weights.index_fill(0, torch.tensor(choice, device=weights.device), 0.0)
    rest = others.sum()
    others = others / rest if rest > 0 else (1 - torch.eye(len(weights))[choice]).to(weights) / (len(weights) - 1)
    changed = others * (1 - weight)
    changed[choice] = weight
    scores = scores.detach().clone()
    scores[place] = changed.log().clamp(min=_NEVER).to(scores)
    return scores


def _genotype(operations: Tensor, sources: Tensor, spec: FabricSpec) -> Genotype:
    """From the numbers of the operations [E] or [N, E] and of the sources [N]."""
    rows = operations.reshape(-1, len(spec.edges)).tolist()
    return Genotype(
        tuple(tuple(spec.operations[o] for o in row) for row in rows),
        tuple(Sources._fields[source] for source in sources.tolist()),
    )


def _one_hot(name: str, names: tuple[str, ...], what: str) -> Tensor:
    if name not in names:
        raise ValueError(f"unknown {what} {name!r} in a genotype; known: {', '.join(names)}")
    return torch.tensor([0.0 if own == name else _NEVER for own in names])

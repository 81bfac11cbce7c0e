"""Architecture: alpha and beta of one fabric, and the quantities derived from them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from posenfs.model.space import CellIndex, FabricSpec, Sources

_NEVER = -1000.0  # next to a logit of 0 its softmax weight is exactly 0, in every precision


@dataclass(frozen=True)
class Genotype:
    """A discrete architecture: one operation for every edge and one source for every cell.

    Attributes:
        operations: Names of operations, `[1][E]`, or `[N][E]` where each cell has its own alpha.
        sources: [N] names (finer, same, coarser) of the sources; cells layer by layer, finest
            first.
    """

    operations: tuple[tuple[str, ...], ...]
    sources: tuple[str, ...]

    def architecture(self, spec: FabricSpec) -> "Architecture":
        """Return alpha and beta whose softmax weights are exactly 1 or 0.

        Raises:
            ValueError: The genotype does not belong to such a fabric.
        """
        row_count, edge_count = len(spec.cells) if spec.alpha_per_cell else 1, len(spec.edges)
        if len(self.operations) != row_count or any(
            len(row) != edge_count for row in self.operations
        ):
            raise ValueError(
                f"a genotype of this fabric has {row_count} x {edge_count} operations; "
                f"got {self.operations}"
            )
        if len(self.sources) != len(spec.cells):
            raise ValueError(
                f"a genotype of this fabric has {len(spec.cells)} sources; got {len(self.sources)}"
            )
        alpha = [
            torch.stack([_one_hot(name, spec.operations, "operation") for name in row])
            for row in self.operations
        ]
        beta = [_one_hot(source, Sources._fields, "source") for source in self.sources]
        return Architecture(torch.stack(alpha).reshape(spec.alpha_shape), torch.stack(beta))


@dataclass(frozen=True)
class Architecture:
    """Logits of one fabric, before the softmax.

    Attributes:
        alpha: Logits of the operations, [E, |O|], or [N, E, |O|] where each cell has its own.
        beta: Logits of the sources, [N, 3]. The rows are the cells layer by layer, finest first;
            the columns are finer, same, coarser.
    """

    alpha: Tensor
    beta: Tensor

    @staticmethod
    def zeros(spec: FabricSpec) -> "Architecture":
        """Return equal weights everywhere, the start of a gradient-based search."""
        return Architecture(torch.zeros(spec.alpha_shape), torch.zeros(spec.beta_shape))

    @staticmethod
    def random(spec: FabricSpec, seed: int = 0, deviation: float = 1.0) -> "Architecture":
        """Return logits from N(0, deviation^2); 1 is the paper's random strategy."""
        generator = torch.Generator().manual_seed(seed)
        alpha = deviation * torch.randn(spec.alpha_shape, generator=generator)
        beta = deviation * torch.randn(spec.beta_shape, generator=generator)
        return Architecture(alpha, beta)

    @staticmethod
    def mean(architectures: "Iterable[Architecture]") -> "Architecture":
        """Return the architecture whose weights (not logits) are the mean of the weights."""
        detached = [architecture.detach() for architecture in architectures]
        if not detached:
            raise ValueError("the mean needs at least one architecture; got none")
        operation_weights = torch.stack([a.operation_weights for a in detached]).mean(0)
        scale_weights = torch.stack([a.scale_weights for a in detached]).mean(0)
        return Architecture(_logits(operation_weights), _logits(scale_weights))

    @property
    def operation_weights(self) -> Tensor:
        """Weights of Eq. 1: softmax(alpha), in the shape of alpha."""
        return self.alpha.softmax(-1)

    @property
    def scale_weights(self) -> Tensor:
        """Weights of Eq. 2: softmax(beta), [N, 3]."""
        return self.beta.softmax(-1)

    def entropy(self) -> tuple[float, float]:
        """Return the mean entropies of the alpha and the beta weights, in [0, 1].

        1 stands for equal weights, 0 for a discrete choice.
        """
        return _entropy(self.alpha), _entropy(self.beta)

    def source_weights(self, spec: FabricSpec) -> Tensor:
        """Return the weight with which each cell reads each row of the previous layer.

        Copies of one source (footnote 2) are summed.

        Returns:
            The weights [N, R].
        """
        weights = self.scale_weights
        row_count = max(spec.rows(layer) for layer in range(spec.first - 1, spec.end))
        sources = [spec.sources(cell.row, spec.rows(cell.layer - 1)) for cell in spec.cells]
        index = torch.tensor(sources, device=weights.device)
        return weights.new_zeros(len(weights), row_count).scatter_add(1, index, weights)

    def distance(self, other: "Architecture", spec: FabricSpec) -> tuple[float, float]:
        """Return the distances of two architectures of a fabric, of operations and of sources.

        The distance is the total variation, the share of weight that would have to move, averaged
        over edges and over cells: 0 for equal architectures, at most 1.
        """
        if self.alpha.shape != other.alpha.shape or self.beta.shape != other.beta.shape:
            raise ValueError(
                f"architectures of different fabrics: alpha {self.alpha.shape} and "
                f"{other.alpha.shape}, beta {self.beta.shape} and {other.beta.shape}"
            )
        operations = _total_variation(self.operation_weights, other.operation_weights)
        sources = _total_variation(self.source_weights(spec), other.source_weights(spec))
        return operations, sources

    def with_operation(
        self,
        spec: FabricSpec,
        operation: str,
        weight: float,
        edge: tuple[int, int] = (0, 1),
        cell: CellIndex | tuple[int, int] | None = None,
    ) -> "Architecture":
        """Return a copy in which an operation of one edge has another weight.

        The other operations of the edge share the rest in their former proportions.

        Args:
            spec: The fabric.
            operation: The name of the operation.
            weight: Its softmax weight, in [0, 1].
            edge: The edge (from, to) inside the cells.
            cell: The cell (layer, row); given if and only if each cell has its own alpha.

        Raises:
            ValueError: The fabric has no such operation, edge or cell, or the weight is outside
                [0, 1].
        """
        place: tuple[int, ...] = (_position("edge", edge, spec.edges),)
        if spec.alpha_per_cell != (cell is not None):
            raise ValueError("name a cell if, and only if, each cell has its own alpha")
        if cell is not None:
            place = (_position("cell", cell, spec.cells), *place)
        column = _position("operation", operation, spec.operations)
        return Architecture(_with_weight(self.alpha, place, column, weight), self.beta)

    def with_source(
        self, spec: FabricSpec, source: str, weight: float, cell: CellIndex | tuple[int, int]
    ) -> "Architecture":
        """Return a copy in which a source of one cell has another weight.

        The other sources of the cell share the rest in their former proportions.

        Args:
            spec: The fabric.
            source: finer, same or coarser.
            weight: Its softmax weight, in [0, 1].
            cell: The cell (layer, row).

        Raises:
            ValueError: The fabric has no such source or cell, or the weight is outside [0, 1].
        """
        place = (_position("cell", cell, spec.cells),)
        column = _position("source", source, Sources._fields)
        return Architecture(self.alpha, _with_weight(self.beta, place, column, weight))

    def genotype(self, spec: FabricSpec, zero: bool = True) -> Genotype:
        """Return the operation and the source of the greatest weight for every edge and cell.

        Of equal weights the first is chosen.

        Args:
            spec: The fabric.
            zero: Whether the operation zero can be chosen. DARTS excludes it when it derives
                networks: in a mixture zero only scales the other operations, and a batch-norm that
                follows undoes the scaling, so its weight says little.
        """
        alpha = self.alpha.detach().clone()
        if not zero and len(spec.operations) > 1 and "zero" in spec.operations:
            alpha[..., spec.operations.index("zero")] = -torch.inf
        return _genotype(alpha.argmax(-1), self.beta.argmax(-1), spec)

    def sample(self, spec: FabricSpec, generator: torch.Generator) -> Genotype:
        """Draw a discrete architecture with the probabilities softmax(alpha) and softmax(beta)."""
        weights = self.detach()
        operations = _draw(weights.operation_weights, generator)
        sources = _draw(weights.scale_weights, generator)
        return _genotype(operations, sources, spec)

    def detach(self) -> "Architecture":
        """Return a float32 copy on the CPU without gradient, for histories and figures."""
        alpha, beta = (
            logits.detach().to("cpu", torch.float32, copy=True)
            for logits in (self.alpha, self.beta)
        )
        return Architecture(alpha, beta)


def _entropy(logits: Tensor) -> float:
    """Mean entropy of softmax weights, relative to that of equal weights."""
    choices = logits.shape[-1]
    if choices == 1:
        return 0.0
    log_weights = logits.detach().double().log_softmax(-1)
    entropies = -(log_weights.exp() * log_weights).sum(-1)
    return float(entropies.mean() / torch.tensor(float(choices)).log())


def _total_variation(weights: Tensor, other_weights: Tensor) -> float:
    return (weights - other_weights).detach().abs().sum(-1).mean().item() / 2


def _logits(weights: Tensor) -> Tensor:
    """Logits whose softmax gives these weights."""
    return weights.log().clamp(min=_NEVER)


def _draw(weights: Tensor, generator: torch.Generator) -> Tensor:
    """Draw one index along the last dimension, by its weights."""
    drawn = torch.multinomial(weights.flatten(0, -2), 1, generator=generator)
    return drawn.reshape(weights.shape[:-1])


def _position(kind: str, name: object, known: Sequence) -> int:
    """Return the position of a name in a list, or raise a ValueError that lists the names."""
    if name not in known:
        names = [str(tuple(entry) if kind == "cell" else entry) for entry in known]
        raise ValueError(f"no {kind} {name!r}; there are {', '.join(names)}")
    return known.index(name)


def _with_weight(logits: Tensor, place: tuple[int, ...], choice: int, weight: float) -> Tensor:
    """Return logits in which the choice at a place has another softmax weight."""
    if not 0 <= weight <= 1:
        raise ValueError(f"a weight lies in [0, 1]; got {weight}")
    weights = logits.detach()[place].double().softmax(-1)
    others = weights.index_fill(0, torch.tensor(choice, device=weights.device), 0.0)
    rest = others.sum()
    if rest == 0:  # the choice has all the weight: the others share the rest equally
        others = (1 - torch.eye(len(weights))[choice]).to(weights)
        rest = others.sum()
    changed = others / rest * (1 - weight)
    changed[choice] = weight
    logits = logits.detach().clone()
    logits[place] = _logits(changed).to(logits)
    return logits


def _genotype(operations: Tensor, sources: Tensor, spec: FabricSpec) -> Genotype:
    """Create a genotype from the indices of the operations [E] or [N, E] and the sources [N]."""
    rows = operations.reshape(-1, len(spec.edges)).tolist()
    return Genotype(
        tuple(tuple(spec.operations[index] for index in row) for row in rows),
        tuple(Sources._fields[index] for index in sources.tolist()),
    )


def _one_hot(name: str, names: tuple[str, ...], kind: str) -> Tensor:
    """Return logits that give all the weight to one name."""
    if name not in names:
        raise ValueError(f"unknown {kind} {name!r} in a genotype; known: {', '.join(names)}")
    return torch.tensor([0.0 if known == name else _NEVER for known in names])

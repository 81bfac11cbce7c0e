"""Masks: the cells, sources and operations that pruning keeps of a fabric."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from posenfs.model.space import CellIndex, FabricSpec


@dataclass(frozen=True)
class CellMask:
    """What is kept of a cell.

    Attributes:
        slots: The sources: 0 finer, 1 same, 2 coarser.
        operations: The candidate operations of every edge inside the cell, by position.
    """

    slots: tuple[int, ...]
    operations: tuple[tuple[int, ...], ...]

    @staticmethod
    def full(spec: FabricSpec) -> "CellMask":
        """Return the mask that keeps everything."""
        operations = tuple(range(len(spec.operations)))
        return CellMask((0, 1, 2), (operations,) * len(spec.edges))

    def reached_nodes(self, spec: FabricSpec) -> list[int]:
        """Return the hidden nodes, 1 to H, at which an edge with an operation ends."""
        edges = zip(spec.edges, self.operations, strict=True)
        return sorted({end for (_, end), positions in edges if positions})


@dataclass(frozen=True)
class FabricMask:
    """What is kept of a fabric.

    Attributes:
        cells: The mask of every cell that is computed.
        inputs: The input rows that these cells read.
        outputs: The rows of the last layer that are computed.
    """

    cells: Mapping[CellIndex, CellMask]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @staticmethod
    def of_weights(
        spec: FabricSpec, alpha: Tensor, beta: Tensor, outputs: Iterable[int]
    ) -> "FabricMask":
        """Return the mask that keeps what the outputs depend on; what weighs 0 is removed.

        The traversal goes backward from the outputs over all three slots, copies (footnote 2)
        included. A cell without operations from its input needs no source but remains: it gives
        the bias of its projection.

        Args:
            spec: The fabric.
            alpha: The weights of the operations, [N, E, |O|].
            beta: The weights of the sources, [N, 3].
            outputs: The rows of the last layer that are read.
        """
        outputs = tuple(sorted(outputs))
        needed = {CellIndex(spec.end - 1, row) for row in outputs}
        cells: dict[CellIndex, CellMask] = {}
        for number, index in reversed(list(enumerate(spec.cells))):
            if index not in needed:
                continue
            cells[index] = _cell_mask(spec, alpha[number].tolist(), beta[number].tolist())
            sources = spec.sources(index.row, spec.rows(index.layer - 1))
            needed |= {CellIndex(index.layer - 1, sources[slot]) for slot in cells[index].slots}
        inputs = sorted(index.row for index in needed if index.layer == spec.first - 1)
        return FabricMask(cells, tuple(inputs), outputs)


def _cell_mask(spec: FabricSpec, alpha: list[list[float]], beta: list[float]) -> CellMask:
    operations = tuple(
        tuple(
            position
            for position, (name, weight) in enumerate(zip(spec.operations, edge, strict=True))
            if weight != 0 and name != "zero"
        )
        for edge in alpha
    )
    edges = zip(spec.edges, operations, strict=True)
    if not any(positions for (start, _), positions in edges if start == 0):
        return CellMask((), operations)
    return CellMask(tuple(slot for slot, weight in enumerate(beta) if weight != 0), operations)

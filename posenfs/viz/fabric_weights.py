"""What graphs and curves show of a fabric: its weights, names, and what pruning leaves."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import Tensor

from posenfs.model.architecture import Architecture
from posenfs.model.mask import CellMask
from posenfs.model.space import CellIndex, FabricSpec, Sources


def fitting_specs(
    spec: FabricSpec | Mapping[str, FabricSpec],
    architectures: Mapping[str, Architecture],
    steps: bool = False,
) -> dict[str, FabricSpec]:
    """Return the spec of each fabric after checking that its architecture fits.

    Args:
        spec: The spec of all fabrics, or one by fabric name.
        architectures: The architectures by fabric name.
        steps: Whether alpha and beta have a leading dimension of search steps.

    Raises:
        ValueError: alpha or beta does not fit the spec.
    """
    specs = {name: spec[name] if isinstance(spec, Mapping) else spec for name in architectures}
    for name, fabric_spec in specs.items():
        check_fit(fabric_spec, architectures[name], name, steps)
    return specs


def check_fit(spec: FabricSpec, architecture: Architecture, name: str, steps: bool = False) -> None:
    """Check that alpha and beta fit the spec.

    Args:
        spec: The fabric's spec.
        architecture: Its alpha and beta.
        name: Name of the fabric in the message.
        steps: Whether alpha and beta have a leading dimension of search steps.

    Raises:
        ValueError: alpha or beta does not fit.
    """
    logits = {
        "alpha": (architecture.alpha, spec.alpha_shape),
        "beta": (architecture.beta, spec.beta_shape),
    }
    for letter, (tensor, expected_shape) in logits.items():
        shape = list(tensor.shape[int(steps) :])
        if shape != list(expected_shape):
            shown = f"[n, …] of {shape}" if steps else f"{shape}"
            raise ValueError(
                f"{letter} of fabric {name!r} is {shown}; its spec needs {list(expected_shape)}"
            )


def operation_name(operation: str) -> str:
    """Return the printed name of an operation: separable_3x3 -> separable 3×3."""
    return operation.replace("_", " ").replace("3x3", "3×3")


def weights_text(spec: FabricSpec, weights: Tensor) -> str:
    """Return the operation weights [|O|] of one edge as text."""
    pairs = zip(spec.operations, weights.tolist(), strict=True)
    return ", ".join(f"{operation} {weight:.4f}" for operation, weight in pairs)


def cell_weights_text(spec: FabricSpec, weights: Tensor) -> str:
    """Return the operation weights [E, |O|] of a cell as text, a line for each edge."""
    lines = [
        f"{start} to {end}: {weights_text(spec, edge_weights)}"
        for (start, end), edge_weights in zip(spec.edges, weights, strict=True)
    ]
    return "\n".join(lines)


def transfer_kind(source_row: int, row: int) -> str:
    """Return the transfer from a row to a row of cells: down, same or up."""
    if source_row < row:
        return "down"
    return "up" if source_row > row else "same"


def path_shares(spec: FabricSpec, scale_weights: Tensor) -> dict[CellIndex, float]:
    """Return the share of the scale paths to the output that pass each cell.

    The shares of a layer sum to 1. Several maps of the last layer are equal parts of the output.

    Args:
        spec: The fabric's spec.
        scale_weights: softmax(beta) [N, 3].
    """
    last_layer = spec.grid()[-1]
    shares = dict.fromkeys(spec.cells, 0.0) | dict.fromkeys(last_layer, 1 / len(last_layer))
    for cell, weights in reversed(list(zip(spec.cells, scale_weights.tolist(), strict=True))):
        sources = spec.sources(cell.row, spec.rows(cell.layer - 1))
        for row, weight in zip(sources, weights, strict=True):
            source = CellIndex(cell.layer - 1, row)
            if source in shares:
                shares[source] += shares[cell] * weight
    return shares


@dataclass(frozen=True)
class Remaining:
    """What remains of a fabric after pruning.

    Attributes:
        kept: What remains of each cell.
        inputs: Rows of the input maps that are still read.
    """

    kept: Mapping[CellIndex, CellMask]
    inputs: Collection[int]

    def reads(self, spec: FabricSpec, cell: CellIndex, row: int) -> bool:
        """Return whether a cell still reads a row of the layer before, from any of its slots."""
        sources = spec.sources(cell.row, spec.rows(cell.layer - 1))
        return cell in self.kept and any(sources[slot] == row for slot in self.kept[cell].slots)

    def removed_slots(self, cell: CellIndex) -> set[str]:
        """Return the slots (finer, same, coarser) that a cell no longer reads."""
        slots = self.kept[cell].slots if cell in self.kept else ()
        return {name for slot, name in enumerate(Sources._fields) if slot not in slots}

    def removed_operations(self, spec: FabricSpec, cell: CellIndex | None, edge: int) -> set[int]:
        """Return the operations that an edge lost, in one cell or (None) in all kept cells.

        The operation zero computes nothing and is never among them.
        """
        cells = self.kept if cell is None else self.kept.keys() & {cell}
        kept = {index for cell in cells for index in self.kept[cell].operations[edge]}
        return {index for index, name in enumerate(spec.operations) if name != "zero"} - kept

    def text(self, spec: FabricSpec) -> str:
        """Return the counts of kept cells, sources and operations as text."""
        cells = len(spec.cells)
        computing = len([name for name in spec.operations if name != "zero"])
        slots = sum(len(kept.slots) for kept in self.kept.values())
        operations = sum(len(edge) for kept in self.kept.values() for edge in kept.operations)
        return (
            f"kept: {len(self.kept)} of {cells} cells, {slots} of {3 * cells} sources, "
            f"{operations} of {computing * len(spec.edges) * cells} operations"
        )

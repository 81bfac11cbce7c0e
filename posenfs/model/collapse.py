"""Signs of collapse: the state of alpha and beta of a fabric during the search."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from posenfs.model.architecture import Architecture
from posenfs.model.space import FabricSpec

WARNING_WEIGHT = 0.9  # a fabric collapses where zero and skip together weigh more than this


@dataclass(frozen=True)
class CollapseSigns:
    """Signs of collapse of one fabric.

    Attributes:
        zero: Mean weight of the operation zero.
        skip: Mean weight of the operation skip.
        entropy_alpha: Mean entropy of the alpha weights: 1 for equal weights, 0 for a choice.
        entropy_beta: The same for the beta weights.
        paths: Effective number of paths from the input to the output, see `effective_paths`.
    """

    zero: float
    skip: float
    entropy_alpha: float
    entropy_beta: float
    paths: float


def collapse_signs(architecture: Architecture, spec: FabricSpec) -> CollapseSigns:
    """Return the signs of collapse of one fabric."""
    return CollapseSigns(
        _mean_weight(architecture, spec, "zero"),
        _mean_weight(architecture, spec, "skip"),
        *architecture.entropy(),
        effective_paths(architecture, spec),
    )


def _mean_weight(architecture: Architecture, spec: FabricSpec, operation: str) -> float:
    """Return the mean weight of an operation over all edges; 0 where it is no candidate."""
    if operation not in spec.operations:
        return 0.0
    mean_weights = architecture.operation_weights.detach().flatten(0, -2).mean(0)
    return float(mean_weights[spec.operations.index(operation)])


def effective_paths(architecture: Architecture, spec: FabricSpec) -> float:
    """Return the effective number of paths, exp(entropy), through the rows of a fabric.

    A path leads from an output back to the input; softmax(beta) gives the probability of each
    step. Copies of one source are one step. The outputs of a backbone are equally likely.
    """
    weights = architecture.source_weights(spec).detach().double().cpu()
    entropies = -torch.special.xlogy(weights, weights).sum(-1)  # [N], of the choice of each cell
    layers = list(reversed(spec.grid()))
    end, outputs = len(spec.cells), len(layers[0])
    visits = torch.full((outputs,), 1 / outputs, dtype=torch.float64)
    entropy = math.log(outputs)
    for layer in layers:
        rows = slice(end - len(layer), end)
        entropy += float(visits @ entropies[rows])
        visits = (visits @ weights[rows])[: spec.rows(layer[0].layer - 1)]
        end -= len(layer)
    return math.exp(entropy)


def collapse_warnings(signs: Mapping[str, CollapseSigns]) -> list[str]:
    """Return a message for each fabric in which zero and skip together exceed WARNING_WEIGHT.

    Differentiable searches tend to prefer operations that compute nothing.
    """
    return [
        f"fabric {name} is collapsing: {sign.zero + sign.skip:.0%} of its operations' weight is on "
        f"zero ({sign.zero:.0%}) and skip ({sign.skip:.0%}); the warning is given above "
        f"{WARNING_WEIGHT:.0%}"
        for name, sign in signs.items()
        if sign.zero + sign.skip > WARNING_WEIGHT
    ]

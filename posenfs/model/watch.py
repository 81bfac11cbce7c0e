"""Signs of collapse: what alpha and beta say about a fabric as the search goes on."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from posenfs.model.architecture import Architecture
from posenfs.model.space import FabricSpec

WARNING_WEIGHT = 0.9  # weight of zero and skip together above which a fabric is said to collapse
_IDLE = ("zero", "skip")


@dataclass(frozen=True)
class Signs:
    """zero, skip: the operations' mean weights; entropies of the alpha and the beta weights, 1 for equal ones, 0 for a
    choice; paths: as how many equally likely ways through the rows from the input to the output those of beta are."""

    zero: float
    skip: float
    entropy_alpha: float
    entropy_beta: float
    paths: float


def signs_of(architecture: Architecture, spec: FabricSpec) -> Signs:
    """What one fabric's alpha and beta show."""
    mean = architecture.operation_weights.detach().flatten(0, -2).mean(0)
    zero, skip = (float(mean[spec.operations.index(o)]) if o in spec.operations else 0.0 for o in _IDLE)
    return Signs(zero, skip, *architecture.entropy(), effective_paths(architecture, spec))


def effective_paths(architecture: Architecture, spec: FabricSpec) -> float:
    """exp of the entropy of a way back from an output, drawn by softmax(beta) cell by cell; copies of one source are
    one way. The outputs of a backbone are equally likely."""
    weights = architecture.source_weights(spec).detach().double().cpu()
    surprise = -torch.special.xlogy(weights, weights).sum(-1)  # [N], of each cell's choice
    number, layers = len(spec.cells), list(reversed(spec.grid()))
    visits = torch.full((len(layers[0]),), 1 / len(layers[0]), dtype=torch.float64)
    total = math.log(len(layers[0]))
    for layer in layers:
        rows = slice(number - len(layer), number)
        total += float(visits @ surprise[rows])
        number -= len(layer)
        visits = (visits @ weights[rows])[: spec.rows(layer[0].layer - 1)]
    return math.exp(total)


def warnings(signs: Mapping[str, Signs]) -> list[str]:
    """Return a message for each fabric in which zero and skip together weigh more than WARNING_WEIGHT.

    Differentiable searches are prone to let operations win that compute nothing."""
    return [
        f"fabric {name} is collapsing: {own.zero + own.skip:.0%} of its operations' weight is on zero ({own.zero:.0%}) "
        f"and skip ({own.skip:.0%}); the warning is given above {WARNING_WEIGHT:.0%}"
        for name, own in signs.items()
        if own.zero + own.skip > WARNING_WEIGHT
    ]

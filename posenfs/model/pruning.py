"""Pruning of a PoseNFS by alpha and beta, and the proof that its score maps stay the same."""

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from posenfs.model.cost import Cost, measured_cost
from posenfs.model.fabric import Fabric
from posenfs.model.network import PoseNFS, evaluating
from posenfs.model.tensors import weights_hash

Mode = Literal["exact", "threshold", "one-hot"]


def pruned_weights(fabric: Fabric, mode: Mode, threshold: float = 0.0) -> tuple[Tensor, Tensor]:
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


def prune(model: PoseNFS, mode: Mode = "exact", threshold: float = 0.0) -> PoseNFS:
    """Return a pruned copy of a supernet in eval mode; the supernet is left unchanged.

    Args:
        model: The supernet (the paper's parent).
        mode: exact removes what has weight 0.0 and changes nothing. threshold removes what weighs
            less than the threshold. one-hot keeps only the greatest weight of every edge and of
            the sources of every cell: the derived network (the paper's child). `check_pruning`
            measures what the last two change.
        threshold: The threshold, in (0, 1); only for the mode threshold.

    Raises:
        ValueError: The mode is unknown, the threshold does not fit, or the model is pruned already.
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
    fabrics = model.fabrics()
    if not fabrics:
        raise ValueError("the model is pruned already; prune the network that it came from")
    weights = {name: pruned_weights(fabric, mode, threshold) for name, fabric in fabrics.items()}
    pruned = copy.deepcopy(model)
    pruned.prune(weights)
    return pruned.eval()


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
def greatest_difference(model: PoseNFS, pruned: PoseNFS, images: Tensor) -> float:
    """Return the greatest difference of the score maps of both models in eval mode.

    Args:
        model: The model before pruning.
        pruned: The pruned model. Both keep their modes.
        images: The images, [B, 3, H, W].
    """
    with evaluating(model), evaluating(pruned):
        return (model(images) - pruned(images)).abs().max().item()


def check_pruning(
    model: PoseNFS, pruned: PoseNFS, images: Tensor | Mapping[str, Tensor]
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

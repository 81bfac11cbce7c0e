"""Architecture: the alpha and beta of one fabric, and what can be read off them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from posenfs.model.space import FabricSpec


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

    def detach(self) -> "Architecture":
        """A copy on the CPU, without gradient: what histories and pictures keep."""
        return Architecture(*(t.detach().to("cpu", torch.float32, copy=True) for t in (self.alpha, self.beta)))


def _entropy(scores: Tensor) -> float:
    choices = scores.shape[-1]
    if choices == 1:
        return 0.0
    log = scores.detach().double().log_softmax(-1)
    return float(-(log.exp() * log).sum(-1).mean() / torch.tensor(float(choices)).log())

"""Search strategies (section III-F): how one batch changes w, alpha and beta."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from posenfs.model.losses import heatmap_loss


class Synchronous:
    """w, alpha and beta follow one training gradient together, by Adam at one learning rate (the paper's choice)."""

    def __init__(self, model: nn.Module, lr: float):
        groups = [{"params": model.weight_parameters()}, {"params": model.architecture_parameters()}]
        self.optimizer = torch.optim.Adam([group for group in groups if group["params"]], lr=lr, fused=True)

    def step(self, forward: Callable[[Tensor], Tensor], images: Tensor, target: Tensor, visibility: Tensor) -> Tensor:
        """One update by images [B, 3, H, W], target maps [B, K, h, w], visibility [B, K]; returns the loss before."""
        loss = heatmap_loss(forward(images), target, visibility)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def set_lr(self, lr: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = lr

    def state_dict(self) -> dict:
        return self.optimizer.state_dict()

    def load_state_dict(self, state: dict) -> None:
        self.optimizer.load_state_dict(state)


# Strategies by name: a function of the model and the learning rate. To add one, add a class and a line.
STRATEGIES: dict[str, Callable[[nn.Module, float], Synchronous]] = {"synchronous": Synchronous}

"""The loss (Eq. 6)."""

from torch import Tensor


def heatmap_loss(predicted: Tensor, target: Tensor, visibility: Tensor) -> Tensor:
    """Eq. 6: squared error summed over pixels, over labelled keypoints, divided by all K, mean over the batch.

    predicted, target: [B, K, h, w]; visibility: [B, K], 0 not labelled. Returns a scalar.
    """
    error = (predicted - target).square().sum((2, 3))
    return (error * (visibility > 0)).mean()

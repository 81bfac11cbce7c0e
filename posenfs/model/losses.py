"""The loss (Eq. 6)."""

from torch import Tensor


def keypoint_losses(predicted: Tensor, target: Tensor) -> Tensor:
    """Squared error summed over pixels: [B, K, h, w] twice -> [B, K], what each keypoint adds to Eq. 6."""
    return (predicted - target).square().sum((2, 3))


def heatmap_loss(predicted: Tensor, target: Tensor, visibility: Tensor) -> Tensor:
    """Eq. 6: squared error summed over pixels, over labelled keypoints, divided by all K, mean over the batch.

    predicted, target: [B, K, h, w]; visibility: [B, K], 0 not labelled. Returns a scalar.
    """
    return (keypoint_losses(predicted, target) * (visibility > 0)).mean()

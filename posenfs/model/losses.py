"""The loss (Eq. 6)."""

from torch import Tensor


def keypoint_losses(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the squared error summed over pixels, the share of each keypoint in Eq. 6.

    Args:
        predicted: The score maps, [B, K, h, w].
        target: The target heatmaps, [B, K, h, w].

    Returns:
        The losses, [B, K].
    """
    return (predicted - target).square().sum((2, 3))


def heatmap_loss(predicted: Tensor, target: Tensor, visibility: Tensor) -> Tensor:
    """Return the loss of Eq. 6: the squared error summed over pixels and labelled keypoints.

    The sum is divided by all K keypoints and averaged over the batch.

    Args:
        predicted: The score maps, [B, K, h, w].
        target: The target heatmaps, [B, K, h, w].
        visibility: The visibility of the keypoints, [B, K]; 0: not labelled.

    Returns:
        A scalar.
    """
    return (keypoint_losses(predicted, target) * (visibility > 0)).mean()

"""Errors of the decodings on ideal heatmaps."""

import pandas
import torch

from posenfs.body.skeleton import Skeleton
from posenfs.data.geometry import ImageSize, crop_to_heatmap, heatmap_to_crop
from posenfs.data.heatmaps import DECODINGS, encode, mirror_maps

_SIZE = ImageSize(256, 256)


def decoding_table(
    skeleton: Skeleton, size: ImageSize = _SIZE, crops: int = 250
) -> pandas.DataFrame:
    """Return the errors of each decoding on encoded targets, in crop px, with and without flip.

    The keypoints are spread evenly, at least two heatmap px inside the crops.

    Args:
        skeleton: The skeleton.
        size: Size of the crops, px.
        crops: Number of crops.

    Returns:
        Signed bias along x and y, mean and greatest absolute error along an axis.
    """
    low = 8
    high = torch.from_numpy(size.xy) - 9
    # Random points would look like a bias; a Sobol sequence is even.
    sobol = torch.quasirandom.SobolEngine(2, scramble=True, seed=0)
    points = sobol.draw(crops * len(skeleton), dtype=torch.float64).view(crops, -1, 2)
    keypoints = low + (high - low) * points
    order = list(skeleton.flip_order)
    mirrored = keypoints[:, order].clone()
    mirrored[..., 0] = size.width - 1 - mirrored[..., 0]
    map_size = ImageSize(size.height // 4, size.width // 4)
    maps = encode(crop_to_heatmap(keypoints), map_size)
    mirrored_maps = encode(crop_to_heatmap(mirrored), map_size)
    averaged = (maps + mirror_maps(mirrored_maps, order)) / 2
    rows = []
    for name, decoding in DECODINGS.items():
        for flip, heatmaps in (("no", maps), ("yes", averaged)):
            error = heatmap_to_crop(decoding(heatmaps)[0]) - keypoints
            bias_x, bias_y = error.mean((0, 1)).tolist()
            rows.append(
                {
                    "decoding": name,
                    "flip": flip,
                    "bias x": bias_x,
                    "bias y": bias_y,
                    "mean error": error.abs().mean().item(),
                    "greatest error": error.abs().max().item(),
                }
            )
    return pandas.DataFrame(rows)

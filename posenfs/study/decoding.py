"""What each decoding loses on perfect maps."""

import pandas
import torch

from posenfs.body.skeleton import Skeleton
from posenfs.data.geometry import crop_to_heatmap, heatmap_to_crop
from posenfs.data.heatmaps import DECODINGS, encode, mirror_maps


def decoding_table(skeleton: Skeleton, size: tuple[int, int] = (256, 256), crops: int = 250) -> pandas.DataFrame:
    """Signed bias along x and y, mean and greatest absolute error along an axis, in crop px, of keypoints spread
    evenly two heatmap px or more inside crops of size (width, height), encoded as targets; with and without flip."""
    width, height = size
    low, high = 8, torch.tensor([width, height]) - 9
    even = torch.quasirandom.SobolEngine(2, scramble=True, seed=0)  # chance itself would look like a bias
    places = even.draw(crops * len(skeleton), dtype=torch.float64).view(crops, -1, 2)
    keypoints = low + (high - low) * places
    order = list(skeleton.flip_order)
    mirrored = keypoints[:, order].clone()
    mirrored[..., 0] = width - 1 - mirrored[..., 0]
    maps, flipped = (encode(crop_to_heatmap(k), height // 4, width // 4) for k in (keypoints, mirrored))
    kinds = {"no": maps, "yes": (maps + mirror_maps(flipped, order)) / 2}
    rows = []
    for name, decoding in DECODINGS.items():
        for flip, own in kinds.items():
            error = heatmap_to_crop(decoding(own)[0]) - keypoints
            bias = error.mean((0, 1)).tolist()
            rows.append(
                {
                    "decoding": name, "flip": flip, "bias x": bias[0], "bias y": bias[1],
                    "mean error": error.abs().mean().item(), "greatest error": error.abs().max().item(),
                }
            )  # fmt: skip
    return pandas.DataFrame(rows)

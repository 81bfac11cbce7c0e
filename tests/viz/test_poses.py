"""Poses lie on their images."""

import io

import numpy as np
import pytest
import torch
from matplotlib.patches import Circle
from PIL import Image

from posenfs.body.skeleton import MPII, Skeleton
from posenfs.data.datasets.mpii import read_mpii
from posenfs.data.geometry import ImageSize
from posenfs.search.build import build
from posenfs.viz.poses import draw_on_image, draw_people, draw_skeletons


def test_truth_beside_prediction(crops, is_drawn):
    images, keypoints, visibility = crops
    figure = draw_skeletons(images, MPII, keypoints, keypoints + 2, visibility, columns=2)
    assert is_drawn(figure)
    used = [axes for axes in figure.axes if axes.images]
    assert len(used) == 10
    truth = used[0]
    circles = [artist for artist in truth.patches + truth.artists if isinstance(artist, Circle)]
    centres = [circle.get_transform().transform((0, 0)) for circle in circles]
    drawn = truth.transData.inverted().transform(centres)
    assert drawn == pytest.approx(keypoints[0][visibility[0] > 0] + 2)
    hollow = [circle for circle in circles if circle.get_facecolor()[3] == 0]
    assert len(hollow) == (visibility[0] == 1).sum()


def test_errors_name_the_shapes(crops):
    with pytest.raises(ValueError, match=r"\[5, 3, 64, 96\].*\(4, 16, 2\)"):
        draw_skeletons(crops[0], MPII, crops[1][:4])


def test_figures_of_a_model_keep_its_mode(tiny, drawn, is_drawn):
    model, people = build(tiny, progress=False).model, read_mpii(drawn, "valid")
    model.train()
    assert is_drawn(draw_people(model, people.select([0, 1, 2]), ImageSize(64, 64)))
    assert model.training


@pytest.mark.parametrize(("height", "width"), [(97, 131), (480, 854), (1031, 777)])
def test_a_marker_lies_at_the_pixel_of_its_keypoint(height, width):
    """The centre of the coloured pixels of a single keypoint is the keypoint."""
    skeleton = Skeleton("two", ("left_hand", "right_hand"), ((0, 1),), ((0, 1),))
    black = torch.zeros(3, height, width, dtype=torch.uint8)
    widths = []
    for x, y in ((20, 30), (width - 21, height - 31), (width // 2, height // 3)):
        figure = draw_on_image(
            black, skeleton, np.array([[[x, y], [3.0, 3.0]]]), np.array([[True, False]])
        )
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi="figure")
        pixels = np.asarray(Image.open(buffer).convert("RGB")).astype(float).sum(-1)
        assert pixels.shape == (height, width)
        rows, columns = np.nonzero(pixels)
        weights = pixels[rows, columns]
        centre = (columns * weights).sum() / weights.sum(), (rows * weights).sum() / weights.sum()
        assert centre == pytest.approx(
            (x, y), abs=0.3
        )  # the other keypoint, and so the limb, is not drawn
        widths.append(np.ptp(columns) + 1)
    assert max(widths) <= 4 + 0.02 * max(height, width)

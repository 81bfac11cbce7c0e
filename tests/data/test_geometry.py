"""Coordinate frames and crops: inverses, mirroring, and no shift of half a pixel."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from posenfs.body.skeleton import COCO, LSP, MPII
from posenfs.data.geometry import (
    Crop,
    ImageSize,
    crop_of_box,
    crop_to_heatmap,
    crop_to_image,
    cut_crop,
    heatmap_to_crop,
    image_to_crop,
    mirror_keypoints,
)

crops = st.builds(
    lambda x, y, scale, turn, flip, size: Crop(
        np.array([x, y]), np.float64(scale), np.float64(turn), np.bool_(flip), size
    ),
    st.floats(-200, 900),
    st.floats(-200, 900),
    st.floats(0.05, 20),
    st.floats(-180, 180),
    st.booleans(),
    st.sampled_from(
        [ImageSize(64, 64), ImageSize(128, 128), ImageSize(256, 192), ImageSize(384, 288)]
    ),
)
points = st.lists(
    st.tuples(st.floats(-500, 2000), st.floats(-500, 2000)), min_size=1, max_size=5
).map(np.array)


@given(crops, points)
def test_maps_to_heatmap_and_back_are_inverse(crop, points_image):
    points_heatmap = crop_to_heatmap(image_to_crop(points_image, crop))
    back = crop_to_image(heatmap_to_crop(points_heatmap), crop)
    np.testing.assert_allclose(back, points_image, atol=1e-3)


boxes = st.tuples(
    st.floats(-300, 900), st.floats(-300, 900), st.floats(1, 1200), st.floats(1, 1200)
).map(np.array)


@given(boxes, crops, points)
def test_maps_are_inverse_for_any_box(box, change, points_image):
    upright = crop_of_box(box, change.size)
    zoomed = upright.scale * np.clip(change.scale, 0.7, 1.3)
    crop = Crop(upright.center, zoomed, change.rotation, change.flip, change.size)
    back = crop_to_image(heatmap_to_crop(crop_to_heatmap(image_to_crop(points_image, crop))), crop)
    np.testing.assert_allclose(back, points_image, atol=1e-3)
    middle = image_to_crop((box[:2] + box[2:] / 2)[None], crop)[0]
    np.testing.assert_allclose(middle, (np.array(change.size)[::-1] - 1) / 2, atol=1e-6)


@given(crops, points)
def test_image_to_crop_by_complex_numbers(crop, points_image):
    z = (
        (points_image - crop.center)
        @ np.array([1, 1j])
        / crop.scale
        * np.exp(1j * np.deg2rad(crop.rotation))
    )
    x, y = z.real + (crop.size.width - 1) / 2, z.imag + (crop.size.height - 1) / 2
    x = crop.size.width - 1 - x if crop.flip else x
    np.testing.assert_allclose(
        image_to_crop(points_image, crop), np.stack([x, y], -1), rtol=1e-6, atol=1e-6
    )


@given(crops, points)
def test_a_batch_of_crops_maps_like_each_crop(crop, points_image):
    second = Crop(crop.center + 3, crop.scale * 2, crop.rotation - 5, ~crop.flip, crop.size)
    batch = Crop(
        *(
            np.stack([getattr(c, f) for c in (crop, second)])
            for f in ("center", "scale", "rotation", "flip")
        ),
        crop.size,
    )
    expected = np.stack([image_to_crop(points_image, crop), image_to_crop(points_image, second)])
    np.testing.assert_allclose(image_to_crop(np.stack([points_image] * 2), batch), expected)


@given(st.integers(16, 512), st.floats(-10, 600))
def test_a_heatmap_pixel_covers_four_crop_pixels_along_an_axis(width, x):
    assert crop_to_heatmap(1.5) == 0  # the middle of crop pixels 0, 1, 2, 3
    assert crop_to_heatmap(-0.5) == -0.5  # the left edge stays the left edge
    mirrored = width * 4 - 1 - x
    assert crop_to_heatmap(mirrored) == pytest.approx(width - 1 - crop_to_heatmap(x))


@pytest.mark.parametrize(
    ("height", "width", "expected"), [(100, 100, 2.5), (100, 75, 200 * 1.25 / 75), (200, 100, 2.5)]
)
def test_boxes_are_extended_to_the_aspect_ratio_of_the_crop(height, width, expected):
    crop = crop_of_box(np.array([10.0, 20.0, 200.0, 100.0]), ImageSize(height, width))
    assert crop.center.tolist() == [110, 70]
    assert crop.scale == pytest.approx(expected)


@given(st.sampled_from([MPII, COCO, LSP]), st.integers(8, 300), st.integers(0, 2**32 - 1))
def test_mirroring_keypoints_twice_is_the_identity(skeleton, width, seed):
    random = np.random.default_rng(seed)
    keypoints = random.integers(0, width * 64, (len(skeleton), 2)) / 64
    visibility = random.integers(0, 3, len(skeleton))
    once = mirror_keypoints(keypoints, visibility, skeleton.flip_order, width)
    twice = mirror_keypoints(*once, skeleton.flip_order, width)
    assert (twice[0] == keypoints).all() and (twice[1] == visibility).all()
    for left, right in skeleton.flip_pairs:
        assert once[1][left] == visibility[right]


@settings(max_examples=60)
@given(crops, st.integers(0, 2**32 - 1))
def test_mirroring_a_crop_and_its_keypoints_commutes(crop, seed):
    """The mirrored crop is the mirror image of the crop: keypoints exactly, pixels to 1/255."""
    random = np.random.default_rng(seed)
    image = torch.from_numpy(random.integers(0, 256, (3, 90, 130), dtype=np.uint8))
    keypoints, visibility = random.uniform(0, 90, (16, 2)), random.integers(0, 3, 16)
    upright = Crop(crop.center, crop.scale, crop.rotation, np.bool_(False), ImageSize(64, 64))
    flipped = Crop(crop.center, crop.scale, crop.rotation, np.bool_(True), ImageSize(64, 64))
    upright_pixels, flipped_pixels = cut_crop(image, upright), cut_crop(image, flipped)
    assert (upright_pixels.flip(-1).int() - flipped_pixels.int()).abs().max() <= 1
    mirrored, _ = mirror_keypoints(
        image_to_crop(keypoints, upright), visibility, MPII.flip_order, 64
    )
    assert (image_to_crop(keypoints, flipped)[list(MPII.flip_order)] == mirrored).all()


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0, 3.7, 6.0])
@pytest.mark.parametrize("rotation", [0.0, 30.0])
def test_pixels_and_points_map_to_the_same_position(scale, rotation):
    """The centre of mass of a blurred dot in the crop is where the dot's keypoint is mapped."""
    x, y = 211.3, 187.8
    grid_y, grid_x = np.mgrid[0:400, 0:420]
    sigma = 4 * max(scale, 1)
    dot = 250 * np.exp(-((grid_x - x) ** 2 + (grid_y - y) ** 2) / (2 * sigma**2))
    image = torch.from_numpy(np.repeat(dot[None], 3, 0).round().astype(np.uint8))
    crop = Crop(
        np.array([205.0, 192.0]),
        np.float64(scale),
        np.float64(rotation),
        np.bool_(False),
        ImageSize(96, 96),
    )
    cut = cut_crop(image, crop)[0].double().numpy()
    rows, columns = np.mgrid[0:96, 0:96]
    center = np.array([(columns * cut).sum(), (rows * cut).sum()]) / cut.sum()
    np.testing.assert_allclose(center, image_to_crop(np.array([[x, y]]), crop)[0], atol=0.06)


def test_the_identity_crop_equals_the_image():
    image = torch.randint(0, 256, (3, 40, 60), dtype=torch.uint8)
    crop = Crop(
        np.array([29.5, 19.5]), np.float64(1), np.float64(0), np.bool_(False), ImageSize(40, 60)
    )
    assert cut_crop(image, crop).equal(image)


@pytest.mark.parametrize("scale", [0.3, 1.0, 5.0])
def test_a_crop_far_outside_is_black(scale):
    crop = Crop(
        np.array([5000.0, -900.0]),
        np.float64(scale),
        np.float64(20),
        np.bool_(True),
        ImageSize(32, 32),
    )
    assert cut_crop(torch.full((3, 40, 60), 200, dtype=torch.uint8), crop).max() == 0


def test_shrinking_averages_pixels():
    """One-pixel stripes shrunk by eight become an even grey, not aliased black and white."""

    image = (torch.arange(512) % 2 * 255).to(torch.uint8).expand(3, 512, 512)
    crop = Crop(
        np.array([255.5, 255.5]), np.float64(8), np.float64(0), np.bool_(False), ImageSize(32, 32)
    )
    assert (cut_crop(image, crop).float() - 127.5).abs().max() < 2

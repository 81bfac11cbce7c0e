"""Pages of many poses: which people, where their keypoints lie, and in which colours."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.patches import Circle

from posenfs.body.parts import part_scheme
from posenfs.body.skeleton import COCO, LSP, MPII
from posenfs.data.datasets.catalogue import DataSpec
from posenfs.data.datasets.coco import read_coco
from posenfs.data.datasets.mpii import read_mpii
from posenfs.data.geometry import ImageSize, image_to_crop
from posenfs.data.loader import crop_people
from posenfs.evaluation.prediction import predict
from posenfs.search.build import build
from posenfs.search.saved_models import Saved
from posenfs.viz.colours import PART_COLOURS, limb_colours
from posenfs.viz.pose_grid import draw_annotated_poses, draw_predicted_poses


@pytest.fixture
def saved(tiny):
    """An untrained network for MPII's keypoints."""
    return Saved(tiny, build(tiny, progress=False).model.eval())


def centres(axes):
    circles = [artist for artist in axes.patches + axes.artists if isinstance(artist, Circle)]
    pixels = [circle.get_transform().transform((0, 0)) for circle in circles]
    return axes.transData.inverted().transform(pixels)


def panels(figure):
    return [axes for axes in figure.axes if axes.images]


def test_predicted_crops(saved, drawn, is_drawn):
    """All of six people; each keypoint lies at the prediction."""
    people = read_mpii(drawn, "valid").select(slice(6))
    figure = draw_predicted_poses(saved, people, columns=3, least_score=-1.0)
    assert is_drawn(figure)
    shown = panels(figure)
    assert len(shown) == len(people) == 6
    size = ImageSize(64, 64)
    keypoints = image_to_crop(
        predict(saved.model, people, size).keypoints_image, crop_people(people, size).crop
    )
    for axes, person in zip(shown, keypoints, strict=True):
        np.testing.assert_allclose(centres(axes), person, atol=1e-6)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "upper limb", "head", "lower limb"
    ]  # fmt: skip
    low = draw_predicted_poses(saved, people, least_score=2.0)
    assert not any(len(axes.lines) for axes in panels(low))


def test_people_are_spread_over_the_data(saved, drawn):
    people = read_mpii(drawn, "valid").select([0, 1, 2, 3, 4])
    figure = draw_annotated_poses(people, count=3)
    batch = crop_people(people.select([0, 2, 4]), ImageSize(256, 256))
    for axes, image in zip(panels(figure), batch.images, strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), image.permute(1, 2, 0).numpy())
    assert len(panels(draw_annotated_poses(people, count=100))) == 5
    with pytest.raises(ValueError, match="nobody to draw"):
        draw_annotated_poses(people.select([]))


def test_whole_images_have_all_their_people(saved, drawn):
    """By a network with another skeleton than the data's: only the boxes are the data's."""
    people = read_coco(drawn, "valid")
    people = people.select([0, 0, 1])  # two people in the first image
    figure = draw_predicted_poses(saved, people, whole_images=True, least_score=-1.0)
    first, second = panels(figure)
    assert len(centres(first)) == 2 * len(MPII) and len(centres(second)) == len(MPII)
    truth = draw_annotated_poses(people, whole_images=True)
    labelled = people.visibility[2] > 0
    np.testing.assert_allclose(
        centres(panels(truth)[1]), people.keypoints_image[2][labelled], atol=1e-6
    )


def test_a_network_without_vectors_and_with_one_part(tiny, drawn):
    experiment = replace(tiny, vector_dim=1, parts=1, model="simple_baseline_50")
    saved = Saved(experiment, build(experiment, progress=False).model.eval())
    people = read_mpii(drawn, "valid")
    one = draw_predicted_poses(saved, people, count=2)
    five = draw_predicted_poses(saved, people, count=2, parts=5)
    assert len(one.legends[0].get_texts()) == 1 and len(five.legends[0].get_texts()) == 5


@pytest.mark.parametrize("skeleton", [MPII, COCO, LSP], ids=lambda s: s.name)
@pytest.mark.parametrize("count", [1, 3, 5, 8])
def test_limbs_have_the_colour_of_their_part(skeleton, count):
    parts = part_scheme(skeleton, count)
    colour_of = limb_colours(parts)
    names = [part.name for part in parts]
    if count > 1:
        elbow, wrist = skeleton.index("left_elbow"), skeleton.index("left_wrist")
        lower_arm = {3: "upper_limb_part", 5: "left_arm_part", 8: "left_lower_arm_part"}[count]
        assert colour_of(elbow, wrist) == PART_COLOURS[names.index(lower_arm)]
        hip, shoulder = skeleton.index("left_hip"), skeleton.index("left_shoulder")
        between = {3: "lower_limb_part", 5: "hips_part", 8: "upper_legs_part"}[count]
        assert colour_of(shoulder, hip) == PART_COLOURS[names.index(between)]
    assert {colour_of(*limb) for limb in skeleton.limbs} <= set(PART_COLOURS[:count])


def test_own_data_have_their_own_parts(own, tiny):
    experiment = replace(tiny, data=DataSpec("custom", str(own)))
    built = build(experiment, progress=False)
    figure = draw_predicted_poses(Saved(experiment, built.model.eval()), built.valid)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["hands", "feet"]

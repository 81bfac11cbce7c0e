"""The graph of a body has a fabric beside the keypoints of each part."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from posenfs.body.parts import Part, part_scheme
from posenfs.body.skeleton import COCO, LSP, MPII, Skeleton
from posenfs.data.datasets.coco import read_coco
from posenfs.model.architecture import Architecture
from posenfs.model.space import FabricSpec
from posenfs.viz.body_graph import annotated_pose, draw_body

pytestmark = pytest.mark.usefixtures("without_dot")


def architecture(spec, scale=1.0):
    torch.manual_seed(0)
    return Architecture(scale * torch.randn(spec.alpha_shape), scale * torch.randn(spec.beta_shape))


@pytest.mark.parametrize("skeleton", [MPII, COCO, LSP], ids=lambda s: s.name)
@pytest.mark.parametrize("count", [1, 3, 5, 8])
def test_body_with_its_parts(skeleton, count, groups):
    parts, spec = part_scheme(skeleton, count), FabricSpec()
    graph = draw_body(skeleton, parts, spec, {part.name: architecture(spec) for part in parts})
    assert {title for title, *_ in groups(graph, "part")} == {
        f"{part.name}/frame" for part in parts
    }
    assert len(groups(graph, "keypoint")) == len(skeleton)
    links = [title.split("->") for title, *_ in groups(graph, "link")]
    assert sorted(frame for frame, _ in links) == sorted(f"{part.name}/frame" for part in parts)
    part_keypoints = {
        f"{part.name}/frame": {f"keypoint/{k}" for k in part.keypoints} for part in parts
    }
    assert all(keypoint in part_keypoints[frame] for frame, keypoint in links)
    assert len(groups(graph, "cell")) == 6 * count


def test_parts_of_any_name(groups):
    spec, parts = (
        FabricSpec(),
        tuple(Part(f'{p.name}: "<b>"', p.keypoints) for p in part_scheme(MPII, 3)),
    )
    graph = draw_body(MPII, parts, spec, {part.name: architecture(spec) for part in parts})
    assert len(groups(graph, "link")) == 3
    assert len(groups(graph, "cell")) == 18


def test_custom_keypoints_need_a_place(groups):
    skeleton, spec = Skeleton("hat", ("head_top", "hat"), (), ((0, 1),)), FabricSpec()
    parts = (Part("hats", (0, 1)),)
    with pytest.raises(
        ValueError, match=r"no place in the drawn body for hat of hat; give them as pose="
    ):
        draw_body(skeleton, parts, spec, {"hats": architecture(spec)})
    graph = draw_body(skeleton, parts, spec, {"hats": architecture(spec)}, pose={"hat": (0, -1)})
    assert len(groups(graph, "keypoint")) == 2


def test_parts_need_an_architecture():
    spec = FabricSpec()
    with pytest.raises(ValueError, match="no architecture of part head_part, lower_limb_part"):
        draw_body(MPII, part_scheme(MPII, 3), spec, {"upper_limb_part": architecture(spec)})


def test_the_place_of_custom_keypoints_is_their_mean_in_the_boxes(drawn, groups):
    people = read_coco(drawn, "train")
    assert annotated_pose(people) == {}
    names = ("nose", "left_tip")
    hands = replace(
        people.select([0, 1]),
        skeleton=Skeleton("hands", names, (), ()),
        boxes=np.array([[10.0, 20, 40, 80], [0, 0, 20, 10]]),
        keypoints_image=np.array([[[0.0, 0], [20, 100]], [[0, 0], [15, 5]]]),
        visibility=np.array([[0, 2], [0, 1]], np.uint8),
    )
    # In the boxes at (0.25, 1) and (0.75, 0.5), in the mean (0.5, 0.75): the middle of the body,
    # whose wrists are 3.9 head heights apart, and three quarters of its 7.1 head heights down.
    pose = annotated_pose(hands)
    assert list(pose) == ["left_tip"] and pose["left_tip"] == pytest.approx((0, 0.75 * 7.1))
    spec, parts = FabricSpec(), (Part("all", (0, 1)),)
    graph = draw_body(hands.skeleton, parts, spec, {"all": architecture(spec)}, pose=pose)
    assert len(groups(graph, "keypoint")) == 2

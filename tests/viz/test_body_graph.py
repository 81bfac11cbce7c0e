"""The graph of a body has a fabric beside the keypoints of each part."""

import pytest
import torch

from posenfs.body.parts import Part, part_scheme
from posenfs.body.skeleton import COCO, LSP, MPII, Skeleton
from posenfs.model.architecture import Architecture
from posenfs.model.space import FabricSpec
from posenfs.viz.body_graph import draw_body

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

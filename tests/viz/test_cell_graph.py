"""The graph of a cell has every source and operation with their exact weights."""

import pytest
import torch

from posenfs.model.architecture import Architecture
from posenfs.model.backbones.fabric import FABRIC_1
from posenfs.model.space import CellIndex, FabricSpec
from posenfs.viz.cell_graph import draw_cell

pytestmark = pytest.mark.usefixtures("without_dot")


SPECS = [
    FabricSpec(),
    FabricSpec(hidden_nodes=3),
    FABRIC_1,
    FabricSpec(hidden_nodes=2, alpha_per_cell=True),
]


def architecture(spec):
    torch.manual_seed(0)
    return Architecture(torch.randn(spec.alpha_shape), torch.randn(spec.beta_shape))


@pytest.mark.parametrize("spec", SPECS, ids=["head", "H3", "Fabric-1", "per cell"])
def test_every_operation_on_every_edge_has_its_weight(spec, groups):
    cell_architecture = architecture(spec)
    graph = draw_cell(spec, cell_architecture, "arms_part", spec.cells[-1])
    operation_weights = (
        cell_architecture.operation_weights[-1]
        if spec.alpha_per_cell
        else cell_architecture.operation_weights
    )
    expected = [
        (
            (f"node/{start}->node/{end}", f"{start} to {end}: {operation} {weight:.4f}"),
            0.4 + 4.6 * weight,
        )
        for (start, end), weights in zip(spec.edges, operation_weights.tolist(), strict=True)
        for operation, weight in zip(spec.operations, weights, strict=True)
    ]
    drawn = [((title, tips[0]), widths[0]) for title, tips, widths in groups(graph, "operation")]
    assert len(drawn) == len(expected)
    assert dict(drawn) == pytest.approx(dict(expected), abs=6e-3)
    svg = graph.svg()
    for operation, weight in zip(spec.operations, operation_weights[0].tolist(), strict=True):
        assert f">{operation.replace('_', ' ').replace('3x3', '3×3')} {weight:.0%}<" in svg


@pytest.mark.parametrize("spec", SPECS, ids=["head", "H3", "Fabric-1", "per cell"])
@pytest.mark.parametrize("number", [0, -1])
def test_sources_in_order_with_beta(spec, number, groups):
    cell_architecture = architecture(spec)
    graph = draw_cell(spec, cell_architecture, cell=spec.cells[number])
    drawn = groups(graph, "scale")
    assert [title for title, *_ in drawn] == [
        f"transfer/{s}->node/0" for s in ("finer", "same", "coarser")
    ]
    weights = cell_architecture.scale_weights[number].tolist()
    for (_, tips, widths), source, weight in zip(
        drawn, ("finer", "same", "coarser"), weights, strict=True
    ):
        assert tips == [f"{source}: {weight:.4f}"] and widths[0] == pytest.approx(
            0.4 + 4.6 * weight, abs=6e-3
        )
        assert f">{weight:.0%}<" in graph.svg()


@pytest.mark.parametrize("spec", SPECS, ids=["head", "H3", "Fabric-1", "per cell"])
def test_every_hidden_node_reaches_the_projection(spec, groups):
    graph = draw_cell(spec, architecture(spec), cell=spec.cells[0])
    hidden, channels = spec.hidden_nodes, spec.channels(0)
    assert {title for title, *_ in groups(graph, "node")} >= {
        f"node/{n}" for n in range(hidden + 1)
    }
    assert [t for t, *_ in groups(graph, "joined")] == [
        f"node/{n}->joined/{n}" for n in range(1, hidden + 1)
    ]
    assert groups(graph, "projection")[0][1] == [
        f"1×1 convolution\n{hidden * channels} → {channels} ch"
    ]
    assert groups(graph, "output")[0][1] == [f"output\n1/4, {channels} ch"]


def test_default_cell_has_three_different_sources(groups):
    spec = FabricSpec()
    graph = draw_cell(spec, Architecture.zeros(spec))
    assert ">layer 3, scale 1/8, 80 channels<" in graph.svg()
    assert [tips[0] for _, tips, _ in groups(graph, "source")] == [
        "finer: a map, from the pyramid\n1/4, 40 ch",
        "same: a map, from the pyramid\n1/8, 80 ch",
        "coarser: a map, from the pyramid\n1/16, 160 ch",
    ]
    assert [tips[0] for _, tips, _ in groups(graph, "transfer")] == [
        "3×3 convolution\nstride 2, 40 → 80 ch",
        "identity\n80 → 80 ch",
        "1×1 convolution\nbilinear ×2, 160 → 80 ch",
    ]


def test_copied_sources_name_the_original(groups):
    spec = FabricSpec(layers=6, first=0)

    def drawn(*cell):
        graph = draw_cell(spec, Architecture.zeros(spec), cell=CellIndex(*cell))
        sources = [tips[0].split(",")[0] for _, tips, _ in groups(graph, "source")]
        return (
            graph.svg(),
            sources,
            [tips[0].split("\n")[0] for _, tips, _ in groups(graph, "transfer")],
        )

    svg, sources, transfers = drawn(0, 0)  # three copies of the stem's only map
    assert (
        sources == ["finer: copy of same", "same: a map", "coarser: copy of same"]
        and transfers == ["identity"] * 3
    )
    assert svg.count(">copy of same<") == 2
    svg, sources, transfers = drawn(1, 2)  # first cell of a scale: three transfers of the finer map
    assert sources == ["finer: a map", "same: copy of finer", "coarser: copy of finer"]
    assert svg.count(">copy of finer<") == 2 and transfers == ["3×3 convolution"] * 3


def test_errors_name_the_mismatch():
    spec = FabricSpec()
    with pytest.raises(
        ValueError, match=r"alpha of fabric 'arms' is \[3, 4\]; its spec needs \[1, 4\]"
    ):
        draw_cell(spec, architecture(FabricSpec(hidden_nodes=2)), "arms")
    with pytest.raises(ValueError, match=r"no cell \(0, 0\)"):
        draw_cell(spec, architecture(spec), cell=CellIndex(0, 0))

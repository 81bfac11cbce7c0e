"""Graphs of pruned models draw exactly the removed parts as removed."""

import re

import pytest
import torch

from posenfs.body.parts import part_scheme
from posenfs.body.skeleton import MPII
from posenfs.model.architecture import Architecture
from posenfs.model.backbones.fabric import FabricBackbone
from posenfs.model.backbones.torchvision_backbones import MobileNetV2
from posenfs.model.network import PoseNFS
from posenfs.model.pruning import prune
from posenfs.model.space import CellIndex, FabricSpec
from posenfs.viz.graphs import draw_pruned

pytestmark = pytest.mark.usefixtures("without_dot")


def network(spec, backbone=None, parts=1):
    model = PoseNFS(backbone or MobileNetV2(), part_scheme(MPII, parts), spec, 4)
    return model.with_architectures(
        {
            name: Architecture.random(f.spec, seed, 2)
            for seed, (name, f) in enumerate(model.fabrics().items())
        }
    )


def drawn(graph, groups, kind):
    return {title for title, *_ in groups(graph, kind)}


@pytest.mark.parametrize("mode", ["exact", "threshold", "one-hot"])
@pytest.mark.parametrize("per_cell", [False, True])
def test_kept_and_removed_parts(mode, per_cell, groups):
    spec = FabricSpec(width=1, hidden_nodes=2, alpha_per_cell=per_cell)
    model = network(spec, parts=3)
    pruned = prune(model, mode, 0.2 if mode == "threshold" else 0)
    graph = draw_pruned(model, pruned)
    lines = {"down", "same", "up"}
    removed = drawn(graph, groups, "pruned")
    for number, fabric in enumerate(pruned.pruned_fabrics.values()):
        cells = {f"{number}/{c.layer}/{c.row}" for c in fabric.mask.cells}
        assert cells == {t for t in drawn(graph, groups, "cell") if t.startswith(f"{number}/")}
        assert cells.isdisjoint(removed)
        reads = set()
        for cell, kept in fabric.mask.cells.items():
            sources = spec.sources(cell.row, spec.rows(cell.layer - 1))
            head = f"{number}/{cell.layer}/{cell.row}"
            reads |= {f"{number}/{cell.layer - 1}/{sources[slot]}->{head}" for slot in kept.slots}
        assert reads == {
            t for kind in lines for t in drawn(graph, groups, kind) if t.startswith(f"{number}/")
        }
        assert {f"{number}/2/{row}" for row in range(4) if row not in fabric.mask.inputs} == {
            t for t in removed if t.startswith(f"{number}/2/") and "->" not in t
        }


def test_a_line_is_kept_with_any_of_its_copies(groups):
    """In the finest cells, `finer` is a copy of `same`; either slot keeps the line."""
    spec = FabricSpec(width=1)
    model = network(spec)
    name = model.parts[0].name
    only = model.heads[0].fabric.architecture.with_source(spec, "finer", 1.0, (5, 0))
    model = model.with_architectures({name: only})
    graph = draw_pruned(model, prune(model))
    assert "0/4/0->0/5/0" in drawn(graph, groups, "same")
    assert {"0/4/1->0/5/0", "0/4/1"} <= drawn(graph, groups, "pruned")
    assert prune(model).heads[0].fabric.mask.cells[CellIndex(5, 0)].slots == (0,)
    tip = next(tips[0] for title, tips, _ in groups(graph, "same") if title == "0/4/0->0/5/0")
    assert tip.endswith(": 1.0000\nfiner 1.0000 + same 0.0000 pruned")


def test_zero_does_not_count_as_removed(groups):
    model = network(FabricSpec(width=1))
    graph = draw_pruned(model, prune(model))
    assert not drawn(graph, groups, "pruned")
    assert "kept: 6 of 6 cells, 18 of 18 sources, 18 of 18 operations" in graph.svg()
    assert not any("pruned" in tip for _, tips, _ in groups(graph, "bar") for tip in tips)
    sparse = prune(model, "one-hot")
    tips = [tip for _, tips, _ in groups(draw_pruned(model, sparse), "bar") for tip in tips]
    best = model.spec.operations[int(model.heads[0].fabric.alpha.argmax())]
    lost_operations = [o for o in model.spec.operations if o not in ("zero", best)]
    assert any(f"pruned: {', '.join(lost_operations)}" in tip for tip in tips)


@pytest.mark.parametrize("per_cell", [False, True])
def test_removed_operations_are_flat(per_cell):
    spec = FabricSpec(width=1, alpha_per_cell=per_cell)
    model = network(spec)
    pruned = prune(model, "one-hot")
    line, bar_heights = re.compile(r'"([^"]+)/0-1/(\d)" .*height=([\d.]+)', re.DOTALL), {}
    for text in draw_pruned(model, pruned).body:
        if match := line.search(text):
            bar_heights.setdefault(match[1], {})[int(match[2])] = 72 * float(match[3])
    kept, (whole, flat) = pruned.heads[0].fabric.mask.cells, (6, 1.5) if per_cell else (12, 3)
    assert set(bar_heights) == ({f"0/{c.layer}/{c.row}" for c in spec.cells} if per_cell else {"0"})
    for key, heights in bar_heights.items():
        index = CellIndex(*map(int, key.split("/")[1:])) if per_cell else CellIndex(5, 0)
        stay = {0, *kept[index].operations[0]} if index in kept else {0}
        for operation, height in heights.items():
            assert height == pytest.approx(whole if operation in stay else flat, abs=0.01)


def test_a_pruned_form_of_another_model_is_refused():
    """The parts or the fabrics of the other model differ."""
    spec = FabricSpec(width=1)
    model = network(spec)
    with pytest.raises(ValueError, match="is not derived from this model"):
        draw_pruned(model, prune(network(spec, parts=3)))
    with pytest.raises(ValueError, match="is not derived from this model"):
        draw_pruned(model, prune(network(FabricSpec(width=2))))


def test_a_wholly_removed_fabric_backbone(groups):
    spec = FabricSpec(width=1)
    model = network(spec, FabricBackbone(FabricSpec(width=1, first=0, last=3)))
    nothing = model.heads[0].fabric.architecture.with_operation(spec, "zero", 1.0)
    model = model.with_architectures({model.parts[0].name: nothing})
    graph = draw_pruned(model, prune(model))
    assert {f"0/{c.layer}/{c.row}" for c in model.backbone.fabric.spec.cells} <= drawn(
        graph, groups, "pruned"
    )
    assert drawn(graph, groups, "cell") == {"1/5/0"}
    assert torch.equal(model.heads[0].fabric.alpha.argmax(-1), torch.tensor([0]))

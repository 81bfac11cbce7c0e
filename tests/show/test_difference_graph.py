"""Differences of architectures: their numbers, their signs, and one scale for all."""

import pytest

from posenfs.model.architecture import Architecture
from posenfs.model.backbones.fabric import FABRIC_1
from posenfs.model.space import FabricSpec
from posenfs.show.difference_graph import draw_difference, draw_differences

pytestmark = pytest.mark.usefixtures("without_dot")
SPECS = [FabricSpec(width=2), FabricSpec(width=2, hidden_nodes=2, alpha_per_cell=True), FABRIC_1]


@pytest.mark.parametrize("spec", SPECS, ids=["head", "per cell", "Fabric-1"])
def test_lines_and_strips_carry_the_differences(spec, groups):
    one, other = Architecture.random(spec, 1), Architecture.random(spec, 2)
    graph = draw_difference(spec, one, other, "arms_part", "legs_part")
    sources = one.source_weights(spec) - other.source_weights(spec)
    largest, found = sources.abs().max().item(), {}
    for kind in ("more", "less", "same"):
        for title, tips, widths in groups(graph, kind):
            found[title] = (kind, tips[0], widths[0])
    for number, cell in enumerate(spec.cells):
        for row in set(spec.sources(cell.row, spec.rows(cell.layer - 1))):
            value = sources[number, row].item()
            kind, tip, width = found.pop(f"0/{cell.layer - 1}/{row}->0/{cell.layer}/{cell.row}")
            assert f"{value:+.4f}" in tip
            if abs(value) < 1e-4:  # of a cell with one source all weight is on it
                assert kind == "same"
                continue
            assert kind == ("more" if value > 0 else "less")
            assert width == pytest.approx(0.6 + 4.4 * abs(value) / largest, abs=6e-3)
    assert not found
    tips = [tip for _, tips, _ in groups(graph, "strip") for tip in tips]
    operations = (one.operation_weights - other.operation_weights).flatten().tolist()
    assert sorted(tip.rpartition(" ")[2] for tip in tips) == sorted(f"{value:+.4f}" for value in operations)
    distance = one.distance(other, spec)
    assert f"apart: operations {distance[0]:.2f}, sources {distance[1]:.2f}" in graph.svg()
    assert f"widest line {largest:.2f}" in graph.svg() and "more weight than legs part" in graph.svg()


def test_each_with_its_own_other_on_one_scale(groups):
    spec = SPECS[0]
    runs = [{name: Architecture.random(spec, 10 * run + n) for n, name in enumerate("abcd")} for run in (1, 2)]
    graph = draw_differences(spec, runs[0], runs[1], "another run")
    largest = max(
        (runs[0][n].source_weights(spec) - runs[1][n].source_weights(spec)).abs().max().item() for n in "abcd"
    )
    widths = [w for kind in ("more", "less") for _, _, widths in groups(graph, kind) for w in widths]
    assert max(widths) == pytest.approx(5, abs=6e-3) and f"widest line {largest:.2f}" in graph.svg()
    assert len(groups(graph, "input")) == 4 * spec.input_rows


def test_no_difference(groups):
    spec = SPECS[0]
    same = Architecture.random(spec, 1)
    graph = draw_difference(spec, same, same)
    assert "no difference" in graph.svg() and not groups(graph, "more") and not groups(graph, "less")


def test_what_does_not_fit_is_named():
    good, bad = Architecture.random(SPECS[0]), Architecture.random(SPECS[2])
    with pytest.raises(ValueError, match="alpha of fabric 'other run'"):
        draw_difference(SPECS[0], good, bad, "head", "other run")
    with pytest.raises(ValueError, match="no fabric to draw"):
        draw_differences(SPECS[0], {}, good)

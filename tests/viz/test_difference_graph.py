"""Graphs of differences: numbers, signs, and one scale for all fabrics."""

import re

import pytest

from posenfs.model.architecture import Architecture
from posenfs.model.backbones.fabric import FABRIC_1
from posenfs.model.space import FabricSpec
from posenfs.viz.difference_graph import draw_difference, draw_differences

pytestmark = pytest.mark.usefixtures("without_dot")


def signed(value):
    digits = f"{abs(value):.4f}"
    return digits if float(digits) == 0 else ("+" if value > 0 else "−") + digits


def boxes(graph, pattern):
    """Return {name: (middle x, width)} in points of the boxes whose name matches."""
    line = re.compile(rf'"({pattern})" .*pos="(-?[\d.]+),.*width=([\d.]+)', re.DOTALL)
    matches = (line.search(text) for text in graph.body)
    return {m[1]: (float(m[2]), 72 * float(m[3])) for m in matches if m}


SPECS = [FabricSpec(width=2), FabricSpec(width=2, hidden_nodes=2, alpha_per_cell=True), FABRIC_1]


@pytest.mark.parametrize("spec", SPECS, ids=["head", "per cell", "Fabric-1"])
def test_lines_and_bars_have_the_differences(spec, groups):
    first, second = Architecture.random(spec, 1), Architecture.random(spec, 2)
    graph = draw_difference(spec, first, second, "arms_part", "legs_part")
    sources = first.source_weights(spec) - second.source_weights(spec)
    largest, lines = sources.abs().max().item(), {}
    for kind in ("more", "less", "same"):
        for title, tips, widths in groups(graph, kind):
            lines[title] = (kind, tips[0], widths[0])
    for number, cell in enumerate(spec.cells):
        for row in set(spec.sources(cell.row, spec.rows(cell.layer - 1))):
            value = sources[number, row].item()
            kind, tip, width = lines.pop(f"0/{cell.layer - 1}/{row}->0/{cell.layer}/{cell.row}")
            assert tip.partition("\n")[0].endswith(f": {signed(value)}")
            pair = (a.source_weights(spec)[number, row].item() for a in (first, second))
            assert tip.endswith("\n{:.4f} vs {:.4f}".format(*pair))
            if abs(value) < 1e-5:  # a cell with one source gives it all weight
                assert kind == "same"
                continue
            assert kind == ("more" if value > 0 else "less")
            assert width == pytest.approx(0.6 + 4.4 * abs(value) / largest, abs=6e-3)
    assert not lines
    bars = first.operation_weights - second.operation_weights
    tips = [tips[0].partition("\n")[0] for _, tips, _ in groups(graph, "operation")]
    assert sorted(tip.rpartition(" ")[2] for tip in tips) == sorted(
        signed(value) for value in bars.flatten().tolist()
    )
    distance = first.distance(second, spec)
    svg = graph.svg()
    assert f"distance to legs: operations {distance[0]:.2f}, sources {distance[1]:.2f}" in svg
    assert f"widest line = {largest:.3f}" in svg and "more weight than in legs" in svg
    assert f"longest bar = {bars.abs().max().item():.3f}" in svg


@pytest.mark.parametrize("spec", SPECS, ids=["head", "per cell", "Fabric-1"])
def test_bars_are_on_the_side_of_their_sign(spec):
    first, second = Architecture.random(spec, 1), Architecture.random(spec, 2)
    graph = draw_difference(spec, first, second)
    drawn, middles = boxes(graph, r"[^\"]+/bar"), boxes(graph, r"[^\"]+/middle")
    differences = (
        (first.operation_weights - second.operation_weights)
        .reshape(-1, *spec.alpha_shape[-2:])
        .tolist()
    )
    keys = [f"0/{c.layer}/{c.row}" for c in spec.cells] if spec.alpha_per_cell else ["0"]
    lengths = []
    for key, edges in zip(keys, differences, strict=True):
        for (start, end), values in zip(spec.edges, edges, strict=True):
            for o, value in enumerate(values):
                x, width = drawn.pop(f"{key}/{start}-{end}/{o}/bar")
                middle = middles[f"{key}/{start}-{end}/middle"][0]
                assert (x - middle) * value > 0 and abs(x - middle) == pytest.approx(
                    width / 2, abs=0.02
                )
                lengths.append((abs(value), width))
    assert not drawn
    greatest, longest = max(lengths)
    assert [width for _, width in lengths] == pytest.approx(
        [v / greatest * longest for v, _ in lengths], abs=0.02
    )


def test_copies_of_one_map_are_summed(groups):
    """Weight that moves from a source to its copy makes no difference."""
    spec = SPECS[0]
    first, second = Architecture.zeros(spec), Architecture.zeros(spec)
    first.beta[-1, 0], second.beta[-1, 1] = 2.0, 2.0  # in the last cell, finer is a copy of same
    assert not groups(draw_difference(spec, first, second), "more")
    first.beta[-1, 2] = 3.0
    assert [title for title, *_ in groups(draw_difference(spec, first, second), "more")] == [
        "0/4/1->0/5/0"
    ]
    assert [title for title, *_ in groups(draw_difference(spec, first, second), "less")] == [
        "0/4/0->0/5/0"
    ]


def test_pairs_of_fabrics_share_one_scale(groups):
    spec = SPECS[0]
    runs = [
        {name: Architecture.random(spec, 10 * run + n) for n, name in enumerate("abcd")}
        for run in (1, 2)
    ]
    graph = draw_differences(spec, runs[0], runs[1], "another run")
    largest = max(
        (runs[0][n].source_weights(spec) - runs[1][n].source_weights(spec)).abs().max().item()
        for n in "abcd"
    )
    widths = [
        w for kind in ("more", "less") for _, _, widths in groups(graph, kind) for w in widths
    ]
    assert (
        max(widths) == pytest.approx(5, abs=6e-3) and f"widest line = {largest:.3f}" in graph.svg()
    )
    assert len(groups(graph, "input")) == 4 * spec.input_rows


def test_no_difference(groups):
    spec = SPECS[0]
    same = Architecture.random(spec, 1)
    graph = draw_difference(spec, same, same)
    svg = graph.svg()
    assert "no difference" in svg and not groups(graph, "more") and not groups(graph, "less")
    assert (
        not groups(graph, "signed")
        and not re.search(r">[+−-]0\.000<", svg)
        and svg.count(">0.000<") == 4
    )


def test_errors_name_the_mismatch():
    good, bad = Architecture.random(SPECS[0]), Architecture.random(SPECS[2])
    with pytest.raises(ValueError, match="alpha of fabric 'other run'"):
        draw_difference(SPECS[0], good, bad, "head", "other run")
    with pytest.raises(ValueError, match="no fabric to draw"):
        draw_differences(SPECS[0], {}, good)
    with pytest.raises(ValueError, match="nothing to compare legs with; there are arms"):
        draw_differences(SPECS[0], {"arms": good, "legs": good}, {"arms": good})

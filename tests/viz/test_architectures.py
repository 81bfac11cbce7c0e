"""Tables and maps of architectures agree with the weights."""

import pytest
import torch

from posenfs.model.architecture import Architecture, Genotype
from posenfs.model.backbones.fabric import FABRIC_1
from posenfs.model.space import FabricSpec
from posenfs.study.distinctness import part_distinctness
from posenfs.viz.architectures import distance_maps, distance_strips, genotype_table

SPEC = FabricSpec(width=2, hidden_nodes=2)


def test_genotype_table_has_choices_and_weights():
    chosen = Genotype(
        (("skip", "zero", "dilated_3x3"),), ("finer", "same", "coarser", "same", "finer", "coarser")
    )
    table = genotype_table(
        SPEC, {"head_part": chosen.architecture(SPEC), "arm": Architecture.zeros(SPEC)}
    )
    assert table.index.tolist() == ["head", "arm"]
    assert (
        table.loc["head", "edge 1 → 2"] == "dilated 3×3 100%"
        and table.loc["arm", "edge 0 → 1"] == "zero 25%"
    )
    assert (
        table.loc["head", "layer 3, 1/16"] == "coarser 100%"
        and table.loc["head", "layer 4, 1/8"] == "finer 100%"
    )
    assert table.loc["arm", "layer 5, 1/4"] == "finer 33%" and table.shape == (2, 9)


def test_genotype_table_of_several_specs_and_alpha_per_cell():
    per_cell = FabricSpec(width=2, alpha_per_cell=True)
    specs = {"backbone": FABRIC_1, "head": per_cell}
    table = genotype_table(specs, {name: Architecture.random(spec) for name, spec in specs.items()})
    assert (
        table.loc["backbone", "layer 3, 1/4: edge 0 → 1"] == ""
        and table.loc["head", "edge 0 → 1"] == ""
    )
    assert table.loc["head", "layer 3, 1/4: edge 0 → 1"] and table.loc["backbone", "edge 1 → 2"]
    with pytest.raises(ValueError, match="beta of fabric 'head'"):
        genotype_table(SPEC, {"head": Architecture(torch.zeros(3, 4), torch.zeros(5, 3))})


def test_distance_maps_have_distances_and_entropies():
    fabrics = {"head_part": Architecture.random(SPEC, 1, 3), "arm": Architecture.zeros(SPEC)}
    operations, sources, *bars = distance_maps(SPEC, fabrics).data
    distance = fabrics["head_part"].distance(fabrics["arm"], SPEC)
    assert (
        operations.z[0][1] == operations.z[1][0] == pytest.approx(distance[0])
        and operations.z[0][0] == 0
    )
    assert sources.z[0][1] == pytest.approx(distance[1])
    assert [bar.y[1] for bar in bars] == pytest.approx([1, 1]) and bars[0].y[0] == fabrics[
        "head_part"
    ].entropy()[0]
    assert list(operations.x) == ["head", "arm"]


def test_distance_strips_have_every_distance_between_seeds():
    runs = {
        seed: {part: Architecture.random(SPEC, 9 * seed + len(part)) for part in ("arm", "legs")}
        for seed in (0, 1)
    }
    distinctness = part_distinctness(runs, SPEC)
    figure = distance_strips(distinctness)
    assert [list(box.y) for box in figure.data] == [
        list(v) for result in distinctness.values() for v in (result.within, result.between)
    ]
    assert figure.data[0].y[0] == pytest.approx(runs[0]["arm"].distance(runs[1]["arm"], SPEC)[0])
    assert [box.name for box in figure.data[:2]] == [
        "same part<br>2 distances",
        "different parts<br>2 distances",
    ]
    titles = [note.text for note in figure.layout.annotations]
    assert titles == [f"{kind}: p = {result.p:.2g}" for kind, result in distinctness.items()]
    assert (
        "share of weight" in figure.layout.yaxis.title.text
        and figure.layout.yaxis.rangemode == "tozero"
    )

"""Tests of `posenfs prune`: accuracy before and after, and empty parts, cells and edges."""

import json
from dataclasses import replace

import pytest
import torch

from posenfs.body.parts import part_scheme
from posenfs.body.skeleton import MPII
from posenfs.cli.main import main
from posenfs.data.datasets.catalogue import DataSpec, parts_of
from posenfs.model.pruning import prune
from posenfs.model.space import FabricSpec
from posenfs.search.build import build_model
from posenfs.search.experiment import Experiment
from posenfs.search.saved_models import save_model
from posenfs.study.model_evaluation import evaluate_model
from posenfs.study.pruning_proof import Emptied, find_emptied

NEVER = -1000.0  # a logit whose softmax is 0.0


@pytest.fixture
def folder(tiny, tmp_path):
    """A model with uneven weights of operations: a threshold of 0.3 changes its heatmaps."""
    model = build_model(tiny, parts_of(tiny.data, tiny.parts))
    with torch.no_grad():
        for fabric in model.fabrics().values():
            fabric.alpha.normal_(generator=torch.Generator().manual_seed(0))
    save_model(tmp_path / "model", model, tiny)
    return tmp_path / "model"


def test_accuracy_equals_that_of_evaluations(folder, tmp_path, capsys):
    options = ["--mode", "threshold", "--threshold", "0.3", "--device", "cpu", "--quiet"]
    main(["prune", str(folder), "--output", str(tmp_path / "pruned"), *options])
    output = capsys.readouterr().out
    proof = json.loads((tmp_path / "pruned" / "proof.json").read_text())
    before, after = (
        evaluate_model(tmp_path / name, device="cpu", progress=False)
        for name in ("model", "pruned")
    )
    expected = [evaluation["metrics"]["pckh@0.5"] for evaluation in (before, after)]
    assert proof["accuracy"] == {
        "metric": "pckh@0.5", "people": before["people"],
        "before": expected[0], "after": expected[1],
    }  # fmt: skip
    line = f"PCKh@0.5 before {expected[0]:.2f}, after {expected[1]:.2f}, on {before['people']} "
    assert line + "validation" in output
    assert proof["differences"]["crops"] > 0 and proof["after"] != proof["before"]


def test_no_synthetic_data_are_created_for_the_accuracy(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    experiment = replace(tiny, data=DataSpec("synthetic", images=(3, 2)))
    save_model(
        tmp_path / "model", build_model(experiment, parts_of(experiment.data, 3)), experiment
    )
    main(["prune", "model", "--output", "pruned", "--quiet"])
    captured = capsys.readouterr()
    assert "no accuracy measured: no validation data 'synthetic' in" in captured.err
    assert "before" in captured.out and "PCKh" not in captured.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "pruned"]


@pytest.fixture
def wide():
    experiment = Experiment(
        image_size=(64, 64), fabric=FabricSpec(width=2, hidden_nodes=2, alpha_per_cell=True)
    )
    return build_model(experiment, part_scheme(MPII, experiment.parts)).eval()


def test_empty_parts_cells_and_edges_are_found(wide):
    """An edge without operations, a part whose last cell reads nothing, a cell without sources.

    The last needs a threshold: softmax is not 0 for all three sources.
    """
    assert find_emptied(prune(wide)) == ()
    names, fabrics = list(wide.fabrics()), list(wide.fabrics().values())
    spec = fabrics[0].spec
    zero, cells = spec.operations.index("zero"), list(spec.cells)
    others = [number for number in range(len(spec.operations)) if number != zero]
    last = next(number for number, cell in enumerate(cells) if cell == (spec.end - 1, 0))
    with torch.no_grad():
        fabrics[0].alpha[last, 1, others] = NEVER
        fabrics[2].alpha[last][:, others] = NEVER
    edge = tuple(spec.edges[1])
    exact = find_emptied(prune(wide))
    stride = spec.strides[0]
    assert exact == (
        Emptied(names[0], f"layer {spec.end - 1}, 1/{stride}", edge),
        Emptied(names[2]),
    )
    start, end = edge
    assert str(exact[0]) == (
        f"nothing is left of edge {start} -> {end} in the cell at layer {spec.end - 1}, "
        f"1/{stride} of {names[0]}"
    )
    assert str(exact[1]) == f"nothing is left of {names[2]}: it gives the same for every image"
    with torch.no_grad():
        for fabric in fabrics[:2]:
            fabric.beta[:] = torch.tensor([0.0, 2.0, 0.0])  # 0.11, 0.79, 0.11
            fabric.alpha[:] = 0.0
            fabric.alpha[..., others[0]] = 5.0
        fabrics[1].beta[last] = 0.0  # a third each
    cut = find_emptied(prune(wide, "threshold", 0.4))
    assert Emptied(names[1]) in cut  # its last cell has no source
    with torch.no_grad():
        fabrics[1].beta[last] = torch.tensor(
            [0.0, 2.0, 2.0]
        )  # 0.06, 0.47, 0.47: the one below, too
        below = next(number for number, cell in enumerate(cells) if cell == (spec.end - 2, 1))
        fabrics[1].beta[below] = 0.0
    cell = f"layer {spec.end - 2}, 1/{spec.strides[1]}"
    cut = find_emptied(prune(wide, "threshold", 0.4))
    assert cut == (Emptied(names[1], cell), Emptied(names[2]))
    assert (
        str(cut[0]) == f"nothing is left of the cell at {cell} of {names[1]}: it gives a constant"
    )


def test_emptied_parts_give_the_same_for_every_image(wide):
    """The warning is checked by running the network."""
    fabric = list(wide.fabrics().values())[2]
    with torch.no_grad():
        fabric.alpha[
            ..., [n for n, name in enumerate(fabric.spec.operations) if name != "zero"]
        ] = NEVER
        pruned = prune(wide)
        maps = [
            pruned(torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(seed)))
            for seed in (0, 1)
        ]
    assert find_emptied(pruned) == (Emptied(pruned.parts[2].name),)
    alone = (
        set(pruned.parts[2].keypoints)
        - set(pruned.parts[0].keypoints)
        - set(pruned.parts[1].keypoints)
    )
    assert torch.equal(maps[0][:, sorted(alone)], maps[1][:, sorted(alone)])
    assert not torch.equal(maps[0], maps[1])


def test_warnings_are_printed_and_stored(tiny, tmp_path, capsys):
    model = build_model(tiny, parts_of(tiny.data, tiny.parts))
    name, fabric = next(iter(model.fabrics().items()))
    with torch.no_grad():
        fabric.alpha[..., fabric.spec.operations.index("zero")] = 1000.0
    save_model(tmp_path / "model", model, tiny)
    main(
        [
            "prune",
            str(tmp_path / "model"),
            "--output",
            str(tmp_path / "pruned"),
            "--no-accuracy",
            "--quiet",
            "--json",
        ]
    )
    captured = capsys.readouterr()
    assert f"warning: nothing is left of {name}: it gives the same for every image" in captured.err
    assert json.loads(captured.out)["emptied"] == [{"part": name, "cell": None, "edge": None}]
